"""highgopress verify: the store against its events and the totals of analytics, beside the service
and under load.

What it finds must be there: events are taken out of a copy of the topic, changed and doubled; a value
is planted in analytics' folder, another one in the store's.
"""
import json
import random
import signal
import subprocess
import tempfile
import threading

import lib
from lib import (BATCH_INCREMENT, Connection, Server, call, check, counter_path, eq, free_port, increment, item,
                 wait_for)
from test_analytics import Sent
from test_analytics_kafka import Sharded, first, no_drift
from test_analytics_role import Three, answers
from test_kafka import Counting, consume, kafka, load, topic_url, wait_shipped
from test_redis import Shared, sentinels
from test_redis_cluster import Cluster, masters

SMOKE = False
LONG = True


def verify(*flags, stdin=None, env=None):
    """(exit code, stdout, stderr)."""
    clean = {k: v for k, v in lib.os.environ.items() if not k.startswith('HGP_')}
    done = subprocess.run([str(Server.binary), 'verify', *flags], capture_output=True, text=True,
                          input=stdin, timeout=120, env={**clean, **(env or {})})
    return done.returncode, done.stdout, done.stderr


def found(code, said, *flags, **more):
    """Its verdict, as JSON."""
    got, out, err = verify('--json', *flags, **more)
    eq(got, code, f'{said}: exit code; {out[:500]} {err[:500]}')
    return json.loads(out)


def on(server):
    return ['--data', server.data, '--events', f'kafka://{server.brokers}/{server.topic}']


def beside_a_load(server, once, seconds=2):
    """What once() gave each time, while the server counts: no verdict is anything but good."""
    codes = []
    ended = threading.Event()

    def again():
        while not ended.is_set():
            codes.append(once())

    beside = threading.Thread(target=again)
    load(server, seconds=0.2)
    beside.start()
    load(server, seconds=seconds)
    ended.set()
    beside.join()
    eq([c for c in codes if c[0]], [], 'verdicts under load')
    return codes


def plant(where, data, name, value):
    tool = Server.binary.parent / 'tests/e2e/plant_drift'
    subprocess.run([tool, where, data, name, 'like', str(value)], check=True, timeout=60)


class All(Server):
    """One process with a gRPC port, so that its analytics can be asked."""

    def __init__(self, **more):
        self.at = f'127.0.0.1:{free_port()}'
        super().__init__(flags=['--grpc', self.at, *more.pop('flags', ())], **more)
        self.verify_flags = ['--data', self.data, '--analytics', self.at]


def totals(got):
    return got['analytics']['agreeing'], got['analytics']['differing'], got['analytics']['not_comparable']


def differing(got):
    return [(d['resource_id'], d['analytics']['total'], d['analytics']['ahead'])
            for d in got['details'] if d['analytics']['verdict'] == 'differs']


def off(got):
    """By how much values in the store are too large: by their events, or where these are gone by analytics."""
    return [(f'{d["resource_id"]}:{d["counter_type"]}', d['drift'] or -d['analytics']['ahead'])
            for d in got['details']]


def killed_under_load(server, victims, flags):
    """Their end is somewhere in the load, the verdict right behind it."""
    def fault():
        for victim in victims:
            victim.kill()
        for victim in victims:
            victim.restart()

    timer = threading.Timer(random.uniform(0.1, 0.5), fault)
    timer.start()
    load(server, seconds=0.7, statuses=(200, 503, 504))
    timer.join()
    return found(0, 'right after the kill', *flags, '--wait', '60')


# ---- without Kafka: the outbox


def test_a_store_and_its_outbox():
    with Server(env={'HGP_ANALYTICS_ENABLED': 'false'}) as server:
        for n in range(50):
            increment(server, f'k-{n % 7}', n + 1)
        call(server.admin, 'PUT', counter_path('k-3'), {'value': -4})
        for process in ('running', 'ended'):
            got = found(0, process, '--data', server.data, '--each')
            eq((got['counters'], got['events'], got['drift']), (7, 51, False), process)
            eq({d['resource_id']: d['value'] for d in got['details']}['k-3'], -4, process)
            server.stop()
        got = found(0, 'a prefix', '--data', server.data, '--prefix', 'k-3', '--each')
        eq([d['resource_id'] for d in got['details']], ['k-3'], 'a prefix')
        got = found(0, 'a list', '--data', server.data, '--list', '-', '--each',
                    stdin='k-1:like\n\nk-9:a%3Ab\n')
        eq([(d['resource_id'], d['counter_type'], d['value']) for d in got['details']],
           [('k-1', 'like', sum(range(2, 51, 7))), ('k-9', 'a:b', 0)], 'a list')


def test_what_can_t_be_compared():
    with tempfile.TemporaryDirectory(prefix='hgp-e2e-') as folder:
        for flags, want, why in (
                (['--data', folder], 66, 'no store in the folder'),
                (['--data', folder + '/none'], 66, 'no store in the folder'),
                (['--list', folder + '/none'], 66, 'No such file'),
                (['--wait', 'x'], 64, '--wait'),
                (['--list', 'a', '--prefix', 'b'], 64, 'not both'),
                (['--sort'], 64, 'no such flag')):
            code, out, err = verify(*flags)
            eq((code, out), (want, ''), f'{flags}: {err}')
            check(why in err, f'{flags}: {err}')
        with Server(data=folder + '/data') as server:
            increment(server, 'a')
            code, out, err = verify('--data', server.data, '--wait', '1', '--events',
                                    f'kafka://127.0.0.1:{lib.free_port()}/t')
            eq((code, out), (69, ''), err)
            check('no broker answers' in err, err)
            code, _, err = verify('--data', server.data, '--list', '-', stdin='nothing\n')
            eq(code, 65, err)


# ---- in Redis


def test_others_count_in_the_same_redis():
    """Phase 1, or redis-cli, beside us and under load: external, never drift."""
    url, db = Shared.store()
    Shared.server.cli('-n', db, 'set', 'counter:old:like', 40)
    with Server(flags=['--store', url]) as server:
        def count_and_verify():
            Shared.server.cli('-n', db, 'incrby', 'counter:test:like', 3)
            Shared.server.cli('-n', db, 'incrby', 'counter:k-1:like', 3)
            return verify('--store', url)

        codes = beside_a_load(server, count_and_verify)
        increment(server, 'old')
        got = found(0, 'afterwards', '--store', url, '--each')
        external = {d['resource_id']: d['external'] for d in got['details'] if d['external']}
        eq(external, {'old': 40, 'test': 3 * len(codes), 'k-1': 3 * len(codes)}, 'external')
        got = found(1, 'nobody else should', '--store', url, '--strict')
        eq({d['resource_id']: d['drift'] for d in got['details']}, external, 'drift')

        Shared.server.cli('-n', db, 'set', 'counter:foreign', 'x')
        code, out, err = verify('--store', url, '--prefix', 'k-')
        eq((code, 'no drift' in out), (0, True), out + err)
        Shared.server.cli('-n', db, 'set', 'counter:k-2:like', 'x')
        code, out, err = verify('--store', url)
        eq((code, out), (65, ''), err)
        check('counter:k-2:like holds no whole number' in err, err)
        print(f'     {len(codes)} times under load', flush=True)


def test_an_event_that_is_gone_from_redis():
    url, db = Shared.store()
    with Server(flags=['--store', url]) as server:
        for n in range(20):
            increment(server, 'lost', n + 1)
        increment(server, 'other')
        stream = next(key for key in Shared.server.cli('-n', db, 'keys', 'hgp:*:o').split()
                      if int(Shared.server.cli('-n', db, 'xlen', key)) >= 20)
        entry = Shared.server.cli('-n', db, 'xrange', stream, '1-10', '1-10').split()[0]
        eq(Shared.server.cli('-n', db, 'xdel', stream, entry), '1', 'taken out')
        got = found(1, 'one is missing', '--store', url)
        eq((got['missing'], got['drifting'], got['external']), (1, 1, 0), 'one is missing')
        eq(got['lanes'][0]['missing_first'], 10, 'which one')


def test_sentinels():
    with sentinels() as group, Server(flags=['--store', group.url]) as server:
        for n in range(30):
            increment(server, f'k-{n % 7}', n + 1)
        got = found(0, 'the primary', '--store', group.url)
        eq((got['counters'], got['events']), (7, 30), 'the primary')


def test_a_cluster():
    url = Cluster.store()
    with All(flags=['--store', url], env={'HGP_ANALYTICS_ENABLED': 'true'}) as server:
        flags = ['--store', url, '--analytics', server.at]
        beside_a_load(server, lambda: verify(*flags), seconds=0.7)
        increment(server, 'a:b', 5, counter_type='c%:')
        got = found(0, 'all', *flags, '--each')
        eq((got['counters'], totals(got)), (41, (41, 0, 0)), 'all')
        server.kill()
        server.restart()
        got = found(0, 'after kill -9', *flags)
        eq(totals(got), (41, 0, 0), 'after kill -9')
        got = found(0, 'a list', '--store', url, '--list', '-', '--each',
                    stdin='a:b:c%25%3A\nnone:like\n')
        eq([(d['resource_id'], d['counter_type'], d['value']) for d in got['details']],
           [('a:b', 'c%:', 5), ('none', 'like', 0)], 'a list')
        key = masters()[0].cli('--scan', '--pattern', 'hgp:*:c:*').split()[0]
        field = masters()[0].cli('hkeys', key).split('\n')[0]
        masters()[0].cli('hincrby', key, field, 1)
        got = found(1, 'by hand', *flags)
        eq(off(got), [(field, 1)], 'nobody else writes there')
    Cluster.end()


def test_a_redis_that_is_away():
    url = f'redis://127.0.0.1:{lib.free_port()}'
    code, out, err = verify('--store', url, '--wait', '1')
    eq((code, out), (69, ''), err)
    check("can't be reached" in err or 'refused' in err, err)
    code, out, err = verify('--store', Shared.store()[0], '--wait', '1')
    eq((code, out), (66, ''), err)
    check('nothing of ours' in err, err)


# ---- with Kafka


def test_beside_a_load():
    with Counting(topic_url(kafka())) as server:
        load(server, seconds=0.2)
        wait_shipped(server)  # there is a topic
        codes = beside_a_load(server, lambda: verify(*on(server)))
        got = found(0, 'afterwards', *on(server))
        eq((got['counters'], got['missing'], got['duplicates']), (40, 0, 0), 'afterwards')
        print(f'     {len(codes)} times under load, {got["events"]} events', flush=True)


def copy_topic(server, url, change):
    """The topic's messages, changed one by one, into another one. 'change' gives a list for each."""
    brokers, topic = url.removeprefix('kafka://').split('/')
    lines = [f'{key}\t{json.dumps(event)}\n' for _, key, message in consume(server)
             for event in change(message)]
    # One partition: all lanes in their order.
    subprocess.run(['kcat', '-b', brokers, '-t', topic, '-P', '-K', '\t', '-p', '0'],
                   input=''.join(lines), text=True, check=True, timeout=60)


def make_topic(url, server):
    """By a service that starts there and counts nothing."""
    with Counting(url):
        lib.ready(server)
        test = Counting(url)
        call_until_there(test)


def call_until_there(server):
    got = ''
    while f'"{server.topic}"' not in got:
        got = subprocess.run(['kcat', '-L', '-J', '-b', server.brokers], capture_output=True,
                             text=True, timeout=60).stdout


def test_what_it_finds():
    with Counting(topic_url(kafka())) as server:
        for n in range(30):
            increment(server, f'k-{n % 5}', n + 1)
        wait_shipped(server)
        events = [event for _, _, event in consume(server)]
        middle = next(e for e in events if e['resource_id'] == 'k-2' and e['delta'] == 13)
        last = next(e for e in events if e['resource_id'] == 'k-2' and e['delta'] == 28)

        def against(change):
            url = topic_url(kafka())
            make_topic(url, server)
            copy_topic(server, url, change)
            return ['--data', server.data, '--events', url, '--wait', '3']

        def without(event):
            return against(lambda e: [] if e == event else [e])

        got = found(1, 'one is missing', *without(middle))
        eq((got['missing'], got['drifting']), (1, 1), 'one is missing')
        eq([(d['resource_id'], d['drift']) for d in got['details']], [('k-2', 13)], 'which one')
        eq([(d['lane'], d['missing_first']) for d in got['lanes']],
           [(middle['lane'], middle['seq'])], 'where')

        got = found(0, 'all twice', *against(lambda e: [e, e]))
        eq((got['events'], got['duplicates']), (30, 30), 'all twice')

        got = found(1, 'another delta', *against(
            lambda e: [{**e, 'delta': 99} if e == last else e]))
        eq([(d['resource_id'], d['sum'] - d['value'] + d['drift']) for d in got['details']],
           [('k-2', 0)], 'another delta')

        got = found(0, 'others too', *against(
            lambda e: [e, {**e, 'event_id': e['event_id'].replace(e['event_id'][:16], '1' * 16)}]))
        eq(got['of_other_stores'], 30, 'others too')

        got = found(0, 'without the first ones', *against(lambda e: [e] if e['seq'] > 2 else []))
        eq((got['missing'], got['drifting']), (0, 0), 'without the first ones')

        code, out, err = verify(*without(events[-1]))
        if events[-1]['seq'] == max(e['seq'] for e in events if e['lane'] == events[-1]['lane']):
            eq((code, out), (69, ''), err)
            check('1 events of the store' in err, err)


def test_protobuf_and_text():
    with Counting(topic_url(kafka()), env={'HGP_EVENTS_FORMAT': 'protobuf'}) as server:
        increment(server, 'a"b', -5)
        increment(server, 'a"b', 7)
        wait_shipped(server)
        code, out, err = verify(*on(server), '--each')
        eq(code, 0, out + err)
        check('ok       "a\\"b" "like" value 2 = opening 0 + external 0 + events 2 (2) + drift 0' in
              out, out)
        check(out.endswith('no drift\n'), out)


# ---- with analytics


def test_analytics_in_the_same_process():
    with All(env={'HGP_ANALYTICS_COMMIT_MS': '200'}) as server:
        codes = beside_a_load(server, lambda: verify(*server.verify_flags), seconds=0.7)
        got = found(0, 'afterwards', *server.verify_flags, '--each')
        eq((got['counters'], totals(got)), (40, (40, 0, 0)), 'afterwards')
        code, out, err = verify(*server.verify_flags, '--prefix', 'k-7')
        eq(code, 0, err)
        check(f'analytics ({server.at}): 1 totals agree' in out, out)
        for _ in range(max(1, lib.ROUNDS)):
            load(server, seconds=0.2)
            server.kill()
            server.restart()
            got = found(0, 'after kill -9', *server.verify_flags)
            eq(totals(got), (40, 0, 0), 'after kill -9')
        got = found(0, 'a list', *server.verify_flags, '--list', '-', '--each', stdin='k-1:like\nnew:like\n')
        eq([(d['resource_id'], d['analytics']['verdict']) for d in got['details']],
           [('k-1', 'agrees'), ('new', 'agrees')], 'a list')
        load(server, seconds=0.2)
        no_drift([server])
        print(f'     {len(codes)} times under load', flush=True)


def test_what_is_planted():
    with All() as server:
        for n in range(20):
            increment(server, f'k-{n % 5}', n + 1)
        found(0, 'before', *server.verify_flags)
        server.stop()
        plant('analytics', server.data, 'k-3', 1000)
        server.start()
        got = found(1, 'in analytics', *server.verify_flags)
        eq((got['drifting'], totals(got)), (0, (4, 1, 0)), 'in analytics')
        eq(differing(got), [('k-3', 1000, 1000 - 46)], 'in analytics')
        code, out, _ = verify(*server.verify_flags)
        eq(code, 1, out)
        check('DRIFT    "k-3" "like" value 46 ' in out and 'analytics: differs (1000, +954)' in out, out)
        increment(server, 'k-3')
        found(0, 'its next event brings its value', *server.verify_flags)
        server.stop()
        plant('store', server.data, 'k-2', -7)
        server.start()
        got = found(1, 'in the store', *server.verify_flags)
        eq(off(got), [('k-2:like', -7 - 42)], 'in the store')


def test_more_counters_than_analytics_holds():
    with All(env={'HGP_ANALYTICS_COUNTERS_MAX': '16'}) as server:
        with Connection(server.http) as connection:
            for _ in range(3):
                items = [item(f'k-{n:04}', 'like', n + 1) for n in range(900)]
                eq(connection.request('POST', BATCH_INCREMENT, {'items': items}).status, 200, 'counted')
                items = [item(f'm-{n:04}', 'like', n + 1) for n in range(900)]
                eq(connection.request('POST', BATCH_INCREMENT, {'items': items}).status, 200, 'counted')
        got = found(0, 'in parts', *server.verify_flags)
        eq((got['counters'], totals(got)), (1800, (16, 0, 1784)), 'beyond the limit is no drift')


def test_analytics_as_a_process():
    with Three() as three:
        flags = ['--data', three.counter.data, '--analytics', f'127.0.0.1:{three.analytics.port}']
        beside_a_load(three, lambda: verify(*flags), seconds=0.7)
        for victims in ([three.analytics], [three.counter], [three.counter, three.analytics]):
            eq(totals(killed_under_load(three, victims, flags))[1:], (0, 0), 'totals')
        three.analytics.send_signal(signal.SIGSTOP)
        code, out, err = verify(*flags, '--wait', '0')
        eq((code, out), (69, ''), err)
        three.analytics.send_signal(signal.SIGCONT)
        wait_for('it answers', lambda: answers(three))
        code, out, err = verify('--data', three.counter.data, '--analytics',
                                f'127.0.0.1:{three.counter.port}')
        eq((code, out), (69, ''), err)
        check('there is no analytics' in err, err)
        with All() as other:
            increment(other, 'a')
            code, out, err = verify('--data', three.counter.data, '--analytics', other.at)
            eq((code, out), (65, ''), err)
            check("another store's events" in err, err)
    code, out, err = verify(*flags, '--wait', '1')
    eq((code, out), (66, ''), err)


def test_analytics_beside_a_redis():
    """What others count there is external to analytics too, before its next event and after."""
    url, db = Shared.store()
    Shared.server.cli('-n', db, 'set', 'counter:old:like', 40)
    with tempfile.TemporaryDirectory(prefix='hgp-e2e-') as folder, \
            All(flags=['--store', url], data=folder, env={'HGP_ANALYTICS_ENABLED': 'true'}) as server:
        flags = ['--store', url, '--analytics', server.at]

        def count_and_verify():
            Shared.server.cli('-n', db, 'incrby', 'counter:k-1:like', 3)
            return verify(*flags)

        beside_a_load(server, count_and_verify, seconds=0.7)
        got = found(0, 'external', *flags, '--each')
        eq(totals(got)[1], 0, 'external')
        increment(server, 'old')
        Shared.server.cli('-n', db, 'incrby', 'counter:old:like', 2)
        got = found(0, 'after its event', *flags, '--prefix', 'old', '--each')
        eq([(d['value'], d['external'], d['analytics']['total']) for d in got['details']], [(43, 42, 41)], 'old')
        value = lib.get(server, 'k-2')
        server.stop()
        plant('analytics', server.data, 'k-2', 17)
        server.start()
        got = found(1, 'planted', *flags, '--strict', '--prefix', 'k-2')
        check(('k-2', 17, 17 - value) in differing(got), f'planted: {got}')


def test_analytics_fed_by_kafka():
    kafka()
    sent = Sent()
    with Sharded() as sharded:
        first(sharded, sent)
        url = sharded.counter.flags[sharded.counter.flags.index('--events') + 1]
        flags = ['--data', sharded.counter.data, '--analytics',
                 ','.join(f'127.0.0.1:{shard.port}' for shard in sharded.shards), '--events', url]
        beside_a_load(sharded, lambda: verify(*flags), seconds=0.7)
        for victims in ([sharded.shards[0]], [sharded.counter, sharded.shards[1]]):
            got = killed_under_load(sharded, victims, flags)
            eq(totals(got)[1:], (0, 0), 'totals')
        for shard in sharded.shards:
            shard.stop()
            plant('analytics', shard.data, 'k-3', 5)
            shard.restart()
        got = found(1, 'planted', *flags)
        eq([name for name, total, _ in differing(got)], ['k-3'], 'planted')
        half = [*flags[:3], f'127.0.0.1:{sharded.shards[0].port}', *flags[4:]]
        code, out, err = verify(*half, '--wait', '0')
        eq((code, out), (69, ''), err)
        check("hasn't counted" in err, err)
