"""kill -9 at random moments under load: nothing acknowledged is lost, nothing counts twice.

What was sent and what must be there afterwards is in ledger.py.

The retrying tests are clients as they should be: one key per operation, sent again
after reconnecting until there is an answer. All count on one counter, so their
answers are exactly 1 ... N, each once, whatever the kills did.
"""
import collections
import os
import random
import time

import lib
from ledger import Ledger, audit, send_again
from lib import INCREMENT, Server, Swarm, check, current_value, eq, get, item, request_bytes

SMOKE = False
CONNECTIONS = 60
MORE_ROUNDS = 20
LOAD_S = (0.15, 0.9)  # how long before the kill


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
