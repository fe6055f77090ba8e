#!/usr/bin/env python3
"""Power cuts under the whole service: what was answered is there once, whatever else is lost.

    powerloss_service.py SHIM BINARY [--store redis] [--points N] [--all] [--seed N] [--keep DIR]

The real binary, or the redis-server that it counts in, runs under
tests/lib/powerloss.c and concurrent clients; every 200 they get goes into the
journal. It is killed at a random moment, then a folder is built for each sampled
crash point (behind every kind of event, the unsynced end of the log cut anywhere,
zeroes, garbage or holes behind it), and the real thing starts on it, on Redis as
docs/redis.md says: redis-check-aof --fix first, aof-load-truncated no.

    every operation that had to survive is there exactly once, every other at most once
    the shared counter is the number of pairs that applied
    a repeated Idempotency-Key is answered as the first time, or applied as the first

'local' must keep every answered operation; 'fast' every one that was answered
before the last write that a completed sync of the log covers: while a sync is under
way Redis answers and writes later. Neither may refuse to start.
'fast' judged by the rule of 'local' must fail, or this test is blind.

--all tries every length of the log's unsynced end at each point.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

import lib
from lib import Server, Swarm, check, eq, get, get_many, increment
from ledger import Ledger

sys.path[:0] = [str(lib.tree() / 'tests/lib'), str(lib.tree() / 'tools')]
import dev_servers  # noqa: E402
import powerloss  # noqa: E402

PAD = 'x' * 200  # longer records: several logs and tables from a few thousand operations
SYNC_MS = 5  # an answer that doesn't wait for the sync is in the journal before it
LOG_SYNCS = 3  # of the periodic ones in 'fast', before the kill
FAST_OPS_PER_S = 1200
RESENT = 6  # idempotency keys sent again at each point, of each sort
BLIND_POINTS = 40


class JournalingLedger(Ledger):
    """Acknowledgements also go into the journal; answers of keyed operations are kept."""

    def __init__(self, journal, ops_per_s):
        super().__init__()
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self.bodies = {}
        self.pause_s = 1 / ops_per_s if ops_per_s else 0

    def name(self, n):
        return f'op-{n}-{PAD[:n % len(PAD)]}'

    def next(self):
        time.sleep(self.pause_s)  # a pace, so that the periodic sync meets few enough operations
        return super().next()

    def answered(self, n, status, body):
        super().answered(n, status, body)
        if n in self.acked:
            os.write(self.journal, f'ack {n}\n'.encode())
            self.bodies[n] = body

    def close(self):
        os.close(self.journal)


class Embedded:
    """The service's own store: the service is what loses power."""

    FILLS = ('none', 'zeroes', 'garbage', 'holes')
    is_log = staticmethod(powerloss.rocksdb_log)

    @staticmethod
    @contextlib.contextmanager
    def life(root, mode, env):
        """A server on an empty disk, and how its power is cut."""
        # The smallest write buffer: the log is changed and tables are written during the run.
        env = {**env, 'HGP_ROCKSDB_WRITE_BUFFER_BYTES': str(1 << 20)}
        with Server(data=os.path.join(root, 'data'), durability=mode, env=env) as server:
            yield server, server.process.kill

    @staticmethod
    @contextlib.contextmanager
    def after(folder, mode):
        """A server on what a cut has left, and how to ask it whether it found a torn end."""
        with Server(data=os.path.join(folder, 'data'), durability=mode,
                    flags=['--threads', '1']) as server:
            yield server, lambda: 'cut an unfinished write' in server.said()


class InRedis:
    """Redis loses power; the service in front of it goes on, as it would on another machine."""

    # No zeroes nor holes: an AOF has no checksums, so Redis asks of a file system that a file
    # isn't longer than what was written of it.
    FILLS = ('none', 'garbage')

    @staticmethod
    def is_log(path):
        return path.endswith('.incr.aof')

    @staticmethod
    def redis(folder, mode, env=None):
        fsync = {'local': 'always', 'fast': 'everysec'}[mode]
        return dev_servers.Redis(pathlib.Path(folder), '--appendfsync', fsync, env=env)

    @classmethod
    @contextlib.contextmanager
    def life(cls, root, mode, env):
        server = cls.redis(root, mode, env)
        try:
            with Server(flags=['--store', f'redis+unix://{server.socket}'],
                        durability=mode) as ours:
                # Redis never syncs the folder that it makes its appendonlydir in.
                with open(env['POWERLOSS_STATE'] + '/journal', 'a', encoding='utf-8') as journal:
                    journal.write('syncdir . 1\n')
                # A new log during the run. With everysec the old one is synced behind the new one,
                # and torn between the two is more than redis-check-aof mends: 'fast' promises
                # nothing there.
                if mode == 'local':
                    server.cli('bgrewriteaof')
                yield ours, server.process.kill
        finally:
            server.process.kill()

    @classmethod
    @contextlib.contextmanager
    def after(cls, folder, mode):
        before = sum(file.stat().st_size for file in pathlib.Path(folder).rglob('*.aof'))
        dev_servers.mend_aof(pathlib.Path(folder))
        torn = before > sum(file.stat().st_size for file in pathlib.Path(folder).rglob('*.aof'))
        server = cls.redis(folder, mode)
        try:
            with Server(flags=['--store', f'redis+unix://{server.socket}', '--threads', '1'],
                        durability=mode) as ours:
                yield ours, lambda: torn
        finally:
            server.process.kill()


def log_syncs(journal):
    """Completed syncs of the newest log behind the first acknowledgement."""
    count, disk = 0, powerloss.Disk(None, journal.is_log)
    for event in journal.events:
        disk.apply(event)
        count += event[0] == 'sync' and event[1] == disk.log and bool(disk.acks)
    return count


class Run:
    """One life of the service under load, up to the kill."""

    def __init__(self, shim, store, folder, mode, rng):
        self.mode = mode
        self.store = store
        self.state = os.path.join(folder, 'state')
        root = os.path.join(folder, 'disk')
        os.makedirs(os.path.join(self.state, 'inodes'))
        os.makedirs(root)
        self.ledger = JournalingLedger(os.path.join(self.state, 'journal'),
                                       FAST_OPS_PER_S if mode == 'fast' else 0)
        self.goal = rng.randrange(1500, 4500)
        self.connections = rng.choice((4, 12, 40))
        with store.life(root, mode, {'LD_PRELOAD': shim, 'POWERLOSS_ROOT': root,
                                     'POWERLOSS_STATE': self.state,
                                     'POWERLOSS_SYNC_MS': str(SYNC_MS)}) as (server, cut):
            self.load(server, cut)
        self.ledger.close()
        self.journal = self.read_journal()

    def read_journal(self):
        return powerloss.Journal(self.state, self.store.is_log)

    def enough(self):
        """By progress, not by time: the same on a slow machine."""
        if len(self.ledger.acked) < self.goal:
            return False
        return self.mode == 'local' or log_syncs(self.read_journal()) >= LOG_SYNCS

    def load(self, server, cut):
        swarm = Swarm(server.http, self.connections, self.ledger.next, self.ledger.answered)
        end = time.monotonic() + 60
        asked = 0

        def tick():
            nonlocal asked
            if swarm.stopping or time.monotonic() < asked:
                return
            check(time.monotonic() < end, f'{len(self.ledger.acked)} operations in 60 s')
            asked = time.monotonic() + 0.1
            if self.enough():
                cut()
                swarm.stopping = True

        swarm.run(tick)

    def must(self, disk, mode):
        """The operations that this disk must hold."""
        return disk.acks if mode == 'local' else disk.acks[:disk.settled]


def points(events, count, rng):
    """Crash points as numbers of events that happened: behind each kind of event in turn."""
    places = {}
    for at, event in enumerate(events):
        places.setdefault(event[0], []).append(at + 1)
    kinds = sorted(places) + ['ack', 'ack', 'write', 'write']  # where most can be lost
    return [rng.choice(places[kinds[n % len(kinds)]]) for n in range(count)]


def build(disk, target, rng, kept, fill):
    """One folder. 'kept': unsynced bytes of the newest log; other files keep any of theirs."""
    def kept_of(_path, inode):
        tail = disk.tail(inode)
        return kept if inode == disk.log else rng.choice((0, tail, rng.randint(0, tail)))

    disk.build(target, rng.randint(0, len(disk.undecided_changes())), kept_of,
               lambda path: fill if disk.is_log(path) else 'none')


def places(disk, fills, every, rng):
    """(kept bytes, fill) of the log to try at one crash point."""
    tail = disk.tail(disk.log) if disk.log in disk.size else 0
    if every:
        return [(kept, fills[kept % len(fills)]) for kept in range(tail + 1)]
    return [(rng.choice((0, tail, rng.randint(0, tail))), rng.choice(fills))]


def resend(server, ledger, values, rng):
    """Keys again: what applied is answered as the first time, what didn't applies now."""
    keyed = ledger.of('keyed')
    applied = [n for n in keyed if values[ledger.name(n)] == 1]
    missing = [n for n in keyed if values[ledger.name(n)] == 0]
    chosen = [n for group in (applied, missing)
              for n in rng.sample(group, min(RESENT, len(group)))]
    for n in chosen:
        answer = increment(server, ledger.name(n), None, f'key-{n}')
        eq((answer.status, answer.value()), (200, 1), f'op-{n} again')
        replayed = answer.header('Idempotent-Replayed') == 'true'
        eq(replayed, values[ledger.name(n)] == 1, f'op-{n} replayed')
        if replayed and n in ledger.bodies:
            eq(answer.body, ledger.bodies[n], f'op-{n} and its first answer')
    after = get_many(server, [ledger.name(n) for n in chosen])
    eq([name for name, value in after.items() if value != 1], [], 'keyed operations sent again')
    return len(chosen)


def audit(server, ledger, must, rng):
    """Raises Failed with what is wrong; gives (operations found, keys sent again)."""
    names = [ledger.name(n) for n in range(len(ledger.kinds))]
    values = get_many(server, names)
    doubled = [name[:12] for name, value in values.items() if value not in (0, 1)]
    eq(doubled[:5], [], f'{len(doubled)} operations counted twice')
    lost = [n for n in must if values[ledger.name(n)] != 1]
    eq(lost[:5], [], f'{len(lost)} of {len(must)} acknowledged operations are lost')
    pairs = sum(values[ledger.name(n)] for n in ledger.of('pair'))
    eq(get(server, 'shared'), pairs, 'the shared counter and its pairs')
    return sum(values.values()), resend(server, ledger, values, rng)


class Trial:
    """All points of one run in one mode, judged by the rule of 'rule'."""

    def __init__(self, run, rule, options, rng):
        self.run = run
        self.rule = rule
        self.options = options
        self.rng = rng
        self.tried = self.cut = self.resent = self.unacked = 0
        self.failures = []

    def folder(self, disk, target, where):
        must = self.run.must(disk, self.rule)
        self.tried += 1
        try:
            with self.run.store.after(target, self.run.mode) as (server, torn):
                found, resent = audit(server, self.run.ledger, must, self.rng)
                self.cut += torn()
                self.resent += resent
                self.unacked += max(0, found - len(must))
        except (lib.Failed, lib.Gone, dev_servers.Trouble) as why:
            self.failures.append(f'{where}: {why}')
            self.keep(target)

    def keep(self, target):
        keep = self.options.keep
        if keep and self.rule == self.run.mode and not os.path.exists(keep):
            shutil.copytree(target, keep, ignore=shutil.ignore_patterns('*.sock'))

    def point(self, count, folder):
        disk = self.run.journal.disk(count)
        event = ' '.join(self.run.journal.events[count - 1])
        for kept, fill in places(disk, self.run.store.FILLS, self.options.all, self.rng):
            target = os.path.join(folder, 'after')
            # A folder that the cut left without its parent directory's entry is a first start.
            build(disk, target, self.rng, kept, fill)
            self.folder(disk, target, f'behind event {count} ({event}), {kept} bytes kept, {fill}')
            shutil.rmtree(target)


def trial(options, mode):
    """One run and all its points; in 'fast' also the proof that a loss is seen."""
    rng = random.Random(f'{options.seed} {mode}')
    folder = tempfile.mkdtemp(prefix='hgp-powerloss-')
    began = time.monotonic()
    try:
        run = Run(options.shim, STORES[options.store], folder, mode, rng)
        done = Trial(run, mode, options, rng)
        for count in points(run.journal.events, options.points, rng):
            done.point(count, folder)
        seen = mode != 'fast' or loses(run, options, rng, folder)
    finally:
        shutil.rmtree(folder)
    print(f'{options.store}, {mode}: {run.connections} connections, {len(run.ledger.kinds)} operations, '
          f'{len(run.ledger.acked)} acknowledged, {len(run.journal.events)} events; '
          f'{done.tried} folders, {done.cut} with a torn tail, {done.resent} keys sent again, '
          f'{done.unacked} survived that needn\'t, {len(done.failures)} failures '
          f'({time.monotonic() - began:.1f} s)')
    for failure in done.failures[:10]:
        print(f'  {failure}')
    if not seen:
        print('  fast by the rule of local lost nothing: this test can\'t fail')
    return not done.failures and done.tried > 0 and seen


def loses(run, options, rng, folder):
    """Whether the rule of 'local' finds losses in 'fast'."""
    judged = Trial(run, 'local', argparse.Namespace(all=False, keep=None), rng)
    for count in points(run.journal.events, BLIND_POINTS, rng):
        judged.point(count, folder)
        if any('are lost' in failure for failure in judged.failures):
            return True
    return False


STORES = {'embedded': Embedded, 'redis': InRedis}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('shim', type=os.path.abspath)
    parser.add_argument('binary', type=os.path.abspath)
    parser.add_argument('--store', choices=STORES, default='embedded')
    parser.add_argument('--points', type=int, default=25, help='crash points per mode')
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--mode', choices=['local', 'fast'])
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    parser.add_argument('--keep', help='copy the first folder that fails to this place')
    options = parser.parse_args()
    Server.binary = options.binary
    print(f'seed {options.seed}', flush=True)
    modes = [options.mode] if options.mode else ['local', 'fast']
    sys.exit(0 if all([trial(options, mode) for mode in modes]) else 1)


if __name__ == '__main__':
    main()
