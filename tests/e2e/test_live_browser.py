"""Live values in a browser: Chromium's own EventSource, headless, over HTTP/1.1.

Needs chromium, node and npm (scripts/setup.sh browser); says so where they are missing.
"""
import json
import shutil
import subprocess
import time

import lib
from lib import WAIT_S, Connection, Server, Skipped, check, eq, increment, tree

SMOKE = False
HERE = tree() / 'tests/browser'
CACHE = tree() / '.cache/browser'
START_S = 60
N = 1000


class Page:
    """live.html, showing what 'query' asks for."""

    def __init__(self, server, query):
        chromium = shutil.which('chromium')
        if not chromium:
            raise Skipped('chromium is not installed (scripts/setup.sh browser)')
        done = subprocess.run([tree() / 'tests/lib/npm_install.sh', HERE, CACHE],
                              capture_output=True, text=True)
        if done.returncode == 77:
            raise Skipped(done.stdout.strip().splitlines()[-1])
        eq(done.returncode, 0, done.stdout + done.stderr)
        shutil.copy(HERE / 'live.js', CACHE / 'live.js')  # require() looks beside the file
        self.process = subprocess.Popen(
            ['node', 'live.js', chromium, HERE / 'live.html',
             f'http://{server.http[0]}:{server.http[1]}', query],
            cwd=CACHE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._hear()

    def _hear(self):
        line = self.process.stdout.readline()
        check(line, 'the browser has ended')
        return json.loads(line)

    def ask(self, expression):
        self.process.stdin.write(expression + '\n')
        self.process.stdin.flush()
        return self._hear()

    def shows(self, place):
        return self.ask(f'document.getElementById({json.dumps(place)})?.textContent')

    def until(self, what, ask, want):
        end = time.monotonic() + WAIT_S
        while (got := ask()) != want:
            check(time.monotonic() < end, f'{what} stays {got!r}, not {want!r}')
            time.sleep(0.02)

    def until_shows(self, place, text):
        self.until(place, lambda: self.shows(place), text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(START_S)
        self.process.stdout.close()


def many(server, resource_id):
    with Connection(server.http) as client:
        for _ in range(N):
            eq(client.request('POST', lib.INCREMENT, lib.item(resource_id)).status, 200, 'status')


def test_the_last_value_is_shown():
    """1,000 increments, in few frames; then the server goes and comes back, and so does the page."""
    with Server(port=lib.free_port()) as server:
        increment(server, 'page', delta=5, counter_type='view')
        with Page(server, 'counter=page/like&counter=page/view&top=like&time_range=1h') as page:
            page.until_shows('page/view', '5')
            began = time.monotonic()
            many(server, 'page')
            page.until_shows('page/like', str(N))
            took = time.monotonic() - began
            page.until_shows('top', f'page {N}')
            seen = page.ask('seen')
            eq((seen['opened'], seen['errors']), (1, 0), 'one connection')
            check(seen['frames'] <= 2 + took / 0.1, f'{seen["frames"]} frames in {took:.2f} s')
            likes = [value for value in seen['values'] if value != 5]
            eq(likes, sorted(likes), 'values that only grow')

            eq(server.stop(), 0, 'a drain with a page open')
            page.until('errors', lambda: page.ask('seen.errors > 0'), True)
            server.restart()
            page.until('opened', lambda: page.ask('seen.opened'), 2)
            increment(server, 'page')
            page.until_shows('page/like', str(N + 1))
            page.until_shows('top', f'page {N + 1}')
        eq(server.stop(), 0, 'exit code')


def test_who_missed_nothing_is_told_nothing():
    """Last-Event-ID is the browser's own: a page that comes back to what it shows is left alone."""
    with Server(port=lib.free_port()) as server:
        increment(server, 'same')
        with Page(server, 'counter=same/like') as page:
            page.until_shows('same/like', '1')
            frames = page.ask('seen.frames')
            eq(server.stop(), 0, 'exit code')
            server.restart()
            page.until('opened', lambda: page.ask('seen.opened'), 2)
            eq(page.ask('new Promise(done => setTimeout(() => done(seen.frames), 500))'), frames,
               'frames with nothing new')
            increment(server, 'same')
            page.until_shows('same/like', '2')
