"""ledger.py - what clients sent and what they were told, against what is there in the end.

Every operation has a counter of its own, so that a loss and a doubling can't hide each other:

    single   increments op-n once
    keyed    the same with an idempotency key; whoever got no answer sends it again
    pair     op-n and the one shared counter in one batch increment

Whatever happened, every acknowledged op-n is 1, every other one 0 or 1, a keyed one is exactly 1 once
it was sent again, and the shared counter is the number of pairs that applied.
"""
import json

from lib import (BATCH_INCREMENT, INCREMENT, check, eq, get_many, increment, item, patiently,
                 request_bytes)


class Ledger:
    """What was sent and what was acknowledged: over all rounds of one store, or of one round, with
    counters of its own."""

    def __init__(self, prefix=''):
        self.prefix = prefix
        self.shared_name = f'{prefix}shared'
        self.kinds = []  # per operation
        self.acked = set()

    def name(self, n):
        return f'{self.prefix}op-{n}'

    def key(self, n):
        return f'{self.prefix}key-{n}'

    def next(self):
        n = len(self.kinds)
        kind = ('single', 'keyed', 'pair')[n % 3]
        self.kinds.append(kind)
        if kind == 'pair':
            data = request_bytes('POST', BATCH_INCREMENT,
                                 {'items': [item(self.name(n)), item(self.shared_name)]})
        else:
            headers = [('Idempotency-Key', self.key(n))] if kind == 'keyed' else []
            data = request_bytes('POST', INCREMENT, item(self.name(n)), headers)
        return n, data

    def of(self, kind):
        return [n for n, k in enumerate(self.kinds) if k == kind]

    def answered(self, n, status, body):
        if status == 200:
            check(b'"success":false' not in body, f'a 200 with a failure inside: {body!r}')
            check(b'"current_value":1,' in body, f'{self.name(n)} was answered with {body!r}')
            self.acked.add(n)
        else:
            eq(status, 503, f'{self.name(n)}: {body[:100]!r}')


class SplitLedger(Ledger):
    """A gateway survives its counter, so that requests can run into their deadline (504), or their
    message into its age (409): the outcome is unknown then."""

    def answered(self, n, status, body):
        if status not in (409, 504):
            super().answered(n, status, body)


class ClusterLedger(SplitLedger):
    """The two operations of a pair are in different lanes, on different nodes perhaps: each has an
    outcome of its own."""

    def __init__(self, prefix=''):
        super().__init__(prefix)
        self.shared = []  # the values that the shared counter was answered with

    def answered(self, n, status, body):
        if self.kinds[n] != 'pair' or status != 200:
            super().answered(n, status, body)
            return
        own, shared = json.loads(body)['data']['results']
        if own['success']:
            eq(own['current_value'], 1, f'{self.name(n)}: {body!r}')
            self.acked.add(n)
        if shared['success']:
            self.shared.append(shared['current_value'])

    def audit(self, server, why, may_lose=0.0):
        """Gives the values, and which acknowledged operations are not there."""
        values = get_many(server, [self.name(n) for n in range(len(self.kinds))])
        lost = [n for n in self.acked if values[self.name(n)] != 1]
        check(len(lost) <= may_lose * len(self.acked),
              f'{why}: {len(lost)} of {len(self.acked)} acknowledged operations are not there')
        eq([name for name, value in values.items() if value not in (0, 1)], [],
           f'{why}: counted twice')
        if not may_lose:
            eq(len(set(self.shared)), len(self.shared), f'{why}: a shared value answered twice')
            total = get_many(server, [self.shared_name])[self.shared_name]
            check(len(self.shared) <= total <= len(self.of('pair')),
                  f'{why}: {total} of {len(self.shared)} to {len(self.of("pair"))} shared')
        return values, lost


def audit(server, ledger, round_name):
    names = [ledger.name(n) for n in range(len(ledger.kinds))]
    values = get_many(server, [*names, ledger.shared_name])
    shared = values.pop(ledger.shared_name)
    lost = [n for n in ledger.acked if values[ledger.name(n)] != 1]
    doubled = [name for name, value in values.items() if value not in (0, 1)]
    eq(lost[:5], [], f'{round_name}: {len(lost)} acknowledged operations are not there')
    eq(doubled[:5], [], f'{round_name}: {len(doubled)} operations counted twice')
    pairs = sum(values[ledger.name(n)] for n in ledger.of('pair'))
    eq(shared, pairs, f'{round_name}: the shared counter and its pairs')
    return values


def send_again(server, ledger, values, round_name):
    """A client that got no answer repeats with its key: then it counts, once."""
    missing = [n for n in ledger.of('keyed') if n not in ledger.acked]
    for n in missing:
        asked = []

        def again(n=n, asked=asked):
            asked.append(increment(server, ledger.name(n), None, ledger.key(n)))
            return asked[-1]

        answer = patiently(again)
        eq(answer.status, 200, f'{round_name}: {ledger.name(n)} again')
        replayed = answer.header('Idempotent-Replayed') == 'true'
        if len(asked) == 1:  # a 503 leaves open whether it applied
            eq(replayed, values[ledger.name(n)] == 1, f'{round_name}: {ledger.name(n)} replayed')
        eq(answer.value(), 1, f'{round_name}: {ledger.name(n)} again')
        ledger.acked.add(n)
