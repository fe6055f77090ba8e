"""Analytics beside a Redis: one of the processes there has it, and it counts what all of them count."""
import random
import tempfile
import time

import lib
from lib import Server, call, check, eq, increment, ready
from test_analytics import ask
from test_kafka import load, wait_for
from test_redis import redis

SMOKE = False
ON = {'HGP_ANALYTICS_ENABLED': 'true', 'HGP_ANALYTICS_COMMIT_MS': '100'}
OFF = {'HGP_ANALYTICS_ENABLED': 'false'}
TOP = 'top?counter_type=like&time_range=all&limit=1000'


def values(server):
    """As the store has them."""
    names = [f'k-{n}' for n in range(40)]
    return {name: value for name, value in lib.get_many(server, names).items() if value}


def ranked(server):
    return {c['resource_id']: c['value'] for c in ask(server, TOP)['counters']}


def status(server):
    return call(server.http, 'GET', f'/api/v1/analytics/{TOP}').status


def wait_equal(server, what):
    wait_for(what, lambda: status(server) == 200 and ranked(server) == values(server))
    data = ask(server, TOP)
    eq((data['exact'], data['lag_events']), (True, 0), f'{what}: {data}')


def test_one_has_it_and_all_count():
    with redis() as store, tempfile.TemporaryDirectory() as folder:
        flags = ['--store', store.url]
        with Server(data=folder, env=ON, flags=flags) as one, Server(flags=flags) as other:
            load(one, seconds=0.3)
            load(other, seconds=0.3)
            wait_equal(one, 'what both have counted')
            eq(status(other), 501, 'one that wasn\'t asked to have it')
            for n in range(lib.ROUNDS):
                moment = time.monotonic() + random.uniform(0.1, 0.4)

                def kill(swarm, moment=moment):
                    if time.monotonic() >= moment and one.alive():
                        one.process.kill()

                load(other, kill, seconds=0.6)
                one.kill()
                one.start()
                wait_equal(one, f'after kill {n + 1}')
            store.process.kill()
            check(ask(one, TOP)['exact'] is False, 'without Redis nobody knows what is missing')
            store.restart()
            for server in (one, other):
                ready(server)
            load(other, seconds=0.3)
            wait_equal(one, 'after Redis came back')
            eq(one.stop(), 0, 'exit code')


def test_another_folder_has_no_answers_until_the_first_is_given_up():
    """It would have only what the first one left."""
    with redis() as store, tempfile.TemporaryDirectory() as folder:
        flags = ['--store', store.url]
        with Server(data=folder, env=ON, flags=flags) as one:
            load(one, seconds=0.2)
            wait_equal(one, 'the first one')
            eq(one.stop(), 0, 'exit code')
        with Server(env=ON, flags=flags) as other:
            wait_for('it is said', lambda: 'in another data folder' in other.said())
            eq(status(other), 503, 'no answers')
            eq(increment(other, 'k-0').status, 200, 'counting goes on')
        with Server(env=OFF, flags=flags) as giving_up:
            wait_for('given up', lambda: store.cli('hget', 'hgp:{0}:m', 'consumers') == '0')
            eq(giving_up.stop(), 0, 'exit code')
        with Server(env=ON, flags=flags) as other:
            wait_for('it has begun', lambda: status(other) == 200)
            value = increment(other, 'k-1').value()
            wait_for('it counts from here', lambda: ranked(other).get('k-1') == value)
