"""Events in a real Kafka, read by kcat: what the topic says is what the store holds.

Whatever ends or stands still in between, per counter: the sum of delta over distinct event_ids is
the value, new_value is right after every event, and the order holds.
"""
import atexit
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import lib
from lib import (BATCH_INCREMENT, INCREMENT, Failed, Server, Skipped, Swarm, call, check,
                 counter_path, eq, get, get_many, increment, item,
                 request_bytes)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'tools'))
import dev_servers  # noqa: E402

SMOKE = False
LONG = True
COUNTERS = 40
NAMES = [f'k-{n}' for n in range(COUNTERS)]
PARTITIONS = 4
LOAD_S = 1.0

shared = {}


def kafka():
    """One broker for the whole module."""
    if 'broker' not in shared:
        try:
            dev_servers.need('java', 'default-jre-headless')
            dev_servers.need('kcat', 'kcat')
            dev_servers.kafka_jars()
        except dev_servers.Trouble as why:
            raise Skipped(f'no Kafka here: {why}'[:200]) from why
        folder = tempfile.TemporaryDirectory(prefix='hgp-kafka-')
        shared['folder'] = folder
        shared['broker'] = dev_servers.Kafka(pathlib.Path(folder.name))
        atexit.register(lambda: [process.kill() for process in shared['broker'].processes()])
    return shared['broker']


def topic_url(broker):
    shared['topics'] = shared.get('topics', 0) + 1
    return broker.url.replace('counter-events', f'events-{shared["topics"]}')


class Counting(Server):
    """A server whose events go to a topic."""

    def __init__(self, url, **more):
        super().__init__(flags=['--events', url, *more.pop('flags', ())], **more)
        self.brokers, self.topic = url.removeprefix('kafka://').split('/')


def figures(server):
    return call(server.http, 'GET', '/api/v1/system/kafka').json()['data']


def events_state(server):
    return call(server.http, 'GET', '/readyz').json()['events']


def metric(server, name):
    for line in call(server.admin, 'GET', '/metrics').body.decode().splitlines():
        if line.startswith(name + ' '):
            return float(line.split()[-1])
    raise Failed(f'no metric {name}')


def wait_for(what, so, timeout_s=40):
    return lib.wait_for(what, so, timeout_s)


def wait_shipped(server):
    """The outbox is empty when all is confirmed, reported and trimmed."""
    wait_for('all events are in Kafka', lambda: metric(server, 'hgp_outbox_bytes') == 0 and
             figures(server)['events_queued'] == 0)


def consume(server):
    """Every message of the topic: (partition, key, event), in the order of each partition."""
    got = subprocess.run(
        ['kcat', '-b', server.brokers, '-t', server.topic, '-C', '-e', '-q', '-o', 'beginning',
         '-X', 'auto.offset.reset=earliest',  # or, where it can't ask for it, the end
         '-f', '%p\t%k\t%s\n'], capture_output=True, text=True, timeout=60)
    eq(got.returncode, 0, f'kcat: {got.stderr[:300]}')
    messages = []
    for line in got.stdout.splitlines():
        partition, key, value = line.split('\t')
        messages.append((int(partition), key, json.loads(value)))
    return messages


def audit(server, what):
    """The topic against the store. Gives how many messages were there more than once."""
    messages = consume(server)
    seen = set()
    sums = {}
    ends = {}
    for partition, key, event in messages:
        if event['event_id'] in seen:
            continue
        seen.add(event['event_id'])
        eq(key, f'{event["resource_id"]}:{event["counter_type"]}', f'{what}: the key')
        eq(partition, event['lane'] % PARTITIONS, f'{what}: the partition')
        lane = (event['lane'], event['epoch'])
        eq(event['seq'], ends.get(lane, 0) + 1, f'{what}: lane {lane} without a gap')
        ends[lane] = event['seq']
        sums[key] = sums.get(key, 0) + event['delta']
        eq(event['new_value'], sums[key], f'{what}: new_value of {event["event_id"]}')
    names = [key.removesuffix(':like') for key in sums]
    for name, value in get_many(server, names).items():
        eq(sums[f'{name}:like'], value, f'{what}: the sum of {name}')
    return len(messages) - len(seen), sums


def load(server, tick=lambda swarm: None, seconds=LOAD_S, ids=NAMES, statuses=(200,)):
    """Increments over all counters; gives how many were acknowledged."""
    rng = random.Random(7)
    count = {'acked': 0}
    end = time.monotonic() + seconds

    def source():
        return 0, request_bytes('POST', INCREMENT, item(rng.choice(ids), 'like', rng.randint(1, 9)))

    def answered(_, status, body):
        check(status in statuses, f'an increment: {status} {body[:200]!r}')
        count['acked'] += status == 200

    swarm = Swarm(server.http, 20, source, answered)

    def each():
        tick(swarm)
        if time.monotonic() >= end:
            swarm.stopping = True

    swarm.run(each)
    return count['acked']


# ---- with a broker ----


def test_every_change_is_an_event():
    with Counting(topic_url(kafka())) as server:
        wait_for('Kafka', lambda: events_state(server)['status'] == 'shipping')
        # A broker that has just begun may not have answered in the half second that it got.
        at_first = figures(server)['errors_count']
        increment(server, 'post', 5)
        increment(server, 'post', -2)
        increment(server, 'a"b\\c', 1, 'key')
        increment(server, 'a"b\\c', 1, 'key')  # a replay is no change
        call(server.admin, 'PUT', counter_path('post'), {'value': 100})
        call(server.admin, 'DELETE', counter_path('post'))
        call(server.http, 'POST', BATCH_INCREMENT, {'items': [item('x'), item('x', 'like', 2), item('y')]})
        wait_shipped(server)
        got = [(event['resource_id'], event['kind'], event['delta'], event['new_value'],
                event['count']) for _, _, event in consume(server)]
        eq([e for e in got if e[0] == 'post'],
           [('post', 'add', 5, 5, 1), ('post', 'add', -2, 3, 1), ('post', 'set', 97, 100, 1),
            ('post', 'reset', -100, 0, 1)], 'the events of one counter')
        eq(sorted(e for e in got if e[0] != 'post'),
           [('a"b\\c', 'add', 1, 1, 1), ('x', 'add', 3, 3, 2), ('y', 'add', 1, 1, 1)],
           'the other events')
        eq(audit(server, 'by hand')[0], 0, 'duplicates')
        data = figures(server)
        eq((data['events_sent'], data['errors_count']), (7, at_first), 'the figures')
        check(abs(data['last_message_time'] - time.time()) < 60, 'when the last one went')
        state = events_state(server)
        eq((state['status'], state['lag_events']), ('shipping', 0), 'readiness')
        eq(server.stop(), 0, 'exit code')


def test_protobuf():
    with Counting(topic_url(kafka()), env={'HGP_EVENTS_FORMAT': 'protobuf'}) as server:
        increment(server, 'post', -5)
        wait_shipped(server)
        got = subprocess.run(['kcat', '-b', server.brokers, '-t', server.topic, '-C', '-e', '-q',
                              '-X', 'auto.offset.reset=earliest', '-D', '', '-f', '%s'], capture_output=True, timeout=60)
        text = subprocess.run(['protoc', '-I', str(lib.tree() / 'api/proto'),
                               '--decode', 'events.CounterEvent', 'events/events.proto'],
                              input=got.stdout, capture_output=True, check=True).stdout.decode()
        fields = dict(line.split(': ', 1) for line in text.splitlines())
        eq({k: fields[k] for k in ('resource_id', 'counter_type', 'delta', 'new_value', 'source',
                                   'kind', 'count', 'epoch', 'seq')},
           {'resource_id': '"post"', 'counter_type': '"like"', 'delta': '-5', 'new_value': '-5',
            'source': '"highgopress"', 'kind': 'EVENT_KIND_ADD', 'count': '1', 'epoch': '1',
            'seq': '1'}, 'the message')
        lane, now = int(fields.get('lane', 0)), int(fields['timestamp'])
        check(fields['event_id'].endswith(f'-{lane}-1-1"'), f'its id: {fields["event_id"]}')
        check(abs(now - time.time()) < 60, f'its time: {now}')
        eq(int(fields['timestamp_ms']) // 1000, now, 'both times')


def test_no_name_is_too_long_for_the_topic():
    """An event that Kafka doesn't take would stand before all others, until the outbox is full."""
    with Counting(topic_url(kafka())) as server:
        wait_for('Kafka', lambda: events_state(server)['status'] == 'shipping')
        longest = '\x01' * 65532  # which JSON makes six times as long
        for name, status in (('x' * 600000, 400), (longest + 'x', 400), (longest, 200)):
            answer = call(server.http, 'POST', BATCH_INCREMENT, {'items': [item('y'), item(name)]})
            eq(answer.status, status, f'a name of {len(name)} bytes')
        wait_shipped(server)
        eq([(event['resource_id'], event['new_value']) for _, _, event in consume(server)],
           [('y', 1), (longest, 1)], 'what was counted, and nothing of what was not')
        eq(server.stop(), 0, 'exit code')


def test_kill_9_and_restarts_under_load():
    for durability in ('local', 'fast'):
        with Counting(topic_url(kafka()), durability=durability) as server:
            duplicates = 0
            for n in range(lib.ROUNDS):
                moment = time.monotonic() + random.uniform(0.2, LOAD_S)

                def kill(swarm, moment=moment):
                    if time.monotonic() >= moment and server.alive():
                        server.process.kill()
                        swarm.stopping = True

                load(server, kill)
                server.kill()
                server.start()
                wait_shipped(server)
                duplicates, _ = audit(server, f'{durability}, round {n}')
            load(server)
            eq(server.stop(), 0, f'{durability}: exit code')  # flushes; the rest waits
            server.start()
            wait_shipped(server)
            _, sums = audit(server, f'{durability}, at the end')
            eq(len(sums), COUNTERS, 'counters in the topic')
            print(f'     {durability}: {duplicates} events came twice', flush=True)


def test_a_broker_that_stands_still_and_one_that_dies():
    broker = kafka()
    process = broker.processes()[0]
    with Counting(topic_url(broker)) as server:
        load(server, seconds=0.3)
        process.signal(signal.SIGSTOP)
        check(load(server) > 0, 'counting goes on')
        check(figures(server)['events_queued'] > 0, 'events wait')
        process.signal(signal.SIGCONT)
        wait_shipped(server)
        audit(server, 'after standing still')

        process.kill()
        check(load(server) > 0, 'counting goes on')
        wait_for('the trouble is seen', lambda: events_state(server)['status'] != 'shipping')
        state = events_state(server)
        check(state['lag_events'] > 0 and state['lag_seconds'] > 0, f'the lag: {state}')
        server.kill()  # while it is away
        server.start()
        check(load(server, seconds=0.3) > 0, 'counting goes on')
        eq(metric(server, 'hgp_relay_connected'), 0, 'the metric')
        process.start()
        wait_shipped(server)
        eq(events_state(server)['status'], 'shipping', 'readiness')
        audit(server, 'after its return')


def listens(address):
    try:
        lib.Connection(address).close()
        return True
    except OSError:
        return False


def test_a_second_signal_ends_the_wait_for_a_broker():
    broker = kafka()
    process = broker.processes()[0]
    with Counting(topic_url(broker)) as server:
        load(server, seconds=0.3)
        process.signal(signal.SIGSTOP)
        try:
            load(server, seconds=0.3)
            server.send_signal(signal.SIGTERM)
            wait_for('the listener closes', lambda: not listens(server.http))
            check(server.alive(), 'events wait, and it flushes them')
            server.send_signal(signal.SIGTERM)
            began = time.monotonic()
            server.wait(10)
            check(time.monotonic() - began < 3, 'the second signal did not force')
        finally:
            process.signal(signal.SIGCONT)
        server.start()
        wait_shipped(server)
        audit(server, 'after the forced end')


# ---- without one ----


def nowhere():
    return f'kafka://127.0.0.1:{lib.free_port()}/counter-events'


def fill_up(server, batch):
    """Batches of 500 until the outbox is full: a write is refused then, a read isn't. The value."""
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
    return value


def test_a_full_outbox_refuses_writes_and_none_gives_it_up():
    with tempfile.TemporaryDirectory(prefix='hgp-e2e-') as data:
        small = {'HGP_OUTBOX_MAX_BYTES': '65536', 'HGP_EVENTS_COALESCE': 'false',
                 'HGP_ANALYTICS_ENABLED': 'false'}  # which reads, too
        batch = {'items': [item('full') for _ in range(500)]}
        with Server(data=data, env=small, flags=['--events', nowhere()]) as server:
            value = fill_up(server, batch)
            eq(metric(server, 'hgp_outbox_filling'), 1, 'said before, too')
            server.kill()
        with Server(data=data, env=small) as server:
            for _ in range(20):
                eq(call(server.http, 'POST', BATCH_INCREMENT, batch).status, 200, 'a write')
            eq(get(server, 'full'), value + 20 * 500, 'all of them')
            check(metric(server, 'hgp_outbox_bytes') <= 3 * 65536, 'the outbox stays small')
            eq(metric(server, 'hgp_outbox_consumers'), 0, 'nobody reads it')
            eq(call(server.http, 'GET', '/api/v1/system/kafka').status, 501, 'no figures')
        with Server(data=data, env=small, flags=['--events', nowhere()]) as server:
            wait_for('it counts from here', lambda: metric(server, 'hgp_outbox_consumers') == 1)
            eq(server.stop(), 0, 'exit code')


def partitions_of(number, lanes):
    """And without analytics, which keeps the outbox until it commits."""
    return {'HGP_EVENTS_PARTITIONS': str(number), 'HGP_LANES': str(lanes),
            'HGP_ANALYTICS_ENABLED': 'false'}


def count_some(server):
    for n in range(20):
        increment(server, f'x{n}')


def test_a_topic_with_more_partitions():
    """Who shares it looks for a lane in another partition than the one it is written to, which is warned of;
    where there are no more lanes than are written to, it is the same."""
    url = topic_url(kafka())
    with Counting(url, env=partitions_of(6, 4)) as server:
        count_some(server)
        wait_shipped(server)
        eq(server.stop(), 0, 'exit code')
    warning = 'more partitions than are written to'
    with Counting(url, env=partitions_of(4, 4)) as server:
        count_some(server)
        wait_shipped(server)
        check(warning not in server.said(), server.said())
        eq(server.stop(), 0, 'exit code')
    with Counting(url, env=partitions_of(4, 8)) as server:
        count_some(server)
        wait_shipped(server)
        check(warning in server.said(), server.said())
        eq(server.stop(), 0, 'exit code')


def test_urls_that_can_t_be_are_refused():
    for url in ('kafka://', 'kafka://h/', 'kafka://127.0.0.1:9092', 'kafka://127.0.0.1:9092/a/b',
                'kafka://127.0.0.1:9092/..', 'nats://127.0.0.1:1/x', 'kafka:///topic'):
        code, said = lib.refused(flags=['--events', url])
        check(code in (64, 78), f'{url}: exit {code}')
        check('events' in said, f'{url}: {said[:300]}')
