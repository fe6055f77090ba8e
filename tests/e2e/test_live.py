"""Live values: GET /api/v1/stream, in every deployment, with clients of every kind."""
import json
import re
import signal
import subprocess
import threading
import time

import lib
from certs import Pki
from http2_client import PYTHON  # noqa: F401
from lib import (WAIT_S, Connection, Gone, Server, Skipped, Split, call, check, eq, get, increment,
                 ready, wait_for)
from sse_client import STREAM, Events

N = 1000


def metric(server, name, transport='sse'):
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return int(re.search(rf'^{name}{{transport="{transport}"}} (\d+)$', text, re.M).group(1))


def until_metric(server, name, want, transport='sse'):
    wait_for(lambda: f'{name} stays {metric(server, name, transport)}, not {want}',
             lambda: metric(server, name, transport) == want)


def many(server, resource_id, count, pause_s=0.0):
    with Connection(server.http) as client:
        for _ in range(count):
            got = client.request('POST', lib.INCREMENT, lib.item(resource_id))
            eq(got.status, 200, f'{got!r}')
            time.sleep(pause_s)


# --- what a client is told -------------------------------------------------------------------


def test_the_first_frame_is_the_state(server):
    increment(server, 'first', delta=41)
    answered = increment(server, 'first').value()
    with Events(server.http, 'counter=first/like&counter=never/written') as events:
        eq(events.head['content-type'], 'text/event-stream', 'the type')
        eq(events.head['cache-control'], 'no-store', 'caching')
        eq(events.head['x-accel-buffering'], 'no', "for nginx's buffers")
        eq(events.head['transfer-encoding'], 'chunked', 'the framing')
        check('content-length' not in events.head, 'a length')
        events.frame()
        eq(events.retry, 2000, 'retry')
        eq(events.value('first'), answered, 'the state')
        eq(list(events.values['first', 'like']),
           ['resource_id', 'counter_type', 'current_value', 'updated_at'], 'as a GET has it')
        eq(events.values['never', 'written'],
           {'resource_id': 'never', 'counter_type': 'written', 'current_value': 0, 'updated_at': 0},
           'a counter that was never written')
        check(re.fullmatch('[0-9a-f]{16}', events.last_id), f'an id: {events.last_id}')
        events.silent(0.5)


def test_never_less_than_what_was_answered(server):
    """However close the stream's beginning is to the answer, and while others follow the same."""
    with Events(server.http, 'counter=close/like'):
        for _ in range(50):
            value = increment(server, 'close').value()
            with Events(server.http, 'counter=close/like') as events:
                events.frame()
                check(events.value('close') >= value, f'{events.values} behind {value}')


def test_a_thousand_increments_in_a_few_frames(server):
    with Events(server.http, 'counter=thousand/like') as events:
        events.frame()
        began = time.monotonic()
        many(server, 'thousand', N)
        events.until_value('thousand', N)
        took = time.monotonic() - began
        check(events.frames <= 2 + took / 0.1, f'{events.frames} frames in {took:.2f} s')
        events.silent(0.3)
        eq(get(server, 'thousand'), N, 'the value')


def test_at_most_ten_a_second(server):
    with Events(server.http, 'counter=pace/like') as events:
        events.frame()
        load = threading.Thread(target=many, args=(server, 'pace', 150, 0.01))
        load.start()
        events.until_value('pace', 150)
        load.join(WAIT_S)
        check(events.frames > 10, f'only {events.frames} frames')
        # A frame may be late on its way, the next one not: over a second that evens out.
        for at, end in zip(events.arrivals, events.arrivals[10:]):
            check(end - at > 0.9, f'ten frames in {end - at:.3f} s')


def test_a_ranking(server):
    increment(server, 'ranked-a', delta=5, counter_type='rank')
    with Events(server.http, 'top=rank&time_range=1h&limit=2&counter=ranked-b/rank') as events:
        events.until('one', lambda: events.top and len(events.top['counters']) == 1)
        increment(server, 'ranked-b', delta=7, counter_type='rank')
        increment(server, 'ranked-c', delta=1, counter_type='rank')
        events.until('the order', lambda: [(c['rank'], c['resource_id'], c['value'])
                                           for c in events.top['counters']] ==
                     [(1, 'ranked-b', 7), (2, 'ranked-a', 5)])
        events.until_value('ranked-b', 7, 'rank')
        got = call(server.http, 'GET',
                   '/api/v1/analytics/top?counter_type=rank&time_range=1h&limit=2').json()['data']
        eq({**got, 'as_of': 0}, {**events.top, 'as_of': 0}, 'the same as a GET')


def test_who_comes_back(server):
    query = 'counter=back/like&counter=back/view'
    increment(server, 'back')
    with Events(server.http, query) as events:
        events.frame()
        seen = events.last_id
    with Events(server.http, query, last_id=seen) as events:
        events.frame()
        eq((events.frames, events.retry), (0, 2000), 'nothing was missed')
        events.silent(0.3)
        increment(server, 'back', counter_type='view')
        events.until_value('back', 1, 'view')
        eq(events.value('back'), None, 'what was known')
        seen = events.last_id
    increment(server, 'back')
    with Events(server.http, query, last_id=seen) as events:
        events.frame()
        eq((events.value('back'), events.value('back', 'view')), (2, 1), 'all of the state')
    for odd in 'x', '0' * 16, 'f' * 4000:
        with Events(server.http, query, last_id=odd) as events:
            events.frame()
            eq(events.value('back'), 2, f'behind an id of {len(odd)} bytes')


def test_names_in_the_url(server):
    for query, resource_id, counter_type in (
            ('counter=a/b', 'a', 'b'),
            ('counter=a%2Fb', 'a', 'b'),  # URLSearchParams
            ('counter=a%2Fb/c', 'a/b', 'c'),
            ('counter=a/b%2Fc', 'a', 'b/c'),
            ('counter=%C3%BC+x/%26%3D', 'ü x', '&='),
            ('counter=a%22%0Ab/c', 'a"\nb', 'c'),
            ('counter=a/b&counter=a/b', 'a', 'b'),
            ('x=1&counter=a/b&counter_type=z', 'a', 'b')):
        with Events(server.http, query) as events:
            events.frame()
            eq(list(events.values), [(resource_id, counter_type)], query)


def test_bad_requests(server):
    for query, detail in (
            ('', 'counter: at least one, or top, is required'),
            ('counter=', 'counter: must be resource_id/counter_type'),
            ('counter=a', 'counter: must be resource_id/counter_type'),
            ('counter=a/', 'counter: must be resource_id/counter_type'),
            ('counter=/a', 'counter: must be resource_id/counter_type'),
            ('counter=a/b/c', 'counter: must be resource_id/counter_type'),
            ('counter=a%2Fb%2Fc', 'counter: must be resource_id/counter_type'),
            ('counter=%ff/b', "the query isn't valid UTF-8"),
            ('counter=%00/b', 'the query has a NUL character'),
            ('counter=%/b', 'a percent escape in the query is malformed'),
            ('&'.join(f'counter={n}/b' for n in range(101)), 'counter: more than stream.counters'),
            ('top=', 'top: must be a counter_type'),
            ('top=a&time_range=2h', 'time_range: must be'),
            ('top=a&limit=0', 'limit: must be 1 to 1000'),
            ('top=a&limit=1001', 'limit: must be 1 to 1000'),
            ('top=a&limit=-1', 'limit: must be 1 to 1000')):
        got = call(server.http, 'GET', f'{STREAM}?{query}')
        eq(got.status, 400, f'{query[:60]}: {got!r}')
        check(got.json()['detail'].startswith(detail), f'{query[:60]}: {got!r}')
    got = call(server.http, 'POST', STREAM, {})
    eq((got.status, got.header('Allow')), (405, 'GET, HEAD'), f'{got!r}')
    with Connection(server.http) as client:
        got = client.request('HEAD', f'{STREAM}?counter=a/b')
        eq((got.status, got.header('Content-Type')), (200, 'text/event-stream'), f'{got!r}')
        eq(client.request('HEAD', STREAM).status, 400, 'HEAD without anything')
        eq(client.request('GET', '/livez').status, 200, 'the connection goes on')
    eq(call(server.admin, 'GET', f'{STREAM}?counter=a/b').status, 404, 'on the admin listener')


# --- clients of other kinds ------------------------------------------------------------------


def curl(server, query, *options):
    return subprocess.Popen(
        ['curl', '-sN', *options, f'http://{server.http[0]}:{server.http[1]}{STREAM}?{query}'],
        stdout=subprocess.PIPE, text=True)


def read_until(process, resource_id, value):
    """The values on the way there."""
    seen = []
    for line in process.stdout:
        if not line.startswith('data: '):
            continue
        for state in json.loads(line[6:])['counters']:
            seen.append(state['current_value'])
        if seen[-1] == value:
            return seen
    raise Gone(f'{resource_id}: the end behind {seen}')


def test_curl(server):
    for name, options in ('http1', []), ('http2', ['--http2-prior-knowledge']):
        resource_id = f'curl-{name}'
        process = curl(server, f'counter={resource_id}/like', *options)
        try:
            eq(read_until(process, resource_id, 0), [0], 'the first')
            many(server, resource_id, N)
            seen = read_until(process, resource_id, N)
            eq(seen, sorted(seen), 'values that only grow')
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def test_tls():
    """The same under TLS, where the buffers are others."""
    with Pki() as pki:
        pki.make('server', 'DNS:localhost,IP:127.0.0.1')
        env = {'HGP_HTTP_TLS_CERT_FILE': str(pki.pem('server')),
               'HGP_HTTP_TLS_KEY_FILE': str(pki.key('server'))}
        with Server(env=env) as server:
            for version in '--http1.1', '--http2':
                process = subprocess.Popen(
                    ['curl', '-sN', version, '--cacert', pki.authority('ca'),
                     f'https://localhost:{server.http[1]}{STREAM}?counter=tls/{version[2:]}'],
                    stdout=subprocess.PIPE, text=True)
                eq(read_until(process, 'tls', 0), [0], 'the first')
                for value in range(1, 4):
                    done = subprocess.run(
                        ['curl', '-s', version, '--cacert', pki.authority('ca'), '-d',
                         json.dumps(lib.item('tls', version[2:])),
                         f'https://localhost:{server.http[1]}{lib.INCREMENT}'], capture_output=True)
                    eq(json.loads(done.stdout)['data']['current_value'], value, 'an increment')
                    read_until(process, 'tls', value)
                if version == '--http1.1':
                    process.kill()
                else:
                    eq(server.stop(), 0, 'exit code')
                process.stdout.close()
                eq(process.wait(WAIT_S) in (0, -signal.SIGKILL), True, "curl's exit code")


def test_http_1_0(server):
    with Connection(server.http) as client:
        client.send(f'GET {STREAM}?counter=old/like HTTP/1.0\r\n\r\n'.encode())
        while b'"current_value":0' not in client.pending:
            client._more()
        check(b'chunked' not in client.pending and b'\r\nConnection: close\r\n' in client.pending,
              f'{client.pending!r}')


# --- limits ----------------------------------------------------------------------------------


def test_too_many():
    with Server(env={'HGP_STREAM_CONNECTIONS': '3', 'HGP_STREAM_COUNTERS': '2'}) as server:
        eq(call(server.http, 'GET', f'{STREAM}?counter=a/b&counter=a/c&counter=a/d').status, 400,
           'three counters')
        open_ones = [Events(server.http, 'counter=a/b&counter=a/c') for _ in range(3)]
        got = call(server.http, 'GET', f'{STREAM}?counter=a/b')
        eq((got.status, got.header('Retry-After')), (503, '1'), f'{got!r}')
        eq(call(server.http, 'GET', f'{STREAM}?counter=a').status, 400, 'bad all the same')
        eq(metric(server, 'hgp_streams_refused_total'), 1, 'refused')
        eq(metric(server, 'hgp_streams'), 3, 'open')
        open_ones.pop().close()
        until_metric(server, 'hgp_streams', 2)
        with Events(server.http, 'counter=a/b') as events:
            events.frame()
        for events in open_ones:
            events.close()
        until_metric(server, 'hgp_streams', 0)
        eq(metric(server, 'hgp_streams_dropped_total'), 0, 'none was slow')
        eq(server.stop(), 0, 'exit code')


def test_a_slow_reader_is_dropped():
    """It is sent the latest, not a queue; when it takes nothing at all it is closed and counted."""
    names = [f'{n:03}' + 'x' * 1000 for n in range(100)]  # a frame of more than 100 KB
    with Server(env={'HGP_TIMEOUTS_WRITE_MS': '500',
                     'HGP_LIMITS_REQUEST_LINE_BYTES': '65536'}) as server:
        target = '&'.join(f'counter={name}/like' for name in names[:50])
        slow = Events(server.http, target, receive_bytes=4096)
        with Events(server.http, f'counter={names[0]}/like') as quick:
            end = time.monotonic() + WAIT_S
            value = 0
            with Connection(server.http) as client:
                while metric(server, 'hgp_streams_dropped_total') == 0:
                    got = client.request('POST', lib.BATCH_INCREMENT,
                                         {'items': [lib.item(name) for name in names[:50]]})
                    eq(got.status, 200, f'{got!r}')
                    value += 1
                    check(time.monotonic() < end, 'it is never dropped')
            quick.until_value(names[0], value)
            eq(metric(server, 'hgp_streams'), 1, 'the other one stays')
        slow.close()
        eq(server.stop(), 0, 'exit code')


def test_heartbeats_and_gone_clients():
    with Server(env={'HGP_STREAM_HEARTBEAT_MS': '1000'}) as server:
        began = time.monotonic()  # before the stream: the first one may be under way with the frame
        with Events(server.http, 'counter=quiet/like') as events:
            events.frame()
            events.until('two comments', lambda: events.comments == 2)
            took = time.monotonic() - began
            check(1.8 < took < 5, f'two heartbeats took {took:.1f} s')
            eq(events.frames, 1, 'frames with data')
        until_metric(server, 'hgp_streams', 0)
        reads = metric(server, 'hgp_stream_reads_total')
        time.sleep(0.5)  # nobody is there: nothing is read
        eq(metric(server, 'hgp_stream_reads_total'), reads, 'reads without clients')
        eq(server.stop(), 0, 'exit code')


def wakeups(server):
    """How often its threads have slept and gone on."""
    tasks = lib.pathlib.Path(f'/proc/{server.process.pid}/task')
    return sum(int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', (task / 'status').read_text(),
                             re.M).group(1)) for task in tasks.iterdir())


def test_no_clients_no_wakeups():
    """A gateway that had a stream is as idle as one that never had."""
    with Split() as split:
        with Events(split.http, 'counter=idle/like') as events:
            events.frame()
        gateway = split.gateways[0]
        until_metric(gateway, 'hgp_streams', 0)
        for attempt in range(5):
            before = wakeups(gateway)
            time.sleep(1)
            if wakeups(gateway) == before:
                return
        check(False, f'{wakeups(gateway) - before} wakeups in a second')


# --- ends ------------------------------------------------------------------------------------


def test_a_drain_ends_streams():
    with Server() as server:
        process = curl(server, 'counter=drain/like', '--http2-prior-knowledge')
        with Events(server.http, 'counter=drain/like&top=like') as events:
            events.until('all', lambda: events.top)
            read_until(process, 'drain', 0)
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            while not events.ended:
                events.frame()
            check(events.closed(), 'the connection ends')
        eq(process.wait(WAIT_S), 0, "curl's exit code over HTTP/2")
        process.stdout.close()
        eq(server.wait(), 0, 'exit code')
        check(time.monotonic() - began < 8, 'a drain that waits for streams')


# --- every deployment ------------------------------------------------------------------------


def seen_by_others(writer, reader, resource_id):
    with Events(reader.http, f'counter={resource_id}/like') as events:
        events.frame()
        eq(events.value(resource_id), 0, 'at first')
        many(writer, resource_id, 50)
        events.until_value(resource_id, 50)


def test_split():
    """What another gateway counts; then the counter goes, and comes back."""
    with Split(gateways=2, env={'HGP_TIMEOUTS_REQUEST_MS': '2000'}) as split:
        seen_by_others(split.gateways[1], split.gateways[0], 'others')
        with Events(split.http, 'counter=others/like') as events:
            events.frame()
            split.counter.kill()
            events.until('stale', lambda: events.values['others', 'like'].get('stale'))
            eq(events.value('others'), 50, 'the last known value')
            check(abs(events.values['others', 'like']['as_of'] - time.time()) < 60, 'as_of')
            got = call(split.http, 'GET', f'{STREAM}?counter=others/like')
            check(got.status in (503, 504), f'as a GET: {got!r}')
            split.counter.restart()
            for gateway in split.gateways:
                ready(gateway)
            events.until('no longer', lambda: 'stale' not in events.values['others', 'like'])
            many(split.gateways[1], 'others', 1)
            events.until_value('others', 51)
        eq(split.stop(), 0, 'exit code')


def test_rankings_of_a_split():
    """A stream follows what GET …/analytics/top does here."""
    with Split() as split:
        want = call(split.http, 'GET', '/api/v1/analytics/top?counter_type=like')
        if want.status == 200:
            raise Skipped('there is analytics behind this gateway')
        got = call(split.http, 'GET', f'{STREAM}?top=like')
        eq((got.status, got.body), (want.status, want.body), 'the same error')


def test_redis():
    """Two processes on one Redis, and who writes to it without us."""
    import test_redis
    url, db = test_redis.Shared.store()
    try:
        with Server(flags=['--store', url]) as one, Server(flags=['--store', url]) as other:
            seen_by_others(other, one, 'redis')
            with Events(one.http, 'counter=redis/like') as events:
                events.frame()
                test_redis.Shared.server.cli('-n', str(db), 'incrby', 'counter:redis:like', '9')
                events.until_value('redis', 59)
    finally:
        test_redis.Shared.stack.close()
