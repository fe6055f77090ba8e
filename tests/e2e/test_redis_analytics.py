"""Analytics beside a Redis: one of the processes there has it, and it counts what all of them count."""
import os
import random
import tempfile
import time

import lib
from certs import Pki
from grpc_client import PYTHON, Client  # noqa: F401
from lib import Server, Skipped, call, check, eq, increment, ready
from test_analytics import ask
from test_kafka import load, metric, wait_for
from test_redis import REPLICATED, dev_servers, fail_over, redis, sentinels
from test_recount import Reading, begin_recount, ended
from test_redis_cluster import Cluster
from test_verify import plant

SMOKE = False
COMMIT = {'HGP_ANALYTICS_COMMIT_MS': '100'}
ON = {'HGP_ANALYTICS_ENABLED': 'true', **COMMIT}
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


def test_a_process_of_its_own():
    """It reads what others count there, through kills of either side."""
    with redis() as store:
        flags = ['--store', store.url]
        with Server(flags=flags) as one, Server(flags=flags) as other, \
                Server(role='analytics', flags=flags, env=COMMIT) as analytics:
            for n in range(lib.ROUNDS):
                kill_while_counting(one, other, analytics)
                wait_ranked(analytics, one, f'after kill {n + 1}')
            wait_for('what was read is trimmed', lambda: all(
                store.cli('xlen', f'hgp:{{{lane}}}:o') == '0' for lane in range(4)))
            store.process.kill()
            with Client(analytics) as client:
                wait_for('without Redis nobody knows', lambda: not client.top().exact)
                store.restart()
                for server in (one, other):
                    ready(server)
                load(other, seconds=0.3)
                wait_ranked(analytics, one, 'after Redis came back')
            eq(call(analytics.admin, 'GET', '/readyz').status, 200, 'ready')
            eq(analytics.stop(), 0, 'exit code')


# ---- highgopress recount


def drifted(server, name='k-1'):
    """Its total becomes wrong, behind its back; no event will come of it."""
    server.stop()
    plant('analytics', server.data, name, -1)
    server.restart()


def recounted(server, other):
    """While the store is counted in, by others."""
    tool = begin_recount(server)
    while tool.poll() is None:
        load(other, seconds=0.1, ids=[f'k-{n}' for n in range(20, 40)])
    check('values' in ended(tool, 0), 'it says what it took')


def consumers(store, name):
    """In how many lanes it holds the outbox."""
    metas = store.cli('--scan', '--pattern', 'hgp:{*}:m').split()
    return sum(store.cli('hexists', meta, f'c:{name}').strip() == '1' for meta in metas)


def test_recount_beside_others():
    """Totals are those of Redis, while others count and somebody asks; windows begin anew."""
    with redis() as store, tempfile.TemporaryDirectory() as folder:
        flags = ['--store', store.url]
        with Server(data=folder, env=ON, flags=flags) as one, Server(flags=flags) as other:
            load(other, seconds=0.3)
            wait_equal(one, 'what was counted')
            drifted(one)
            wait_for('it answers', lambda: status(one) == 200)
            check(ask(one, TOP)['exact'] and ranked(one)['k-1'] == -1, 'it was planted')
            began = int(time.time())
            tool = begin_recount(one)
            time.sleep(random.uniform(0, 0.5))  # when it is killed, not what is waited for
            one.kill()
            ended(tool)
            one.restart()
            wait_for('it answers', lambda: status(one) == 200)
            with Reading(one):
                recounted(one, other)
            wait_equal(one, 'counted anew')
            got = ask(one, 'top?counter_type=like&time_range=1h')
            check(not got['exact'] and got['complete_since'] >= began - 1, f'{got}')
            wait_for('nothing holds the outbox', lambda: consumers(store, 'analytics-recount') == 0)
            check(consumers(store, 'analytics') > 0, 'but who did before')
            one.kill()
            one.restart()
            load(other, seconds=0.2)
            wait_equal(one, 'after a kill')
            eq(one.stop(), 0, 'exit code')


def test_recount_of_a_process_of_its_own():
    with redis() as store:
        flags = ['--store', store.url]
        with Server(flags=flags) as one, Server(role='analytics', flags=flags, env=COMMIT) as alone:
            load(one, seconds=0.3)
            wait_ranked(alone, one, 'what was counted')
            drifted(alone)
            recounted(alone, one)
            wait_ranked(alone, one, 'counted anew')
            eq(alone.stop(), 0, 'exit code')


def counted_elsewhere(flags, env, between=lambda: None):
    """What two processes count is ranked by one of its own, through its kills and what is 'between'."""
    with Server(flags=flags, env=env) as one, Server(flags=flags, env=env) as other, \
            Server(role='analytics', flags=flags, env={**COMMIT, **env}) as analytics:
        kill_while_counting(one, other, analytics)
        wait_ranked(analytics, one, 'before')
        drifted(analytics)
        recounted(analytics, one)
        wait_ranked(analytics, one, 'counted anew')
        between()
        for server in (one, other):
            ready(server)
        kill_while_counting(one, other, analytics)
        wait_ranked(analytics, one, 'after')
        eq(metric(analytics, 'hgp_analytics_halted_lanes'), 0, 'halted lanes')
        eq(analytics.stop(), 0, 'exit code')


def by_hand():
    if 'ROUNDS' not in os.environ:
        raise Skipped('reads as from any Redis; to see it, ROUNDS=1')


def test_of_a_cluster():
    by_hand()
    counted_elsewhere(['--store', Cluster.store()], {})


def test_through_a_failover():
    by_hand()
    with sentinels() as group:
        counted_elsewhere(['--store', group.url], REPLICATED, lambda: fail_over(group))


def test_over_tls():
    by_hand()
    pki = Pki()
    pki.make('redis', 'DNS:localhost,IP:127.0.0.1')
    pki.make('us', 'DNS:us')
    port = dev_servers.free_port()
    with redis('--tls-port', str(port), '--tls-cert-file', str(pki.pem('redis')),
               '--tls-key-file', str(pki.key('redis')), '--tls-ca-cert-file', str(pki.pem('ca')),
               '--tls-auth-clients', 'yes', '--requirepass', 's3cret-pw'):
        counted_elsewhere(['--store', f'rediss://:s3cret-pw@localhost:{port}'],
                          {'HGP_REDIS_TLS_CA_FILE': str(pki.pem('ca')),
                           'HGP_REDIS_TLS_CERT_FILE': str(pki.pem('us')),
                           'HGP_REDIS_TLS_KEY_FILE': str(pki.key('us'))})


def kill_while_counting(one, other, analytics):
    moment = time.monotonic() + random.uniform(0.1, 0.4)

    def kill(swarm):
        if time.monotonic() >= moment and analytics.alive():
            analytics.process.kill()

    load(one, kill, seconds=0.6)
    load(other, seconds=0.2)
    analytics.kill()
    analytics.restart()


def wait_ranked(analytics, counting, what):
    def equal():
        code, got = client.code(lambda: client.top(time_range='all', limit=1000))
        if code != 'OK':
            return False
        got = client.top(time_range='all', limit=1000)
        return got.exact and {c.resource_id: c.value for c in got.counters} == values(counting)

    with Client(analytics) as client:
        wait_for(what, equal)


def test_a_store_that_analytics_cannot_read():
    import subprocess
    done = subprocess.run([Server.binary, 'analytics', '--check-config', '--store', 'rocksdb:'],
                          capture_output=True, text=True)
    eq((done.returncode, 'the counter that has it' in done.stderr), (78, True), done.stderr)


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
