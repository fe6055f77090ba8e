"""HTTP/1.1 as RFC 9110 and 9112 have it: what well-behaved clients do."""
import json
import time

from lib import (BATCH, INCREMENT, Connection, Gone, Server, call, check, eq, exchange, get, item,
                 request_bytes)

LOOPS = 'both'


def body_of(name, delta=1):
    return json.dumps(item(name, delta=delta)).encode()


def chunked(*pieces):
    return b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in pieces) + b'0\r\n\r\n'


def post(name, body, *headers):
    lines = [f'POST {INCREMENT} HTTP/1.1', 'Host: test', *headers]
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


def test_keep_alive(server):
    with Connection(server.http) as connection:
        for n in range(1, 101):
            eq(connection.request('POST', INCREMENT, item('keep')).value(), n, 'value')


def test_pipelining_in_order(server):
    with Connection(server.http) as connection:
        connection.send(b''.join(request_bytes('POST', INCREMENT, item('pipe'))
                                 for _ in range(100)))
        eq([connection.answer().value() for _ in range(100)], list(range(1, 101)), 'values')


def test_pipelining_past_the_limit(server):
    """Behind limits.pipeline (64) a connection waits for room, not for a timer."""
    for method, target, body in (('POST', INCREMENT, item('past')),
                                 ('GET', '/api/v1/counter/past/like', None),
                                 ('GET', '/api/v1/health', None)):
        with Connection(server.http) as connection:
            began = time.monotonic()
            connection.send(request_bytes(method, target, body) * 300)
            statuses = {connection.answer().status for _ in range(300)}
            took = time.monotonic() - began
            eq(statuses, {200}, f'{method} {target}')
            check(took < 4, f'{method} {target}: 300 answers took {took:.1f} s')


def test_pipelining_of_all_kinds(server):
    """Fast answers wait for the slow ones before them."""
    kinds = [('POST', INCREMENT, item('mixed'), 200), ('GET', '/nothing', None, 404),
             ('GET', '/api/v1/health', None, 200), ('POST', INCREMENT, '{', 400),
             ('HEAD', '/api/v1/counter/mixed/like', None, 200),
             ('GET', '/api/v1/counter/mixed/like', None, 200), ('PUT', INCREMENT, '{}', 405)]
    with Connection(server.http) as connection:
        connection.send(b''.join(request_bytes(m, t, b) for m, t, b, _ in kinds * 10))
        for n in range(10):
            for method, target, _, status in kinds:
                eq(connection.answer(method).status, status, f'round {n}: {method} {target}')
    eq(get(server, 'mixed'), 10, 'the counter')


def test_a_read_behind_a_write_sees_it(server):
    with Connection(server.http) as connection:
        for n in range(1, 21):
            connection.send(request_bytes('POST', INCREMENT, item('behind')) +
                            request_bytes('GET', '/api/v1/counter/behind/like'))
            eq(connection.answer().value(), n, 'write')
            check(connection.answer().value() >= n, 'the read is older than the write before it')


def test_byte_by_byte(server):
    with Connection(server.http) as connection:
        for byte in request_bytes('POST', INCREMENT, item('dribble', delta=7)):
            connection.send(bytes([byte]))
        eq(connection.answer().value(), 7, 'value')


def test_cut_at_every_byte(server):
    """Two packets, wherever the cut is."""
    data = request_bytes('POST', INCREMENT, item('cut'))
    with Connection(server.http) as connection:
        for at in range(1, len(data)):
            connection.send(data[:at])
            connection.send(data[at:])
            eq(connection.answer().value(), at, f'cut at {at}')


def test_chunked(server):
    whole = body_of('chunked', 3)
    with Connection(server.http) as connection:
        for n, pieces in enumerate(([whole], [whole[:1], whole[1:]],
                                    [bytes([b]) for b in whole]), 1):
            connection.send(post('chunked', chunked(*pieces), 'Transfer-Encoding: chunked'))
            eq(connection.answer().value(), 3 * n, f'{len(pieces)} chunks')


def test_chunked_with_trailers_and_extensions(server):
    whole = body_of('trailers')
    data = b'%x;name=value\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n' % (len(whole), whole)
    with Connection(server.http) as connection:
        connection.send(post('trailers', data, 'Transfer-Encoding: chunked'))
        eq(connection.answer().value(), 1, 'value')
        eq(connection.request('GET', '/api/v1/health').status, 200, 'the next request')


def test_expect_continue(server):
    body = body_of('continue')
    with Connection(server.http) as connection:
        connection.send(post('continue', b'', 'Expect: 100-continue',
                             f'Content-Length: {len(body)}'))
        eq(connection.answer().status, 100, 'first')
        connection.send(body)
        eq(connection.answer().value(), 1, 'value')


def test_expect_continue_is_refused_before_the_body(server):
    with Connection(server.http) as connection:
        connection.send(post('huge', b'', 'Expect: 100-continue', 'Content-Length: 99999999'))
        eq(connection.answer().status, 413, 'instead of 100')


def test_another_expectation(server):
    eq(exchange(server.http, post('expect', body_of('expect'), 'Expect: magic',
                                  f'Content-Length: {len(body_of("expect"))}')).status, 417, '')
    eq(get(server, 'expect'), 0, 'the counter')


def test_http_1_0(server):
    with Connection(server.http) as connection:
        connection.send(b'GET /api/v1/health HTTP/1.0\r\n\r\n')
        response = connection.answer()
        eq(response.status, 200, 'without Host')
        check(response.header('Transfer-Encoding') is None, 'chunked to a 1.0 client')
        check(connection.closed(), 'the connection stays open')


def test_http_1_0_keep_alive(server):
    with Connection(server.http) as connection:
        for _ in range(3):
            connection.send(b'GET /api/v1/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
            response = connection.answer()
            eq(response.status, 200, 'status')
            eq((response.header('Connection') or '').lower(), 'keep-alive', 'Connection')


def test_connection_close(server):
    with Connection(server.http) as connection:
        response = connection.request('GET', '/api/v1/health', None, [('Connection', 'close')])
        eq(response.status, 200, 'status')
        eq((response.header('Connection') or '').lower(), 'close', 'Connection')
        check(connection.closed(), 'the connection stays open')


def test_nothing_behind_connection_close_is_read(server):
    with Connection(server.http) as connection:
        connection.send(request_bytes('POST', INCREMENT, item('last'), [('Connection', 'close')]) +
                        request_bytes('POST', INCREMENT, item('last')))
        eq(connection.answer().value(), 1, 'value')
        check(connection.closed(), 'the connection stays open')
    eq(get(server, 'last'), 1, 'the counter')


def test_the_client_half_closes(server):
    """A client may send all it has, shut its side and still wants the answers."""
    import socket
    with Connection(server.http) as connection:
        connection.send(b''.join(request_bytes('POST', INCREMENT, item('half'))
                                 for _ in range(10)))
        connection.socket.shutdown(socket.SHUT_WR)
        eq([connection.answer().value() for _ in range(10)], list(range(1, 11)), 'values')
        check(connection.closed(), 'the connection stays open')


def test_an_empty_line_before_a_request(server):
    """RFC 9112 2.2: at least one is ignored."""
    with Connection(server.http) as connection:
        connection.send(b'\r\n' + request_bytes('GET', '/api/v1/health'))
        eq(connection.answer().status, 200, 'status')


def test_absolute_form(server):
    """RFC 9112 3.2.2: a server must accept it."""
    with Connection(server.http) as connection:
        eq(connection.request('GET', 'http://test/api/v1/health').status, 200, 'status')


def test_head_says_the_length(server):
    with Connection(server.http) as connection:
        got = connection.request('GET', '/api/v1/counter/never/head')
        head = connection.request('HEAD', '/api/v1/counter/never/head')
        eq(head.header('Content-Length'), str(len(got.body)), 'Content-Length')
        eq(connection.request('GET', '/api/v1/health').status, 200, 'the next request')


def test_a_large_batch_read(server):
    names = [f'large-{n}' for n in range(1000)]
    response = call(server.http, 'POST', BATCH, {'items': [item(name) for name in names]})
    eq(response.status, 200, repr(response))
    eq([r['resource_id'] for r in response.json()['data']['results']], names, 'order')


def test_header_names_ignore_case(server):
    body = body_of('case')
    with Connection(server.http) as connection:
        connection.send(b'POST ' + INCREMENT.encode() + b' HTTP/1.1\r\nhOST: x\r\n'
                        b'cONTENT-lENGTH:%d  \r\n\r\n' % len(body) + body)
        eq(connection.answer().value(), 1, 'value')


def served(address):
    try:
        return call(address, 'GET', '/api/v1/health').status == 200
    except (Gone, OSError):
        return False


def test_the_connection_limit_is_the_whole_process_s():
    """Also where the kernel spreads connections unevenly over the loops."""
    with Server(flags=['--threads', '2'], env={'HGP_LIMITS_CONNECTIONS': '20'}) as small:
        kept = [Connection(small.http) for _ in range(20)]
        for connection in kept:
            eq(connection.request('GET', '/api/v1/health').status, 200, 'up to the limit')
        check(not served(small.http), 'one above the limit is refused')
        eq(call(small.admin, 'GET', '/livez').status, 200, 'the admin listener has room')
        kept[0].close()
        end = time.monotonic() + 10
        while not served(small.http):  # the server hears of the close when its loop turns
            check(time.monotonic() < end, 'room again after a close')
        for connection in kept[1:]:
            connection.close()
