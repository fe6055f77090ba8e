"""HTTP/2 on the HTTP port, by clients that aren't ours: Python's h2, curl, nghttp, h2load."""
import importlib.util
import json
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import threading

from http2_client import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING,  # noqa: F401
                          PYTHON, Frames, Http2, frame, post_head)
from lib import (INCREMENT, Connection, Failed, Gone, Server, Skipped, check,
                 current_value, eq, get, item, request_bytes, tree)

LOOPS = 'both'
HEALTH = '/api/v1/health'


def tool(*arguments, data=None, ok=True):
    """What a client said; skipped where it isn't installed."""
    if not shutil.which(arguments[0]):
        raise Skipped(f'{arguments[0]} is not installed')
    done = subprocess.run(arguments, input=data, capture_output=True, timeout=120)
    if ok:
        eq(done.returncode, 0, f'{arguments[0]}: {done.stderr.decode()}')
    return done.stdout.decode()


def url(server, path):
    return 'http://%s:%d%s' % (*server.http, path)


# --- the contract ----------------------------------------------------------------------------


def golden():
    path = tree() / 'tests/golden/test_golden.py'
    spec = importlib.util.spec_from_file_location('test_golden', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_row(row, server):
    method, target = row.line.split()
    headers = [tuple(line.split(': ', 1)) for line in row.headers]
    if (row.body or method == 'POST') and '@no-length' not in row.marks:
        headers.append(('content-length', str(len(row.body))))
    with Http2(server.admin if '@admin' in row.marks else server.http) as client:
        got = client.request(method, target, row.body, headers)
    eq(got.status, int(row.status), f'{row.name}: {got!r}: status')
    for line in row.want_headers:
        name, _, value = line.partition(': ')
        if name.lower() == 'connection':
            eq(got.header(name), None, f'{row.name}: {name} over HTTP/2')
        elif name.startswith('!'):
            eq(got.header(name[1:]), None, f'{row.name}: {name}')
        else:
            eq(got.header(name), value, f'{row.name}: {name}')
    check(got.header('x-request-id'), f'{row.name}: no x-request-id')
    check(got.header('date'), f'{row.name}: no date')
    if method != 'HEAD':
        eq(got.header('content-length'), str(len(got.body)), f'{row.name}: content-length')
    check(all(name == name.lower() for name, _ in got.headers), f'{row.name}: {got.headers}')
    row.check_body(got.body)


def test_the_contract_s_rows():
    """What tests/golden has over HTTP/1.1, in the same order over HTTP/2: the same bodies."""
    module = golden()
    wrong = []
    for name, least in (('part_a.txt', 60), ('part_b.txt', 20)):
        table = module.rows(name)
        check(len(table) >= least, f'{name}: only {len(table)} rows')
        with Server() as server:
            for row in table:
                try:
                    run_row(row, server)
                except Exception as why:  # noqa: BLE001 - collected
                    wrong.append(f'{row.name}: {why}')
    check(not wrong, f'{len(wrong)} rows:\n  ' + '\n  '.join(wrong))


def test_both_protocols_on_one_port(server):
    with Http2(server.http) as client:
        eq(client.request('POST', INCREMENT, json.dumps(item('both')).encode()).value(), 1, 'h2')
    eq(get(server, 'both'), 1, 'HTTP/1')


def test_limits(server):
    """The refusals are those of HTTP/1, on their own stream."""
    with Http2(server.http) as client:
        for what, status, request in (
                ('a long path', 414, ('GET', '/' + 'x' * 9000)),
                ('many fields', 431, ('GET', HEALTH, None, [(f'x-{n}', 'v') for n in range(101)])),
                ('a large field', 431, ('GET', HEALTH, None, [('x', 'v' * 33000)])),
                ('a large body', 413, ('POST', INCREMENT, b'x' * 65537)),
                ('not counted', 411, ('POST', INCREMENT)),
                ('another charset', 415, ('POST', INCREMENT, b'{}', [
                    ('content-type', 'application/json; charset=latin1')])),
                ('nothing there', 404, ('GET', '/nothing')),
                ('not this way', 405, ('PUT', INCREMENT, b'{}'))):
            response = client.request(*request)
            eq(response.status, status, what)
            eq(response.header('content-type'), 'application/problem+json', what)
        eq(client.request('GET', HEALTH).status, 200, 'the connection lives')


# --- foreign programs ------------------------------------------------------------------------


def test_curl(server):
    out = tool('curl', '-sS', '--max-time', '20', '--http2-prior-knowledge', '-w',
               '\n%{http_code} %{http_version}', '-d', '@-', url(server, INCREMENT),
               data=json.dumps(item('curl-h2', delta=2)).encode())
    body, _, code = out.rpartition('\n')
    eq((code, json.loads(body)['data']['current_value']), ('200 2', 2), 'POST')
    out = tool('curl', '-sS', '-I', '--http2-prior-knowledge', url(server, HEALTH))
    check(out.startswith('HTTP/2 200'), f'HEAD: {out}')


def test_curl_expects_100(server):
    body = json.dumps({'items': [item('expect-h2')] * 1000, 'pad': 'x' * 900000}).encode()
    out = tool('curl', '-sS', '--max-time', '20', '--http2-prior-knowledge', '-o', '/dev/null',
               '-w', '%{http_code}', '-H', 'Expect: 100-continue', '--data-binary', '@-',
               url(server, '/api/v1/counter/batch/increment'), data=body)
    eq(out, '200', 'status')
    eq(get(server, 'expect-h2'), 1000, 'the counter')


def test_curl_upgrade_is_ignored(server):
    """--http2 over plain TCP asks by Upgrade: h2c; the answer is HTTP/1.1."""
    out = tool('curl', '-sS', '--http2', '-o', '/dev/null', '-w', '%{http_code} %{http_version}',
               url(server, HEALTH))
    eq(out, '200 1.1', 'status and version')


def test_nghttp(server):
    out = tool('nghttp', '-v', '-m', '10', url(server, HEALTH))
    eq(len(re.findall(r':status: 200', out)), 10, out[-500:])


def test_h2load_counts_exactly(server):
    """1,000 streams at once, 100 on each of 10 connections."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(json.dumps(item('h2load')).encode())
        body.flush()
        out = tool('h2load', '-n', '20000', '-c', '10', '-m', '100', '-d', body.name,
                   url(server, INCREMENT))
    check('20000 succeeded, 0 failed' in out, out[-800:])
    check('status codes: 20000 2xx' in out, out[-800:])
    eq(get(server, 'h2load'), 20000, 'the counter')


# --- many at once ----------------------------------------------------------------------------


def count_up(address, rounds, streams, values):
    with Http2(address) as client:
        body = json.dumps(item('swarm')).encode()
        client.request('GET', HEALTH)  # its SETTINGS are known from here on
        for _ in range(rounds):
            numbers = [client.start('POST', INCREMENT, body) for _ in range(streams)]
            values += [current_value(client.wait(number).body) for number in numbers]


def test_every_value_once(server):
    """1,000 increments under way on 10 connections: the answers are exactly 1 to N."""
    values = [[] for _ in range(10)]
    threads = [threading.Thread(target=count_up, args=(server.http, 3, 100, mine))
               for mine in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eq(sorted(v for mine in values for v in mine), list(range(1, 3001)), 'values')


# --- the end ---------------------------------------------------------------------------------


def test_a_drain_finishes_open_requests():
    """GOAWAY in two steps, and a request whose body is half here is answered. By hand: Python's h2
    gives up at the first GOAWAY, which says that everything is still welcome."""
    body = json.dumps(item('drain')).encode()
    with Server() as server, Frames(server.http) as client:
        client.send(frame(HEADERS, END_HEADERS, 1, post_head(INCREMENT)),
                    frame(DATA, 0, 1, body[:10]), frame(PING, 0, 0, b'12345678'))
        client.wait(PING, ACK)  # so the server has seen what is before it
        server.send_signal(signal.SIGTERM)
        eq(client.wait(GOAWAY)[3], struct.pack('>II', 2**31 - 1, 0), 'the first GOAWAY')
        client.send(frame(PING, ACK, 0, client.wait(PING, 0)[3]))
        eq(client.wait(GOAWAY)[3], struct.pack('>II', 1, 0), 'the second GOAWAY')
        client.send(frame(DATA, END_STREAM, 1, body[10:]))
        eq(client.wait(HEADERS)[3][:1], b'\x88', 'the status, 200 of the static table')
        eq(current_value(client.wait(DATA)[3]), 1, 'the value')
        while client.next():
            pass
        eq(server.wait(), 0, 'exit code')


def test_the_grpc_connection_limit_is_the_whole_process_s():
    """Also where the kernel spreads connections unevenly over the loops."""
    with Server(role='counter', flags=['--threads', '2'],
                env={'HGP_LIMITS_CONNECTIONS': '20'}) as small:
        kept = [Http2(small.grpc) for _ in range(20)]
        for client in kept:
            client.turn()  # the server's SETTINGS
        try:
            with Http2(small.grpc) as more:
                more.turn()
            raise Failed('one above the limit is served')
        except (Gone, OSError):
            pass
        for client in kept:
            client.close()


def test_http1_that_begins_like_http2(server):
    """A POST begins like the preface."""
    with Connection(server.http) as connection:
        data = request_bytes('POST', INCREMENT, item('post'))
        for part in (data[:1], data[1:2], data[2:]):
            connection.send(part)
        eq(connection.answer().value(), 1, 'value')
