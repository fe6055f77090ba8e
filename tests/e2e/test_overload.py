"""More than the store can do: the rest is refused at once, and nothing is when it can do it again.

bench/overload measures; here a link that hardly lets anything through to Redis makes the overload."""
import re
import threading

import lib
from lib import (BATCH, INCREMENT, Server, Swarm, call, check, counter_path, eq, item, request_bytes,
                 wait_for)
from proxy import Proxy
from test_redis import redis

SMOKE = False
# Far above what a busy machine takes, far below what 400 wait for behind the link: 1.6 s, which a trial
# would find usual if more were allowed.
LIMITS = {'HGP_OVERLOAD_LATENCY_MS': '500', 'HGP_OVERLOAD_LATENCY_MAX_MS': '600'}


def figure(server, name):
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return int(re.search(rf'^{name} (\d+)$', text, re.M).group(1))


class Clients:
    """So many at a time, in a thread."""

    def __init__(self, server, count):
        self.done, self.refused, self.other = 0, 0, []
        data = request_bytes('POST', INCREMENT, item('storm'))
        self.swarm = Swarm(server.http, count, lambda: (0, data), self.answered)
        self.thread = threading.Thread(target=self.swarm.run, daemon=True)
        self.thread.start()

    def answered(self, _, status, body):
        if status == 200:
            self.done += 1
        elif status == 503 and b'overloaded' in body:
            self.refused += 1
        else:
            self.other.append((status, body))

    def end(self):
        self.swarm.stopping = True
        self.thread.join(lib.WAIT_S)
        check(not self.thread.is_alive(), 'the load ends')
        eq((self.other[:3], self.swarm.lost), ([], []), 'other answers')


def test_shed_and_back():
    with redis() as store:
        link = Proxy(('127.0.0.1', store.port))
        with Server(flags=['--threads', '1', '--store', f'redis://127.0.0.1:{link.address[1]}'],
                    env=LIMITS) as front:
            lib.ready(front)
            most = figure(front, 'hgp_overload_limit')
            few = Clients(front, 2)
            wait_for('what is usual', lambda: few.done > 200)
            few.end()
            eq(few.refused, 0, 'refused without an overload')
            link.bytes_per_s = 4000
            many = Clients(front, 400)
            wait_for('requests that are shed', lambda: many.refused > 200)
            counted = many.done
            wait_for('others that are done', lambda: many.done > counted + 20)
            # At any one moment a trial may let in as many as before.
            wait_for('a limit', lambda: figure(front, 'hgp_overload_limit') < 400)
            check(figure(front, 'hgp_overload_shed_total') > 200, 'counted')
            link.bytes_per_s = None
            many.end()
            few = Clients(front, 2)
            wait_for('no limit any more', lambda: figure(front, 'hgp_overload_limit') == most,
                     3 * lib.WAIT_S)
            few.end()
            answer = call(front.http, 'GET', counter_path('storm'))
            check(answer.value() >= many.done, f'{answer}')
            both = call(front.http, 'POST', BATCH, {'items': [item('storm')] * 1000})
            eq(both.status, 200, 'a batch of any size')
            eq(front.stop(), 0, 'exit code')
        link.close()
