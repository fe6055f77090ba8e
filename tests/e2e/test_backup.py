"""Backups under load, and what is started from them: a moment of the store, with the analytics that
belongs to it."""
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time

import lib
from lib import BATCH_INCREMENT, Connection, Server, call, check, eq, item
from test_analytics import ask

IDS = 40


class Load(threading.Thread):
    """Increments every counter by one, over and over, all in one message: at any moment they differ
    by one at most."""

    def __init__(self, http):
        super().__init__(daemon=True)
        self.http = http
        self.rounds = 0
        self.over = False

    def run(self):
        items = [item(f'c{n:02}', 'like', 1) for n in range(IDS)]
        with Connection(self.http) as connection:
            while not self.over:
                eq(connection.request('POST', BATCH_INCREMENT, {'items': items}).status, 200, 'load')
                self.rounds += 1

    def wait_for(self, rounds):
        end = time.monotonic() + lib.WAIT_S
        while self.rounds < rounds:
            check(time.monotonic() < end and self.is_alive(), f'{self.rounds} rounds')
            time.sleep(0.005)


def backups_in(folder):
    return sorted(p for p in folder.iterdir() if p.suffix == '')


def back_up(server, folder):
    """Asks for one and waits until it is there."""
    before = len(backups_in(folder))
    server.process.send_signal(signal.SIGUSR2)
    end = time.monotonic() + lib.WAIT_S
    while len(backups_in(folder)) == before:
        check(time.monotonic() < end, f'no backup: {server.said()[-1500:]}')
        time.sleep(0.01)
    return backups_in(folder)[-1]


def values(server, time_range):
    got = ask(server, f'top?counter_type=like&time_range={time_range}&limit=1000')
    eq(got['exact'], True, f'{time_range}: {got}')
    return {c['resource_id']: c['value'] for c in got['counters']}


def stored(server):
    got = call(server.http, 'POST', '/api/v1/counter/batch', {
        'items': [item_of(n) for n in range(IDS)]})
    return {r['resource_id']: r['current_value'] for r in got.json()['data']['results']}


def item_of(number):
    return {'resource_id': f'c{number:02}', 'counter_type': 'like'}


def check_agrees(server):
    """Analytics, in every range, and the store say the same."""
    want = stored(server)
    end = time.monotonic() + lib.WAIT_S
    while values(server, 'all') != want:
        check(time.monotonic() < end, f'{values(server, "all")}, wanted {want}')
        time.sleep(0.01)
    for time_range in ('1h', '24h', '7d', '30d'):
        eq(values(server, time_range), want, time_range)
    return want


def test_a_backup_under_load_is_a_moment_of_everything():
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent, 'backups')
        folder.mkdir()
        env = {'HGP_BACKUP_FOLDER': str(folder), 'HGP_ANALYTICS_COMMIT_MS': '50'}
        with Server(data=os.path.join(parent, 'data'), env=env) as server:
            load = Load(server.http)
            load.start()
            made = []
            for n in range(3):
                load.wait_for((n + 1) * 20)
                low = load.rounds
                made.append((low, back_up(server, folder), load.rounds + 1))
                time.sleep(1.01 if n < 2 else 0)  # their names are seconds
            load.over = True
            load.join()
            server.kill()  # nothing of it helps those that are started below
        for low, copy, high in made:
            with Server(data=str(copy)) as restored:
                seen = check_agrees(restored)
                check(all(low <= v <= high for v in seen.values()),
                      f'{copy}: {seen}, between {low} and {high}')
                again = Load(restored.http)
                again.start()
                again.wait_for(5)
                again.over = True
                again.join()
                eq(check_agrees(restored), {k: v + again.rounds for k, v in seen.items()}, 'goes on')
                restored.stop()


def test_a_copy_of_a_stopped_folder_is_a_backup():
    with tempfile.TemporaryDirectory() as parent:
        data, copy = os.path.join(parent, 'data'), os.path.join(parent, 'copy')
        with Server(data=data) as server:
            load = Load(server.http)
            load.start()
            load.wait_for(10)
            load.over = True
            load.join()
            want = check_agrees(server)
            server.stop()
            shutil.copytree(data, copy)
            server.restart()
            call(server.http, 'POST', '/api/v1/counter/increment', item('c00', 'like', 1))
            server.stop()
        with Server(data=copy) as restored:
            eq(check_agrees(restored), want, 'the copy')
            restored.stop()


def swap(server, copy):
    """The store of the copy, under the analytics that has counted more."""
    server.stop()
    newer = pathlib.Path(copy, 'analytics')
    shutil.rmtree(newer)
    shutil.move(pathlib.Path(server.data, 'analytics'), newer)
    shutil.rmtree(server.data)
    shutil.move(copy, server.data)
    server.restart()


def test_a_newer_analytics_is_not_exact():
    """Events whose numbers it knows from others are missing: it has halted, also for who is started behind
    that."""
    def top():
        return ask(server, 'top?counter_type=like&time_range=all')

    def count(resource_id, times):
        for _ in range(times):
            eq(lib.increment(server, resource_id).status, 200, resource_id)

    with tempfile.TemporaryDirectory() as parent, Server() as server:
        count('a', 10)
        server.stop()
        copy = pathlib.Path(parent, 'copy')
        shutil.copytree(server.data, copy)
        server.restart()
        count('b', 20)
        lib.wait_for('it has counted', lambda: len(top()['counters']) == 2)
        swap(server, copy)
        count('c', 30)
        lib.wait_for('it is told', lambda: not top()['exact'])
        server.stop()
        server.restart()
        count('d', 1)
        lib.wait_for('it goes on', lambda: any(c['resource_id'] == 'd' for c in top()['counters']))
        eq(top()['exact'], False, f'what is missing is missing: {top()}')


def test_without_a_folder_the_log_says_so():
    with Server() as server:
        server.process.send_signal(signal.SIGUSR2)
        end = time.monotonic() + lib.WAIT_S
        while "backup.folder isn't set" not in server.said():
            check(time.monotonic() < end, 'nothing was said')
            time.sleep(0.01)
        eq(call(server.http, 'GET', '/readyz').status, 200, 'goes on')
        server.stop()
