"""The machine's wall clock is corrected: nothing that is new is refused, no key expires early."""
import pathlib
import tempfile
import time

from lib import Server, check, eq, get, increment, preloaded

SMOKE = False  # a sanitizer wants to be loaded first
HOUR_MS = 3600000
SILENCE_MS = 130000  # longer than a producer is remembered


class Clock:
    """A server's wall clock, ahead of the machine's."""

    def __init__(self, folder):
        self.shim = preloaded('wallclock')
        self.file = pathlib.Path(folder, 'ahead')
        self.set(0)

    def set(self, ahead_ms):
        with open(self.file, 'r+b' if self.file.exists() else 'wb') as out:
            out.write(ahead_ms.to_bytes(8, 'little', signed=True))

    def server(self):
        return Server(env={'LD_PRELOAD': self.shim, 'WALLCLOCK_AHEAD': str(self.file)})


def seconds(answer):
    return answer.json()['data']['timestamp']


def test_ahead_then_corrected():
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(folder)
        clock.set(HOUR_MS)
        with clock.server() as server:
            first = increment(server, 'c', 1, 'k')
            check(seconds(first) > time.time() + HOUR_MS / 1000 - 60, 'the shim works')
            for ahead_ms in (HOUR_MS + SILENCE_MS, 0, -HOUR_MS):
                server.stop()
                clock.set(ahead_ms)
                server.restart()
                for _ in range(3):
                    eq(increment(server, 'c', 1).status, 200, f'status, {ahead_ms} ms ahead')
                eq(increment(server, 'c', 1, 'k').body, first.body, 'the first answer')
            eq(get(server, 'c'), 10, 'the counter')


def test_steps_while_serving():
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(folder)
        with clock.server() as server:
            first = increment(server, 'c', 1, 'k')
            for n, ahead_ms in enumerate((HOUR_MS, 0, 10000 * HOUR_MS, -HOUR_MS, HOUR_MS, 500)):
                clock.set(ahead_ms)
                for _ in range(3):
                    eq(increment(server, 'c', 1).status, 200, f'status, {ahead_ms} ms ahead')
                fresh = increment(server, f'new-{n}', 1)
                check(seconds(fresh) >= time.time() + ahead_ms / 1000 - 60, 'event time follows')
                eq(increment(server, 'c', 1, 'k').body, first.body, 'the first answer')
            eq(get(server, 'c'), 19, 'the counter')
