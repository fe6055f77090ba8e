"""A partition of the topic moves from one analytics process to another, and back, under load and
through kill -9 of whoever takes part; and relay batches that come twice and late."""
import json
import os
import random
import subprocess
import threading
import time

import lib
from grpc_client import PYTHON, Client  # noqa: F401
from lib import Connection, Group, Server, call, check, eq, free_port, wait_for
from test_analytics import Sent, check_all, count, random_items
from test_analytics_kafka import COMMIT, Sharded, first
from test_analytics_role import TOP, answers, count_through, kill_and_restart
from test_kafka import PARTITIONS, Counting, consume, kafka, metric, topic_url

SMOKE = False
ROUNDS = int(os.environ.get('ROUNDS', 0)) or 3


def move_command(sharded, partition, there, *more):
    """From one shard to the other."""
    ports = [shard.port for shard in sharded.shards]
    return [Server.binary, 'move', '--partition', str(partition),
            '--from', f'127.0.0.1:{ports[0 if there else 1]}',
            '--to', f'127.0.0.1:{ports[1 if there else 0]}', *more]


def move(sharded, partition, there, *more):
    return subprocess.run(move_command(sharded, partition, there, *more), capture_output=True,
                          text=True, timeout=120)


def exact(sharded):
    return answers(sharded) and call(sharded.http, 'GET', TOP).json()['data']['exact']


def settled(sharded):
    """Nothing is on its way, in either's memory neither."""
    wait_for('answers are exact', lambda: exact(sharded))


def cancel(sharded, partition, there):
    """Says whether it stays; else it had been given away, and what is left is moving it on."""
    got = move(sharded, partition, there, '--cancel')
    if got.returncode:
        check('given the partition away' in got.stderr, got.stderr)
        eq(move(sharded, partition, there).returncode, 0, 'then it goes on')
    return got.returncode == 0


def held(shard):
    with Client(shard) as client:
        return {c.resource_id for c in client.top(time_range='all', limit=1000).counters}


def check_once(sharded):
    """An answer that says it is exact has every counter once, also while one moves."""
    got = call(sharded.http, 'GET', TOP + '&time_range=all&limit=1000')
    if got.status == 200 and got.json()['data']['exact']:
        names = [c['resource_id'] for c in got.json()['data']['counters']]
        eq(len(names), len(set(names)), f'counters twice: {names}')


def test_there_and_back_under_load():
    sent = Sent()
    with Sharded(partitions=('', 'none'), event_format='protobuf') as sharded:
        wait_for('one without a partition answers', lambda: not held(sharded.shards[1]))
        first(sharded, sent)
        done = []

        def moves():
            for partition, there in ((1, True), (2, True), (1, False), (1, True)):
                done.append(move(sharded, partition, there))

        mover = threading.Thread(target=moves)
        mover.start()
        with Connection(sharded.http) as connection:
            while mover.is_alive():
                count(connection, sent, random_items(60))
                check_once(sharded)
        mover.join()
        for one in done:
            eq(one.returncode, 0, f'{one.args}: {one.stderr}')
        settled(sharded)
        check_all(sharded, sent)
        here, there = held(sharded.shards[0]), held(sharded.shards[1])
        check(here and there and not here & there, f'each has its own: {here} {there}')
        for shard in sharded.shards:  # what was moved stays moved, whatever is configured
            shard.stop()
            shard.restart()
        wait_for('both answer', lambda: answers(sharded))
        with Connection(sharded.http) as connection:
            count(connection, sent, random_items(200))
        settled(sharded)
        check_all(sharded, sent)
        eq(held(sharded.shards[1]) & here, set(), 'it still has its own')
        for shard in sharded.shards:
            eq(metric(shard, 'hgp_analytics_drift_total'), 0, 'events that found another total')
        eq(sharded.stop(), 0, 'exit code')


def test_what_cannot_move():
    sent = Sent()
    with Sharded(partitions=('0,1,2', '3')) as sharded:
        first(sharded, sent)
        for partition, there, said in ((3, True, "doesn't read this partition"),
                                       (9, True, 'no such partition'),
                                       (0, False, "doesn't read this partition")):
            got = move(sharded, partition, there)
            eq(got.returncode, 69, f'{got.args}: {got.stderr}')
            check(said in got.stderr, f'{got.args}: {got.stderr}')
        sharded.shards[1].kill()
        eq(move(sharded, 1, True).returncode, 69, 'nobody is there')
        sharded.shards[1].restart()
        wait_for('both answer', lambda: answers(sharded))
        settled(sharded)
        check_all(sharded, sent)


def test_a_killed_command_is_cancelled():
    sent, there = Sent(), True
    with Sharded(partitions=('', 'none'), event_format='protobuf') as sharded:
        first(sharded, sent)
        for _ in range(ROUNDS):
            with subprocess.Popen(move_command(sharded, 1, there), stderr=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL) as moving:
                time.sleep(random.uniform(0, 0.05))  # at any of its steps
                moving.kill()
            there ^= not cancel(sharded, 1, there)
            settled(sharded)
        check_all(sharded, sent)


def send_on(broker, topic, messages):
    """JSON events as a relay would send them: (partition, key, event), in this order."""
    for partition in range(PARTITIONS):
        lines = ''.join(f'{key}\t{json.dumps(event, separators=(",", ":"))}\n'
                        for at, key, event in messages if at == partition)
        subprocess.run(['kcat', '-P', '-b', broker, '-t', topic, '-p', str(partition), '-K', '\t'],
                       input=lines, text=True, check=True, timeout=60)


def mangle(messages):
    """As relays do that die, come back and overlap: runs come again, once and twice, old ones behind
    newer ones; what a lane has for the first time stays in order."""
    out = []
    for n, message in enumerate(messages):
        out.append(message)
        while random.random() < 0.1:
            begin = random.randrange(n + 1)
            out += messages[begin:min(n + 1, begin + random.randrange(1, 40))]
    return out


def test_batches_that_come_twice_and_late():
    sent = Sent()
    broker = kafka()
    url = topic_url(broker)
    with Counting(url) as maker:
        wait_for('its topic is there', lambda: metric(maker, 'hgp_relay_connected') == 1, 40)
    with Counting(topic_url(broker), role='counter', port=free_port()) as counter:
        analytics = [Server(role='analytics', port=free_port(), flags=['--events', url],
                            env={**COMMIT, 'HGP_ANALYTICS_PARTITIONS': one}) for one in ('0,1', '2,3')]
        gateway = Server(role='gateway', flags=[
            '--counter', f'127.0.0.1:{counter.port}', '--analytics',
            ','.join(f'127.0.0.1:{one.port}' for one in analytics)])
        with gateway:
            lib.ready(gateway)
            with Connection(gateway.http) as connection:
                for _ in range(8):
                    count(connection, sent, random_items(60))
            wait_for('all is in Kafka', lambda: metric(counter, 'hgp_outbox_bytes') == 0, 40)
            messages = consume(counter)
            send_on(counter.brokers, url.split('/')[-1], mangle(messages))
            with Group(analytics):
                wait_for('both answer', lambda: answers(gateway))
                check_all(gateway, sent)
                wait_for('all that came twice was dropped', lambda: sum(
                    metric(one, 'hgp_analytics_duplicates_total') for one in analytics) > 0)
                for one in analytics:
                    eq(metric(one, 'hgp_analytics_halted_lanes'), 0, 'halted lanes')


def test_kills_while_it_moves():
    sent, number, there = Sent(), 0, True
    rng = random.Random()
    with Sharded(partitions=('', 'none')) as sharded:
        first(sharded, sent)
        for n in range(ROUNDS):
            victims = [[sharded.shards[0]], [sharded.shards[1]], [], sharded.shards][n % 4]
            partition = rng.randrange(PARTITIONS)
            moving = subprocess.Popen(move_command(sharded, partition, there),
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            number = count_through(sharded, sent, number, rng.uniform(0, 0.4),
                                   lambda: kill_and_restart(victims) if victims else moving.kill())
            moving.wait(120)
            wait_for('the same command goes on',
                     lambda: move(sharded, partition, there).returncode == 0, 60)
            settled(sharded)
            check_all(sharded, sent)
            if rng.random() < 0.5:  # else the others follow, or it is there already
                eq(move(sharded, partition, not there).returncode, 0, 'and back')
            else:
                there = not there
                for one in range(PARTITIONS):
                    got = move(sharded, one, not there)
                    eq(got.returncode, 0, got.stderr)
            settled(sharded)
            check_all(sharded, sent)
        for shard in sharded.shards:
            eq(metric(shard, 'hgp_analytics_halted_lanes'), 0, 'halted lanes')
        eq(sharded.stop(), 0, 'exit code')
