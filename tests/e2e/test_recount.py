"""Analytics that begins when there is a store already: the values come from the store itself, while
both are at work. And analytics counted anew, of which nobody notices but by what is right then."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import lib
from lib import BATCH_INCREMENT, Connection, Server, check, eq, item
from test_analytics import Sent, ask, caught_up, count, random_items
from test_backup import Load

SMOKE = False

SILENT = 1500  # counters that change no more; more than one piece of the recount
SMALL = {'HGP_OUTBOX_MAX_BYTES': '65536'}  # so that their events are gone


def count_silent(server):
    with Connection(server.http) as connection:
        for first in range(0, SILENT, 500):
            items = [item(f's{n:04}', 'like', 1000 + n) for n in range(first, first + 500)]
            eq(connection.request('POST', BATCH_INCREMENT, {'items': items}).status, 200, 'silent')


def fill_outbox(server):
    """Without a consumer the oldest events make room."""
    with Connection(server.http) as connection:
        for _ in range(40):
            items = [item(f'filler-{n}', 'other', 1) for n in range(200)]
            eq(connection.request('POST', BATCH_INCREMENT, {'items': items}).status, 200, 'filler')


def ranked(server):
    got = ask(server, 'top?counter_type=like&time_range=all&limit=1000')
    return got['exact'], [(c['resource_id'], c['value']) for c in got['counters']]


def check_ranked(server, load):
    """The silent ones in front, exactly; then those that were counted meanwhile."""
    want = [(f's{n:04}', 1000 + n) for n in reversed(range(SILENT - 1000, SILENT))]
    end = time.monotonic() + lib.WAIT_S
    while ranked(server) != (True, want):
        check(time.monotonic() < end, f'{ranked(server)[0]}, {ranked(server)[1][:5]}')
        time.sleep(0.01)
    page = ask(server, 'top?counter_type=like&time_range=all&offset=1000&limit=1000')
    eq([c['value'] for c in page['counters'][:500]], list(range(1499, 999, -1)), 'the second page')
    while True:
        value = ask(server, 'stats/c00/like?time_range=all')['metrics']['total']
        if value == load.rounds:
            break
        check(time.monotonic() < end, f'{value} of {load.rounds}')
        time.sleep(0.01)


def load_during(server, check_it):
    load = Load(server.http)
    load.start()
    load.wait_for(20)
    load.over = True
    load.join()
    check_it(server, load)
    return load


def test_switched_on_over_a_store_that_is_there():
    with Server(env={'HGP_ANALYTICS_ENABLED': 'false', **SMALL}) as server:
        count_silent(server)
        fill_outbox(server)
        server.stop()
        del server.env['HGP_ANALYTICS_ENABLED'], server.env['HGP_OUTBOX_MAX_BYTES']
        server.restart()
        load = load_during(server, check_ranked)
        check('has taken the values' in server.said(), 'the log says so')
        server.kill()
        server.restart()  # the values stay
        check_ranked(server, load)
        eq(server.stop(), 0, 'exit code')


def test_a_folder_that_was_removed():
    with Server() as server:
        count_silent(server)
        end = time.monotonic() + lib.WAIT_S
        while len(ranked(server)[1]) < 1000:
            check(time.monotonic() < end, 'counted')
        server.stop()
        shutil.rmtree(pathlib.Path(server.data, 'analytics'))
        server.restart()
        load_during(server, check_ranked)
        server.stop()


# ---- highgopress recount


class Reading(threading.Thread):
    """Asks for rankings and series until it is stopped: each is answered."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over, self.answers, self.failed = server, False, 0, None

    def run(self):
        paths = ['top?counter_type=like&time_range=all', 'stats/a/like?time_range=1h']
        try:
            with Connection(self.server.http) as connection:
                while not self.over:
                    for path in paths:
                        got = connection.request('GET', f'/api/v1/analytics/{path}')
                        eq(got.status, 200, f'{path}: {got!r}')
                        self.answers += 1
        except Exception as why:  # pylint: disable=broad-except
            self.failed = why

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()
        check(self.failed is None and self.answers > 0, f'{self.answers} answers: {self.failed}')


def begin_recount(server):
    role = 'analytics' if server.role == 'analytics' else 'all'
    host, port = server.admin
    clean = {k: v for k, v in os.environ.items() if not k.startswith('HGP_')}
    return subprocess.Popen([str(Server.binary), 'recount', role, '--admin', f'{host}:{port}'],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean)


def ended(tool, code=None):
    out, err = tool.communicate(timeout=120)
    eq(tool.returncode, tool.returncode if code is None else code, f'recount: {out[-500:]} {err[-500:]}')
    return out + err


def count_with(server, sent, items):
    with Connection(server.http) as connection:
        count(connection, sent, items)


def other(items):
    """The same counters, by other values: their events have the same numbers."""
    return [{**one, 'delta': 1000 + abs(one['delta'])} for one in items]


@contextlib.contextmanager
def planted(flags):
    """A store, what was sent to it, and an analytics that has counted something else under the same
    positions, which it can't know."""
    sent = Sent()
    with tempfile.TemporaryDirectory() as parent:
        data, fork = pathlib.Path(parent, 'data'), pathlib.Path(parent, 'fork')
        items = list({(i['resource_id'], i['counter_type']): i for i in random_items(50)}.values())
        with Server(data=data, flags=flags) as server:
            count_with(server, sent, random_items(50))
            caught_up(server, sent)
            server.stop()
            shutil.copytree(data, fork)
            with Server(data=fork) as forked:
                elsewhere = Sent()
                elsewhere.db.executemany('INSERT INTO change VALUES (?, ?, ?, ?, ?, ?)',
                                         sent.db.execute('SELECT * FROM change'))
                count_with(forked, elsewhere, other(items))
                caught_up(forked, elsewhere)
                forked.stop()
            server.restart()
            count_with(server, sent, items)
            caught_up(server, sent)
            server.stop()
            shutil.rmtree(data / 'analytics')
            shutil.copytree(fork / 'analytics', data / 'analytics')
            server.restart()
            check(wrong(server, sent), 'it was planted')
            yield server, sent, data


def wrong(server, sent):
    """And it doesn't know, as it has all events that there are."""
    def asked():
        return ask(server, 'top?counter_type=like&time_range=all&limit=1000')

    lib.wait_for('it has all events', lambda: asked()['lag_events'] == 0)
    got = asked()
    eq((got['exact'], got['lag_events']), (True, 0), 'it doesn\'t know')
    return {c['resource_id']: c['value'] for c in got['counters']} != dict(sent.top('like', 'all', 0))


def test_from_the_store_alone():
    """Totals are the store's; what windows lack is said."""
    with planted([]) as (server, sent, _):
        began = int(time.time())
        with Reading(server):
            tool = begin_recount(server)
            while tool.poll() is None:
                count_with(server, sent, random_items(20))
            ended(tool, 0)
        caught_up(server, sent, zeros=False)
        got = ask(server, 'top?counter_type=like&time_range=all')
        check(got['exact'] and got['complete_since'] >= began - 1, f'{got}')
        got = ask(server, 'top?counter_type=like&time_range=1h')
        check(not got['exact'] and got['complete_since'] >= began - 1, f'{got}')
        server.kill()
        server.restart()
        caught_up(server, sent, zeros=False)
        check(ask(server, 'top?counter_type=like&time_range=all')['exact'], 'as before')
        eq(server.stop(), 0, 'exit code')


def test_where_it_cannot_be():
    with Server(env={'HGP_ANALYTICS_ENABLED': 'false'}) as server:
        check('run in this process' in ended(begin_recount(server), 69), 'no analytics')
        server.stop()
        check('refused' in ended(begin_recount(server), 69), 'no process')
