"""kill -9 at random moments under load: nothing acknowledged is lost, nothing counts twice.

Every operation has a counter of its own, 'op-<n>', so that a loss and a doubling
can't hide each other:

    single   increments op-n once
    keyed    the same with an idempotency key; after the crash it is sent again
    pair     op-n and the one shared counter in one batch increment

After a restart on the same data every acknowledged op-n is 1, every other one 0 or
1, a keyed one is exactly 1 once it was sent again, and the shared counter is the
number of pairs that applied.

The retrying tests are clients as they should be: one key per operation, sent again
after reconnecting until there is an answer. All count on one counter, so their
answers are exactly 1 ... N, each once, whatever the kills did.
"""
import collections
import os
import random
import time

import lib
from lib import (BATCH_INCREMENT, INCREMENT, Server, Swarm, check, current_value, eq, get,
                 get_many, increment, item, request_bytes)

SMOKE = False
CONNECTIONS = 60
MORE_ROUNDS = 20
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


class Retriers:
    """Operations of one counter, each with its key, until each is answered."""

    def __init__(self):
        self.sent = 0
        self.repeats = 0
        self.again = collections.deque()  # without an answer so far
        self.values = {}
        self.finishing = False

    def next(self):
        if self.again:
            n = self.again.popleft()
            self.repeats += 1
        elif self.finishing:
            return None
        else:
            n, self.sent = self.sent, self.sent + 1
        return n, request_bytes('POST', INCREMENT, item('tally'), [('Idempotency-Key', f'r-{n}')])

    def answered(self, n, status, body):
        if status == 200:
            self.values[n] = current_value(body)
        else:
            eq(status, 503, f'r-{n}: {body[:100]!r}')
            self.again.append(n)


def crash(server, ledger, rng):
    """Load, and kill -9 in the middle of it. Gives the operations without an answer."""
    swarm = Swarm(server.http, CONNECTIONS, ledger.next, ledger.answered)
    moment = time.monotonic() + rng.uniform(*LOAD_S)

    def tick():
        if time.monotonic() >= moment and server.alive():
            server.process.kill()
            swarm.stopping = True

    swarm.run(tick)
    server.kill()
    return swarm.lost


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


def random_of(durability):
    seed = int(os.environ.get('CRASH_SEED', random.randrange(1 << 32)))
    print(f'     {durability}: CRASH_SEED={seed}', flush=True)
    return seed, random.Random(seed)


def rounds(durability):
    seed, rng = random_of(durability)
    ledger = Ledger()
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


def retrying(durability):
    seed, rng = random_of(durability)
    clients = Retriers()
    with Server(durability=durability) as server:
        kills = 0
        # Some kill must meet an operation under way, or nothing was retried: on a busy machine
        # a few more may be needed than were asked for.
        while kills < lib.ROUNDS or (not (clients.again or clients.repeats) and
                                     kills < lib.ROUNDS + MORE_ROUNDS):
            clients.again.extend(crash(server, clients, rng))
            server.restart()
            kills += 1
        clients.finishing = True
        while clients.again:
            Swarm(server.http, CONNECTIONS, clients.next, clients.answered).run()
        count = clients.sent
        check(clients.repeats > 0, f'CRASH_SEED={seed}: no kill met an operation under way')
        eq(len(clients.values), count, f'CRASH_SEED={seed}: operations that were answered')
        check(sorted(clients.values.values()) == list(range(1, count + 1)),
              f'{durability}, CRASH_SEED={seed}: the answers are not 1 ... N, each once')
        eq(get(server, 'tally'), count, f'CRASH_SEED={seed}: the counter')
        eq(server.stop(), 0, 'exit code')
    print(f'     {durability}: {kills} kills, {count} operations, {clients.repeats} repeats',
          flush=True)


def test_local():
    rounds('local')


def test_fast():
    rounds('fast')


def test_retrying_local():
    retrying('local')


def test_retrying_fast():
    retrying('fast')
