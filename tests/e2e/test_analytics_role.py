"""Analytics as a process of its own: it follows a counter's outbox by gRPC, a gateway asks it."""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import lib
from grpc_client import ANALYTICS, COUNTER, HEALTH, PYTHON, Client  # noqa: F401
from lib import Connection, Gone, Server, Skipped, call, check, eq, free_port, increment, ready
from test_analytics import Sent, check_all, count, keyed_items, random_items, set_one
from test_grpc import grpcurl

SMOKE = False
ROUNDS = int(os.environ.get('ROUNDS', 0)) or 4
TOP = '/api/v1/analytics/top?counter_type=like'


class Three:
    """Gateway, counter and analytics; a Server to its tests by the gateway."""

    def __init__(self, env=None):
        self.counter = Server(role='counter', port=free_port(), env=env)
        at = f'127.0.0.1:{self.counter.port}'
        self.analytics = Server(role='analytics', port=free_port(), env=env,
                                flags=['--counter', at])
        self.gateway = Server(role='gateway', env=env,
                              flags=['--counter', at, '--analytics',
                                     f'127.0.0.1:{self.analytics.port}'])
        self.all = [self.counter, self.analytics, self.gateway]

    def start(self):
        for server in self.all:
            server.start()
        ready(self.gateway)
        self.http, self.admin = self.gateway.http, self.gateway.admin
        until(lambda: answers(self), 'all three answer')
        return self

    def alive(self):
        return all(server.alive() for server in self.all)

    def said(self):
        return '\n'.join(server.said() for server in self.all)

    def stop(self):
        codes = [server.stop() for server in reversed(self.all)]
        return next((code for code in codes if code), 0)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for server in reversed(self.all):
            server.__exit__()


def until(condition, what):
    end = time.monotonic() + lib.WAIT_S
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.02)


def answers(server):
    """Every thread of the gateway has reached both, and analytics its counter."""
    return call(server.http, 'GET', '/api/v1/system/services/health').status == 200 and \
        call(server.http, 'GET', TOP).status == 200


def test_like_sqlite_through_a_gateway():
    sent = Sent()
    with Three() as three:
        with Connection(three.http) as connection:
            for _ in range(5):
                count(connection, sent, random_items(60))
        set_one(three, sent, 'a', 'like', 12)
        check_all(three, sent)
        pools = call(three.http, 'GET', '/api/v1/system/grpc-pools').json()['data']
        eq(pools['analytics']['instances'], 1, f'{pools}')
        check(pools['analytics']['connections'] >= 1, f'{pools}')
        eq(call(three.http, 'GET', '/api/v1/system/services/health').status, 200, 'health')
        got = call(three.http, 'GET', TOP + '&limit=1001')
        eq(got.status, 400, f'{got!r}')
        three.analytics.stop()
        three.analytics.restart()
        until(lambda: answers(three), 'it answers after a restart')
        check_all(three, sent)
        eq(three.stop(), 0, 'exit code')


def count_until(connection, sent, number, ended):
    """Batches until 'ended' or the connection breaks; the one whose answer never came."""
    while not ended.is_set():
        number += 1
        items = keyed_items(number)
        try:
            count(connection, sent, items)
        except (Gone, AssertionError):
            return number, items
    return number, None


def again(three, sent, items):
    """Under the same keys, until the counter is back."""
    end = time.monotonic() + lib.WAIT_S
    while items:
        with Connection(three.http) as connection:
            try:
                count(connection, sent, items)
                return
            except (Gone, AssertionError):
                check(time.monotonic() < end, 'the counter does not come back')
                time.sleep(0.05)


def test_kills_of_either_side():
    """Now the counter, now analytics, now both; nothing is lost and nothing counted twice."""
    sent, number = Sent(), 0
    with Three() as three:
        for n in range(ROUNDS):
            victims = [[three.counter], [three.analytics], [three.counter, three.analytics]][n % 3]
            ended = threading.Event()

            def kill():
                for victim in victims:
                    victim.kill()
                for victim in victims:
                    victim.restart()
                ended.set()

            timer = threading.Timer(random.uniform(0.05, 0.9), kill)
            timer.start()
            items = []
            while not ended.is_set() and items is not None:
                with Connection(three.http) as connection:
                    number, items = count_until(connection, sent, number, ended)
                again(three, sent, items)
            timer.join()
            until(lambda: answers(three), 'analytics answers')
            check_all(three, sent)
        eq(three.stop(), 0, 'exit code')


def outbox_bytes(server):
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return next(float(line.split()[1]) for line in text.splitlines()
                if line.startswith('hgp_outbox_bytes '))


def test_the_counter_forgets_what_is_stored():
    """Reports come through the stream: the outbox is trimmed behind them."""
    with Three(env={'HGP_ANALYTICS_COMMIT_MS': '100'}) as three:
        with Connection(three.http) as connection:
            sent = Sent()
            for _ in range(10):
                count(connection, sent, random_items(50))
        check_all(three, sent)
        until(lambda: outbox_bytes(three.counter) == 0, 'the outbox is empty')
        three.analytics.kill()
        with Connection(three.http) as connection:
            count(connection, sent, random_items(50))
        check(outbox_bytes(three.counter) > 0, 'what is not read is kept')
        three.analytics.restart()
        until(lambda: outbox_bytes(three.counter) == 0, 'and goes when it is')
        until(lambda: answers(three), 'analytics answers')
        check_all(three, sent)


def test_failures_tell_the_truth():
    with Three() as three:
        eq(increment(three, 'a').status, 200, 'count')
        until(lambda: call(three.http, 'GET', TOP).json().get('data', {}).get('counters'),
              'it is ranked')
        three.counter.kill()
        with Client(three.analytics) as client:
            until(lambda: not client.top().exact, 'without its counter nothing is exact')
            eq(client.top().max_error, -1, 'nobody knows what is missing')
        three.analytics.kill()
        got = call(three.http, 'GET', TOP)
        eq(got.status, 503, f'{got!r}')
        check(b'analytics' in got.body, f'{got!r}')
        until(lambda: b"can't be reached" in call(three.http, 'GET', TOP).body, 'it says why')
        three.counter.restart()
        ready(three.gateway)
        eq(increment(three, 'a').status, 200, 'counting goes on without analytics')
        got = call(three.http, 'GET', '/api/v1/system/services/health')
        eq(got.status, 503, f'{got!r}')
        check(b'analytics' in got.body, f'{got!r}')
        pools = call(three.http, 'GET', '/api/v1/system/grpc-pools').json()['data']
        eq((pools['analytics']['instances'], len(pools['analytics']['problems'])), (0, 1), 'pools')


def test_before_its_counter_is_there():
    port = free_port()
    with Server(role='analytics', flags=['--counter', f'127.0.0.1:{port}']) as analytics:
        with Client(analytics) as client:
            code, said = client.code(client.top)
            eq(code, 'UNAVAILABLE', said)
            health = client.method(f'/{HEALTH}/Check', client.modules.health.HealthCheckResponse)
            for name in ('', ANALYTICS):
                request = client.modules.health.HealthCheckRequest(service=name)
                eq(health(request, timeout=lib.WAIT_S).status, 2, f'{name}: NOT_SERVING')
            got = call(analytics.admin, 'GET', '/readyz')
            eq(got.status, 503, f'{got!r}')
            check(str(port).encode() in got.body, f'it names the source: {got!r}')
            with Server(role='counter', port=port):
                until(lambda: client.code(client.top)[0] == 'OK', 'it answers once it is there')
                until(lambda: health(request, timeout=lib.WAIT_S).status == 1, 'SERVING')
                eq(call(analytics.admin, 'GET', '/readyz').status, 200, 'ready')
                code, out = grpcurl(analytics, f'{ANALYTICS}/GetTopCounters',
                                    data={'counter_type': 'like'})
                eq(code, 0, out)
                code, out = grpcurl(analytics, 'list')
                eq((code, COUNTER in out, ANALYTICS in out), (0, False, True), out)
                got = call(analytics.admin, 'GET', '/api/v1/counter/a/like')
                eq(got.status, 501, f'it counts nothing: {got!r}')
        eq(analytics.stop(), 0, 'exit code')


def test_another_store_is_refused():
    """The folder was made for one counter's store: another's events would be added to it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        flags = ['--counter', f'127.0.0.1:{port}']
        with Server(role='analytics', data=folder, flags=flags) as analytics, Client(
                analytics) as client:
            with Server(role='counter', port=port):
                until(lambda: client.code(client.top)[0] == 'OK', 'it answers')
                analytics.stop()
        with Server(role='counter', port=port), Server(role='analytics', data=folder,
                                                       flags=flags) as analytics:
            until(lambda: 'made for another store' in analytics.said(), 'it says so')
            with Client(analytics) as client:
                eq(client.code(client.top)[0], 'UNAVAILABLE', 'and answers nothing')


def test_switched_off_at_the_counter():
    port = free_port()
    with Server(role='counter', port=port, env={'HGP_ANALYTICS_ENABLED': 'false'}), \
            Server(role='analytics', flags=['--counter', f'127.0.0.1:{port}']) as analytics:
        until(lambda: 'no events to follow here' in analytics.said(), 'the log says why')


BARE = r"""
import fcntl, json, os, signal, socket, struct, subprocess, sys, time, urllib.request
with socket.socket() as s:  # the loopback of this network namespace, up
    fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 0x1 | 0x40))
roles = [subprocess.Popen([sys.argv[1], role]) for role in ('gateway', 'counter', 'analytics')]
def ask(path, body=None):
    try:
        with urllib.request.urlopen('http://127.0.0.1:8080/api/v1/' + path, body, 5) as answer:
            return json.load(answer)
    except OSError:
        return None
end = time.monotonic() + 20
counted = ranked = None
while not ranked and time.monotonic() < end:
    counted = counted or ask('counter/increment', b'{"resource_id":"a","counter_type":"like"}')
    top = ask('analytics/top?counter_type=like')
    ranked = top and top['data']['exact'] and top['data']['counters']
    time.sleep(0.05)
healthy = ask('system/services/health')
for role in roles:
    role.send_signal(signal.SIGTERM)
print(json.dumps([ranked, healthy, [role.wait() for role in roles]]))
"""


def test_three_bare_terminals():
    """gateway, counter and analytics without a single flag, in a network of their own."""
    if subprocess.run(['unshare', '-rn', 'true'], capture_output=True).returncode:
        raise Skipped('this machine lets nobody make a network namespace')
    with tempfile.TemporaryDirectory(prefix='hgp-bare-') as folder:
        done = subprocess.run(
            ['unshare', '-rn', sys.executable, '-c', BARE, pathlib.Path(Server.binary).resolve()],
            cwd=folder, capture_output=True, text=True, timeout=60,
            env={k: v for k, v in os.environ.items() if not k.startswith('HGP_')})
        eq(done.returncode, 0, done.stderr[-1500:])
        ranked, healthy, codes = json.loads(done.stdout.splitlines()[-1])
        eq(ranked, [{'rank': 1, 'resource_id': 'a', 'counter_type': 'like', 'value': 1}],
           done.stdout + done.stderr[-1500:])
        eq(healthy, {'message': 'All services are healthy', 'status': 'success'}, 'health')
        eq(codes, [0, 0, 0], 'exit codes')
        eq(sorted(os.listdir(folder)), ['highgopress-analytics', 'highgopress-data'], 'folders')
