"""A counter that is late, behind toxiproxy: nothing fails, it is set aside, and it comes back."""
import contextlib
import pathlib
import sys
import tempfile

import lib
from lib import (INCREMENT, WAIT_S, Skipped, Split, Swarm, check, eq, increment, item,
                 request_bytes, wait_for)
from test_discovery import applied
from test_redis import redis
from test_split import metric

sys.path[:0] = [str(lib.tree() / 'tools')]
import dev_servers  # noqa: E402

SMOKE = False
LATE_MS = 200  # each way
REQUESTS = 300


@contextlib.contextmanager
def toxiproxy():
    with tempfile.TemporaryDirectory(prefix='hgp-toxi-') as folder:
        try:
            server = dev_servers.Toxiproxy(pathlib.Path(folder))
        except dev_servers.Trouble as why:
            raise Skipped(f'no toxiproxy here: {why}'[:200]) from why
        try:
            yield server
        finally:
            server.process.kill()


def load(gateway):
    """Gives the answers that weren't 200."""
    left, bad = iter(range(REQUESTS)), []

    def source():
        n = next(left, None)
        return None if n is None else (n, request_bytes('POST', INCREMENT, item(f'x-{n % 20}')))

    def answered(n, status, body):
        if status != 200:
            bad.append((n, status, body[:100]))

    swarm = Swarm(gateway.http, 12, source, answered)
    swarm.run()
    return bad + swarm.lost


def moves(gateway, to):
    return metric(gateway, f'hgp_upstream_breaker_transitions_total{{to="{to}"}}')


def test_a_late_counter_is_set_aside():
    names = iter(('late', 'quick'))
    with toxiproxy() as proxy, redis() as store, \
            Split(counters=2, through=lambda address: proxy.add(next(names), address),
                  counter_flags=['--store', store.url], flags=['--threads', '1']) as split:
        late, quick = split.counters
        gateway = split.gateways[0]
        wait_for('both can be used', lambda: metric(gateway, 'hgp_upstream_connections') == 2)
        eq(load(split), [], 'what failed at first')
        proxy.late('late', LATE_MS)

        def is_set_aside():
            eq(load(split), [], 'what failed')
            return moves(gateway, 'open')

        wait_for('its breaker opens', is_set_aside)
        check(metric(gateway, 'hgp_upstream_ejections_total{reason="slow"}') >= 1, 'the reason')
        check(applied(late) < applied(quick), f'messages: {applied(late)} and {applied(quick)}')
        sent = applied(late) + applied(quick)
        check(metric(gateway, 'hgp_upstream_retries_total') <= 0.2 * sent, 'the retries')
        proxy.late('late', 0)

        def is_back():
            eq(increment(split, 'meanwhile').status, 200, 'an increment')
            return moves(gateway, 'closed')

        # After 10 s, or later where this machine was busy while it was tried.
        wait_for('its breaker closes', is_back, 4 * WAIT_S)
        check(moves(gateway, 'half_open') >= 1, 'it was half open before')
        before = applied(late)
        eq(load(split), [], 'what failed afterwards')
        check(applied(late) > before, 'it is used again')
