"""A counter that is late, behind toxiproxy: nothing fails, and the others get what it can't do."""
import contextlib
import pathlib
import sys
import tempfile

import lib
from lib import INCREMENT, Skipped, Split, Swarm, check, eq, item, request_bytes
from test_discovery import applied
from test_redis import redis
from test_split import metric

sys.path[:0] = [str(lib.tree() / 'tools')]
import dev_servers  # noqa: E402

SMOKE = False
LATE_MS = 100  # each way
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


def test_a_late_counter_gets_less():
    names = iter(('late', 'quick'))
    with toxiproxy() as proxy, redis() as store, \
            Split(counters=2, through=lambda address: proxy.add(next(names), address),
                  counter_flags=['--store', store.url]) as split:
        late, quick = split.counters
        proxy.late('late', LATE_MS)
        eq(load(split), [], 'what failed')
        check(applied(late) < applied(quick), f'messages: {applied(late)} and {applied(quick)}')
        sent = applied(late) + applied(quick)
        check(metric(split, 'hgp_upstream_retries_total') <= 0.2 * sent, 'the retries')
        before = applied(late)
        proxy.late('late', 0)
        eq(load(split), [], 'what failed afterwards')
        check(applied(late) > before, 'it is used again')
