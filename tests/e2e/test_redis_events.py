"""Events of a real Redis in a real Kafka: the promises of test_kafka, from a store that several
processes share, and that can be away by itself.
"""
import concurrent.futures
import random
import shutil
import signal
import subprocess

import lib
from lib import BATCH_INCREMENT, INCREMENT, Server, call, check, eq, get_many, increment, item, ready
from test_kafka import (COUNTERS, NAMES, Counting, audit, consume, events_state, figures, fill_up, kafka,
                        load, metric, nowhere, topic_url, wait_for)
from test_redis import REPLICATED, Shared, fail_over, redis, sentinels
from test_redis_cluster import Cluster, dev_servers, masters, reshard

SMOKE = False
LONG = True
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


def both_have_lanes(store):
    return len(set(store.owners().values())) == 2 and len(store.owners()) == LANES


def one_has_all(store):
    return len(set(store.owners().values())) == 1 and len(store.owners()) == LANES


def kill_one(store, dying, living):
    """The other one takes over."""
    dying.process.kill()
    load(living)
    wait_for('the other one has all lanes', lambda: one_has_all(store))
    wait_shipped(store)
    dying.kill()
    dying.start()


def one_stands_still(store, sleeping, living):
    """Its leases run out while it sleeps; awake again it is a zombie for a moment."""
    sleeping.send_signal(signal.SIGSTOP)
    load(living)
    wait_for('the other one has all lanes', lambda: one_has_all(store))
    wait_shipped(store)
    sleeping.send_signal(signal.SIGCONT)
    load(sleeping, seconds=0.3)


def kill_redis(store, one, two):
    """All wait for it, and go on."""
    store.server.process.kill()
    eq(increment(one, 'away').status, 503, 'without Redis')
    store.server.restart()
    for server in (one, two):
        ready(server)


def kafka_is_away(_, one, two):
    """Events wait in Redis; only by --rounds, as a broker takes its time to come back."""
    broker = kafka().processes()[0]
    broker.kill()
    load(one)
    load(two)
    broker.start()


def test_two_that_share():
    """Whatever happens to whom, each lane's events are in Kafka without a gap."""
    faults = [kill_one, one_stands_still, kill_redis, kafka_is_away]
    rounds = max(3, lib.ROUNDS)
    rng = random.Random(lib.ROUNDS)
    topic = topic_url(kafka())
    with redis() as server:
        store = Store(server)
        with counting(store, topic) as one, counting(store, topic) as two:
            for n in range(rounds):
                wait_for('both have lanes', lambda: both_have_lanes(store))
                load(one, seconds=0.3)
                faults[n % len(faults)](store, *rng.sample((one, two), 2))
            load(two, seconds=0.3)
            wait_shipped(store)
            duplicates, sums = audit(two, 'shared')
            check(len(sums) >= COUNTERS, 'counters in the topic')
            print(f'     {rounds} faults, {duplicates} events came twice', flush=True)


def test_kafka_is_away_and_the_outbox_fills_up():
    """Writes are refused before anything is changed; reads and replays are not."""
    store = shared_store()
    small = {'HGP_OUTBOX_MAX_BYTES': '262144', 'HGP_EVENTS_COALESCE': 'false'}
    batch = {'items': [item('full') for _ in range(500)]}
    with counting(store, nowhere(), env=small) as server:
        wait_for('its lanes are held', lambda: metric(server, 'hgp_outbox_consumers') == 1 or
                 increment(server, 'other').status != 200)
        eq(increment(server, 'full', 1, 'before').status, 200, 'one with a key')
        fill_up(server, batch)
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


def load_until(server, job):
    def tick(swarm):
        swarm.stopping = job.done()

    load(server, tick, seconds=60, statuses=(200, 503))
    job.result()


def test_a_failover_by_sentinels():
    """What Kafka has, the new primary has: the relay waits for replicas before it reads."""
    with sentinels() as group, concurrent.futures.ThreadPoolExecutor(1) as pool:
        flags = ['--store', group.url]
        with Counting(topic_url(kafka()), env=OFF | REPLICATED, flags=flags) as relay:
            load(relay, seconds=0.5)
            load_until(relay, pool.submit(fail_over, group))
            wait_for('counting goes on', lambda: call(relay.http, 'GET', '/readyz').status == 200)
            # A replica whose disk is slow for a moment is a 503, as an answer can't be had then.
            load(relay, seconds=0.5, statuses=(200, 503))
            wait_shipped(Store(group.master))
            audit(relay, 'after a failover')
            eq(metric(relay, 'hgp_relay_lanes_stopped'), 0, 'no lane has stopped')


def test_a_cluster():
    """Lanes on three nodes, shared by two processes; one of which dies, slots move, a master dies."""
    url = Cluster.store()
    topic = topic_url(kafka())
    env = OFF | REPLICATED | {'HGP_LANES': '64'}
    flags = ['--store', url]
    with (Counting(topic, env=env, flags=flags) as one,
          Counting(topic, env=env, flags=flags) as two):
        for name in NAMES:  # whatever the load brings: its replicas may be late
            eq(lib.patiently(lambda name=name: increment(one, name)).status, 200, name)
        load(one, seconds=0.5, statuses=(200, 503))
        load(two, seconds=0.5, statuses=(200, 503))
        wait_for('all is in Kafka', lambda: sum(figures(s)['events_queued'] for s in (one, two)) == 0
                 and cluster_waiting() == 0)
        one.kill()
        first, second, third = masters()
        with reshard(first, second) as moving:
            load(two, lambda swarm: setattr(swarm, 'stopping', moving.poll() is not None),
                 seconds=60, statuses=(200, 503))
            eq(moving.returncode, 0, moving.communicate()[0][-500:])
        third.process.kill()
        load(two, seconds=0.5, statuses=(200, 503))
        dev_servers.mend_aof(third.folder)
        third.process.start()
        third.wait()
        # A replica may have taken over, and has to have one of its own again before it counts.
        wait_for('one ships for both', lambda: cluster_waiting() == 0, 3 * lib.WAIT_S)
        eq(metric(two, 'hgp_relay_lanes_stopped'), 0, 'no lane has stopped')
        _, sums = audit(two, 'on a Cluster')
        eq(len(sums), COUNTERS, 'counters in the topic')


# --- a Redis that went back


def tool(name, store, topic, *flags):
    clean = {k: v for k, v in lib.os.environ.items() if not k.startswith('HGP_')}
    done = subprocess.run([str(Server.binary), name, *store, '--events', topic, *flags],
                          capture_output=True, text=True, timeout=120, env=clean)
    return done.returncode, done.stdout + done.stderr


def until_200(*request):
    eq(lib.patiently(lambda: call(*request)).status, 200, request)


def values_of(server):
    return get_many(server, [*NAMES, 'set'])


def brought_forward(store, copy, waiting, env=OFF):
    """What was counted behind a copy, and in the copy since it was put back: both are there in the end."""
    topic = topic_url(kafka())
    more = {'env': env, 'flags': store}

    def shipped(server):
        wait_for('all is in Kafka', lambda: figures(server)['events_queued'] == 0 and waiting() == 0)
        values = values_of(server)
        eq(server.stop(), 0, 'exit code')  # its leases are given back: the next one needn't wait
        return values

    with Counting(topic, **more) as server:
        load(server, seconds=0.3, statuses=(200, 503))
        begun = shipped(server)
    copy.keep()
    with Counting(topic, **more) as server:
        load(server, seconds=0.6, statuses=(200, 503))
        until_200(server.admin, 'PUT', lib.counter_path('set'), {'value': 1000})
        lost = shipped(server)
    eq(tool('recover', store, topic)[0], 0, 'nothing to recover yet')
    copy.put_back()
    with Counting(topic, **more) as server:  # nobody has told it, and its relay ships copies
        for name in NAMES[:5]:
            until_200(server.http, 'POST', INCREMENT, item(name, 'like', 7))
        again = shipped(server)
    code, said = tool('recover', store, topic, '--each')
    eq(code, 1, said)
    check('events are lost' in said and '--apply' in said and '"set" "like" 0 -> 1000' in said, said)
    for flag, why in ((['--apply'], 'brought forward'), ([], 'nothing to recover')):
        code, said = tool('recover', store, topic, *flag)
        eq(code, 0, said)
        check(why in said, said)
    with Counting(topic, **more) as server:
        eq(values_of(server), {name: lost[name] + again[name] - begun[name] for name in lost}, 'values')
        load(server, seconds=0.2, statuses=(200, 503))
        code, said = tool('verify', store, topic, '--strict')
        eq(code, 0, said)
        audit(server, 'brought forward')
        eq(metric(server, 'hgp_relay_lanes_stopped'), 0, 'no lane has stopped')


class Files:
    """A Redis's AOF, and an older one."""

    def __init__(self, server):
        self.server = server
        self.aof = server.folder / 'appendonlydir'
        self.older = server.folder / 'older'

    def keep(self):
        self.server.process.kill()
        shutil.copytree(self.aof, self.older)
        self.server.restart()

    def put_back(self):
        self.server.process.kill()
        shutil.rmtree(self.aof)
        self.older.rename(self.aof)
        self.server.restart()


def test_an_older_aof_is_put_back():
    with redis() as server:
        store = Store(server)
        brought_forward(store.flags, Files(server), store.waiting)


class Keys:
    """The same on all masters of a Cluster, by copies beside the keys."""

    KEEP = """for _, key in ipairs(redis.call('keys', 'hgp:{*')) do
        redis.call('copy', key, 'kept:' .. key)
    end"""
    PUT_BACK = """for _, key in ipairs(redis.call('keys', 'hgp:{*')) do redis.call('del', key) end
    for _, key in ipairs(redis.call('keys', 'kept:*')) do redis.call('rename', key, key:sub(6)) end"""

    def keep(self):
        for node in masters():
            eq(node.cli('eval', self.KEEP, 0), '', 'copies')

    def put_back(self):
        for node in masters():
            eq(node.cli('eval', self.PUT_BACK, 0), '', 'copies')


def test_a_cluster_goes_back():
    brought_forward(['--store', Cluster.store()], Keys(), cluster_waiting, OFF | {'HGP_LANES': '16'})


def cluster_waiting():
    """How many entries are in all outboxes; -1 while not all masters are there to say."""
    said = [node.cli('eval', WAITING, 0) for node in masters()]
    return sum(map(int, said)) if len(said) == 3 and all(map(str.isdigit, said)) else -1


WAITING = """local sum, cursor = 0, '0'
repeat
    local page = redis.call('scan', cursor, 'match', 'hgp:{*}:o', 'count', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do sum = sum + redis.call('xlen', key) end
until cursor == '0'
return sum"""
