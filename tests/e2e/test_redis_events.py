"""Events of a real Redis in a real Kafka: the promises of test_kafka, from a store that several
processes share, and that can be away by itself.
"""
import random
import signal
import time

import lib
from lib import BATCH_INCREMENT, Server, call, check, eq, get, increment, item
from test_kafka import (COUNTERS, Counting, audit, consume, events_state, figures, kafka, load,
                        metric, nowhere, topic_url, wait_for)
from test_redis import Shared, redis
from test_redis_cluster import Cluster, masters

SMOKE = False
LANES = 4
OFF = {'HGP_ANALYTICS_ENABLED': 'false'}


class Store:
    """A database, and what is in it."""

    def __init__(self, server, db=0):
        self.server = server
        self.flags = ['--store', f'{server.url}/{db}']
        self.db = db

    def cli(self, *args):
        return self.server.cli('-n', self.db, *args)

    def lane(self, lane, field):
        return self.cli('hget', f'hgp:{{{lane}}}:m', field)

    def waiting(self):
        """Entries in the outboxes."""
        return sum(int(self.cli('xlen', f'hgp:{{{lane}}}:o')) for lane in range(LANES))

    def owners(self):
        """Instance by group of lanes."""
        words = self.cli('hgetall', 'hgp:lease:kafka').split()
        fields = dict(zip(words[::2], words[1::2]))
        return {name[2:]: value for name, value in fields.items() if name.startswith('g:')}


def shared_store():
    url, db = Shared.store()
    del url
    return Store(Shared.server, db)


def counting(store, topic, **more):
    return Counting(topic, env=OFF | more.pop('env', {}), flags=store.flags, **more)


def wait_shipped(store):
    wait_for('every event is in Kafka, reported and trimmed', lambda: store.waiting() == 0)


def test_every_change_is_an_event():
    store = shared_store()
    with counting(store, topic_url(kafka())) as server:
        increment(server, 'post', 5)
        increment(server, 'post', -2)
        increment(server, 'a"b\\c', 1, 'key')
        increment(server, 'a"b\\c', 1, 'key')  # a replay is no change
        increment(server, 'a:b', 1, counter_type='c:%d')
        call(server.admin, 'PUT', lib.counter_path('post'), {'value': 100})
        call(server.admin, 'DELETE', lib.counter_path('post'))
        call(server.http, 'POST', BATCH_INCREMENT,
             {'items': [item('x'), item('x', 'like', 2), item('y')]})
        wait_shipped(store)
        events = [event for _, _, event in consume(server)]
        got = [(event['resource_id'], event['counter_type'], event['kind'], event['delta'],
                event['new_value'], event['count']) for event in events]
        eq([e[2:] for e in got if e[0] == 'post'],
           [('add', 5, 5, 1), ('add', -2, 3, 1), ('set', 97, 100, 1), ('reset', -100, 0, 1)],
           'the events of one counter')
        eq(sorted(e for e in got if e[0] != 'post'),
           [('a"b\\c', 'like', 'add', 1, 1, 1), ('a:b', 'c:%d', 'add', 1, 1, 1),
            ('x', 'like', 'add', 3, 3, 2), ('y', 'like', 'add', 1, 1, 1)], 'the other events')
        check(len({event['event_id'] for event in events}) == 8, 'each has an id of its own')
        eq(metric(server, 'hgp_outbox_consumers'), 1, 'who reads the outbox')
        eq(events_state(server)['status'], 'shipping', 'readiness')
        eq(figures(server)['events_sent'], 8, 'the figures')
        eq(server.stop(), 0, 'exit code')
    eq(store.owners(), {}, 'leases are given back')


def test_kill_9_under_load_and_two_that_share():
    """Whoever dies, the other one takes over, and each lane's events are there without a gap."""
    store = shared_store()
    topic = topic_url(kafka())
    with counting(store, topic) as one, counting(store, topic) as two:
        wait_for('both have lanes', lambda: len(set(store.owners().values())) == 2 and
                 len(store.owners()) == LANES)
        load(one, seconds=0.5)
        for dying, living in ((one, two), (two, one)):
            moment = time.monotonic() + random.uniform(0.2, 0.6)

            def kill(swarm, moment=moment, dying=dying):
                if time.monotonic() >= moment and dying.alive():
                    dying.process.kill()

            check(load(living, kill) > 0, 'the other one counts on')
            dying.kill()
            killed = time.monotonic()
            wait_for('the other one has all lanes', lambda: len(set(store.owners().values())) == 1)
            wait_shipped(store)
            print(f'     taken over and shipped {time.monotonic() - killed:.1f} s after the kill',
                  flush=True)
            dying.start()
            wait_for('both have lanes', lambda: len(set(store.owners().values())) == 2)
        load(two, seconds=0.5)
        wait_shipped(store)
        duplicates, sums = audit(two, 'shared')
        eq(len(sums), COUNTERS, 'counters in the topic')
        print(f'     {duplicates} events came twice', flush=True)


def test_one_that_stands_still_is_no_harm():
    """A lease runs out while its owner sleeps; awake again it is a zombie for a moment."""
    store = shared_store()
    topic = topic_url(kafka())
    with counting(store, topic) as one, counting(store, topic) as two:
        wait_for('both have lanes', lambda: len(set(store.owners().values())) == 2)
        load(one, seconds=0.3)
        one.send_signal(signal.SIGSTOP)
        load(two, seconds=0.3)
        wait_for('the other one has all lanes', lambda: len(set(store.owners().values())) == 1)
        wait_shipped(store)
        one.send_signal(signal.SIGCONT)
        load(one, seconds=0.5)
        wait_for('both have lanes', lambda: len(set(store.owners().values())) == 2)
        wait_shipped(store)
        audit(one, 'after standing still')


def test_redis_is_killed_and_comes_back():
    with redis() as server:
        store = Store(server)
        with counting(store, topic_url(kafka())) as relay:
            load(relay, seconds=0.3)
            server.process.kill()
            eq(increment(relay, 'away').status, 503, 'without Redis')
            server.restart()
            wait_for('counting goes on', lambda: call(relay.http, 'GET', '/readyz').status == 200)
            load(relay, seconds=0.3)
            wait_shipped(store)
            audit(relay, 'after its return')


def test_kafka_is_away_and_the_outbox_fills_up():
    """Writes are refused before anything is changed; reads and replays are not."""
    store = shared_store()
    small = {'HGP_OUTBOX_MAX_BYTES': '262144', 'HGP_EVENTS_COALESCE': 'false'}
    batch = {'items': [item('full') for _ in range(500)]}
    with counting(store, nowhere(), env=small) as server:
        wait_for('its lanes are held', lambda: metric(server, 'hgp_outbox_consumers') == 1 or
                 increment(server, 'other').status != 200)
        eq(increment(server, 'full', 1, 'before').status, 200, 'one with a key')
        for _ in range(20):
            answer = call(server.http, 'POST', BATCH_INCREMENT, batch)
            if b'outbox is full' in answer.body:
                break
        value = get(server, 'full')
        check(0 < value < 20 * 500, f'the outbox has an end: {value}')
        answer = increment(server, 'full')
        eq(answer.status, 503, 'a write')
        check(answer.header('Retry-After'), 'Retry-After')
        check(b'outbox is full' in answer.body, f'the reason: {answer.body!r}')
        eq(get(server, 'full'), value, 'a read, and nothing changed')
        check(metric(server, 'hgp_outbox_refused_total') >= 1, 'the metric')
        wait_for('a lane that fills up is told', lambda: increment(server, 'other') and
                 metric(server, 'hgp_outbox_filling') >= 1)  # looked at behind traffic
        server.kill()
    with Server(env=OFF | small, flags=store.flags) as server:  # none, and nobody alive has it
        wait_for('given up', lambda: increment(server, 'full').status == 200)
        for _ in range(20):
            eq(call(server.http, 'POST', BATCH_INCREMENT, batch).status, 200, 'a write')
        eq([store.lane(lane, 'consumers') for lane in range(LANES)], ['0'] * LANES,
           'nobody reads it')


def test_none_gives_up_nobody_alive():
    """A process that sends no events leaves those alone that do."""
    store = shared_store()
    with counting(store, topic_url(kafka())) as relay:
        increment(relay, 'a')
        wait_shipped(store)
        with Server(env=OFF, flags=store.flags) as other:
            increment(other, 'b')
            eq(other.stop(), 0, 'exit code')
        eq([store.lane(lane, 'consumers') for lane in range(LANES)], ['1'] * LANES, 'still there')
        wait_shipped(store)
        audit(relay, 'two processes, one of them sends')


def test_a_cluster():
    """Lanes on three nodes, shared by two processes, one of which dies."""
    url = Cluster.store()
    topic = topic_url(kafka())
    env = OFF | {'HGP_LANES': '64'}
    flags = ['--store', url]
    with (Counting(topic, env=env, flags=flags) as one,
          Counting(topic, env=env, flags=flags) as two):
        load(one, seconds=0.5)
        load(two, seconds=0.5)
        wait_for('all is in Kafka', lambda: sum(figures(s)['events_queued'] for s in (one, two)) == 0
                 and cluster_waiting() == 0)
        one.kill()
        load(two, seconds=0.5)
        wait_for('one ships for both', lambda: cluster_waiting() == 0)
        _, sums = audit(two, 'on a Cluster')
        eq(len(sums), COUNTERS, 'counters in the topic')


def cluster_waiting():
    return sum(int(node.cli('eval', WAITING, 0)) for node in masters())


WAITING = """local sum, cursor = 0, '0'
repeat
    local page = redis.call('scan', cursor, 'match', 'hgp:{*}:o', 'count', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do sum = sum + redis.call('xlen', key) end
until cursor == '0'
return sum"""
