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
from lib import (Connection, Gone, Group, Server, Skipped, call, check, eq, free_port, increment, ready,
                 wait_for)
from test_analytics import Sent, check_all, count, keyed_items, random_items, set_one
from test_grpc import grpcurl

SMOKE = False
ROUNDS = int(os.environ.get('ROUNDS', 0)) or 4
TOP = '/api/v1/analytics/top?counter_type=like'


class Three(Group):
    """Gateway, counter and analytics; a Server to its tests by the gateway."""

    def __init__(self, env=None):
        self.counter = Server(role='counter', port=free_port(), env=env)
        at = f'127.0.0.1:{self.counter.port}'
        self.analytics = Server(role='analytics', port=free_port(), env=env,
                                flags=['--counter', at])
        self.gateway = Server(role='gateway', env=env,
                              flags=['--counter', at, '--analytics',
                                     f'127.0.0.1:{self.analytics.port}'])
        super().__init__([self.counter, self.analytics, self.gateway])

    def start(self):
        super().start()
        ready(self.gateway)
        self.http, self.admin = self.gateway.http, self.gateway.admin
        wait_for('all three answer', lambda: answers(self))
        return self


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
        wait_for('it answers after a restart', lambda: answers(three))
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


def kill_and_restart(victims):
    for victim in victims:
        victim.kill()
    for victim in victims:
        victim.restart()


def count_through(server, sent, number, after_s, fault):
    """Counts until fault(), which happens after so long, is over; the number of the last batch."""
    ended = threading.Event()

    def happen():
        fault()
        ended.set()

    timer = threading.Timer(after_s, happen)
    timer.start()
    items = []
    while not ended.is_set() and items is not None:
        with Connection(server.http) as connection:
            number, items = count_until(connection, sent, number, ended)
        again(server, sent, items)
    timer.join()
    return number


def test_kills_of_either_side():
    """Now the counter, now analytics, now both; nothing is lost and nothing counted twice."""
    sent, number = Sent(), 0
    with Three() as three:
        for n in range(ROUNDS):
            victims = [[three.counter], [three.analytics], [three.counter, three.analytics]][n % 3]
            number = count_through(three, sent, number, random.uniform(0.05, 0.9),
                                   lambda: kill_and_restart(victims))
            wait_for('analytics answers', lambda: answers(three))
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
        wait_for('the outbox is empty', lambda: outbox_bytes(three.counter) == 0)
        three.analytics.kill()
        with Connection(three.http) as connection:
            count(connection, sent, random_items(50))
        check(outbox_bytes(three.counter) > 0, 'what is not read is kept')
        three.analytics.restart()
        wait_for('and goes when it is', lambda: outbox_bytes(three.counter) == 0)
        wait_for('analytics answers', lambda: answers(three))
        check_all(three, sent)


def test_failures_tell_the_truth():
    with Three() as three:
        eq(increment(three, 'a').status, 200, 'count')
        wait_for('it is ranked', lambda:
                 call(three.http, 'GET', TOP).json().get('data', {}).get('counters'))
        three.counter.kill()
        with Client(three.analytics) as client:
            wait_for('without its counter nothing is exact', lambda: not client.top().exact)
            eq(client.top().max_error, -1, 'nobody knows what is missing')
        three.analytics.kill()
        got = call(three.http, 'GET', TOP)
        eq(got.status, 503, f'{got!r}')
        check(b'analytics' in got.body, f'{got!r}')
        wait_for('it says why', lambda: b"can't be reached" in call(three.http, 'GET', TOP).body)
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
                wait_for('it answers once it is there', lambda: client.code(client.top)[0] == 'OK')
                wait_for('SERVING', lambda: health(request, timeout=lib.WAIT_S).status == 1)
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
                wait_for('it answers', lambda: client.code(client.top)[0] == 'OK')
                analytics.stop()
        with Server(role='counter', port=port), Server(role='analytics', data=folder,
                                                       flags=flags) as analytics:
            wait_for('it says so', lambda: 'made for another store' in analytics.said())
            with Client(analytics) as client:
                eq(client.code(client.top)[0], 'UNAVAILABLE', 'and answers nothing')


def test_switched_off_at_the_counter():
    port = free_port()
    with Server(role='counter', port=port, env={'HGP_ANALYTICS_ENABLED': 'false'}), \
            Server(role='analytics', flags=['--counter', f'127.0.0.1:{port}']) as analytics:
        wait_for('the log says why', lambda: 'no events to follow here' in analytics.said())


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
