"""Counting in a real Redis: the contract, Phase 1 beside us, and all that can happen to either side.

Each test has a database of its own on one redis-server that fsyncs before it answers; those that
kill it have a server of their own. Ledgers are ledger.py's: every operation has a counter of its
own, so that a loss and a doubling can't hide each other.
"""
import contextlib
import itertools
import os
import pathlib
import re
import signal
import sys
import tempfile
import time

import lib
from lib import (BATCH, Server, Split, Swarm, call, check, counter_path, current_value, eq, get, get_many,
                 increment, item, ready, refused, request_bytes)
from certs import Pki
from proxy import Proxy
from ledger import SplitLedger, audit, send_again
from test_crash import random_of
from test_split import SplitRetriers, after, finish, load, metric, settle

sys.path[:0] = [str(lib.tree() / 'tools'), str(lib.tree() / 'tests/golden')]
import dev_servers  # noqa: E402
from dev_servers import in_step  # noqa: E402
import test_golden  # noqa: E402

SMOKE = False
LONG = True
N = 20000
BACK_S = 1.0  # issue: recovered within a second of the server accepting
# What counting takes (ADR 9), and no more: INFO and CONFIG are denied.
ACL = ('~counter:* ~hgp:* -@all +evalsha +script|load +time +get +set +incrby +hget +hset +hmget '
       '+hgetall +hdel +hlen +exists +mget +pexpireat +xadd +xrange +xrevrange +xtrim')


@contextlib.contextmanager
def redis(*options, port=None):
    with tempfile.TemporaryDirectory(prefix='hgp-redis-') as folder:
        server = dev_servers.Redis(pathlib.Path(folder), *options, port=port)
        try:
            yield server
        finally:
            server.process.kill()


class Shared:
    """The server of all tests that leave it in peace."""

    stack = contextlib.ExitStack()
    server = None
    databases = itertools.count(1)

    @classmethod
    def store(cls):
        """The address of an empty database, and its number."""
        if not cls.server:
            cls.server = cls.stack.enter_context(redis('--databases', '64'))
        db = next(cls.databases)
        return f'{cls.server.url}/{db}', db


def cli(db, *args):
    return Shared.server.cli('-n', db, *args)


def on(url):
    return ['--store', url]


# --- the contract -----------------------------------------------------------------------------


def test_golden_all():
    test_golden.both_parts(Server(flags=on(Shared.store()[0])))


def test_golden_over_a_socket():
    _, db = Shared.store()
    url = f'redis+unix://{Shared.server.socket}?db={db}'
    test_golden.both_parts(Server(flags=on(url)))


def test_golden_a_gateway_and_a_counter():
    test_golden.both_parts(Split(counter_flags=on(Shared.store()[0])))


def test_golden_a_gateway_with_upstream_direct():
    test_golden.both_parts(Server(role='gateway',
                                  flags=['--upstream', 'direct', *on(Shared.store()[0])]))


def test_no_data_folder():
    url, _ = Shared.store()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / 'data'
        with Server(data=data, flags=on(url)) as server:
            eq(increment(server, 'a').value(), 1, 'counted')
            eq(server.stop(), 0, 'exit code')
        check(not data.exists(), 'a Redis needs no data folder')


# --- Phase 1 on the same keys -------------------------------------------------------------------


def test_phase_1_counts_too():
    url, db = Shared.store()
    cli(db, 'set', 'counter:old:like', 40)
    with Server(flags=on(url)) as server:
        eq(get(server, 'old'), 40, 'what Phase 1 has left')
        eq(increment(server, 'old').value(), 41, 'on top of it')
        eq(cli(db, 'incrby', 'counter:old:like', 9), '50', 'Phase 1 goes on')
        eq(increment(server, 'old').value(), 51, 'and we')
        eq(increment(server, 'new', -5).value(), -5, 'one of ours')
        eq(cli(db, 'get', 'counter:new:like'), '-5', 'is a plain string')
        eq(increment(server, 'a', 2, counter_type='b:c%').value(), 2, 'marks in the type')
        eq(cli(db, 'get', 'counter:a:b%3Ac%25'), '2', 'are escaped in the key')


def calls(db, command):
    """How often Redis has been asked for it since CONFIG RESETSTAT."""
    stats = cli(db, 'info', 'commandstats')
    found = re.search(rf'^cmdstat_{command}:calls=(\d+)', stats, re.MULTILINE)
    return int(found[1]) if found else 0


def test_reads_take_no_script():
    """Unless what is there isn't a counter: then the script says so."""
    url, db = Shared.store()
    with Server(flags=on(url)) as server:
        eq(increment(server, 'a', 7).value(), 7, 'counted')
        cli(db, 'config', 'resetstat')
        eq(get(server, 'a'), 7, 'one')
        eq(get(server, 'never'), 0, 'one that was never written')
        eq(get_many(server, ['a', 'never', 'a']), {'a': 7, 'never': 0}, 'several')
        eq([calls(db, 'get'), calls(db, 'mget')], [2, 1], 'calls: the script would MGET each time')
        cli(db, 'lpush', 'counter:list:like', 'x')
        eq(call(server.http, 'GET', counter_path('list')).status, 503, 'no counter')
        eq([calls(db, 'get'), calls(db, 'mget')], [4, 2], 'calls, the last two by the script')
        eq(get(server, 'a'), 7, 'and all goes on')
        eq(increment(server, 'a').value(), 8, 'counted again')


def test_both_at_once():
    """INCRBY by redis-cli while we count: nobody's increments get lost."""
    url, db = Shared.store()
    theirs, ours = 800, 3000
    with Server(flags=on(url)) as server:
        data = request_bytes('POST', lib.INCREMENT, item('test'))
        left = iter(range(ours))
        values = []
        swarm = Swarm(server.http, 50, lambda: None if next(left, None) is None else (0, data),
                      lambda _, status, body: values.append((status, current_value(body))))
        with dev_servers.subprocess.Popen(
                ['redis-cli', '-p', str(Shared.server.port), '-n', str(db), '-r', str(theirs),
                 'incrby', 'counter:test:like', '1'],
                stdout=dev_servers.subprocess.PIPE, text=True) as client:
            swarm.run()
            printed = client.communicate()[0].split()
        seen = [int(word) for word in printed] + [value for status, value in values
                                                  if status == 200]
        check(sorted(seen) == list(range(1, theirs + ours + 1)),
              'both together are not 1 ... N, each once')
        eq(get(server, 'test'), theirs + ours, 'the counter')


# --- several of us ------------------------------------------------------------------------------


def test_two_counters_and_two_gateways():
    url, db = Shared.store()
    with Split(gateways=2, counters=2, counter_flags=on(url)) as split:
        data = request_bytes('POST', lib.INCREMENT, item('storm'))
        left = iter(range(N))
        values = []

        def answered(_, status, body):
            eq(status, 200, f'{body!r}')
            values.append(current_value(body))

        swarm = Swarm([g.http for g in split.gateways], 200,
                      lambda: None if next(left, None) is None else (0, data), answered)
        swarm.run()
        eq(swarm.lost, [], 'requests without an answer')
        check(sorted(values) == list(range(1, N + 1)), 'the values are not 1 ... N, each once')
        eq(cli(db, 'get', 'counter:storm:like'), str(N), 'the counter')
        for counter in split.counters:
            check(metric(counter, 'hgp_batches_total') > 0, 'a counter had nothing to do')
        eq(split.stop(), 0, 'exit code')


def test_lanes_of_another_process():
    url, _ = Shared.store()
    with Server(flags=on(url), env={'HGP_LANES': '4'}) as server:
        eq(increment(server, 'a').value(), 1, 'counted')
        code, said = refused(on(url), data='unused', env={'HGP_LANES': '8'})
        eq(code, os.EX_CONFIG, said)
        check('with 4, ' in said and 'asks for 8' in said, said)


# --- losses ---------------------------------------------------------------------------------------


def restart(server):
    server.process.end()
    server.restart()


def kill(server):
    server.process.kill()
    server.restart()


def stand_still(server):
    server.process.signal(signal.SIGSTOP)
    time.sleep(1.5)  # longer than an attempt has; this is the fault itself, not a wait for something
    server.process.signal(signal.SIGCONT)


def rounds(split, server, faults, flaws, count=None):
    """One fault a round, under load; then nothing acknowledged is lost, nothing counts twice."""
    seed, rng = random_of('redis')
    ledger = SplitLedger()
    count = count or lib.ROUNDS
    for n, fault in zip(range(count), itertools.cycle(faults)):
        why = f'round {n + 1} ({fault.__name__}), CRASH_SEED={seed}'
        before = len(ledger.acked)
        fault_at, end_at = after(rng.uniform(0.15, 0.6)), after(1)
        done = []

        def tick():
            if not done and fault_at():
                done.append(True)
                fault(server)

        lost = load([g.http for g in split.gateways], ledger, lambda: done and end_at(), tick)
        eq(lost, [], f'{why}: a gateway answers everything')
        check(len(ledger.acked) > before, f'{why}: nothing was acknowledged')
        settle(split)
        send_again(split, ledger, audit(split, ledger, why), why)
    print(f'     {count} {flaws}, {len(ledger.kinds)} operations, {len(ledger.acked)} '
          'acknowledged', flush=True)


def test_faults_of_redis():
    with redis() as server, Split(gateways=2, counters=2, counter_flags=on(server.url),
                                  env={'HGP_TIMEOUTS_REQUEST_MS': '2000'}) as split:
        rounds(split, server, [kill, stand_still, restart], 'faults of redis-server')
        eq(split.stop(), 0, 'exit code')


def test_kills_of_a_counter():
    def kill_counter(_):
        split.counter.kill()
        split.counter.restart()

    url, _ = Shared.store()
    with Split(counters=2, counter_flags=on(url)) as split:
        rounds(split, None, [kill_counter], 'kills of a counter')
        eq(split.stop(), 0, 'exit code')


def test_retrying_through_kills():
    """Clients that retry with their key get exactly 1 ... N."""
    clients = SplitRetriers()
    with redis() as server, Split(gateways=2, counters=2, counter_flags=on(server.url)) as split:
        for fault in (kill, restart):
            fault_at, end_at = after(0.4), after(1)
            done = []

            def tick():
                if not done and fault_at():
                    done.append(True)
                    fault(server)

            clients.again.extend(load([g.http for g in split.gateways], clients,
                                      lambda: done and end_at(), tick))
        finish(split, clients, 'kills of redis-server')


# --- away -----------------------------------------------------------------------------------------


def check_away(server, front):
    """Everything says so, nothing invents a value."""
    for answer in (increment(server, 'away'), call(server.http, 'GET', lib.counter_path('away')),
                   call(server.http, 'POST', BATCH, {'items': [item('away')]})):
        eq(answer.status, 503, f'{answer!r}')
        check(answer.header('Retry-After'), 'Retry-After')
        check(b'current_value' not in answer.body, f'{answer!r}')
    said = call(front.admin, 'GET', '/readyz')
    eq(said.status, 503, f'{said!r}')
    check("Redis can't be reached" in said.json()['status'] or
          'Redis has closed' in said.json()['status'], f'{said!r}')
    eq(call(server.http, 'GET', '/api/v1/health').status, 503, 'health')
    eq(metric(front, 'hgp_store_up'), 0, 'hgp_store_up')
    eq(metric(front, 'hgp_redis_connections'), 0, 'hgp_redis_connections')


def seconds_until_counted(server, began):
    """From 'began' to an acknowledged increment."""
    while (answer := increment(server, 'away')).status != 200:
        eq(answer.status, 503, f'{answer!r}')
        check(time.monotonic() - began < lib.WAIT_S, 'it does not come back')
    return time.monotonic() - began


def accepting(server):
    """Starts redis-server; the moment when it accepted."""
    server.process.start()
    while True:
        with contextlib.suppress(OSError), \
                dev_servers.socket.create_connection((dev_servers.HOST, server.port), 1):
            return time.monotonic()


def test_away_at_the_start_and_later():
    port = dev_servers.free_port()
    with Server(flags=on(f'redis://127.0.0.1:{port}')) as server:
        check_away(server, server)
        with redis(port=port) as there:
            ready(server)
            eq(increment(server, 'away').value(), 1, 'once it is there')
            there.process.kill()
            ready(server, 503)
            check_away(server, server)
            times = []
            for _ in range(3):
                began = accepting(there)
                times.append(seconds_until_counted(server, began))
                there.process.kill()
                ready(server, 503)
            check(max(times) < BACK_S, f'seconds until it counted again: {times}')
            began = accepting(there)
            there.wait()
            seconds_until_counted(server, began)
            ready(server)
            eq(call(server.http, 'GET', lib.counter_path('away')).value(), 5, 'none is lost')
            eq(server.stop(), 0, 'exit code')
    print(f'     counted again {max(times) * 1000:.0f} ms after it accepted, at most', flush=True)


def test_away_behind_a_counter():
    """A gateway hears of it without any traffic."""
    with redis() as server, Split(gateways=2, counters=2, counter_flags=on(server.url)) as split:
        eq(increment(split, 'away').value(), 1, 'counted')
        times = []
        for n in range(3):
            server.process.kill()
            for gateway in split.gateways:
                ready(gateway, 503)
            end = time.monotonic() + lib.WAIT_S
            while "its store can't be used" not in (said := call(split.admin, 'GET',
                                                                 '/readyz').json()['status']):
                check(time.monotonic() < end, said)
            check('Redis' in said, said)
            for answer in (increment(split, 'away'),
                           call(split.http, 'GET', lib.counter_path('away'))):
                eq(answer.status, 503, f'{answer!r}')
                check(b'current_value' not in answer.body, f'{answer!r}')
            for counter in split.counters:
                eq(call(counter.admin, 'GET', '/readyz').status, 503, 'the counter\'s /readyz')
            began = accepting(server)
            times.append(seconds_until_counted(split, began))
            server.wait()
            for gateway in split.gateways:
                ready(gateway)
            eq(get(split, 'away'), n + 2, 'the counter')
        check(max(times) < BACK_S, f'seconds until it counted again: {times}')
        eq(split.stop(), 0, 'exit code')
    print(f'     counted again {max(times) * 1000:.0f} ms after it accepted, at most', flush=True)


def test_no_herd():
    """Many processes that wait for one Redis don't all come at once, nor all the time."""
    port = dev_servers.free_port()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(flags=[*on(f'redis://127.0.0.1:{port}'),
                                                     '--threads', '2'])) for _ in range(3)]
        listener = stack.enter_context(dev_servers.socket.socket())
        listener.setsockopt(dev_servers.socket.SOL_SOCKET, dev_servers.socket.SO_REUSEADDR, 1)
        listener.bind(('127.0.0.1', port))
        listener.listen(100)
        listener.settimeout(0.1)
        end, moments = time.monotonic() + 2, []
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                listener.accept()[0].close()
                moments.append(time.monotonic())
        # Of each process two loops, and what gives up a consumer that nobody is any more.
        connections = len(servers) * (2 + 1) * 2
        # Closed at once, each comes again after 250 to 500 ms.
        check(connections * 2 <= len(moments) <= connections * 10, f'{len(moments)} attempts')
        # All at once they would come in 4 to 8 of 40 bins.
        bins = {int(at / 0.05) for at in moments}
        check(len(bins) >= 14, f'{len(moments)} attempts in {len(bins)} bins of 50 ms')


# --- replicas -------------------------------------------------------------------------------------


@contextlib.contextmanager
def replicated():
    """A primary and its replica, in step."""
    with redis() as primary, redis('--replicaof', '127.0.0.1', str(primary.port)) as replica:
        in_step(replica)
        yield primary, replica


# A replica has a sixth of a request's time to sync: more than a busy disk takes.
REPLICATED = {'HGP_DURABILITY': 'replicated', 'HGP_TIMEOUTS_REQUEST_MS': '5000'}


def test_replicated_values():
    """An answered value is on the replica, reads included; many at once, in order."""
    with replicated() as (primary, replica), Server(flags=on(primary.url), env=REPLICATED) as ours:
        said = call(ours.admin, 'GET', '/readyz').json()
        eq(said['durability'], 'replicated', 'the mode in force')
        check('failover' in said['guarantee'], f'{said}')
        check('hgp_store_durability{mode="replicated"} 1' in
              call(ours.admin, 'GET', '/metrics').body.decode(), 'the metric')
        for n in range(20):
            eq(increment(ours, 'seen').value(), n + 1, 'counted')
            eq(replica.cli('get', 'counter:seen:like'), str(n + 1), 'on the replica')
        data = request_bytes('POST', lib.INCREMENT, item('storm'))
        left = iter(range(N // 4))
        values = []
        swarm = Swarm(ours.http, 100, lambda: None if next(left, None) is None else (0, data),
                      lambda _, status, body: values.append((status, current_value(body))))
        swarm.run()
        eq(sorted(values), [(200, n + 1) for n in range(N // 4)], 'each value once')
        eq(replica.cli('get', 'counter:storm:like'), str(N // 4), 'on the replica')
        eq(ours.stop(), 0, 'exit code')


def test_replicated_order():
    """Connections overtake each other on the way; what a client sent first still counts first."""
    with replicated() as (primary, _):
        way = Proxy(('127.0.0.1', primary.port), lag_s=0.02)
        with Server(flags=on(f'redis://127.0.0.1:{way.address[1]}'), env=REPLICATED) as ours, \
                lib.Connection(ours.http) as client:
            for _ in range(200):
                client.send(request_bytes('POST', lib.INCREMENT, item('order')))
                time.sleep(0.001)  # so that they aren't all one message
            answers = [client.answer('POST') for _ in range(200)]
            bad = [answer for answer in answers if answer.status != 200]
            check(not bad, f'{len(bad)} of 200 refused: {bad[:1]!r}')
            eq([answer.value() for answer in answers], list(range(1, 201)), 'values')
        way.close()


def test_replica_that_stands_still():
    """What no replica has isn't acknowledged, nor is its duplicate; later it counts once."""
    with replicated() as (primary, replica), Server(flags=on(primary.url), env=REPLICATED) as ours:
        eq(increment(ours, 'still').value(), 1, 'counted')
        replica.process.signal(signal.SIGSTOP)
        for _ in range(3):
            answer = increment(ours, 'still', key='k')
            check(answer.status in (503, 504), f'{answer!r}')
            read = call(ours.http, 'GET', lib.counter_path('still'))
            check(read.status in (503, 504), f'a value that may be lost is shown: {read!r}')
            check(b'key' not in read.body and b'outcome' not in read.body, f'of a read: {read!r}')
        eq(primary.cli('get', 'counter:still:like'), '2', 'applied, once')
        replica.process.signal(signal.SIGCONT)
        end = time.monotonic() + lib.WAIT_S
        while (answer := increment(ours, 'still', key='k')).status != 200:
            check(time.monotonic() < end, f'{answer!r}')
        eq(answer.value(), 2, 'the first answer')
        eq(answer.header('Idempotent-Replayed'), 'true', 'replayed')


def test_no_replica():
    """Nothing is applied that can't be acknowledged."""
    with redis() as primary, Server(flags=on(primary.url), env=REPLICATED) as ours:
        eq(increment(ours, 'alone').status, 503, 'without a replica')
        said = call(ours.admin, 'GET', '/readyz')
        check('0 replicas online of the 1' in said.json()['status'], f'{said!r}')
        eq(primary.cli('dbsize'), '0', 'keys')
        with redis('--replicaof', '127.0.0.1', str(primary.port)) as replica:
            in_step(replica)
            ready(ours)
            eq(increment(ours, 'alone').value(), 1, 'with one')
            replica.process.kill()
            answers = [increment(ours, 'alone').status for _ in range(20)]
            eq(set(answers), {503}, 'without it again')
            ready(ours, 503)
            applied = int(primary.cli('get', 'counter:alone:like'))
            check(applied <= 3, f'{applied} applied, one acknowledged')
            replica.restart()
            in_step(replica)
            ready(ours)
            eq(increment(ours, 'alone').value(), applied + 1, 'once it is back')


def test_more_replicas_than_are_waited_for():
    """A failover may go to the other one: replicated isn't what is in force then."""
    with replicated() as (primary, _), \
            redis('--replicaof', '127.0.0.1', str(primary.port)) as another:
        in_step(another)
        with Server(flags=on(primary.url), env=REPLICATED) as ours:
            said = call(ours.admin, 'GET', '/readyz').json()
            eq(said['durability'], 'local', 'the mode in force')
            check('1 of the 2 replicas online' in said['guarantee'], f'{said}')
            eq(increment(ours, 'two').value(), 1, 'counted')
        both = {**REPLICATED, 'HGP_DURABILITY_REPLICAS': '2'}
        with Server(flags=on(primary.url), env=both) as ours:
            eq(call(ours.admin, 'GET', '/readyz').json()['durability'], 'replicated', 'with both')
            eq(increment(ours, 'two').value(), 2, 'counted')
        code, said = refused(on(primary.url), data='unused',
                             env={**REPLICATED, 'HGP_DURABILITY_STRICT': 'true'})
        check(code != 0 and '2 replicas online' in said, f'{code}: {said}')


def comes_to(server, mode, what):
    """Counts until that mode is in force: settings are looked at behind traffic."""
    end = time.monotonic() + lib.WAIT_S
    while call(server.admin, 'GET', '/readyz').json()['durability'] != mode:
        check(time.monotonic() < end, f'{what}: {call(server.admin, "GET", "/readyz")!r}')
        increment(server, 'looks')
        time.sleep(0.05)


def test_what_changes_while_it_counts():
    """A replica that joins, a setting that an operator changes: what is promised follows."""
    with replicated() as (primary, _), Server(flags=on(primary.url), env=REPLICATED) as ours, \
            Server(flags=on(primary.url),
                   env={**REPLICATED, 'HGP_DURABILITY_STRICT': 'true'}) as strict:
        comes_to(ours, 'replicated', 'at first')
        with redis('--replicaof', '127.0.0.1', str(primary.port)) as another:
            in_step(another)
            comes_to(ours, 'local', 'one more replica than is waited for')
            end = time.monotonic() + lib.WAIT_S
            while increment(strict, 'looks').status == 200:
                check(time.monotonic() < end, 'strict goes on')
                time.sleep(0.05)
            said = call(strict.admin, 'GET', '/readyz')
            check('2 replicas online' in said.body.decode(), f'why strict refuses: {said!r}')
        comes_to(ours, 'replicated', 'it has gone')
        ready(strict)
        primary.cli('config', 'set', 'appendfsync', 'everysec')
        comes_to(ours, 'fast', 'everysec')
        check('everysec' in call(ours.admin, 'GET', '/readyz').json()['guarantee'], 'the guarantee')


def test_faults_under_replication():
    with replicated() as (primary, replica), \
            Split(gateways=2, counters=2, counter_flags=on(primary.url), env=REPLICATED) as split:
        def kill_replica(_):
            kill(replica)
            in_step(replica)

        def replica_stands_still(_):
            stand_still(replica)

        rounds(split, primary, [kill_replica, kill, replica_stands_still],
               'faults of the primary and its replica')
        eq(split.stop(), 0, 'exit code')


def test_replicated_is_refused():
    with replicated() as (primary, _):
        primary.cli('config', 'set', 'appendfsync', 'everysec')
        code, said = refused(on(primary.url), data='unused',
                             env={**REPLICATED, 'HGP_DURABILITY_STRICT': 'true'})
        eq(code, os.EX_CONFIG, said)
        check('asks for durability' in said and 'replicated' in said, said)
        primary.cli('acl', 'setuser', 'svc', 'on', '>svc-pw', *ACL.split())
        url = f'redis://svc:svc-pw@127.0.0.1:{primary.port}'
        code, said = refused(on(url), data='unused', env=REPLICATED)
        eq(code, os.EX_CONFIG, said)
        check('takes the command WAIT' in said, said)


# --- Sentinel -------------------------------------------------------------------------------------


@contextlib.contextmanager
def sentinels():
    with tempfile.TemporaryDirectory(prefix='hgp-sentinel-') as folder:
        group = dev_servers.Sentinels(pathlib.Path(folder))
        try:
            yield group
        finally:
            for process in group.processes():
                process.kill()


def role(server):
    return server.cli('role').split('\n')[0]


def fail_over(group):
    """The primary dies, its replica takes over, and it comes back as a replica. When it did so."""
    primary, other = group.master, group.replica
    primary.process.kill()
    dev_servers.wait_until('the promotion', lambda: role(other) == 'master', other.process)
    promoted = time.monotonic()
    argv = primary.process.argv  # Sentinels would do it, too, after some 10 s
    if '--replicaof' in argv:
        del argv[argv.index('--replicaof'):][:3]
    primary.process.argv = [*argv, '--replicaof', '127.0.0.1', str(other.port)]
    primary.restart()
    in_step(primary)
    group.master, group.replica = other, primary
    return promoted


def test_failover_in_mode_replicated():
    """No acknowledged increment is lost with the primary."""
    with sentinels() as group, \
            Split(gateways=2, counters=2, counter_flags=on(group.url), env=REPLICATED) as split:
        rounds(split, group, [fail_over], 'failovers', 1 if lib.ROUNDS < 10 else lib.ROUNDS // 4)
        check('Sentinels tell the primary' in split.counter.said(), split.counter.said())
        eq(split.stop(), 0, 'exit code')


def test_failover_and_back():
    """Counting goes on soon after the promotion; the old primary isn't counted on."""
    with sentinels() as group, Server(flags=on(group.url)) as ours:
        eq(increment(ours, 'away').value(), 1, 'counted')
        began = time.monotonic()
        promoted = fail_over(group)
        seconds_until_counted(ours, began)
        took = time.monotonic() - promoted
        ready(ours)
        lib.wait_for('the old primary has not what the new one has', lambda: group.replica.cli(
            'get', 'counter:away:like') == group.master.cli('get', 'counter:away:like'))
        print(f'     promoted {promoted - began:.1f} s after the kill, counted at most {took:.1f} s '
              'later', flush=True)
        eq(ours.stop(), 0, 'exit code')


def test_sentinels_that_do_not_know():
    with sentinels() as group:
        wrong = group.url.replace('/hgp', '/other')
        with Server(flags=on(wrong)) as ours:
            eq(increment(ours, 'lost').status, 503, 'nobody knows the primary')
            said = call(ours.admin, 'GET', '/readyz').json()['status']
            check('watches no group of this name' in said, said)
        with Server(flags=on(f'redis-sentinel://127.0.0.1:1,127.0.0.1:{group.ports[0]}/hgp')) as ours:
            ready(ours)
            eq(increment(ours, 'found').value(), 1, 'by the one that is there')


# --- who may ----------------------------------------------------------------------------------------


def secret_file(folder, text, mode=0o600):
    path = pathlib.Path(folder) / 'password'
    path.write_text(text)
    path.chmod(mode)
    return path


def test_password():
    with redis('--requirepass', 's3cret-pw') as server, tempfile.TemporaryDirectory() as folder:
        plain = f'redis://127.0.0.1:{server.port}'
        path = secret_file(folder, 's3cret-pw\n')
        for flags, env in ((on(server.url), {}),
                           (on(plain), {'HGP_REDIS_PASSWORD_FILE': str(path)})):
            with Server(flags=flags, env=env) as ours:
                increment(ours, 'secret')
                eq(ours.stop(), 0, 'exit code')
                check('s3cret-pw' not in ours.said(), 'the password is in what it says')
            code, said = refused([*flags, '--print-config'], env=env)
            eq(code, 0, said)
            check('s3cret-pw' not in said, said)
        for flags, mode, text, want, problem in (
                (on(plain), None, '', os.EX_CONFIG, 'NOAUTH'),
                (on(f'redis://:wr0ng@127.0.0.1:{server.port}'), None, '', os.EX_CONFIG,
                 'refuses the credentials: WRONGPASS'),
                (on(plain), 0o600, 'wr0ng', os.EX_CONFIG, 'refuses the credentials: WRONGPASS'),
                (on(plain), 0o644, 's3cret-pw', os.EX_CONFIG, 'others may read it'),
                (on(plain), 0o600, '\n', os.EX_CONFIG, 'its first line is empty')):
            env = {}
            if mode:
                path.unlink()
                env['HGP_REDIS_PASSWORD_FILE'] = str(secret_file(folder, text, mode))
            code, said = refused(flags, data='unused', env=env)
            eq(code, want, said)
            check(problem in said and 'wr0ng' not in said and 's3cret-pw' not in said, said)
        eq(server.cli('get', 'counter:secret:like'), '2', 'counted')


def test_a_user_with_few_rights():
    with redis('--user', 'svc', 'on', '>svc-pw', *ACL.split()) as server:
        url = f'redis://svc:svc-pw@127.0.0.1:{server.port}'
        with Server(flags=on(url)) as ours:
            eq(increment(ours, 'acl', 7, key='k').value(), 7, 'counted')
            eq(increment(ours, 'acl', 7, key='k').header('Idempotent-Replayed'), 'true', 'replayed')
            said = call(ours.admin, 'GET', '/readyz').json()
            check('may not ask for its settings' in said['guarantee'], f'{said}')
        code, said = refused(on(url.replace('svc-pw', 'other')), data='unused')
        eq(code, os.EX_CONFIG, said)
        code, said = refused([*on(url)], data='unused', env={'HGP_DURABILITY_STRICT': 'true'})
        eq(code, os.EX_CONFIG, said)


def test_tls():
    """Redis's own TLS: with our CA and certificate, and every way it may not be."""
    pki = Pki()
    pki.make('redis', 'DNS:localhost,IP:127.0.0.1')
    pki.make('us', 'DNS:us')
    pki.make('stranger', 'DNS:us', ca='other')
    port = dev_servers.free_port()
    with redis('--tls-port', str(port), '--tls-cert-file', str(pki.pem('redis')),
               '--tls-key-file', str(pki.key('redis')), '--tls-ca-cert-file', str(pki.pem('ca')),
               '--tls-auth-clients', 'yes', '--requirepass', 's3cret-pw') as server:
        url = f'rediss://:s3cret-pw@localhost:{port}'

        def env(ca, who):
            return {'HGP_REDIS_TLS_CA_FILE': str(pki.pem(ca)),
                    **({'HGP_REDIS_TLS_CERT_FILE': str(pki.pem(who)),
                        'HGP_REDIS_TLS_KEY_FILE': str(pki.key(who))} if who else {})}

        test_golden.both_parts(Server(flags=on(url), env=env('ca', 'us')))
        with Split(counter_flags=on(url), env=env('ca', 'us')) as split:
            eq(increment(split, 'tls').value(), 1, 'counted')
            server.process.kill()
            ready(split.gateways[0], 503)
            server.restart()
            ready(split.gateways[0])
            eq(increment(split, 'tls').value(), 2, 'over a new connection')
            split.counter.send_signal(signal.SIGHUP)
            lib.wait_for('the certificates',
                         lambda: 'certificates were read again' in split.counter.said())
            server.cli('client', 'kill', 'type', 'normal')
            settle(split)
        for address, files, problem in (
                (url, env('other', 'us'), 'TLS'),  # not who signed Redis's certificate
                (url, env('ca', None), 'TLS'),  # Redis wants one
                (url, env('ca', 'stranger'), 'TLS'),
                (url, {**env('ca', 'us'), 'HGP_REDIS_TLS_KEY_FILE': '/nowhere'}, '/nowhere')):
            code, said = refused(on(address), data='unused', env=files)
            eq(code, os.EX_CONFIG, said)
            check(problem in said and 's3cret-pw' not in said, said)


# --- servers that won't do -----------------------------------------------------------------------


def test_kinds_that_are_refused():
    for options, problem in ((('--cluster-enabled', 'yes'), 'part of a Redis Cluster'),
                             (('--appendfsync', 'everysec'), 'up to 1 second')):
        with redis(*options) as server:
            code, said = refused(on(server.url), data='unused',
                                 env={'HGP_DURABILITY_STRICT': 'true'})
            eq(code, os.EX_CONFIG, said)
            check(problem in said, said)
            eq(server.cli('dbsize'), '0', 'keys')


def test_what_it_promises():
    with redis('--appendfsync', 'everysec') as server, Server(flags=on(server.url)) as ours:
        said = call(ours.admin, 'GET', '/readyz').json()
        eq(said['durability'], 'fast', 'less is in force than configured')
        check('up to 1 second' in said['guarantee'], f'{said}')
        check("doesn't give the durability that is configured" in ours.said(), ours.said())
        server.cli('config', 'set', 'appendfsync', 'always')
        server.cli('client', 'kill', 'type', 'normal')
        end = time.monotonic() + lib.WAIT_S
        while 'power loss of its machine' not in said['guarantee']:
            check(time.monotonic() < end, f'not read again: {said}')
            said = call(ours.admin, 'GET', '/readyz').json()
        eq(said['durability'], 'local', 'as configured')
        check(re.search('counting in Redis.*power loss', ours.said()), 'it is in the log')


def test_the_shared_server_ends():
    Shared.stack.close()
