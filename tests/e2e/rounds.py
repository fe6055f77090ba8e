#!/usr/bin/env python3
"""rounds.py - faults under load, one a round, and after each: is everything there, once?

    tests/e2e/rounds.py --count 100 [--only WORD] [--seed N] [--binary build/highgopress]

A round is a deployment, clients, and one fault. Afterwards every acknowledged increment is present
once (ledger.py), one that wasn't is there once or not at all, and `highgopress verify` compares the
whole store with the whole topic and the totals of analytics: no drift, nothing external, no event
missing. Prints what each round cost: the time without an acknowledgement, the longest of it at a
stretch, the answers that failed, and how long verify took.
Deployments, each with two gateways, a Kafka, and analytics: beside the embedded store one that follows the
counter, else two that share the topic's partitions:

    embedded  a counter on RocksDB, mode local         redis     two counters, appendfsync always
    sentinel  two counters, mode replicated            cluster   two counters, six nodes
    takeover  as cluster, mode replicated
    fleet     three counters on Redis and two analytics, found by Consul: every process is replaced in
              good order, gateways by a hand-over, and not a single answer may fail

test_rounds.py runs one short round of each kind.
"""
import argparse
import collections
import contextlib
import json
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import lib
from ledger import ClusterLedger, send_again
from lib import Server, Split, Swarm, check, eq, free_port, increment, ready

sys.path.insert(0, str(lib.tree() / 'tools'))
import dev_servers  # noqa: E402

CONNECTIONS = 40
PAUSE_S = 0.0007  # between requests: a load that leaves servers and broker some of two cores
QUIET_S = 0.25  # without an acknowledgement for so long: the service was away
SETTLED = 30
SETTLE_S = 30
VERIFY_S = 120


class RoundLedger(ClusterLedger):
    """With the moments of acknowledgements and failures."""

    def __init__(self, prefix):
        super().__init__(prefix)
        self.moments = [time.monotonic()]
        self.failed = 0

    def next(self):
        time.sleep(PAUSE_S)
        return super().next()

    def answered(self, n, status, body):
        if status == 200:
            self.moments.append(time.monotonic())
        else:
            self.failed += 1
        super().answered(n, status, body)

    def gaps(self):
        """Seconds without an acknowledgement, of those that were long."""
        moments = [*self.moments, time.monotonic()]
        return [b - a for a, b in zip(moments, moments[1:]) if b - a > QUIET_S]


class Deployment:
    """Started at its first round. 'faults' by name."""

    counters = 2
    env = {}
    gentle = False  # its faults are none to clients: no answer fails, no connection is cut

    def __init__(self, kafka, folder, times):
        self.kafka = kafka
        self.folder = folder
        self.times = times
        self.stack = contextlib.ExitStack()
        self.split = None
        self.topic = kafka.url.replace('counter-events', f'rounds-{folder.name}')
        self.round = 0

    def start(self):
        env = {'HGP_TIMEOUTS_REQUEST_MS': '2000', 'HGP_ANALYTICS_ENABLED': 'false', **self.env}
        flags = [*self.store_flags(), '--events', self.topic]
        split = Split(gateways=2, counters=self.counters, env=env, counter_flags=flags)
        self.prepare(split)
        self.split = self.stack.enter_context(split)
        self.split.gateways[1].port = self.split.gateways[1].http[1]
        self.analytics = [self.stack.enter_context(server) for server in self.make_analytics()]
        self.settle()

    def prepare(self, split):
        """Before anything of it starts."""

    def store_flags(self):
        return []

    def make_analytics(self):
        """Two processes, each with every other partition of the topic."""
        return [Server(role='analytics', port=lib.free_port(), flags=['--events', self.topic],
                       env={'HGP_ANALYTICS_PARTITIONS': partitions}) for partitions in ('0,2', '1,3')]

    def verify_flags(self):
        return [*self.store_flags(), '--strict']

    def settle(self):
        """Until counters in all lanes have been answered for a while."""
        end, good = time.monotonic() + SETTLE_S, 0
        while good < SETTLED:
            check(time.monotonic() < end, 'it does not count again')
            status = increment(self.split, f'settle-{good}').status
            good = good + 1 if status == 200 else 0

    def verify(self):
        asked = ','.join(f'127.0.0.1:{server.port}' for server in self.analytics)
        began = time.monotonic()
        done = subprocess.run(
            [str(Server.binary), 'verify', *self.verify_flags(), '--events', self.topic,
             '--analytics', asked, '--json', '--wait', '60'], capture_output=True, text=True,
            timeout=VERIFY_S + 60)
        eq(done.returncode, 0, f'verify: {done.stdout[-800:]} {done.stderr[-800:]}')
        got = json.loads(done.stdout)
        eq(got['analytics'], {'agreeing': got['counters'], 'differing': 0, 'not_comparable': 0}, 'totals')
        return time.monotonic() - began

    def run(self, fault):
        """One round. Gives what it cost."""
        if not self.split:
            self.start()
        self.round += 1
        ledger = RoundLedger(f'r{self.round}-')
        trouble = []

        def act():
            try:
                time.sleep(self.times['before'])  # load, undisturbed; then the fault itself
                fault(self)
                time.sleep(self.times['after'])
            except BaseException as why:  # noqa: BLE001 - the round reports it
                trouble.append(why)

        acting = threading.Thread(target=act)
        swarm = Swarm([gateway.http for gateway in self.split.gateways], CONNECTIONS, ledger.next,
                      ledger.answered, again=self.gentle)

        def tick():
            if not acting.is_alive():
                swarm.stopping = True

        acting.start()
        swarm.run(tick)
        acting.join()
        if trouble:
            raise trouble[0]
        gaps = ledger.gaps()
        check(ledger.acked, 'nothing was acknowledged')
        if self.gentle:
            eq((ledger.failed, len(swarm.lost)), (0, 0), 'failed answers, and connections cut')
        self.settle()
        values, _ = ledger.audit(self.split, f'round {self.round}')
        send_again(self.split, ledger, values, f'round {self.round}')
        verified_s = self.verify()
        return {'verified_s': verified_s, 'acked': len(ledger.acked), 'failed': ledger.failed, 'cut': len(swarm.lost),
                'away_s': sum(gaps), 'longest_s': max(gaps, default=0.0)}


# ---- faults: what happens, until it is over ----


def kill_a_gateway(deployment):
    deployment.split.gateways[1].kill()
    deployment.split.gateways[1].restart()


def stand_still(server):
    def fault(deployment):
        process = server(deployment)
        process.send_signal(signal.SIGSTOP)
        time.sleep(deployment.times['stop'])
        process.send_signal(signal.SIGCONT)
    return fault


def kill_a_counter(deployment):
    deployment.split.counter.kill()
    deployment.split.counter.restart()


def kill_analytics(deployment):
    deployment.analytics[0].kill()
    deployment.analytics[0].restart()


def broker(deployment):
    return deployment.kafka.processes()[0]


def kill_the_broker(deployment):
    broker(deployment).kill()
    broker(deployment).start()
    dev_servers.wait_until('the broker', lambda: dev_servers.kafka_answers(deployment.kafka.ports[0]))


def stop_the_broker(deployment):
    broker(deployment).signal(signal.SIGSTOP)
    time.sleep(deployment.times['stop'])
    broker(deployment).signal(signal.SIGCONT)


def kafka_away(deployment):
    broker(deployment).kill()
    time.sleep(deployment.times['away'])
    broker(deployment).start()
    dev_servers.wait_until('the broker', lambda: dev_servers.kafka_answers(deployment.kafka.ports[0]))


def kill_redis(deployment):
    deployment.redis.process.kill()
    deployment.redis.restart()


def stop_redis(deployment):
    deployment.redis.process.signal(signal.SIGSTOP)
    time.sleep(deployment.times['stop'])
    deployment.redis.process.signal(signal.SIGCONT)


def restart_redis(deployment):
    deployment.redis.process.end()
    deployment.redis.restart()


def fail_over(deployment):
    import test_redis
    test_redis.fail_over(deployment.group)


def pair(deployment):
    """A master, by turns, and its replica."""
    nodes = deployment.cluster.nodes
    by_port = {node.port: node for node in nodes}
    masters = sorted((node for node in nodes if 'role:master' in node.cli('info', 'replication')),
                     key=lambda node: node.port)
    master = masters[deployment.round % len(masters)]
    return master, by_port[int(master.cli('role').split('\n')[3])]


def kill_a_master(deployment):
    master, replica = pair(deployment)
    dev_servers.take_over(master, replica)


def change_places(deployment):
    master, replica = pair(deployment)
    dev_servers.change_places(master, replica)


def reshard(deployment):
    first, second = deployment.masters()
    if deployment.round % 2:
        first, second = second, first
    moved = subprocess.run(
        ['redis-cli', '--cluster', 'reshard', f'127.0.0.1:{first.port}', '--cluster-from',
         first.cli('cluster', 'myid'), '--cluster-to', second.cli('cluster', 'myid'),
         '--cluster-slots', str(deployment.times['slots']), '--cluster-yes'],
        capture_output=True, text=True)
    eq(moved.returncode, 0, moved.stdout[-500:] + moved.stderr[-300:])


OURS = {
    'gateway killed': kill_a_gateway,
    'gateway stopped': stand_still(lambda d: d.split.gateways[1]),
    'counter killed': kill_a_counter,
    'counter stopped': stand_still(lambda d: d.split.counter),
    'analytics killed': kill_analytics,
}
KAFKAS = {
    'broker killed': kill_the_broker,
    'broker stopped': stop_the_broker,
    'Kafka away': kafka_away,
}


class Embedded(Deployment):
    counters = 1
    faults = {**OURS, **KAFKAS}
    env = {'HGP_ANALYTICS_ENABLED': 'true'}

    def make_analytics(self):
        return [Server(role='analytics', port=lib.free_port(),
                       flags=['--counter', f'127.0.0.1:{self.split.counter.port}'])]

    def verify_flags(self):
        return ['--data', self.split.counter.data]


class Redis(Deployment):
    faults = {**OURS, **KAFKAS, 'redis-server killed': kill_redis,
              'redis-server stopped': stop_redis, 'redis-server restarted': restart_redis}

    def start(self):
        self.redis = dev_servers.Redis(self.folder / 'redis')
        self.stack.callback(self.redis.process.kill)
        super().start()

    def store_flags(self):
        return ['--store', self.redis.url]


def end_and_start(server):
    eq(server.stop(), 0, 'exit code')
    server.restart()
    ready(server)


def replace(gateways, n):
    """The next process takes the listeners over."""
    old = gateways[n]
    gateways[n] = Server(role='gateway', port=old.port, env=old.added, flags=old.given).start()
    eq(old.wait(), 0, 'exit code')
    old.__exit__()


def rankings(fleet, status):
    """Waits until every gateway's answer has this status."""
    for gateway in fleet.split.gateways:
        lib.wait_for(f'a ranking: {status}', lambda: lib.call(
            gateway.http, 'GET', '/api/v1/analytics/top?counter_type=like').status == status)


def every_role(fleet):
    rankings(fleet, 200)
    for counter in fleet.split.counters:
        end_and_start(counter)
    for n in range(len(fleet.split.gateways)):
        replace(fleet.split.gateways, n)
    for process in fleet.analytics:
        eq(process.stop(), 0, 'exit code')
        rankings(fleet, 503)  # nobody counts its partitions
        process.restart()
        ready(process)
        rankings(fleet, 200)


class Fleet(Redis):
    counters = 3
    gentle = True
    faults = {'every process replaced': every_role}

    def start(self):
        self.consul = dev_servers.Consul(self.folder / 'consul')
        self.stack.callback(self.consul.process.kill)
        # A client of ours that a busy machine holds up for a second isn't an idle one.
        self.env = {'HGP_DISCOVERY': self.consul.url, 'HGP_CONSUL_CHECK_MS': '500',
                    'HGP_TIMEOUTS_DRAIN_IDLE_MS': '10000'}
        super().start()

    def make_analytics(self):
        return [Server(role='analytics', port=free_port(), flags=['--events', self.topic],
                       env={**self.env, 'HGP_ANALYTICS_PARTITIONS': partitions})
                for partitions in ('0,1', '2,3')]

    def prepare(self, split):
        split.gateways[:] = [
            Server(role='gateway', port=free_port(), env=gateway.added,
                   flags=['--analytics', 'discovery', '--handover', str(self.folder / f'gateway-{n}')])
            for n, gateway in enumerate(split.gateways)]
        split.all[:] = [*split.counters, *split.gateways]
        # Whoever has replaced one of them isn't in the group.
        self.stack.callback(lambda: [gateway.__exit__() for gateway in split.gateways])


class Sentinel(Deployment):
    faults = {'failover': fail_over, 'counter killed': kill_a_counter}
    env = {'HGP_DURABILITY': 'replicated'}

    def start(self):
        self.group = dev_servers.Sentinels(self.folder / 'sentinel')
        self.stack.callback(lambda: [process.kill() for process in self.group.processes()])
        super().start()

    def store_flags(self):
        return ['--store', self.group.url]


class Cluster(Deployment):
    faults = {'slots moved': reshard, 'counter killed': kill_a_counter}

    def start(self):
        self.cluster = dev_servers.Cluster(self.folder / 'cluster')
        self.stack.callback(lambda: [process.kill() for process in self.cluster.processes()])
        super().start()

    def store_flags(self):
        return ['--store', self.cluster.url]

    def masters(self):
        """Two that serve slots."""
        return [node for node in self.cluster.nodes
                if node.cli('role').split('\n')[0] == 'master'][:2]


class Takeover(Cluster):
    faults = {'master killed': kill_a_master, 'places changed': change_places,
              'counter killed': kill_a_counter}
    env = {'HGP_DURABILITY': 'replicated'}


KINDS = [(kind, name) for kind in (Embedded, Redis, Sentinel, Cluster, Takeover, Fleet)
         for name in kind.faults]
LONG = {'before': 1.0, 'after': 1.0, 'stop': 5.0, 'away': 60.0, 'slots': 80}
SHORT = {'before': 0.3, 'after': 0.3, 'stop': 1.5, 'away': 2.0, 'slots': 10}


def title(kind, name):
    return f'{kind.__name__.lower()}: {name}'


def run(kinds, count, seed, times, say=print):
    """'count' rounds, every kind as often as any other, in random order. Gives the costs by kind, and
    what went wrong."""
    rng = random.Random(seed)
    plan = [kinds[n % len(kinds)] for n in range(count)]
    rng.shuffle(plan)
    costs, flaws = collections.defaultdict(list), []
    with tempfile.TemporaryDirectory(prefix='hgp-rounds-') as temporary, \
            contextlib.ExitStack() as stack:
        folder = pathlib.Path(temporary)
        kafka = dev_servers.Kafka(folder / 'kafka')
        stack.callback(lambda: [process.kill() for process in kafka.processes()])
        there = {}
        stack.callback(lambda: [deployment.stack.close() for deployment in there.values()])
        for n, (kind, name) in enumerate(plan, 1):
            began = time.monotonic()
            if kind not in there:
                there[kind] = kind(kafka, folder / str(n), times)
            try:
                cost = there[kind].run(kind.faults[name])
            except (lib.Failed, dev_servers.Trouble, lib.Gone, OSError) as why:
                flaws.append(f'round {n}, {title(kind, name)}, seed {seed}: {why!r}')
                say(f'     FAIL {flaws[-1]}')
                there.pop(kind).stack.close()  # the next round of its kind begins anew
                continue
            costs[title(kind, name)].append(cost)
            say(f'     round {n:3} {title(kind, name):32} {cost["acked"]:6} acknowledged, away '
                f'{cost["away_s"]:.1f} s, {cost["failed"]} failed, {cost["cut"]} cut off, '
                f'verified in {cost["verified_s"]:.1f} s ({time.monotonic() - began:.0f} s)')
    return costs, flaws


def table(costs):
    lines = ['| round | rounds | acknowledged | without an acknowledgement: median, most | failed '
             'answers: median, most | connections cut | verify: median |', '|---|---|---|---|---|---|---|']
    for name, rounds in sorted(costs.items()):
        away = [cost['away_s'] for cost in rounds]
        failed = [cost['failed'] for cost in rounds]
        lines.append(f'| {name} | {len(rounds)} | {sum(c["acked"] for c in rounds)} | '
                     f'{statistics.median(away):.1f} s, {max(away):.1f} s | '
                     f'{statistics.median(failed):.0f}, {max(failed)} | '
                     f'{sum(c["cut"] for c in rounds)} | '
                     f'{statistics.median(c["verified_s"] for c in rounds):.1f} s |')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=len(KINDS))
    parser.add_argument('--only', default='', help='kinds whose title holds this')
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    parser.add_argument('--short', action='store_true', help='the times of test_rounds.py')
    parser.add_argument('--binary', type=pathlib.Path, default=lib.tree() / 'build/highgopress')
    options = parser.parse_args()
    Server.binary = options.binary.resolve()
    kinds = [kind for kind in KINDS if options.only in title(*kind)]
    print(f'seed {options.seed}', flush=True)
    costs, flaws = run(kinds, options.count, options.seed, SHORT if options.short else LONG,
                       lambda line: print(line, flush=True))
    print(table(costs))
    print(f'{sum(map(len, costs.values()))} rounds: every acknowledged increment once, no drift; '
          f'{len(flaws)} failed')
    sys.exit(1 if flaws else 0)


if __name__ == '__main__':
    main()
