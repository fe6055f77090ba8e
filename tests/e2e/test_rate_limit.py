"""The limit for each client: what it is told, who it is, and what the others notice of it."""
import json
import re
import selectors
import socket
import threading
import time

from http2_client import PYTHON, Http2  # noqa: F401
from lib import (INCREMENT, WAIT_S, Connection, Server, Skipped, Swarm, call, check, counter_path, eq,
                 get, item, request_bytes)

PROBES = ['/api/v1/health', '/healthz', '/livez', '/readyz']
OTHER = '127.0.0.2'  # all of 127.0.0.0/8 is this machine
REFUSED = (b'{"type":"about:blank","title":"Too Many Requests","status":429,'
           b'"detail":"this client makes too many requests"}')


def limited(per_second, burst, **env):
    return Server(env={'HGP_RATE_LIMIT_PER_SECOND': str(per_second),
                       'HGP_RATE_LIMIT_BURST': str(burst), **env})


def connect(server, source):
    sock = socket.create_connection(server.http, timeout=WAIT_S, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class From(Connection):
    def __init__(self, server, source):
        self.socket = connect(server, source)
        self.pending = b''


class SwarmFrom(Swarm):
    def __init__(self, server, source, *rest):
        self.connecting = lambda: connect(server, source)
        super().__init__(server.http, *rest)

    def _connect(self, address):
        sock = self.connecting()
        self.selector.register(sock, selectors.EVENT_READ,
                               {'socket': sock, 'token': None, 'buffer': b''})
        self.open += 1


def metric(server, name):
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return int(re.search(rf'^{name} (\d+)$', text, re.M).group(1))


def in_time(started):
    """Before a token has come back."""
    if time.monotonic() - started > 0.9:
        raise Skipped('this machine is too slow for a second')


def test_what_a_client_is_told():
    with limited(1, 3) as server, Connection(server.http) as client:
        started = time.monotonic()
        for left in 2, 1, 0:
            got = client.request('POST', INCREMENT, item('told'))
            in_time(started)
            eq(got.status, 200, f'{got!r}')
            eq(got.header('RateLimit-Policy'), '"client";q=3;w=3', 'the policy')
            eq(got.header('RateLimit'), f'"client";r={left};t={3 - left}', 'what is left')
            eq(got.header('Retry-After'), None, 'Retry-After')
        got = client.request('POST', INCREMENT, item('told'))
        in_time(started)
        eq(got.status, 429, f'{got!r}')
        eq(got.body, REFUSED, 'the body')
        eq(got.header('Content-Type'), 'application/problem+json', 'type')
        eq(got.header('RateLimit-Policy'), '"client";q=3;w=3', 'the policy')
        eq(got.header('RateLimit'), '"client";r=0;t=3', 'what is left')
        eq(got.header('Retry-After'), '1', 'Retry-After')
        eq(metric(server, 'hgp_rate_limited_total'), 1, 'the metric')
        for path in PROBES:
            got = client.request('GET', path)  # on the connection of the 429, too
            eq(got.status, 200, f'{path}: {got!r}')
            eq(got.header('RateLimit'), None, f'{path}: RateLimit')
        # The operators' listener has no limit, and tells that nothing was counted.
        got = call(server.admin, 'GET', counter_path('told'))
        eq((got.status, got.value(), got.header('RateLimit')), (200, 3, None), 'admin')
        eq(server.stop(), 0, 'exit code')


def test_off_unless_asked_for(server):
    got = call(server.http, 'GET', counter_path('off'))
    eq((got.status, got.header('RateLimit'), got.header('RateLimit-Policy')), (200, None, None),
       'RateLimit')


def test_all_connections_and_protocols_of_a_client_are_one():
    with limited(1, 6) as server:
        started = time.monotonic()
        statuses = []
        with Connection(server.http) as a, Connection(server.http) as b, Http2(server.http) as c:
            for client in (a, b, c, a, b, c, a, b, c):
                statuses.append(client.request('GET', '/nowhere').status)
                got = client.request('GET', '/livez')
                eq(got.status, 200, 'a probe')
            got = c.request('POST', INCREMENT, json.dumps(item('h2')).encode())
        in_time(started)
        eq(statuses, [404] * 6 + [429] * 3, 'statuses')
        eq((got.status, got.header('retry-after'), got.body), (429, '1', REFUSED), 'HTTP/2')
        eq(got.header('ratelimit'), '"client";r=0;t=6', 'HTTP/2')
        with From(server, OTHER) as client:
            eq(client.request('GET', '/nowhere').status, 404, 'another address')


def test_behind_a_proxy():
    with limited(1, 1, HGP_RATE_LIMIT_TRUSTED_PROXIES='127.0.0.1,fd00::/8') as server:
        def ask(client, forwarded):
            return client.request('GET', '/nowhere', headers=[('X-Forwarded-For', forwarded)]).status

        with Connection(server.http) as proxy, From(server, OTHER) as stranger:
            for n in range(20):
                eq(ask(proxy, f'1.1.1.1, 192.0.2.{n}'), 404, 'each client has its own')
            # One customer's network, and who claims to be somebody else.
            eq([ask(proxy, f'2001:db8:1:1::{n}') for n in range(9)][1:].count(429) >= 1, True,
               'an IPv6 /64 is one client')
            eq(ask(proxy, '2001:db8:1:2::1'), 404, 'the next /64 is another one')
            statuses = [ask(stranger, f'192.0.2.{100 + n}') for n in range(20)]
            check(statuses.count(429) >= 15, f'a stranger chooses who it is: {statuses}')


def test_one_abusive_client():
    """It gets its rate and no more; the other one gets all that it asks for."""
    with limited(200, 400) as server:
        abuse = request_bytes('POST', INCREMENT, item('abused'))
        counted = {200: 0, 429: 0}
        over = threading.Event()

        def answered(_, status, body):
            counted[status] += 1

        swarm = SwarmFrom(server, OTHER, 30, lambda: None if over.is_set() else (0, abuse), answered)
        thread = threading.Thread(target=swarm.run)
        started = time.monotonic()
        thread.start()
        good = 0
        with Connection(server.http) as polite:
            while counted[429] == 0 and time.monotonic() - started < WAIT_S:
                pass
            for _ in range(300):
                good += polite.request('POST', INCREMENT, item('polite')).status == 200
        over.set()
        thread.join(WAIT_S)
        took = time.monotonic() - started
        check(good >= 285, f'only {good} of 300 requests of the other client')
        check(counted[429] > 0, f'the abusive client was never refused: {counted}')
        check(counted[200] <= 400 + 200 * took + 1, f'{counted} in {took:.1f} s')
        eq(get(server, 'abused'), counted[200], 'the counter')
        eq(swarm.lost, [], 'connections closed')
