"""Gateways and counters as processes: exact through everything that can happen between them.

Ledgers are ledger.py's: every operation has a counter of its own; clients that retry with their key
(test_crash's) must get exactly 1 ... N.
"""
import collections
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

import lib
from ledger import SplitLedger, audit, send_again
from lib import (BATCH_INCREMENT, INCREMENT, Connection, Server, Split, Swarm, call, check,
                 current_value, eq, get, increment, item, ready, refused, request_bytes)
from proxy import Proxy
from test_crash import CONNECTIONS, Retriers, random_of

LOOPS = 'both'
SMOKE = False
LONG = True
N = 20000
BY_HAND = 10  # with --rounds beyond this the long variants run
UNREACHABLE = '{"details":"no counter service can be reached","error":"Counter service unavailable",' \
              '"status":"error"}'


class SplitRetriers(Retriers):
    def answered(self, n, status, body):
        if status in (409, 504):
            self.again.append(n)
        else:
            super().answered(n, status, body)


def load(addresses, clients, until, tick=lambda: None):
    """Runs clients until until() says so; what was lost with a connection is returned."""
    swarm = Swarm(addresses, CONNECTIONS, clients.next, clients.answered)

    def on_tick():
        tick()
        if until():
            swarm.stopping = True

    swarm.run(on_tick)
    return swarm.lost


def finish(split, clients, why):
    """All retriers to their end: the answers are exactly 1 ... N."""
    clients.finishing = True
    end = time.monotonic() + lib.WAIT_S

    def tick():
        check(time.monotonic() < end, f'{why}: {len(clients.again)} clients still get no answer')

    while clients.again:
        Swarm([g.http for g in split.gateways], CONNECTIONS, clients.next,
              clients.answered).run(tick)
    eq(len(clients.values), clients.sent, f'{why}: operations that were answered')
    check(sorted(clients.values.values()) == list(range(1, clients.sent + 1)),
          f'{why}: the answers are not 1 ... N, each once')
    settle(split)
    eq(get(split, 'tally'), clients.sent, f'{why}: the counter')


def settle(split):
    """Until a broken connection is nobody's any more: every loop has answered many times in a row."""
    end = time.monotonic() + lib.WAIT_S
    good = 0
    while good < 30:
        check(time.monotonic() < end, 'the gateway does not settle')
        good = good + 1 if increment(split, 'settle').status == 200 else 0


def after(seconds):
    moment = time.monotonic() + seconds
    return lambda: time.monotonic() >= moment


def metric(server, name):
    """The sum over a family's series."""
    text = call(server.admin, 'GET', '/metrics').body.decode()
    found = re.findall(rf'^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$', text, re.M)
    check(found, f'no {name} in the metrics')
    return sum(float(value) for value in found)


# --- nothing happens -------------------------------------------------------------------------


def test_every_value_once_through_two_gateways():
    with Split(gateways=2) as split:
        data = request_bytes('POST', INCREMENT, item('storm'))
        numbers = iter(range(N))
        values = []

        def answered(n, status, body):
            eq(status, 200, f'{body!r}')
            values.append(current_value(body))

        swarm = Swarm([g.http for g in split.gateways], 200,
                      lambda: None if (n := next(numbers, None)) is None else (n, data), answered)
        swarm.run()
        eq(swarm.lost, [], 'requests without an answer')
        check(sorted(values) == list(range(1, N + 1)), 'the values are not 1 ... N, each once')
        eq(get(split, 'storm'), N, 'the counter')
        eq(split.stop(), 0, 'exit code')


def test_what_a_gateway_says():
    with Split() as split, tempfile.TemporaryDirectory() as folder:
        said = call(split.admin, 'GET', '/readyz').json()
        eq(said['durability'], Server.durability or 'local', 'the durability is the counter\'s')
        check('survive' in said['guarantee'], f'the guarantee: {said}')
        pool = call(split.http, 'GET', '/api/v1/system/grpc-pools').json()['data']['counter']
        eq(pool['instances'], 1, 'instances')
        check(pool['connections'] >= 1, f'connections: {pool}')
        increment(split, 'said')
        check(metric(split, 'hgp_upstream_requests_total') >= 2, 'Hello and Apply were counted')
        check(metric(split, 'hgp_upstream_connections') >= 1, 'connections in the metrics')
        lines = '\n'.join(split.gateways[0].lines)
        check(f'127.0.0.1:{split.counter.port}' in lines, f'the counters are not printed: {lines}')
        # It keeps nothing: where it runs no files appear.
        done = subprocess.Popen(
            [str(Server.binary), 'gateway', '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        check(any('ready' in line for line in done.stdout), 'a gateway without a counter starts')
        done.send_signal(signal.SIGTERM)
        eq(done.wait(lib.WAIT_S), 0, 'exit code')
        eq(list(pathlib.Path(folder).iterdir()), [], 'files of a gateway')


def test_admin_sets_through_the_gateway():
    with Split() as split:
        answer = call(split.admin, 'PUT', '/api/v1/counter/set/like', {'value': 41})
        eq(answer.status, 200, f'{answer!r}')
        eq(increment(split, 'set').value(), 42, 'after the set')


def test_no_key_spoils_the_message_it_travels_in():
    """What one client gives as a key is no reason to refuse what others say beside it."""
    with Split() as split:
        longest = [('Idempotency-Key', 'x' * 255)]
        for _ in range(2):
            answer = call(split.http, 'POST', BATCH_INCREMENT, {'items': [item('keys')]}, longest)
            check(answer.json()['data']['results'][0]['current_value'] == 1, f'a batch: {answer!r}')
        odd = request_bytes('POST', INCREMENT, item('keys')).replace(
            b'Host: test', b'Host: test\r\nIdempotency-Key: \xe9t\xe9', 1)
        beside = request_bytes('POST', INCREMENT, item('beside'))
        for n in range(2):
            with Connection(split.http) as connection:
                connection.send(odd + beside)
                eq([connection.answer('POST').value() for _ in range(2)], [2, n + 1],
                   'one with a key that is not UTF-8, and one beside it')


# --- a counter that isn't there ----------------------------------------------------------------


def test_no_counter_at_the_start():
    port = lib.free_port()
    with Server(role='gateway', flags=['--counter', f'127.0.0.1:{port}', '--analytics', 'none'],
                env={'HGP_TIMEOUTS_REQUEST_MS': '1000'}) as gateway:
        for answer in (increment(gateway, 'absent'),
                       call(gateway.http, 'GET', '/api/v1/counter/absent/like'),
                       call(gateway.http, 'POST', lib.BATCH, {'items': [item('absent')]})):
            eq(answer.status, 503, f'{answer!r}')
            eq(answer.body.decode(), UNREACHABLE, 'the body')
            check(answer.header('Retry-After'), 'Retry-After')
        eq(call(gateway.http, 'GET', '/readyz').status, 503, '/readyz')
        eq(call(gateway.http, 'GET', '/api/v1/health').status, 503, 'health')
        health = call(gateway.http, 'GET', '/api/v1/system/services/health')
        eq(health.status, 503, 'services/health')
        eq(health.body.decode(), '{"details":"no counter service can be reached",'
           '"error":"Service health check failed","status":"error"}', 'services/health')
        with Server(role='counter', port=port):
            ready(gateway)
            eq(increment(gateway, 'absent').value(), 1, 'once it is there')
            eq(call(gateway.http, 'GET', '/api/v1/system/services/health').status, 200, 'health')
        ready(gateway, 503)
        answer = increment(gateway, 'absent')
        eq(answer.status, 503, 'after it has gone')
        eq(answer.body.decode(), UNREACHABLE, 'the body')


def test_a_counter_of_another_store_is_refused():
    with Split(counters=2) as split:
        pools = call(split.http, 'GET', '/api/v1/system/grpc-pools').json()['data']['counter']
        end = time.monotonic() + lib.WAIT_S
        while not pools.get('problems'):
            check(time.monotonic() < end, f'nobody was refused: {pools}')
            pools = call(split.http, 'GET', '/api/v1/system/grpc-pools').json()['data']['counter']
        eq(pools['instances'], 1, f'{pools}')
        check('another store' in pools['problems'][0]['problem'], f'{pools}')
        lib.wait_for('it is in the log', lambda: 'another store' in split.gateways[0].said())
        for n in range(50):
            eq(increment(split, 'one').value(), n + 1, 'all in one store')
        other = [c for c in split.counters
                 if pools['problems'][0]['address'].endswith(f':{c.port}')][0]
        eq(metric(other, 'hgp_batches_total'), 0, 'messages to the other store')


# --- a counter that dies -----------------------------------------------------------------------


def test_kills_of_the_counter():
    seed, rng = random_of('split')
    ledger = SplitLedger()
    with Split() as split:
        for n in range(1, lib.ROUNDS + 1):
            why = f'round {n}, CRASH_SEED={seed}'
            before = len(ledger.acked)
            kill_at, end_at = after(rng.uniform(0.15, 0.6)), after(rng.uniform(0.9, 1.3))
            killed = []

            def tick():
                if not killed and kill_at():
                    killed.append(True)
                    split.counter.kill()
                    split.counter.restart()

            eq(load(split.http, ledger, end_at, tick), [], f'{why}: the gateway answers everything')
            check(killed and len(ledger.acked) > before, f'{why}: nothing was acknowledged')
            settle(split)
            send_again(split, ledger, audit(split, ledger, why), why)
        eq(split.stop(), 0, 'exit code')
    print(f'     {lib.ROUNDS} kills, {len(ledger.kinds)} operations, {len(ledger.acked)} '
          f'acknowledged', flush=True)


class Untroubled(SplitLedger):
    """Wants to hear nothing of it."""

    def __init__(self):
        super().__init__()
        self.failed = collections.Counter()

    def answered(self, n, status, body):
        super().answered(n, status, body)
        if status != 200:
            self.failed[status] += 1


def test_a_restart_costs_no_request():
    """The only counter is killed and comes back within timeouts.request_ms: what comes meanwhile
    waits for it."""
    ledger = Untroubled()
    away = []
    with Split() as split:
        for n in range(5):
            kill_at, end_at = after(0.2), after(0.6)
            killed = []

            def tick():
                if not killed and kill_at():
                    killed.append(True)
                    split.counter.kill()
                    away.append(threading.Thread(target=split.counter.restart))
                    away[-1].start()

            eq(load(split.http, ledger, end_at, tick), [], 'the gateway answers everything')
            away[-1].join()
            eq(dict(ledger.failed), {}, f'restart {n + 1}: failed requests')
        retries = metric(split.gateways[0], 'hgp_batch_retries_total')
        check(retries > 0, 'no kill met an operation under way')
        audit(split, ledger, 'restarts')
        eq(len(ledger.acked), len(ledger.kinds), 'all were acknowledged')
    print(f'     {len(away)} restarts, {len(ledger.kinds)} requests, none failed', flush=True)


def test_retrying_through_kills():
    seed, rng = random_of('split')
    clients = SplitRetriers()
    with Split(gateways=2) as split:
        for n in range(lib.ROUNDS):
            kill_at, end_at = after(rng.uniform(0.15, 0.6)), after(1)
            killed = []

            def tick():
                if not killed and kill_at():
                    killed.append(True)
                    split.counter.kill()
                    split.counter.restart()

            clients.again.extend(load([g.http for g in split.gateways], clients, end_at, tick))
            settle(split)
        finish(split, clients, f'CRASH_SEED={seed}')
        check(sum(metric(g, 'hgp_batch_retries_total') for g in split.gateways) > 0,
              f'CRASH_SEED={seed}: no kill met an operation under way')


def test_a_counter_drains_under_load():
    clients = SplitRetriers()
    with Split(gateways=2) as split:
        for _ in range(2):
            drain_at, end_at = after(0.4), after(1)
            drained = []

            def tick():
                if not drained and drain_at():
                    drained.append(split.counter.stop())
                    split.counter.restart()

            clients.again.extend(load([g.http for g in split.gateways], clients, end_at, tick))
            eq(drained, [0], 'exit code of the drained counter')
        finish(split, clients, 'drain')


# --- a process that stands still -----------------------------------------------------------------


def test_a_counter_stands_still():
    """Longer than attempts and requests have: retries and 504s, and all of it counted once."""
    clients = SplitRetriers()
    with Split(env={'HGP_TIMEOUTS_REQUEST_MS': '1000'}) as split:
        stop_at, go_at, end_at = after(0.3), after(2.8 if lib.ROUNDS < BY_HAND else 5.3), after(5.6)
        steps = []

        def tick():
            if not steps and stop_at():
                split.counter.stand_still()
                steps.append('stopped')
            if len(steps) == 1 and go_at():
                split.counter.send_signal(signal.SIGCONT)
                steps.append('goes')

        clients.again.extend(load(split.http, clients, lambda: len(steps) == 2 and end_at(), tick))
        finish(split, clients, 'a counter that stood still')
        check(clients.repeats > 0, 'nobody had to repeat')


def test_a_gateway_stands_still():
    """With messages on their way, for longer (by hand) than a message may be old."""
    ledger = SplitLedger()
    still_s = 2 if lib.ROUNDS < BY_HAND else 90
    with Split() as split:
        gateway = split.gateways[0]
        swarm = Swarm(split.http, CONNECTIONS, ledger.next, ledger.answered)
        stop_at, end_at = after(0.3), after(1)
        steps = []

        def tick():
            if not steps and stop_at():
                split.counter.stand_still()  # what is sent now stays on its way
                steps.append(after(0.1))
            elif len(steps) == 1 and steps[0]():
                gateway.stand_still()
                split.counter.send_signal(signal.SIGCONT)  # applied, and answered to nobody
                steps.append(after(still_s))
            elif len(steps) == 2 and steps[1]():
                gateway.send_signal(signal.SIGCONT)
                steps.append(True)
            if len(steps) == 3 and end_at():
                swarm.stopping = True

        swarm.run(tick, idle_s=still_s + lib.WAIT_S)
        eq(swarm.lost, [], 'requests without an answer')
        settle(split)
        values = audit(split, ledger, 'a gateway that stood still')
        send_again(split, ledger, values, 'a gateway that stood still')
        eq(split.stop(), 0, 'exit code')


# --- a network that fails ------------------------------------------------------------------------


def test_cut_connections():
    """Cut, reset and half-closed after any number of bytes."""
    seed, _ = random_of('network')
    proxies = []

    def through(address):
        proxies.append(Proxy(address, seed, cut_between=(40, 60000)))
        return proxies[-1].address

    clients, ledger = SplitRetriers(), SplitLedger()
    with Split(through=through) as split:
        seconds = 3 if lib.ROUNDS < BY_HAND else 60
        eq(load(split.http, ledger, after(seconds)), [], 'the gateway answers everything')
        clients.again.extend(load(split.http, clients, after(seconds)))
        proxies[0].cut_between = None
        for link in proxies[0].links:
            link.cut(reset=True)
        settle(split)
        send_again(split, ledger, audit(split, ledger, f'CRASH_SEED={seed}'), f'CRASH_SEED={seed}')
        finish(split, clients, f'CRASH_SEED={seed}')
        proxies[0].close()
    ends = proxies[0].ends
    check(all(ends.values()), f'CRASH_SEED={seed}: not every way to end was tried: {ends}')
    print(f'     {ends}, {clients.sent} operations, {clients.repeats} repeats', flush=True)


def test_a_message_that_comes_late():
    """Held by the network until its retry has been answered on another connection."""
    held_s = 0.5 if lib.ROUNDS < BY_HAND else 75  # beyond the age that a message may have
    with Split(env={'HGP_TIMEOUTS_REQUEST_MS': '2000'}) as split:
        proxy = Proxy(('127.0.0.1', split.counter.port))
        listed = f'127.0.0.1:{proxy.address[1]},127.0.0.1:{split.counter.port}'
        with Server(role='gateway', flags=['--counter', listed, '--threads', '1'],
                    env={'HGP_TIMEOUTS_REQUEST_MS': '2000'}) as gateway:
            ready(gateway)
            while metric(gateway, 'hgp_upstream_connections') < 2:
                time.sleep(0.01)
            eq(increment(gateway, 'late').value(), 1, 'the first')
            proxy.hold()
            for n in range(2, 6):  # one of two in turns: some are held, and sent again after 1 s
                eq(increment(gateway, 'late').value(), n, 'a retry on the other connection')
            check(metric(gateway, 'hgp_upstream_retries_total') > 0, 'nothing was sent again')
            time.sleep(held_s)
            proxy.release()
            eq(increment(gateway, 'late').value(), 6, 'after the late ones')
            time.sleep(0.2)
            eq(get(gateway, 'late'), 6, 'the counter')
        proxy.close()


# --- ways back -------------------------------------------------------------------------------------


def test_direct_counts_on_the_counters_folder():
    with tempfile.TemporaryDirectory() as data:
        with Server(role='counter', data=data, port=lib.free_port()) as counter:
            with Server(role='gateway', flags=['--counter', f'127.0.0.1:{counter.port}']) as gateway:
                ready(gateway)
                eq(increment(gateway, 'way', 5).value(), 5, 'through the counter')
            code, said = refused(['--upstream', 'direct'], data=data, role='gateway')
            eq(code, os.EX_UNAVAILABLE, said)
            check('stop the counter process first' in said, said)
            eq(counter.stop(), 0, 'exit code')
        with Server(role='gateway', data=data, flags=['--upstream', 'direct']) as gateway:
            eq(increment(gateway, 'way', 2).value(), 7, 'direct')
            eq(gateway.stop(), 0, 'exit code')
        with Server(data=data) as server:
            eq(increment(server, 'way').value(), 8, 'all')


def test_all_serves_grpc_on_request():
    port = lib.free_port()
    with Server(flags=['--grpc', f'127.0.0.1:{port}']) as server, \
            Server(role='gateway', flags=['--counter', f'localhost:{port}']) as gateway:
        ready(gateway)
        eq(increment(server, 'both').value(), 1, 'over HTTP')
        eq(increment(gateway, 'both').value(), 2, 'over gRPC')
        eq(gateway.stop(), 0, 'exit code of the gateway')
        eq(server.stop(), 0, 'exit code of all')
