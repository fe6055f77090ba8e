"""Clients that are not ours: curl, and Python's http.client."""
import http.client
import json
import shutil
import subprocess

from lib import INCREMENT, Skipped, check, eq, get, item


def curl(*arguments, data=None):
    """(status, body) of one curl run."""
    if not shutil.which('curl'):
        raise Skipped('curl is not installed')
    done = subprocess.run(['curl', '-sS', '--max-time', '20', '-w', '\n%{http_code}', *arguments],
                          input=data, capture_output=True)
    eq(done.returncode, 0, f'curl: {done.stderr.decode()}')
    body, _, status = done.stdout.rpartition(b'\n')
    return int(status), body


def url(server, path):
    return 'http://%s:%d%s' % (*server.http, path)


def test_the_printed_curl_line(server):
    """The server prints a curl line; it works as it stands."""
    lines = [line[line.index('curl '):] for line in server.lines if 'curl ' in line]
    check(lines, f'no curl line among {server.lines}')
    done = subprocess.run(lines[0], shell=True, capture_output=True, timeout=20)
    eq(done.returncode, 0, lines[0])
    eq(json.loads(done.stdout)['status'], 'success', lines[0])


def test_curl_counts(server):
    status, body = curl('-d', json.dumps(item('curl', delta=2)), url(server, INCREMENT))
    eq((status, json.loads(body)['data']['current_value']), (200, 2), 'POST')
    status, body = curl(url(server, '/api/v1/counter/curl/like'))
    eq((status, json.loads(body)['data']['current_value']), (200, 2), 'GET')
    status, body = curl('-I', url(server, '/api/v1/counter/curl/like'))
    eq(status, 200, 'HEAD')


def test_curl_chunked(server):
    status, _ = curl('-H', 'Transfer-Encoding: chunked', '-d', '@-', url(server, INCREMENT),
                     data=json.dumps(item('chunk')).encode())
    eq(status, 200, 'status')
    eq(get(server, 'chunk'), 1, 'the counter')


def test_curl_expects_100(server):
    """curl asks before a large body."""
    body = json.dumps({'items': [item('expect')] * 1000, 'pad': 'x' * 900000}).encode()
    status, _ = curl('-H', 'Expect: 100-continue', '--data-binary', '@-',
                     url(server, '/api/v1/counter/batch/increment'), data=body)
    eq(status, 200, 'status')
    eq(get(server, 'expect'), 1000, 'the counter')


def test_curl_as_http_1_0(server):
    eq(curl('-0', '-d', json.dumps(item('old')), url(server, INCREMENT))[0], 200, 'status')


def test_curl_with_a_key(server):
    for _ in range(3):
        eq(curl('-H', 'Idempotency-Key: c1', '-d', json.dumps(item('key')),
                url(server, INCREMENT))[0], 200, 'status')
    eq(get(server, 'key'), 1, 'the counter')


def test_http_client(server):
    connection = http.client.HTTPConnection(*server.http, timeout=20)
    for n in range(1, 11):
        connection.request('POST', INCREMENT, json.dumps(item('python')),
                           {'Content-Type': 'application/json'})
        response = connection.getresponse()
        eq(json.loads(response.read())['data']['current_value'], n, 'value')
    connection.request('HEAD', '/api/v1/counter/python/like')
    response = connection.getresponse()
    eq((response.status, response.read()), (200, b''), 'HEAD')
    connection.close()


def test_http_client_sends_chunks(server):
    connection = http.client.HTTPConnection(*server.http, timeout=20)
    body = json.dumps(item('generator', delta=4)).encode()
    connection.request('POST', INCREMENT, iter([body[:9], body[9:]]), encode_chunked=True,
                       headers={'Transfer-Encoding': 'chunked'})
    eq(json.loads(connection.getresponse().read())['data']['current_value'], 4, 'value')
    connection.close()
