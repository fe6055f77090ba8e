"""A store starts after any sequence of starts, whatever each of them wrote and however it ended."""
import random

import lib
from lib import Server, check, eq, get, increment

SMOKE = False
LONG = True
LENGTH = 6
SEED = 20261123


def kill_while_starting(server, dice):
    """Somewhere between exec and ready, or soon behind it."""
    server.wrapper = ['timeout', '--signal=KILL', f'{dice.uniform(0.005, 0.120):.3f}']
    try:
        server.start()
        server.wait()
    except lib.Failed as failed:
        check("can't be" not in str(failed), str(failed))
        server.wait()
    finally:
        server.wrapper = []


def step(server, kind, value, dice):
    """One life of the service; returns the counter's value after it."""
    if kind == 'cut short':
        kill_while_starting(server, dice)
        return value
    server.start()
    eq(get(server, 'starts'), value, 'the counter after a start')
    if kind.startswith('write'):
        value = increment(server, 'starts').value()
    if kind.endswith('killed'):
        server.kill()
    else:
        eq(server.stop(), 0, 'exit code')
    return value


KINDS = ('write, killed', 'killed', 'write, stopped', 'stopped', 'cut short')


def sequences(durability):
    dice = random.Random(f'{SEED} {durability}')
    for n in range(4 * lib.ROUNDS):
        kinds = [dice.choice(KINDS) for _ in range(LENGTH)]
        server = Server(durability=durability)
        value = 0
        try:
            for kind in kinds:
                value = step(server, kind, value, dice)
            server.start()
            eq(get(server, 'starts'), value, 'the counter in the end')
            eq(server.stop(), 0, 'exit code')
        except lib.Failed as failed:
            raise lib.Failed(f'sequence {n} {kinds}: {failed}') from None
        finally:
            server.__exit__()


def test_local():
    sequences('local')


def test_fast():
    sequences('fast')


def test_a_start_without_a_write_between_two_with():
    """RocksDB keeps the log of the one in between, empty."""
    server = Server()
    try:
        value = 0
        for kind in ('write, killed', 'killed', 'write, killed', 'killed', 'killed', 'write, killed'):
            value = step(server, kind, value, None)
        server.start()
        eq(get(server, 'starts'), value, 'the counter')
    finally:
        server.__exit__()
