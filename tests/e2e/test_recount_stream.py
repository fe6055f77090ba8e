"""Analytics that follows a counter by gRPC, counted anew: from what the counter's outbox still has, and
the values of all its counters."""
import contextlib
import os
import pathlib
import random
import shutil
import threading
import time

import lib
from certs import Pki
from grpc_client import PYTHON, Client  # noqa: F401
from lib import Connection, Group, Server, call, check, eq, free_port, item, ready, wait_for
from test_analytics import ask, caught_up, random_items
from test_analytics_role import TOP, answers, count_through, kill_and_restart
from test_recount import Reading, begin_recount, count_with, ended, planted, wrong
from test_tls import HERE, grpc_try, tls_env
from test_verify import verify

SMOKE = False
OUTBOX = 'counter.internal.Outbox'
ROUNDS = int(os.environ.get('ROUNDS', 0)) or 4


def refused_as(ask_it, client):
    try:
        ask_it()
    except client.grpc.RpcError as why:
        return why.code().name
    return 'OK'


class Apart(Group):
    """A counter on the store of 'data', an analytics with the folder that was beside it, a gateway;
    a Server to its tests by the gateway, and to `recount` by the analytics."""

    def __init__(self, data, flags=()):
        own = pathlib.Path(data).parent / 'apart'
        own.mkdir()
        shutil.move(pathlib.Path(data, 'analytics'), own / 'analytics')
        self.counter = Server(role='counter', data=data, port=free_port(), flags=flags)
        at = f'127.0.0.1:{self.counter.port}'
        self.analytics = Server(role='analytics', data=own, port=free_port(), flags=['--counter', at])
        self.gateway = Server(role='gateway', flags=['--counter', at, '--analytics',
                                                     f'127.0.0.1:{self.analytics.port}'])
        super().__init__([self.counter, self.analytics, self.gateway])

    def start(self):
        super().start()
        ready(self.gateway)
        self.http = self.gateway.http
        wait_for('all three answer', lambda: answers(self))
        return self

    def drift(self):
        """The exit code of verify beside the load."""
        return verify('--data', self.counter.data, '--analytics', f'127.0.0.1:{self.analytics.port}')

    def consumers(self):
        text = call(self.counter.admin, 'GET', '/metrics').body.decode()
        return next(float(line.split()[1]) for line in text.splitlines()
                    if line.startswith('hgp_outbox_consumers '))


@contextlib.contextmanager
def apart(flags=()):
    """An analytics that is wrong and can't know it, and what is right."""
    with planted(flags) as (server, sent, data):
        server.stop()
        with Apart(data, flags) as three:
            check(wrong(three, sent), 'it was planted')
            yield three, sent


def recount_beside_a_load(three, sent):
    """Its exit code and what it said."""
    tool = begin_recount(three.analytics)
    while tool.poll() is None:
        count_with(three, sent, random_items(20))
    said = ended(tool)
    return tool.returncode, said


def test_under_load():
    """Totals are the counter's; what windows lack is said; nobody who asks notices."""
    with apart() as (three, sent):
        began = int(time.time())
        with Reading(three):
            code, said = recount_beside_a_load(three, sent)
            eq(code, 0, said)
            check(', 0 values' not in said.splitlines()[-1], said)
            code, out, err = three.drift()
            eq(code, 0, f'verify: {out} {err}')
        caught_up(three, sent, zeros=False)
        got = ask(three, TOP.split('/')[-1] + '&time_range=all')
        check(got['exact'] and got['complete_since'] >= began - 1, f'{got}')
        check(not ask(three, TOP.split('/')[-1] + '&time_range=1h')['exact'], 'windows lack the past')
        wait_for('nothing holds the outbox', lambda: three.consumers() == 1)
        ended(begin_recount(three.analytics), 0)  # of what is right: the same
        caught_up(three, sent, zeros=False)
        three.analytics.kill()
        three.analytics.restart()
        wait_for('it answers', lambda: answers(three))
        caught_up(three, sent, zeros=False)
        eq(three.stop(), 0, 'exit code')


MANY = 6000  # counters of some pages


def count_many(three):
    with Connection(three.http) as connection:
        for first in range(0, MANY, 500):
            items = [item(f'many-{n:06}', 'silent', 1 + n) for n in range(first, first + 500)]
            eq(connection.request('POST', '/api/v1/counter/batch/increment', {'items': items}).status,
               200, 'many')


def check_many(three):
    path = 'top?counter_type=silent&time_range=all&limit=1000'
    want = [(f'many-{n - 1:06}', n) for n in range(MANY, MANY - 1000, -1)]
    wait_for('all of the many', lambda: [(c['resource_id'], c['value'])
                                         for c in ask(three, path)['counters']] == want)
    last = ask(three, f'top?counter_type=silent&time_range=all&offset={MANY - 1}&limit=10')['counters']
    eq([(c['resource_id'], c['value']) for c in last], [('many-000000', 1)], 'the last of the many')


def test_kills_of_either_side():
    """In the middle of it, under load: it is done or nothing has changed, and the next one is done."""
    number = 0
    with apart(['--durability', 'fast']) as (three, sent):
        count_many(three)
        for n in range(ROUNDS):
            victims = [[three.analytics], [three.counter], [three.counter, three.analytics]][n % 3]
            tool = begin_recount(three.analytics)
            number = count_through(three, sent, number, random.uniform(0, 0.15),
                                   lambda: kill_and_restart(victims))
            while tool.poll() is None:
                time.sleep(0.02)
            said = ended(tool)
            check(tool.returncode in (0, 1, 69), said)
            wait_for('all answer', lambda: answers(three))
            if tool.returncode != 0 and wrong(three, sent):
                check(not pathlib.Path(three.analytics.data, 'analytics.recount').exists(), 'nothing is left')
            code, said = recount_beside_a_load(three, sent)
            eq(code, 0, f'the next one: {said}')
            caught_up(three, sent, zeros=False)
            check_many(three)
            code, out, err = three.drift()
            eq(code, 0, f'verify: {out} {err}')
            wait_for('nothing holds the outbox', lambda: three.consumers() == 1)
        eq(three.stop(), 0, 'exit code')


def follow_and_go(client, name):
    """Under that name, until it is registered; no last words."""
    pb, gone = client.modules.outbox, threading.Event()

    def requests():
        yield pb.FollowRequest(open=name)
        gone.wait(lib.WAIT_S)

    stream = client.method(f'/{OUTBOX}/Follow', pb.FollowResponse, 'stream_stream')(
        requests(), timeout=lib.WAIT_S)
    check(next(stream).opened.store_id, 'it is opened')
    stream.cancel()
    gone.set()


def test_what_one_that_was_cut_off_leaves():
    """The counter keeps nothing for a recount that no process does any more."""
    with apart() as (three, _):
        with Client(three.counter) as client:
            follow_and_go(client, 'analytics-recount')
        wait_for('it is registered', lambda: three.consumers() == 2)
        three.analytics.kill()
        three.analytics.restart()
        wait_for('it answers', lambda: answers(three))
        wait_for('nothing holds the outbox', lambda: three.consumers() == 1)
        eq(three.stop(), 0, 'exit code')


def test_values_by_another_client():
    """All counters, each once, in order; what makes no sense is refused."""
    with Server(role='counter') as counter, Client(counter) as client:
        pb = client.modules.outbox
        for first in range(0, MANY, 500):
            client.batch_increment([(f'many-{n:06}', 1 + n, '') for n in range(first, first + 500)])
        values = client.method(f'/{OUTBOX}/Values', pb.ValuesResponse)
        got, request = [], pb.ValuesRequest(walk=7)
        while True:
            page = values(request, timeout=lib.WAIT_S)
            got += [(one.resource_id, one.counter_type, one.value) for one in page.values]
            if page.complete:
                break
            request = pb.ValuesRequest(walk=7, resource_id=got[-1][0], counter_type=got[-1][1])
        eq(got, [(f'many-{n:06}', 'like', 1 + n) for n in range(MANY)], 'all of them')
        client.increment('many-000000', 5)
        eq(values(pb.ValuesRequest(walk=8), timeout=lib.WAIT_S).values[0].value, 6, 'another walk looks anew')
        for bad in [b'\xff', pb.ValuesRequest(walk=1, resource_id='a')]:
            eq(refused_as(lambda: values(bad, timeout=lib.WAIT_S), client), 'INVALID_ARGUMENT', f'{bad}')
        eq(counter.stop(), 0, 'exit code')


def events_counted(analytics):
    text = call(analytics.admin, 'GET', '/metrics').body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith('hgp_analytics_events_total'))


def test_mutual_tls():
    """Values come as events do: by the certificates of grpc_tls."""
    with Pki() as pki:
        pki.make('server', HERE)
        env = tls_env(pki, 'GRPC', CA_FILE=pki.pem('ca'))
        with Server(role='counter', port=free_port(), env=env) as counter, Server(
                role='analytics', env={**env, 'HGP_ANALYTICS_COMMIT_MS': '200'},
                flags=['--counter', f'localhost:{counter.port}']) as analytics:
            eq(grpc_try(counter, pki, name='server'), 1, 'counted')
            wait_for('it is counted', lambda: events_counted(analytics) == 1)
            analytics.stop()
            counter.stop()
            shutil.rmtree(pathlib.Path(analytics.data, 'analytics'))
            counter.restart()
            analytics.restart()
            wait_for('it follows', lambda: 'reading a counter' in analytics.said())
            said = ended(begin_recount(analytics), 0)
            check('done: 0 events, 1 values' in said, said)


def test_a_counter_that_was_never_there():
    """Nobody can tell then what a recount must have: what was counted stays."""
    with apart() as (three, sent):
        ended(begin_recount(three.analytics), 0)
        caught_up(three, sent, zeros=False)
        three.counter.stop()
        three.analytics.stop()
        three.analytics.restart()
        said = ended(begin_recount(three.analytics), 1)
        check('nothing has come' in said, said)
        three.counter.restart()
        wait_for('all answer', lambda: answers(three))
        caught_up(three, sent, zeros=False)
