"""kill -9 at random moments under load: nothing acknowledged is lost, nothing counts twice.

Every operation has a counter of its own, 'op-<n>', so that a loss and a doubling
can't hide each other:

    single   increments op-n once
    keyed    the same with an idempotency key; after the crash it is sent again
    pair     op-n and the one shared counter in one batch increment

After a restart on the same data every acknowledged op-n is 1, every other one 0 or
1, a keyed one is exactly 1 once it was sent again, and the shared counter is the
number of pairs that applied.
"""
import os
import random
import time

import lib
from lib import (BATCH_INCREMENT, INCREMENT, Server, Swarm, check, eq, get, get_many, increment,
                 item, request_bytes)

SMOKE = False
CONNECTIONS = 60
LOAD_S = (0.15, 0.9)  # how long before the kill


class Ledger:
    """What was sent and what was acknowledged, over all rounds of one data folder."""

    def __init__(self):
        self.kinds = []  # per operation
        self.acked = set()

    def name(self, n):
        return f'op-{n}'

    def next(self):
        n = len(self.kinds)
        kind = ('single', 'keyed', 'pair')[n % 3]
        self.kinds.append(kind)
        if kind == 'pair':
            data = request_bytes('POST', BATCH_INCREMENT,
                                 {'items': [item(self.name(n)), item('shared')]})
        else:
            headers = [('Idempotency-Key', f'key-{n}')] if kind == 'keyed' else []
            data = request_bytes('POST', INCREMENT, item(self.name(n)), headers)
        return n, data

    def of(self, kind):
        return [n for n, k in enumerate(self.kinds) if k == kind]

    def answered(self, n, status, body):
        if status == 200:
            check(b'"success":false' not in body, f'a 200 with a failure inside: {body!r}')
            check(b'"current_value":1,' in body, f'op-{n} was answered with {body!r}')
            self.acked.add(n)
        else:
            eq(status, 503, f'op-{n}: {body[:100]!r}')


def crash(server, ledger, rng):
    """Load, and kill -9 in the middle of it."""
    swarm = Swarm(server.http, CONNECTIONS, ledger.next, ledger.answered)
    moment = time.monotonic() + rng.uniform(*LOAD_S)

    def tick():
        if time.monotonic() >= moment and server.alive():
            server.process.kill()
            swarm.stopping = True

    swarm.run(tick)
    server.kill()


def audit(server, ledger, round_name):
    values = get_many(server, [f'op-{n}' for n in range(len(ledger.kinds))])
    lost = [n for n in ledger.acked if values[f'op-{n}'] != 1]
    doubled = [name for name, value in values.items() if value not in (0, 1)]
    eq(lost[:5], [], f'{round_name}: {len(lost)} acknowledged operations are not there')
    eq(doubled[:5], [], f'{round_name}: {len(doubled)} operations counted twice')
    pairs = sum(values[f'op-{n}'] for n in ledger.of('pair'))
    eq(get(server, 'shared'), pairs, f'{round_name}: the shared counter and its pairs')
    return values


def send_again(server, ledger, values, round_name):
    """A client that got no answer repeats with its key: then it counts, once."""
    missing = [n for n in ledger.of('keyed') if n not in ledger.acked]
    for n in missing:
        answer = increment(server, f'op-{n}', None, f'key-{n}')
        eq(answer.status, 200, f'{round_name}: op-{n} again')
        replayed = answer.header('Idempotent-Replayed') == 'true'
        eq(replayed, values[f'op-{n}'] == 1, f'{round_name}: op-{n} replayed')
        eq(answer.value(), 1, f'{round_name}: op-{n} again')
        ledger.acked.add(n)


def rounds(durability):
    seed = int(os.environ.get('CRASH_SEED', random.randrange(1 << 32)))
    rng = random.Random(seed)
    ledger = Ledger()
    print(f'     {durability}: CRASH_SEED={seed}', flush=True)
    with Server(durability=durability) as server:
        for n in range(1, lib.ROUNDS + 1):
            name = f'{durability}, round {n}, CRASH_SEED={seed}'
            before = len(ledger.acked)
            crash(server, ledger, rng)
            check(len(ledger.acked) > before, f'{name}: nothing was acknowledged')
            server.restart()
            send_again(server, ledger, audit(server, ledger, name), name)
        audit(server, ledger, f'{durability}, at the end')
        eq(server.stop(), 0, 'exit code')
    print(f'     {durability}: {lib.ROUNDS} kills, {len(ledger.kinds)} operations, '
          f'{len(ledger.acked)} acknowledged', flush=True)


def test_local():
    rounds('local')


def test_fast():
    rounds('fast')
