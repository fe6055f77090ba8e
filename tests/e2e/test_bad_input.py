"""Hostile and broken input: a clear error or a closed connection, a counter that
did not move, and a server that goes on. On both event loops.
"""
import time

from lib import (BATCH_INCREMENT, INCREMENT, Connection, Gone, Server, call, check, eq, exchange, get,
                 item, request_bytes)

LOOPS = 'both'
IMPATIENT = {'HGP_TIMEOUTS_HEADER_MS': '400', 'HGP_TIMEOUTS_BODY_MS': '400'}
BODY = b'{"resource_id":"bad","counter_type":"like"}'
LINE = f'POST {INCREMENT} HTTP/1.1'.encode()


def head(*lines):
    return b'\r\n'.join([LINE, b'Host: test', *lines]) + b'\r\n\r\n'


def length(n=len(BODY)):
    return b'Content-Length: %d' % n


def unmoved(server):
    """Nothing counted, and the server answers as ever."""
    eq(get(server, 'bad'), 0, 'the counter that only bad requests named')
    eq(call(server.http, 'GET', '/api/v1/health').status, 200, 'health')


def refused(server, data, *statuses, closes=True):
    """One of 'statuses', and whatever came behind it on the connection is not obeyed."""
    with Connection(server.http) as connection:
        connection.send(data)
        try:
            response = connection.answer()
        except Gone:
            check(None in statuses, f'closed without an answer: {data[:80]!r}')
            return None
        check(response.status in statuses, f'{data[:120]!r}: {response!r}, wanted {statuses}')
        if closes:
            check(connection.closed(), f'{data[:80]!r}: stays open after {response.status}')
        return response


# RFC 9112: whatever two parsers could read in two ways. Each is refused and the
# connection closed, so that nothing behind it is taken for a request.
SMUGGLING = {
    'CL and TE': head(length(), b'Transfer-Encoding: chunked') + b'0\r\n\r\n' + BODY,
    'TE and CL': head(b'Transfer-Encoding: chunked', length(4)) + b'0\r\n\r\n',
    'two CLs that differ': head(length(), length(5)) + BODY,
    'two CLs that agree': head(length(), length()) + BODY,
    'a list of CLs': head(b'Content-Length: 43, 43') + BODY,
    'CL with a sign': head(b'Content-Length: +43') + BODY,
    'a negative CL': head(b'Content-Length: -1') + BODY,
    'CL in hex': head(b'Content-Length: 0x2b') + BODY,
    'CL with a space inside': head(b'Content-Length: 4 3') + BODY,
    'an empty CL': head(b'Content-Length: ') + BODY,
    'CL past 2^64': head(b'Content-Length: 18446744073709551659') + BODY,
    'a folded header': head(b'X-A: 1\r\n X-B: 2', length()) + BODY,
    'a folded TE': head(b'Transfer-Encoding:\r\n chunked') + b'0\r\n\r\n',
    'a bare LF behind a header': LINE + b'\r\nHost: test\nContent-Length: 43\r\n\r\n' + BODY,
    'bare LFs everywhere': LINE + b'\nHost: test\nContent-Length: 43\n\n' + BODY,
    'a bare CR in a value': head(b'X-A: 1\rX-B: 2', length()) + BODY,
    'a NUL in a value': head(b'X-A: 1\x002', length()) + BODY,
    'a space before the colon': head(b'Content-Length : 43') + BODY,
    'a space before the name': LINE + b'\r\n Host: test\r\n' + length() + b'\r\n\r\n' + BODY,
    'a name with a space': head(b'X A: 1', length()) + BODY,
    'a line without a colon': head(b'nonsense', length()) + BODY,
    'an empty name': head(b': x', length()) + BODY,
    'TE twice chunked': head(b'Transfer-Encoding: chunked, chunked') + b'0\r\n\r\n',
    'TE chunked not last': head(b'Transfer-Encoding: chunked, identity') + b'0\r\n\r\n',
    'TE xchunked': head(b'Transfer-Encoding: xchunked') + b'0\r\n\r\n',
    'TE with a vertical tab': head(b'Transfer-Encoding: \x0bchunked') + b'0\r\n\r\n',
    'two TE headers': head(b'Transfer-Encoding: chunked', b'Transfer-Encoding: identity') +
    b'0\r\n\r\n',
    'TE from HTTP/1.0': LINE.replace(b'1.1', b'1.0') + b'\r\nTransfer-Encoding: chunked\r\n\r\n'
    b'0\r\n\r\n',
    'a chunk size in words': head(b'Transfer-Encoding: chunked') + b'zz\r\n' + BODY,
    'a chunk size with 0x': head(b'Transfer-Encoding: chunked') + b'0x2b\r\n' + BODY +
    b'\r\n0\r\n\r\n',
    'a negative chunk size': head(b'Transfer-Encoding: chunked') + b'-1\r\n' + BODY,
    'a chunk size past 2^64': head(b'Transfer-Encoding: chunked') + b'1000000000000002b\r\n' +
    BODY + b'\r\n0\r\n\r\n',
    'a chunk longer than it said': head(b'Transfer-Encoding: chunked') + b'5\r\n' + BODY +
    b'\r\n0\r\n\r\n',
    'a chunk with a bare LF': head(b'Transfer-Encoding: chunked') + b'2b\n' + BODY +
    b'\n0\n\n',
    'no Host': LINE + b'\r\n' + length() + b'\r\n\r\n' + BODY,
    'two Hosts': head(b'Host: other', length()) + BODY,
    'a bad Host': LINE + b'\r\nHost: a b\r\n' + length() + b'\r\n\r\n' + BODY,
    'no version': f'POST {INCREMENT}\r\n\r\n'.encode() + BODY,
    'a version in small letters': LINE.replace(b'HTTP', b'http') + b'\r\nHost: x\r\n' + length() +
    b'\r\n\r\n' + BODY,
    'two spaces in the line': LINE.replace(b' /', b'  /') + b'\r\nHost: x\r\n' + length() +
    b'\r\n\r\n' + BODY,
    'a tab in the line': LINE.replace(b' /', b'\t/') + b'\r\nHost: x\r\n' + length() +
    b'\r\n\r\n' + BODY,
    'a control character in the target': LINE.replace(b'/api', b'/\x01api') +
    b'\r\nHost: x\r\n' + length() + b'\r\n\r\n' + BODY,
    'a fragment in the target': LINE.replace(b'increment', b'increment#x') +
    b'\r\nHost: x\r\n' + length() + b'\r\n\r\n' + BODY,
    'binary': bytes(range(1, 256)) * 4,
    'a TLS hello': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\x00' * 500,
    'an HTTP/2 preface': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
}


def test_smuggling_shapes(server):
    wrong = []
    behind = request_bytes('POST', INCREMENT, item('bad'))  # must never be obeyed
    for name, data in SMUGGLING.items():
        try:
            refused(server, data + behind, 400, 501, 505, None)
            eq(get(server, 'bad'), 0, 'counted')
        except AssertionError as why:
            wrong.append(f'{name}: {why}')
    check(not wrong, f'{len(wrong)} of {len(SMUGGLING)}:\n  ' + '\n  '.join(wrong))
    unmoved(server)


def test_smuggling_has_an_answer(server):
    """Most deserve a status, not only a closed door."""
    for name in ('CL and TE', 'two CLs that differ', 'a folded header', 'a bare LF behind a header',
                 'no Host'):
        eq(refused(server, SMUGGLING[name], 400, 501, None) is None, False, name)


def test_malformed_bodies(server):
    """Each is a 400 that says what is wrong, and the connection goes on."""
    ids = '"resource_id":"bad","counter_type":"like"'
    bodies = ['', '{', '}', '[]', 'null', 'true', '7', '"text"', '{"resource_id"}', f'{{{ids}',
              f'{{{ids},}}', f'{{{ids}}}x', f"{{'resource_id':'bad','counter_type':'like'}}",
              f'{{{ids},"delta":9223372036854775808}}', f'{{{ids},"delta":-9223372036854775809}}',
              f'{{{ids},"delta":1e400}}', f'{{{ids},"delta":01}}', f'{{{ids},"delta":+1}}',
              f'{{{ids},"delta":0x1}}', f'{{{ids},"delta":NaN}}', f'{{{ids},"delta":[]}}',
              f'{{{ids},"delta":true}}', f'{{{ids},"delta":"1"}}', f'{{{ids},"delta":.5}}',
              '{"resource_id":["bad"],"counter_type":"like"}', '{"resource_id":"bad"}',
              '{"resource_id":"bad\\u0000","counter_type":"like"}',
              '{"resource_id":"bad","counter_type":"\\x41"}', '[' * 10000,
              '{"a":' * 10000, f'\ufeff{{{ids}}}']
    raw = [b'{"resource_id":"bad\xff","counter_type":"like"}',
           b'{"resource_id":"b\x00ad","counter_type":"like"}',
           b'{"resource_id":"bad\n","counter_type":"like"}',
           b'{"resource_id":"\xed\xa0\x80","counter_type":"like"}']
    with Connection(server.http) as connection:
        for body in [*(b.encode() for b in bodies), *raw]:
            response = connection.request('POST', INCREMENT, body)
            eq(response.status, 400, f'{body[:60]!r}')
            document = response.json()
            eq(document['error'], 'Invalid request format', f'{body[:60]!r}')
            check(document['details'], f'{body[:60]!r}: no details')
    unmoved(server)


def test_details_name_the_field(server):
    for body, word in ((b'{"resource_id":"bad"}', 'counter_type'),
                       (b'{"resource_id":7,"counter_type":"x"}', 'resource_id'),
                       (BODY[:-1] + b',"delta":1.5}', 'delta')):
        details = call(server.http, 'POST', INCREMENT, body).json()['details']
        check(word in details, f'{details!r} does not name {word}')


def test_one_bad_item_spoils_a_batch(server):
    response = call(server.http, 'POST', BATCH_INCREMENT,
                    {'items': [item('bad'), item('bad', delta='x')]})
    eq(response.status, 400, repr(response))
    unmoved(server)


def test_a_megabyte(server):
    data = b'{"resource_id":"bad","x":"' + b'x' * (1 << 20) + b'"}'
    refused(server, head(length(len(data))) + data, 413)
    refused(server, head(b'Transfer-Encoding: chunked') + b'%x\r\n' % len(data) + data +
            b'\r\n0\r\n\r\n', 413)
    unmoved(server)


def test_the_limit_of_a_body(server):
    """64 KiB pass, one byte more doesn't; a batch may have 1 MiB."""
    pad = 65536 - len(BODY) - len(b',"pad":""')
    fits = b'{"resource_id":"pad","counter_type":"like","pad":"' + b'x' * pad + b'"}'
    eq(len(fits), 65536, 'the test itself')
    eq(exchange(server.http, head(length(len(fits))) + fits).status, 200, '64 KiB')
    refused(server, head(length(len(fits) + 1)) + fits + b' ', 413)
    fits = b'{"items":[],"pad":"' + b'x' * ((1 << 20) - 21) + b'"}'
    eq(len(fits), 1 << 20, 'the test itself')
    eq(call(server.http, 'POST', BATCH_INCREMENT, fits).status, 200, '1 MiB to a batch')
    response = call(server.http, 'POST', BATCH_INCREMENT, fits + b' ')
    eq(response.status, 413, 'one byte more')


def test_ten_thousand_headers(server):
    refused(server, head(*(b'X-%d: x' % n for n in range(10000)), length()) + BODY, 431)
    refused(server, head(b'X-Long: ' + b'x' * 70000, length()) + BODY, 431)
    unmoved(server)


def test_the_limit_of_headers(server):
    fits = [b'X-%d: x' % n for n in range(98)]  # with Host and Content-Length: 100
    body = BODY.replace(b'bad', b'cap')
    eq(exchange(server.http, head(*fits, length()) + body).status, 200, '100 fields')
    refused(server, head(*fits, b'X: x', length()) + BODY, 431)


def test_a_long_request_line(server):
    refused(server, b'GET /' + b'x' * 100000 + b' HTTP/1.1\r\nHost: x\r\n\r\n', 414)
    fits = b'GET /api/v1/counter/' + b'x' * 4000 + b'/like HTTP/1.1\r\nHost: x\r\n\r\n'
    eq(exchange(server.http, fits).status, 200, '4,000 bytes')


def test_other_versions_and_methods(server):
    refused(server, b'GET /api/v1/health HTTP/2.0\r\nHost: x\r\n\r\n', 505, 400)
    refused(server, b'GET /api/v1/health HTTP/9.9\r\nHost: x\r\n\r\n', 505, 400)
    refused(server, b'BREW /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n', 501, 400, closes=False)
    response = exchange(server.http, b'PATCH /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n')
    eq(response.status, 405, 'PATCH')
    check(response.header('Allow'), 'Allow')
    refused(server, b'CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n', 501,
            closes=False)


def test_unknown_paths(server):
    for path in ('/', '/api', '/api/v1', '/api/v2/health', '//', '/..', '/api/v1/../v1/health',
                 '/%2e%2e/etc/passwd', '/api/v1/counter', '/api/v1/counter/', '/index.php'):
        eq(call(server.http, 'GET', path).status, 404, path)


def test_bad_ids_in_paths(server):
    for path in ('a%00/like', '%00/like', 'a/%00', '%ff/like', 'a%C0%AF/like', 'a%ED%A0%80/like',
                 'a%/like', 'a%2/like', 'a%g0/like'):
        response = call(server.http, 'GET', f'/api/v1/counter/{path}')
        eq(response.status, 400, path)
        response.json()


def times_out(server, *pieces):
    """Sends the pieces and waits: a 408 or just the end, and soon."""
    began = time.monotonic()
    with Connection(server.http) as connection:
        for piece in pieces:
            connection.send(piece)
        try:
            eq(connection.answer().status, 408, 'status')
        except Gone:
            pass
        check(connection.closed(), 'stays open')
    took = time.monotonic() - began
    check(0.2 < took < 5, f'{took:.1f} s')


def test_slow_headers():
    """A head that never ends holds its connection no longer than the deadline."""
    with Server(env=IMPATIENT) as server:
        times_out(server, LINE + b'\r\nHost: test\r\n')
        times_out(server, b'P')
        unmoved(server)


def test_dribbled_headers():
    """One byte now and then doesn't push the deadline (slowloris)."""
    with Server(env=IMPATIENT) as server, Connection(server.http) as connection:
        connection.send(LINE + b'\r\n')
        connection.socket.settimeout(0.05)
        began = time.monotonic()
        while time.monotonic() - began < 5:
            connection.send(b'X')
            try:
                if not connection.socket.recv(4096):
                    break
            except ConnectionResetError:
                break
            except TimeoutError:
                continue
        check(time.monotonic() - began < 5, 'the connection was kept for 5 s')


def test_half_a_body():
    with Server(env=IMPATIENT) as server:
        times_out(server, head(length()) + BODY[:10])
        times_out(server, head(length()))
        times_out(server, head(b'Transfer-Encoding: chunked') + b'2b\r\n' + BODY)
        unmoved(server)


def test_half_a_body_and_gone(server):
    for cut in (1, 10, len(BODY) - 1):
        with Connection(server.http) as connection:
            connection.send(head(length()) + BODY[:cut])
    with Connection(server.http) as connection:
        connection.send(head(b'Transfer-Encoding: chunked') + b'2b\r\n' + BODY)
    unmoved(server)


def test_gone_before_the_answer(server):
    """Clients that leave at once must not hurt anyone; what they sent may count."""
    for _ in range(200):
        with Connection(server.http) as connection:
            connection.send(request_bytes('POST', INCREMENT, item('gone')))
    eq(call(server.http, 'GET', '/api/v1/health').status, 200, 'health')
    check(get(server, 'gone') <= 200, 'counted more than were sent')


def test_many_idle_connections(server):
    held = [Connection(server.http) for _ in range(500)]
    try:
        eq(call(server.http, 'GET', '/api/v1/health').status, 200, 'health beside 500 others')
    finally:
        for connection in held:
            connection.close()
