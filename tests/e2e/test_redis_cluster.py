"""Counting in a real Redis Cluster: six nodes, slots that move under load, masters that die.

Ledgers are ledger.py's: every operation has a counter of its own, so that a loss and a doubling
can't hide each other.
"""
import atexit
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import lib
from lib import (Server, call, Split, Swarm, check, current_value, eq, get, get_many, increment, item,
                 ready, refused, request_bytes, wait_for)
from ledger import ClusterLedger, send_again
from test_crash import random_of
from test_redis import REPLICATED
from test_split import load, metric

sys.path[:0] = [str(lib.tree() / 'tools'), str(lib.tree() / 'tests/golden')]
import dev_servers  # noqa: E402
import test_golden  # noqa: E402

SMOKE = False
N = 20000
ACL = ('~hgp:* -@all +evalsha +script|load +time +hget +hset +hmget +hgetall +hdel +hlen +hincrby '
       '+exists +pexpireat +xadd +xrange +xrevrange +xtrim +cluster|slots +asking')
SLOTS = 80  # moved while we count, each round
ROUNDS = max(1, lib.ROUNDS // 3)
BACK_S = 15  # after node-timeout (2 s), a vote and our look


class Cluster:
    """One for the whole module; each test finds it empty and whole."""

    stack = contextlib.ExitStack()
    there = None

    @classmethod
    def end(cls):
        cls.stack.close()
        cls.there = None

    @classmethod
    def store(cls):
        if cls.there and not whole():
            cls.end()
        if not cls.there:
            folder = cls.stack.enter_context(tempfile.TemporaryDirectory(prefix='hgp-cluster-'))
            cls.there = dev_servers.Cluster(pathlib.Path(folder))
            atexit.register(cls.end)  # a run of one test alone doesn't come to the last one
            for process in cls.there.processes():
                cls.stack.callback(process.kill)
        for node in masters():
            node.cli('flushall')
        return cls.there.url


def node_lines():
    """What any living node says: its lines of CLUSTER NODES as words."""
    node = next(node for node in Cluster.there.nodes if node.process.alive())
    return [line.split() for line in node.cli('cluster', 'nodes').splitlines()]


def masters():
    """Those that serve slots, in their order."""
    serving = [words for words in node_lines()
               if 'master' in words[2] and 'fail' not in words[2] and len(words) > 8]
    serving.sort(key=lambda words: int(words[8].split('-')[0].strip('[')))
    by_port = {node.port: node for node in Cluster.there.nodes}
    return [by_port[dev_servers.node_port(words)] for words in serving]


def whole():
    """Three masters, three replicas, and no slot that a test has left on its way."""
    lines = node_lines()
    return (all(node.process.alive() for node in Cluster.there.nodes) and len(masters()) == 3 and
            all('cluster_state:ok' in node.cli('cluster', 'info') for node in Cluster.there.nodes) and
            not any('fail' in words[2] or '[' in ' '.join(words[8:]) for words in lines))


def id_of(node):
    return node.cli('cluster', 'myid')


def on(url):
    return ['--store', url]


def test_golden_all():
    test_golden.both_parts(Server(flags=on(Cluster.store())))


def test_concurrent_and_exact():
    """Two gateways, two counters: 20,000 increments are answered 1 ... N, each once."""
    with Split(gateways=2, counters=2, counter_flags=on(Cluster.store())) as split:
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
        eq(get(split, 'storm'), N, 'the counter')
        eq(split.stop(), 0, 'exit code')


def test_counters_are_spread_and_stay():
    """Every master has its share, and a restart finds all of it."""
    url = Cluster.store()
    with Server(flags=on(url)) as server:
        for n in range(60):
            eq(increment(server, f'c-{n}', n + 1).value(), n + 1, 'counted')
        shares = [sum(':c:' in key for key in node.cli('--scan').splitlines())
                  for node in masters()]
        eq(sum(shares), 60, f'hashes of counters: {shares}')
        check(min(shares) > 5, f'hashes of counters on each master: {shares}')
        eq(server.stop(), 0, 'exit code')
        server.restart()
        eq(get_many(server, [f'c-{n}' for n in range(60)]), {f'c-{n}': n + 1 for n in range(60)},
           'after a restart')
    code, said = refused(on(url), data='unused', env={'HGP_LANES': '8'})
    eq(code, os.EX_CONFIG, said)
    check('with 1024, ' in said and 'asks for 8' in said, said)


def counts_everywhere(server):
    """Counters on each master, by every loop."""
    return all(increment(server, f'probe-{n}').status == 200 for n in range(40))


def settle(server):
    """A master that is back takes nothing for two seconds, as its cluster-node-timeout wants it."""
    end = time.monotonic() + lib.WAIT_S
    while not counts_everywhere(server):
        check(time.monotonic() < end, 'not all lanes count again')


# --- slots that move --------------------------------------------------------------------------


def reshard(source, target):
    """In the background, as an operator does it."""
    return subprocess.Popen(
        ['redis-cli', '--cluster', 'reshard', f'127.0.0.1:{source.port}', '--cluster-from',
         id_of(source), '--cluster-to', id_of(target), '--cluster-slots', str(SLOTS),
         '--cluster-yes'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_resharding_under_load():
    with Split(gateways=2, counters=2, counter_flags=on(Cluster.store())) as split:
        seed, _ = random_of('cluster')
        ledger = ClusterLedger()
        for n in range(ROUNDS):
            first, second, _ = masters()
            before = len(ledger.acked)
            with reshard(*((first, second) if n % 2 == 0 else (second, first))) as moving:
                lost = load([g.http for g in split.gateways], ledger,
                            lambda: moving.poll() is not None)
                said = moving.communicate()[0]
            eq(moving.returncode, 0, said[-500:])
            eq(lost, [], 'a gateway answers everything')
            check(len(ledger.acked) > before, 'nothing was acknowledged')
            settle(split)
            why = f'resharding, round {n + 1}, CRASH_SEED={seed}'
            send_again(split, ledger, ledger.audit(split, why)[0], why)
        eq(split.stop(), 0, 'exit code')
    print(f'     {ROUNDS} x {SLOTS} slots moved, {len(ledger.kinds)} operations, '
          f'{len(ledger.acked)} acknowledged', flush=True)


# --- masters that die ---------------------------------------------------------------------------


def test_a_master_is_killed_and_comes_back():
    """It has synced what it acknowledged, and is back before its replica takes over."""
    with Split(gateways=2, counters=2, counter_flags=on(Cluster.store())) as split:
        seed, rng = random_of('cluster')
        ledger = ClusterLedger()
        for n in range(ROUNDS):
            victim = rng.choice(masters())
            end = time.monotonic() + 1.5
            killed = []

            def tick():
                if not killed and time.monotonic() > end - 1.2:
                    killed.append(True)
                    victim.process.kill()
                    victim.process.start()

            lost = load([g.http for g in split.gateways], ledger,
                        lambda: time.monotonic() > end, tick)
            eq(lost, [], 'a gateway answers everything')
            victim.wait()
            settle(split)
            why = f'a kill, round {n + 1}, CRASH_SEED={seed}'
            send_again(split, ledger, ledger.audit(split, why)[0], why)
        eq(split.stop(), 0, 'exit code')
    print(f'     {ROUNDS} kills, {len(ledger.kinds)} operations, {len(ledger.acked)} '
          'acknowledged', flush=True)


def test_a_replica_takes_over():
    """What its master hadn't sent it may be lost, and nothing else; nothing counts twice. The other
    masters' lanes go on."""
    with Server(flags=on(Cluster.store()), env={'HGP_TIMEOUTS_REQUEST_MS': '2000'}) as server:
        seed, rng = random_of('cluster')
        ledger = ClusterLedger()
        victim = rng.choice(masters())
        began = time.monotonic()
        state = {'killed': False, 'acked': 0, 'gap': 0, 'back': 0.0, 'next': 0.0}

        def tick():
            now = time.monotonic()
            if not state['killed'] and now > began + 0.5:
                state.update(killed=True, acked=len(ledger.acked))
                victim.process.kill()
                state['dead'] = time.monotonic()
            elif state['killed'] and now > state['dead'] + 1 and not state['gap']:
                state['gap'] = len(ledger.acked) - state['acked']

        def until():
            now = time.monotonic()
            check(now < began + BACK_S, f'no replica has taken over, CRASH_SEED={seed}')
            if not state['gap'] or now < state['next']:
                return False
            state['next'] = now + 0.2
            if victim.port in [node.port for node in masters()] or len(masters()) < 3:
                return False
            return True

        lost = load([server.http], ledger, until, tick)
        eq(lost, [], 'everything is answered')
        settle(server)
        back = time.monotonic() - state['dead']
        check(state['gap'] > 0, 'the other masters\' lanes stood still')
        missing = ledger.audit(server, f'CRASH_SEED={seed}', may_lose=0.05)[1]
        victim.restart()
        eq(server.stop(), 0, 'exit code')
    print(f'     counts everywhere {back:.1f} s after the kill; {state["gap"]} acknowledged in the '
          f'first second of it; {len(missing)} of {len(ledger.acked)} lost', flush=True)


# --- mode replicated ------------------------------------------------------------------------------


def replica_of(master):
    """Who follows it: after a takeover it hears of that within a second or two."""
    port = wait_for(f'nobody follows {master.port}', lambda: dev_servers.followers(master))[0]
    return next(node for node in Cluster.there.nodes if node.port == port)


class PacedLedger(ClusterLedger):
    """A takeover takes seconds: what fails meanwhile is to be a few hundred, not thousands."""

    def next(self):
        time.sleep(0.004)
        return super().next()


def test_replicated_failovers_lose_nothing():
    url = Cluster.store()
    with Split(gateways=2, counters=2, counter_flags=on(url), env=REPLICATED) as split:
        said = call(split.counter.admin, 'GET', '/readyz').json()
        eq(said['durability'], 'replicated', f'{said}')
        check('survives a failover' in said['guarantee'], f'{said}')
        check('hgp_store_durability{mode="replicated"} 1' in
              call(split.counter.admin, 'GET', '/metrics').body.decode(), 'the metric')
        seed, rng = random_of('cluster')
        ledger = PacedLedger()
        faults = [dev_servers.change_places, dev_servers.take_over]
        for n in range(max(len(faults), ROUNDS)):
            fault = faults[n % len(faults)]
            victim = rng.choice(masters())
            before = len(ledger.acked)
            with concurrent.futures.ThreadPoolExecutor(1) as apart:
                acting = apart.submit(fault, victim, replica_of(victim))
                lost = load([g.http for g in split.gateways], ledger, acting.done)
            acting.result()
            eq(lost, [], 'a gateway answers everything')
            check(len(ledger.acked) > before, 'nothing was acknowledged')
            settle(split)
            why = f'{fault.__name__}, round {n + 1}, CRASH_SEED={seed}'
            send_again(split, ledger, ledger.audit(split, why)[0], why)
        eq(split.stop(), 0, 'exit code')
    print(f'     {len(ledger.kinds)} operations, {len(ledger.acked)} acknowledged', flush=True)


COUNTERS_THERE = """local names = {}
for _, key in ipairs(redis.call('keys', 'hgp:{*}:c:*')) do
    for _, name in ipairs(redis.call('hkeys', key)) do names[#names + 1] = name end
end
return names"""


def test_replicated_without_a_replica():
    """What no replica has isn't acknowledged, nor shown; other masters' lanes go on. Once it is back it
    has counted once."""
    url = Cluster.store()
    with Server(flags=on(url), env=REPLICATED | {'HGP_TIMEOUTS_REQUEST_MS': '2000'}) as ours:
        settle(ours)
        names = [f'still-{n}' for n in range(24)]
        for name in names:
            eq(increment(ours, name).value(), 1, 'counted')
        master = masters()[0]
        there = {name.removesuffix(':like') for name in master.cli('eval', COUNTERS_THERE, 0).split()}
        still = replica_of(master)
        still.process.signal(signal.SIGSTOP)
        try:
            for name in names:
                answers = [increment(ours, name, key='k'),
                           call(ours.http, 'GET', lib.counter_path(name))]
                if name in there:
                    check(all(answer.status in (503, 504) for answer in answers),
                          f'what may be lost is acknowledged, or shown: {answers!r}')
            others = [name for name in names if name not in there]
            wait_for('other lanes count', lambda: increment(ours, others[0], key='k').status == 200)
            ready(ours)
        finally:
            still.process.signal(signal.SIGCONT)
        for name in names:
            wait_for(f'{name} counts again', lambda: increment(ours, name, key='k').status == 200)
        eq(get_many(ours, names), {name: 2 for name in names}, 'values')
        eq(ours.stop(), 0, 'exit code')


# --- what is refused ------------------------------------------------------------------------------


def test_wrong_kinds_of_server():
    url = Cluster.store()
    alone = f'redis://127.0.0.1:{Cluster.there.nodes[0].port}'
    code, said = refused(on(alone), data='unused')
    eq(code, os.EX_CONFIG, said)
    check('its address is redis-cluster://' in said, said)
    with tempfile.TemporaryDirectory() as folder:
        server = dev_servers.Redis(pathlib.Path(folder))
        try:
            code, said = refused(on(f'redis-cluster://127.0.0.1:{server.port}'), data='unused')
            eq(code, os.EX_CONFIG, said)
            check('cluster support disabled' in said or "isn't part of" in said, said)
        finally:
            server.process.kill()
    for bad in (url + '/3', 'redis-cluster://host', url + ','):
        code, said = refused(on(bad), data='unused')
        check(code in (os.EX_CONFIG, os.EX_USAGE), f'{bad}: {code} {said}')


def test_a_user_with_few_rights():
    """What docs/redis.md names, and no more."""
    url = Cluster.store()
    for node in Cluster.there.nodes:
        node.cli('acl', 'setuser', 'svc', 'reset', 'on', '>svc-pw', *ACL.split())
    try:
        with Server(flags=on(url.replace('://', '://svc:svc-pw@'))) as server:
            for n in range(10):
                eq(increment(server, f'acl-{n}', 7, key='k').value(), 7, 'counted')
            again = increment(server, 'acl-0', 7, key='k')
            eq(again.header('Idempotent-Replayed'), 'true', 'replayed')
            eq(call(server.admin, 'PUT', lib.counter_path('acl-0'), {'value': 3}).value(), 3, 'set')
            eq(get(server, 'acl-0'), 3, 'read')
    finally:
        for node in Cluster.there.nodes:
            node.cli('acl', 'deluser', 'svc')


def test_emptied_under_us():
    """A lane that is gone is refused, never laid out again: its windows are gone, too."""
    with Server(flags=on(Cluster.store())) as server:
        eq(increment(server, 'a').value(), 1, 'counted')
        for node in masters():
            node.cli('flushall')
        for _ in range(3):
            answer = increment(server, 'a')
            eq(answer.status, 503, f'{answer!r}')
        eq([node.cli('dbsize') for node in masters()], ['0'] * 3, 'keys')


def test_settings_of_a_node_are_told():
    with Server(flags=on(Cluster.store())) as server:
        said = call(server.admin, 'GET', '/readyz').json()
        check('power loss of its machine' in said['guarantee'] and
              'where a replica takes over' in said['guarantee'], f'{said}')
        check(metric(server, 'hgp_redis_connections') >= 3, 'hgp_redis_connections')
        node = masters()[2]
        node.cli('config', 'set', 'appendfsync', 'everysec')
        try:
            eq(server.stop(), 0, 'exit code')
            server.restart()
            said = call(server.admin, 'GET', '/readyz').json()
            eq(said['durability'], 'fast', f'{said}')
            check('appendfsync everysec' in said['guarantee'], f'{said}')
            code, text = refused(on(Cluster.there.url), data='unused',
                                 env={'HGP_DURABILITY_STRICT': 'true'})
            eq(code, os.EX_CONFIG, text)
            check('durability' in text, text)
        finally:
            node.cli('config', 'set', 'appendfsync', 'always')


def test_the_cluster_ends():
    Cluster.end()
