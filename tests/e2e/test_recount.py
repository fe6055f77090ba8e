"""Analytics that begins when there is a store already: the values come from the store itself, while
both are at work."""
import pathlib
import shutil
import time

import lib
from lib import BATCH_INCREMENT, Connection, Server, check, eq, item
from test_analytics import ask
from test_backup import Load

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
