"""Analytics from a Kafka topic: two processes share its partitions, a gateway merges them."""
import os
import pathlib
import random
import shutil
import socket
import struct
import tempfile
import time

import lib
from grpc_client import PYTHON, Client  # noqa: F401
from lib import Connection, Group, Server, call, check, eq, free_port, item, ready, wait_for
from test_analytics import (RANGES, Sent, ask, caught_up, check_all, count, random_items,
                            set_one)
from test_analytics_role import TOP, answers, count_through, kill_and_restart
from test_backup import back_up
from test_kafka import PARTITIONS, Counting, kafka, metric, topic_url, wait_shipped
from test_recount import Reading, begin_recount, count_with, ended, planted

SMOKE = False
LONG = True
ROUNDS = int(os.environ.get('ROUNDS', 0)) or 4
COMMIT = {'HGP_ANALYTICS_COMMIT_MS': '200'}


class Sharded(Group):
    """A counter whose events go to a topic of four partitions, two analytics, a gateway."""

    def __init__(self, partitions=('0,1', '2,3'), event_format='json'):
        url = topic_url(kafka())
        self.counter = Server(role='counter', port=free_port(), flags=['--events', url],
                              env={'HGP_EVENTS_FORMAT': event_format})
        self.shards = [Server(role='analytics', port=free_port(), flags=['--events', url],
                              env={**COMMIT, 'HGP_ANALYTICS_PARTITIONS': one, 'HGP_STORE': 'rocksdb:'})
                       for one in partitions]
        self.gateway = Server(role='gateway', flags=[
            '--counter', f'127.0.0.1:{self.counter.port}', '--analytics',
            ','.join(f'127.0.0.1:{shard.port}' for shard in self.shards)])
        super().__init__([self.counter, *self.shards, self.gateway])

    def start(self):
        super().start()
        ready(self.gateway)
        self.http, self.admin = self.gateway.http, self.gateway.admin
        return self


def no_drift(servers):
    """As each event tells; since their starts. Figures are as of the last commit."""
    for server in servers:
        wait_for('events are compared', lambda: metric(server, 'hgp_analytics_checked_events_total') > 0)
        eq(metric(server, 'hgp_analytics_drift_total'), 0, 'events that found another total')


def first(sharded, sent):
    """Every lane has an event, so that those who read any know whose store it is."""
    with Connection(sharded.http) as connection:
        count(connection, sent, random_items(200))
    readers = [shard for shard in sharded.shards if shard.env['HGP_ANALYTICS_PARTITIONS'] != 'none']
    wait_for('all have counted', lambda: all(metric(shard, 'hgp_analytics_events_total') > 0
                                             for shard in readers))
    wait_for('both answer', lambda: answers(sharded))


def answer(server, path):
    """A 503 is the truth for a while, on a machine with much to do."""
    return wait_for(path, lambda: (got := call(server.http, 'GET', path)).status == 200 and
                    got.json()['data'])


def partitions_said(sharded):
    """(missing, doubled) of a ranking, and by the figures of the gateway."""
    data = answer(sharded, f'{TOP}&time_range=all')
    missing, doubled = (data.get(f'{how}_partitions', []) for how in ('missing', 'doubled'))
    check(data['exact'] != bool(missing or doubled) and 'max_error' not in data, f'{data}')
    eq([metric(sharded, f'hgp_analytics_{how}_partitions') for how in ('missing', 'doubled')],
       [len(missing), len(doubled)], 'figures')
    return missing, doubled


def test_a_partition_is_nobodys_another_twos():
    sent = Sent()
    with Sharded(partitions=('0,1', '1,3')) as sharded:
        first(sharded, sent)
        eq(partitions_said(sharded), ([2], [1]), 'said')
        data = answer(sharded, '/api/v1/analytics/stats/a/like')
        eq([data[key] for key in ('exact', 'missing_partitions', 'doubled_partitions')],
           [False, [2], [1]], 'of a series')
        wrong = sharded.shards[1]
        wrong.stop()
        shutil.rmtree(pathlib.Path(wrong.data, 'analytics'))
        wrong.env['HGP_ANALYTICS_PARTITIONS'] = '2,3'
        wrong.restart()
        wait_for('both answer', lambda: answers(sharded))
        eq(partitions_said(sharded), ([], []), 'said')
        check_all(sharded, sent)


def test_a_recount_leaves_out_what_is_another_processes():
    """Its folder has a partition that another process was given by the configuration alone."""
    sent = Sent()
    with Sharded() as sharded:
        first(sharded, sent)
        for shard, partitions in zip(sharded.shards, ('0', '1,2,3')):
            shard.stop()
            shard.env['HGP_ANALYTICS_PARTITIONS'] = partitions
            shard.restart()
        wait_for('both answer', lambda: answers(sharded))
        with Connection(sharded.http) as connection:
            count(connection, sent, random_items(200))
        eq(partitions_said(sharded), ([], [1]), 'said')
        ended(begin_recount(sharded.shards[0]), 0)
        eq(partitions_said(sharded), ([], []), 'said')
        check_all(sharded, sent)


def test_before_the_first_event():
    """Nothing counted is an answer, of all and of those whose partitions have nothing yet."""
    sent = Sent()
    with Sharded() as sharded:
        wait_for('both answer', lambda: answers(sharded))
        for shard in sharded.shards:
            ready(shard)
        data = answer(sharded, f'{TOP}&time_range=all')
        eq([data['counters'], data['exact']], [[], True], 'a ranking of nothing')
        data = answer(sharded, '/api/v1/analytics/stats/a/like')
        eq([data['metrics']['total'], data['metrics']['increments'], data['exact']], [0, 0, True],
           'a series of nothing')
        with Connection(sharded.http) as connection:
            count(connection, sent, [item('a', 'like', 3)])
        check_all(sharded, sent)
        eq(sharded.stop(), 0, 'exit code')


def test_two_share_the_partitions():
    for event_format in ('json', 'protobuf'):
        sent = Sent()
        with Sharded(event_format=event_format) as sharded:
            first(sharded, sent)
            with Connection(sharded.http) as connection:
                for _ in range(10):
                    count(connection, sent, random_items(60))
            set_one(sharded, sent, 'a', 'like', 12)
            check_all(sharded, sent)
            held = []
            for shard in sharded.shards:
                with Client(shard) as client:
                    held.append({c.resource_id for c in
                                 client.top(time_range='all', limit=1000).counters})
            check(held[0] and held[1] and not held[0] & held[1], f'each has its own: {held}')
            eq(call(sharded.http, 'GET', TOP + '&limit=1000&offset=1').status, 400, 'too deep')
            sharded.shards[1].kill()
            got = call(sharded.http, 'GET', TOP)
            eq(got.status, 503, f'half of the counters is no ranking: {got!r}')
            sharded.shards[1].restart()
            wait_for('it answers again', lambda: answers(sharded))
            check_all(sharded, sent)
            eq(sharded.stop(), 0, 'exit code')


def test_kills():
    sent, number = Sent(), 0
    with Sharded() as sharded:
        first(sharded, sent)
        for n in range(ROUNDS):
            victims = [[sharded.shards[0]], [sharded.counter], sharded.shards][n % 3]
            number = count_through(sharded, sent, number, random.uniform(0.05, 0.9),
                                   lambda: kill_and_restart(victims))
            with Connection(sharded.http) as connection:  # who had stored nothing hears of the store
                count(connection, sent, random_items(200))
            wait_for('both answer', lambda: answers(sharded))
            check_all(sharded, sent)
        for shard in sharded.shards:
            eq(metric(shard, 'hgp_analytics_halted_lanes'), 0, 'halted lanes')
        no_drift(sharded.shards)
        eq(sharded.stop(), 0, 'exit code')


def test_goes_on_at_its_offsets():
    """What is stored isn't read again: the offsets are stored with the positions."""
    sent = Sent()
    with Sharded(partitions=('',)) as sharded:
        first(sharded, sent)
        check_all(sharded, sent)
        shard = sharded.shards[0]
        shard.stop()
        shard.restart()
        with Connection(sharded.http) as connection:
            count(connection, sent, random_items(200))
        wait_for('it answers again', lambda: answers(sharded))
        check_all(sharded, sent)
        eq(metric(shard, 'hgp_analytics_duplicates_total'), 0, 'events that came again')


def test_more_than_a_reader_holds():
    """So much that librdkafka stops to fetch it: what comes behind that is read, too."""
    sent = Sent()
    names = [f'{n}-{"long" * 150}' for n in range(250)]
    with Sharded(partitions=('',)) as sharded:
        first(sharded, sent)
        shard = sharded.shards[0]
        shard.stop()
        with Connection(sharded.http) as connection:
            for _ in range(100):  # 25,000 events, 20 MB
                count(connection, sent, [item(name, 'like', 1) for name in names])
        shard.restart()
        wait_for('it answers again', lambda: answers(sharded))
        check_all(sharded, sent)
        no_drift([shard])


def test_backup():
    """Made while it counts, and started from: the topic has what came behind it."""
    url, sent = topic_url(kafka()), Sent()
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent, 'backups')
        folder.mkdir()
        flags = ['--events', url]
        with Counting(url, env={'HGP_ANALYTICS_ENABLED': 'false'}) as server:
            with Server(role='analytics', data=pathlib.Path(parent, 'data'), flags=flags,
                        env={'HGP_BACKUP_FOLDER': str(folder)}) as analytics:
                count_with(server, sent, random_items(200))
                with Client(analytics) as client:
                    wait_for('it counts', lambda: client.code(client.top)[0] == 'OK')
                copy = back_up(analytics, folder)
                count_with(server, sent, random_items(200))
                analytics.kill()
            wait_shipped(server)
            with Server(role='analytics', data=copy, flags=flags) as analytics:
                counted(analytics, sent)
                eq(analytics.stop(), 0, 'exit code')


def counted(analytics, sent):
    """All that was sent, in every range."""
    with Client(analytics) as client:
        def equal(time_range):
            if client.code(client.top)[0] != 'OK':
                return False
            got = client.top(time_range=time_range, limit=1000)
            return got.exact and got.complete_since_ms == 0 and {
                c.resource_id: c.value for c in got.counters} == dict(
                    sent.top('like', time_range, got.as_of))

        for time_range in ('all', *RANGES):
            wait_for(f'it has counted: {time_range}', lambda: equal(time_range))


# ---- highgopress recount


def test_recount_under_load():
    """Also behind a kill in the middle of it: nothing has changed, and it is begun again."""
    with planted(['--events', topic_url(kafka())]) as (server, sent, data):
        for _ in range(max(1, lib.ROUNDS // 3)):
            tool = begin_recount(server)
            time.sleep(random.uniform(0, 0.3))  # when it is killed, not what is waited for
            server.kill()
            ended(tool)  # it may have been done
            server.restart()
        with Reading(server):
            tool = begin_recount(server)
            while tool.poll() is None:
                count_with(server, sent, random_items(20))
            check('done:' in ended(tool, 0), 'it says so')
            check_all(server, sent)
        check(not (data / 'analytics.recount').exists(), 'nothing is left')
        server.kill()
        server.restart()
        check_all(server, sent)
        ended(begin_recount(server), 0)  # of what is right: the same
        check_all(server, sent)
        eq(server.stop(), 0, 'exit code')


def test_recount_of_a_process_of_its_own():
    """One that was told to hold too few counters; from Kafka it has all of them."""
    url, sent = topic_url(kafka()), Sent()
    with Counting(url, env={'HGP_ANALYTICS_ENABLED': 'false'}) as server, \
            Server(role='analytics', flags=['--events', url],
                   env={'HGP_ANALYTICS_COUNTERS_MAX': '16'}) as analytics:
        count_with(server, sent, random_items(200))
        wait_shipped(server)
        with Client(analytics) as client:
            wait_for('it has counted', lambda: client.code(client.top)[0] == 'OK' and
                     not client.top(time_range='all', limit=1000).exact)
        analytics.stop()
        del analytics.env['HGP_ANALYTICS_COUNTERS_MAX']
        analytics.restart()
        with Client(analytics) as client:
            wait_for('it answers', lambda: client.code(client.top)[0] == 'OK')
            eq(client.top(time_range='all', limit=1000).exact, False, 'what it left out is not known')
            ended(begin_recount(analytics), 0)
        counted(analytics, sent)
        eq(analytics.stop(), 0, 'exit code')


def lose_events(server):
    """As if the topic's retention had taken all that it has: DeleteRecords, version 0."""
    host, port = server.brokers.split(':')
    topic = server.topic.encode()
    parts = b''.join(struct.pack('>iq', n, -1) for n in range(PARTITIONS))
    body = struct.pack('>hhihi', 21, 0, 1, -1, 1) + struct.pack('>h', len(topic)) + topic
    body += struct.pack('>i', PARTITIONS) + parts + struct.pack('>i', 10000)
    with socket.create_connection((host, int(port)), lib.WAIT_S) as conn:
        conn.sendall(struct.pack('>i', len(body)) + body)
        answer_of = conn.makefile('rb')
        got = answer_of.read(*struct.unpack('>i', answer_of.read(4)))
    at = 14 + len(topic)  # behind correlation, throttle time, and one topic's name
    check(struct.unpack('>i', got[at:at + 4]) == (PARTITIONS,), f'{got}')
    for n in range(PARTITIONS):
        error = struct.unpack('>h', got[at + 4 + 14 * n + 12:][:2])[0]
        eq(error, 0, f'deleting the records of a partition: {got}')


def recount_beside(server, load, sent):
    """While one counter is counted, of whose lane alone the topic has events."""
    one = [{'resource_id': 'busy', 'counter_type': 'like', 'delta': 1}]
    end = time.monotonic() + 20
    tool = begin_recount(server)
    while tool.poll() is None and time.monotonic() < end:
        count_with(load, sent, one)
    if tool.poll() is None:
        tool.kill()
        raise lib.Failed('it does not come to an end')
    ended(tool, 0)


def busy(client):
    return {c.resource_id: c.value for c in client.top(time_range='all', limit=1000).counters}.get('busy')


def test_recount_where_lanes_have_no_events_any_more():
    """The topic has lost what was counted before, whatever is counted meanwhile."""
    url, sent = topic_url(kafka()), Sent()
    with Counting(url) as server, \
            Server(role='analytics', flags=['--events', url], env=COMMIT) as alone:
        count_with(server, sent, [{'resource_id': f'x{n}', 'counter_type': 'like', 'delta': 1 + n}
                                  for n in range(100)])
        caught_up(server, sent)
        counted(alone, sent)
        lose_events(server)
        began = int(time.time())
        recount_beside(server, server, sent)
        caught_up(server, sent)
        top = ask(server, 'top?counter_type=like&time_range=all&limit=1000')
        check(top['exact'] and top['complete_since'] >= began - 1, f'{top}')
        recount_beside(alone, server, sent)
        with Client(alone) as client:
            wait_for('all of the topic', lambda: busy(client) == sent.value('busy', 'like'))
            top = client.top(time_range='all')
            check(not top.exact and top.complete_since_ms >= (began - 1) * 1000, f'{top}')


def test_events_that_went_before_they_were_read_are_missed():
    """While it was stopped the topic lost what it wanted next: told by what is left, not by what
    comes next."""
    url, sent = topic_url(kafka()), Sent()
    names = [{'resource_id': f'x{n}', 'counter_type': 'like', 'delta': 1} for n in range(100)]
    with Counting(url) as server, \
            Server(role='analytics', flags=['--events', url], env=COMMIT) as alone:
        def ship(total):
            count_with(server, sent, names)
            wait_for('Kafka has them', lambda: metric(server, 'hgp_relay_events_total') >= total)

        ship(100)
        counted(alone, sent)
        eq(alone.stop(), 0, 'exit code')
        ship(200)
        lose_events(server)
        ship(300)
        alone.restart()
        wait_for('the alarm', lambda: metric(alone, 'hgp_analytics_halted_lanes') > 0)


def test_wrong_configurations():
    import subprocess
    for env, said in (({'HGP_ANALYTICS_PARTITIONS': '0,a'}, 'analytics.partitions'),
                      ({'HGP_EVENTS': 'kafka://:9092'}, 'events.url')):
        done = subprocess.run([Server.binary, 'analytics', '--check-config'], capture_output=True,
                              text=True, env={**os.environ, 'HGP_EVENTS': 'kafka://localhost:1/t',
                                              **env})
        eq(done.returncode, 78, f'{env}: {done.stderr}')
        check(said in done.stderr, f'{env}: {done.stderr}')
    with tempfile.TemporaryDirectory() as folder:
        with Server(role='analytics', data=folder, flags=['--events', 'kafka://127.0.0.1:1/t']) as \
                server:
            wait_for('the log says why', lambda: "events can't be read from Kafka" in server.said())
            check(b'kafka://127.0.0.1:1/t' in call(server.admin, 'GET', '/readyz').body, 'readyz')
            began = time.monotonic()
            eq(server.stop(), 0, 'exit code')
            check(time.monotonic() - began < lib.WAIT_S, 'a broker that is away is not waited for')
