"""A gateway that counts itself and, for a share of its requests, through counters: both on one Redis."""
import contextlib
import pathlib
import signal
import tempfile
import threading

import lib
from lib import (INCREMENT, Connection, Server, Swarm, call, check, current_value, eq, get, item,
                 refused, request_bytes, wait_for)
from test_redis import Shared, cli, on
from test_verify import verify

SMOKE = False
HEADER = [('X-Way', 'grpc')]


def arm(gateway, name, outcome='done'):
    """Requests that took this way so far."""
    text = call(gateway.admin, 'GET', '/metrics').body.decode()
    return int(text.split(f'hgp_canary_requests_total{{arm="{name}",outcome="{outcome}"}} ')[1].split()[0])


def fallbacks(gateway):
    text = call(gateway.admin, 'GET', '/metrics').body.decode()
    return int(text.split('\nhgp_canary_fallbacks_total ')[1].split()[0])


class Canary:
    """A counter and a gateway in front of it, with a configuration that changes."""

    def __init__(self, stack, percent, counter_url=None):
        self.url, self.db = Shared.store()
        self.counter = stack.enter_context(Server(role='counter', flags=on(counter_url or self.url),
                                                  port=lib.free_port()))
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='hgp-conf-')))
        self.conf = folder / 'gateway.yaml'
        self.write(percent)
        self.gateway = stack.enter_context(Server(
            role='gateway', flags=['--upstream', 'canary', *on(self.url), '--config', self.conf,
                                   '--counter', f'127.0.0.1:{self.counter.port}', '--analytics', 'none']))

    def write(self, percent, rule=''):
        self.conf.write_text(f'gateway.canary_percent: {percent}\n{rule}')

    def change(self, *what):
        seen = self.gateway.said().count('the configuration was read again')
        self.write(*what)
        self.gateway.send_signal(signal.SIGHUP)
        wait_for('the new configuration',
                 lambda: self.gateway.said().count('the configuration was read again') > seen)

    def connected(self):
        """By every thread."""
        return call(self.gateway.http, 'GET', '/api/v1/system/services/health').status == 200

    def share(self, count=40, headers=()):
        """How many of so many requests went through the counter."""
        before = arm(self.gateway, 'grpc')
        for _ in range(count):
            eq(call(self.gateway.http, 'POST', INCREMENT, item('share'), headers).status, 200, 'counted')
        return arm(self.gateway, 'grpc') - before


class Load:
    """Clients in a thread: what they were answered, until told to stop."""

    def __init__(self, address, name='storm'):
        data = request_bytes('POST', INCREMENT, item(name))
        self.values, self.bad = [], []
        self.swarm = Swarm(address, 30, lambda: (0, data), self.answered)
        self.thread = threading.Thread(target=self.swarm.run, daemon=True)
        self.thread.start()

    def answered(self, _, status, body):
        if status == 200:
            self.values.append(current_value(body))
        else:
            self.bad.append((status, body))

    def end(self):
        self.swarm.stopping = True
        self.thread.join(lib.WAIT_S)
        check(not self.thread.is_alive(), 'the load ends')
        eq((self.bad[:3], self.swarm.lost), ([], []), 'requests that failed')
        return self.values


def more(load, count=300):
    """So many answers more."""
    before = len(load.values)
    wait_for('answers', lambda: len(load.values) > before + count or load.bad or load.swarm.lost)


def test_changed_under_load():
    with contextlib.ExitStack() as stack:
        canary = Canary(stack, 0)
        gateway = canary.gateway
        wait_for('a counter', canary.connected)
        load = Load(gateway.http)
        more(load)
        eq(arm(gateway, 'grpc'), 0, 'at 0 % all goes direct')
        canary.change(100)
        more(load)  # what was on its way has come back
        direct = arm(gateway, 'direct')
        more(load)
        eq(arm(gateway, 'direct'), direct, 'at 100 % nothing goes direct')
        canary.change(50)
        more(load)
        check(arm(gateway, 'direct') > direct, 'at 50 % something goes direct')
        canary.change(0, 'gateway.canary_header: X-Way\ngateway.canary_value: grpc\n')
        more(load)
        before = arm(gateway, 'grpc')
        eq(canary.share(20), 0, 'without the header')
        eq(canary.share(20, [('X-Way', 'direct')]), 0, 'with another value')
        eq(canary.share(20, HEADER), 20, 'with the header')
        eq(arm(gateway, 'grpc'), before + 20, 'and nobody else')
        canary.change(0, 'gateway.canary_header: X-Way\n')
        eq(canary.share(5, [('x-way', 'direct')]), 5, 'any value')
        values = load.end()
        eq(sorted(values), list(range(1, len(values) + 1)), 'each value once')
        eq(cli(canary.db, 'get', 'counter:storm:like'), str(len(values)), 'the counter')
        eq((arm(gateway, 'grpc', 'failed'), arm(gateway, 'direct', 'failed')), (0, 0), 'failed')
        code, out, err = verify('--store', canary.url, '--wait', '10')
        eq(code, 0, f'verify: {out}{err}')


def test_nobody_there_costs_nothing():
    with contextlib.ExitStack() as stack:
        canary = Canary(stack, 100)
        wait_for('a counter', canary.connected)
        eq(canary.share(10), 10, 'through the counter')
        eq(canary.counter.stop(), 0, 'exit code')
        wait_for('no counter', lambda: not canary.connected())
        eq(canary.share(10), 0, 'direct instead')
        eq(fallbacks(canary.gateway), 10, 'counted as such')
        eq(call(canary.gateway.http, 'GET', '/readyz').status, 200, 'the gateway is ready: it counts')
        canary.counter.start()
        wait_for('a counter again', canary.connected)
        eq(canary.share(10), 10, 'through the counter again')
        eq(canary.gateway.stop(), 0, 'exit code')


def test_a_counter_of_another_store():
    other, _ = Shared.store()
    with contextlib.ExitStack() as stack:
        canary = Canary(stack, 100, counter_url=other)
        wait_for('refused', lambda: 'refused: it has another store than this gateway'
                 in canary.gateway.said())
        eq(canary.share(5), 0, 'direct')
        eq(get(canary.gateway, 'share'), 5, 'counted in the right store')


def test_requests_in_a_row_read_what_they_wrote():
    with contextlib.ExitStack() as stack:
        canary = Canary(stack, 50)
        wait_for('a counter', canary.connected)
        pair = (request_bytes('POST', INCREMENT, item('row'))
                + request_bytes('GET', lib.counter_path('row')))
        with Connection(canary.gateway.http) as connection:
            for turn in range(40):
                connection.send(pair * 5)
                got = [connection.answer().value() for _ in range(10)]
                want = [turn * 5 + 1 + n // 2 for n in range(10)]
                eq(got, want, 'each read sees the write before it')
        check(arm(canary.gateway, 'grpc') > 0 and arm(canary.gateway, 'direct') > 0, 'both ways')


def test_on_rocksdb_it_is_refused():
    code, said = refused(['--upstream', 'canary'], role='gateway')
    eq(code, 78, 'exit code')
    check('gateway.upstream' in said and 'one and the same Redis' in said, said)


def test_from_way_to_way():
    """grpc, direct, canary 5 %, grpc: each time a new gateway takes over from the one before, under load;
    `all` counts on the same Redis meanwhile."""
    url, db = Shared.store()
    with contextlib.ExitStack() as stack:
        counter = stack.enter_context(Server(role='counter', flags=on(url), port=lib.free_port()))
        beside = stack.enter_context(Server(role='all', flags=on(url)))
        loads = [Load(beside.http)]
        last = None
        for way in ('grpc', 'direct', 'canary', 'grpc'):
            flags = ['--upstream', way, '--counter', f'127.0.0.1:{counter.port}']
            gateway = stack.enter_context(Server(
                role='gateway', flags=flags + (on(url) if way != 'grpc' else [])))
            lib.ready(gateway)
            load = Load(gateway.http)
            more(load)
            if last:
                loads.append(last[1])
                last[1].end()
                eq(last[0].stop(), 0, 'exit code')
            more(load)
            last = gateway, load
        loads.append(last[1])
        values = [value for load in loads for value in load.end()]
        eq(sorted(values), list(range(1, len(values) + 1)), 'each value once')
        eq(cli(db, 'get', 'counter:storm:like'), str(len(values)), 'the counter')
        code, out, err = verify('--store', url, '--wait', '10')
        eq(code, 0, f'verify: {out}{err}')


def test_zz_the_end():
    Shared.stack.close()
