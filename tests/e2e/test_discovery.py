"""Gateways that find their counters in a real Consul, or by its DNS, while these come and go.

Counters count in one Redis. Every test has tags of its own, so that it finds its own counters only.
A failed request is one that a client sees: another status than 200, or none.
"""
import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import lib
from lib import (INCREMENT, Failed, Server, Skipped, Swarm, call, check, eq, get_many, item, ready,
                 refused, request_bytes, wait_for)
from certs import Pki
from test_redis import redis
from test_split import after, metric

sys.path[:0] = [str(lib.tree() / 'tools')]
import dev_servers  # noqa: E402

SMOKE = False
COUNTER = 'high-go-press-counter'
GATEWAY = 'high-go-press-gateway'
ANALYTICS = 'high-go-press-analytics'
CONNECTIONS = 24
KEYS = 50


@contextlib.contextmanager
def consul(settings=None, token='', https=-1):
    with tempfile.TemporaryDirectory(prefix='hgp-consul-') as folder:
        try:
            server = dev_servers.Consul(pathlib.Path(folder), settings, token, https)
        except dev_servers.Trouble as why:
            raise Skipped(f'no Consul here: {why}'[:200]) from why
        try:
            yield server
        finally:
            server.process.signal(signal.SIGCONT)
            server.process.kill()


class Shared:
    """The agent and the Redis of all tests that leave them in peace."""

    stack = contextlib.ExitStack()
    agent = store = None
    numbers = itertools.count(1)

    @classmethod
    def get(cls):
        """The agent, the address of an empty database, and a tag of the test's own."""
        if not cls.agent:
            cls.agent = cls.stack.enter_context(consul())
            cls.store = cls.stack.enter_context(redis('--databases', '64'))
        n = next(cls.numbers)
        return cls.agent, f'{cls.store.url}/{n}', f'test-{n}'


class Fleet:
    """Gateways and counters that know nothing of each other but where Consul is."""

    def __init__(self, agent, store, tag, gateways=1, counters=1, env=None, discovery=None):
        self.agent, self.store, self.tag = agent, store, tag
        self.env = {'HGP_DISCOVERY': agent.url, 'HGP_CONSUL_TAGS': tag,
                    'HGP_DISCOVERY_TAGS': tag, 'HGP_CONSUL_CHECK_MS': '500', **(env or {})}
        self.stack = contextlib.ExitStack()
        self.counters = [self.counter() for _ in range(counters)]
        self.gateways = [Server(role='gateway', env={**self.env, **(discovery or {})})
                         for _ in range(gateways)]

    def counter(self, **env):
        return Server(role='counter', port=lib.free_port(), flags=['--store', self.store],
                      env={**self.env, **env})

    def add(self, **env):
        counter = self.counter(**env)
        self.counters.append(counter)
        self.stack.enter_context(counter)
        return counter

    def __enter__(self):
        try:
            for server in [*self.counters, *self.gateways]:
                self.stack.enter_context(server)
            for gateway in self.gateways:
                ready(gateway)
            return self
        except BaseException:
            self.stack.close()
            raise

    def __exit__(self, *_):
        self.stack.close()

    def said(self):
        return '\n'.join(server.said() for server in [*self.counters, *self.gateways])

    def catalog(self, service):
        """What Consul says of our instances: {port: status}."""
        found = self.agent.call('GET', f'health/service/{service}?tag={self.tag}')
        return {entry['Service']['Port']: max((check['Status'] for check in entry['Checks']
                                               if check['CheckID'] != 'serfHealth'),
                                              default='none') for entry in found}

    def becomes(self, what, wanted, got):
        """Polls until got() is what is wanted; how long that took."""
        began = time.monotonic()
        while (is_now := got()) != wanted:
            check(time.monotonic() - began < lib.WAIT_S, f'{what}: {is_now!r} instead of {wanted!r}')
            time.sleep(0.01)
        return time.monotonic() - began


class Load:
    """Increments of a few counters, all of which have to be answered, each applied once."""

    def __init__(self, gateways):
        self.gateways = gateways
        self.sent = self.good = 0
        self.failed = []

    def next(self):
        self.sent += 1
        return self.sent, request_bytes('POST', INCREMENT, item(f'load-{self.sent % KEYS}'))

    def answered(self, n, status, body):
        if status == 200:
            self.good += 1
        else:
            self.failed.append((n, status, body[:100]))

    def run(self, seconds, events=()):
        """Load for so long; 'events' are (second, function)."""
        began = time.monotonic()
        left = sorted(events, key=lambda event: event[0])
        swarm = Swarm([g.http for g in self.gateways], CONNECTIONS, self.next, self.answered)

        def tick():
            while left and time.monotonic() - began >= left[0][0]:
                left.pop(0)[1]()
            if time.monotonic() - began >= seconds and not left:
                swarm.stopping = True

        swarm.run(tick)
        self.failed += [(n, 'lost') for n in swarm.lost]

    def exact(self, why):
        eq(self.failed[:3], [], f'{why}: of {self.sent} requests {len(self.failed)} failed')
        values = get_many(self.gateways[0], [f'load-{n}' for n in range(KEYS)])
        eq(sum(values.values()), self.good, f'{why}: the sum of the counters')


def applied(counter):
    """Messages of gateways that a counter has answered."""
    text = call(counter.admin, 'GET', '/metrics').body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith('hgp_grpc_server_requests_total') and 'Lanes/Apply' in line)


# --- Consul ----------------------------------------------------------------------------------


def test_what_is_registered():
    agent, store, tag = Shared.get()
    with Fleet(agent, store, tag, gateways=2, counters=3, env={'HGP_CONSUL_WEIGHT': '7'}) as fleet:
        wanted = {counter.grpc[1]: 'passing' for counter in fleet.counters}
        fleet.becomes('counters', wanted, lambda: fleet.catalog(COUNTER))
        wanted = {gateway.http[1]: 'passing' for gateway in fleet.gateways}
        fleet.becomes('gateways', wanted, lambda: fleet.catalog(GATEWAY))
        entry = agent.call('GET', f'health/service/{COUNTER}?tag={tag}')[0]['Service']
        eq((entry['Address'], entry['Tags'], entry['Weights']['Passing']),
           ('127.0.0.1', [tag], 7), 'an entry')
        check(entry['ID'].startswith(f'{COUNTER}-') and entry['ID'].endswith(str(entry['Port'])),
              entry['ID'])
        eq(entry['Meta']['role'], 'counter', 'its role')
        check(entry['Meta']['version'] and entry['Meta']['admin'], str(entry['Meta']))
        load = Load(fleet.gateways)
        load.run(0.5)
        load.exact('all are there')
        for counter in fleet.counters:
            check(applied(counter) > 0, 'a counter got nothing')
        pools = call(fleet.gateways[0].http, 'GET', '/api/v1/system/grpc-pools').json()
        eq(pools['data']['counter']['instances'], 3, 'instances')
        for server in [*fleet.gateways, *fleet.counters]:
            eq(server.stop(), 0, 'exit code')
        eq((fleet.catalog(COUNTER), fleet.catalog(GATEWAY)), ({}, {}), 'the catalog after the end')


def test_a_registration_that_was_lost_comes_back():
    agent, store, tag = Shared.get()
    with Fleet(agent, store, tag) as fleet:
        port = fleet.counters[0].grpc[1]
        service = agent.call('GET', f'health/service/{COUNTER}?tag={tag}')[0]['Service']['ID']
        agent.call('PUT', f'agent/service/deregister/{service}')
        eq(fleet.catalog(COUNTER), {}, 'the catalog without it')
        # Nobody is registered, and whom the gateway knows is still there.
        load = Load(fleet.gateways)
        load.run(0.3)
        load.exact('an empty catalog')
        fleet.becomes('again', {port: 'passing'}, lambda: fleet.catalog(COUNTER))
        check('has forgotten this service' in fleet.counters[0].said(), 'it says why')


def test_counters_come_and_go_under_load():
    """One is killed, one is stopped in good order, one is added: nobody notices."""
    agent, store, tag = Shared.get()
    with Fleet(agent, store, tag, gateways=2, counters=3) as fleet:
        killed, stopped, stays = fleet.counters
        load = Load(fleet.gateways)
        new = fleet.counter()
        fleet.stack.callback(new.__exit__)
        load.run(3, [(0.5, killed.process.kill),
                     (1.0, lambda: stopped.send_signal(signal.SIGTERM)),
                     (1.5, lambda: new.start())])
        load.exact('kill -9, SIGTERM and a new one')
        eq(stopped.wait(), 0, 'exit code')
        wanted = {stays.grpc[1]: 'passing', new.grpc[1]: 'passing', killed.port: 'critical'}
        fleet.becomes('the catalog', wanted, lambda: fleet.catalog(COUNTER))
        fleet.becomes('instances', 2, lambda: int(metric(fleet.gateways[0],
                                                         'hgp_discovery_instances')))
        load.run(0.5)
        load.exact('afterwards')
        check(applied(new) > 0, 'the new one is used')


def test_a_frozen_counter_is_critical():
    agent, store, tag = Shared.get()
    with Fleet(agent, store, tag, counters=2) as fleet:
        frozen, other = fleet.counters
        frozen.stand_still()
        took = fleet.becomes('the catalog', {frozen.grpc[1]: 'critical', other.grpc[1]: 'passing'},
                             lambda: fleet.catalog(COUNTER))
        check(took < 5, f'critical only after {took:.1f} s')
        fleet.becomes('instances', 1,
                      lambda: int(metric(fleet.gateways[0], 'hgp_discovery_instances')))
        frozen.send_signal(signal.SIGCONT)
        fleet.becomes('instances', 2,
                      lambda: int(metric(fleet.gateways[0], 'hgp_discovery_instances')))


def test_consul_goes_and_comes_back_under_load():
    _, store, tag = Shared.get()
    away_s = float(os.environ.get('HGP_CONSUL_AWAY_S', '2'))
    with consul() as agent, Fleet(agent, store, tag, gateways=2, counters=2) as fleet:
        load = Load(fleet.gateways)
        new = fleet.counter()
        fleet.stack.callback(new.__exit__)
        load.run(away_s + 1, [(0.3, agent.process.kill), (0.6, new.start)])
        load.exact('Consul is away')
        eq(applied(new), 0, 'what a counter got that nobody could know of')
        eq(int(metric(fleet.gateways[0], 'hgp_discovery_up')), 0, 'it is away')
        check(metric(fleet.gateways[0], 'hgp_discovery_errors_total') > 0, 'and that is an error')
        load.run(4, [(0, agent.process.start)])
        load.exact('Consul comes back')
        agent.wait()
        fleet.becomes('instances', 3,
                      lambda: int(metric(fleet.gateways[0], 'hgp_discovery_instances')))
        eq(int(metric(fleet.gateways[0], 'hgp_discovery_up')), 1, 'it is back')
        load.run(0.5)
        load.exact('afterwards')
        check(applied(new) > 0, 'who came meanwhile is used')


def test_analytics_are_found():
    """None yet, one, and one that is registered and dead: which is an answer that is missing."""
    agent, _, tag = Shared.get()
    env = {'HGP_DISCOVERY': agent.url, 'HGP_CONSUL_TAGS': tag, 'HGP_DISCOVERY_TAGS': tag,
           'HGP_CONSUL_CHECK_MS': '500'}
    counter = Server(role='counter', port=lib.free_port(), env=env)
    analytics = Server(role='analytics', port=lib.free_port(), env=env,
                       flags=['--counter', f'127.0.0.1:{counter.port}'])
    gateway = Server(role='gateway', env=env, flags=['--analytics', 'discovery'])
    by_dns = Server(role='gateway', flags=['--analytics', f'_{ANALYTICS}._{tag}.service.consul'], env={
        'HGP_DISCOVERY': f'dns://127.0.0.1:{agent.ports["dns"]}', 'HGP_DISCOVERY_DNS_MS': '200',
        'HGP_COUNTER': f'_{COUNTER}._{tag}.service.consul'})

    def instances(of, service):
        text = call(of.admin, 'GET', '/metrics').body.decode()
        return tuple(int(text.split(f'hgp_upstream_instances{{service="{service}",state="{state}"}} ')
                         [1].split()[0]) for state in ('known', 'usable'))

    def ranking(of=gateway):
        return call(of.http, 'GET', '/api/v1/analytics/top?counter_type=like')

    with counter, gateway:
        ready(gateway)
        got = ranking()
        check(got.status == 503 and b'has found no analytics' in got.body, f'{got!r}')
        eq(call(gateway.http, 'POST', INCREMENT, item('x')).status, 200, 'an increment')
        eq(instances(gateway, 'analytics'), (0, 0), 'none yet, in the metrics')
        eq(instances(gateway, 'counter'), (1, 1), 'the counter is')
        with analytics:
            wait_for('it is found', lambda: ranking().status == 200)
            wait_for('in the metrics', lambda: instances(gateway, 'analytics') == (1, 1))
            wait_for('and it counts', lambda: ranking().json()['data']['counters'])
            with by_dns:
                wait_for('by DNS as well', lambda: ranking(by_dns).status == 200)
            analytics.kill()
            got = wait_for('it is missed', lambda: ranking().status == 503 and ranking())
            check(f'127.0.0.1:{analytics.port}'.encode() in got.body, f'{got!r}')
            wait_for('known and not usable', lambda: instances(gateway, 'analytics') == (1, 0))
            analytics.restart()
            wait_for('it is back', lambda: ranking().status == 200)
            eq(analytics.stop(), 0, 'exit code')
        eq(gateway.stop(), 0, 'exit code')


def test_a_gateway_that_starts_first():
    """Without Consul nothing is known: 503, and as soon as it is there, all is well."""
    agent, store, tag = Shared.get()
    fleet = Fleet(agent, store, tag, counters=0)
    with fleet.stack:
        gateway = fleet.stack.enter_context(fleet.gateways[0])
        eq(call(gateway.http, 'POST', INCREMENT, item('x')).status, 503, 'without counters')
        fleet.add()
        ready(gateway)
        eq(call(gateway.http, 'POST', INCREMENT, item('x')).value(), 1, 'with one')


def test_weights():
    agent, store, tag = Shared.get()
    with Fleet(agent, store, tag, env={'HGP_THREADS': '1', 'HGP_LOOP': 'epoll'}) as fleet:
        fleet.add(HGP_CONSUL_WEIGHT='4')
        fleet.becomes('instances', 2,
                      lambda: int(metric(fleet.gateways[0], 'hgp_upstream_connections')))
        until = after(6)  # a slow start is over by then
        with lib.Connection(fleet.gateways[0].http) as client:
            while not until():
                eq(client.request('POST', INCREMENT, item('x')).status, 200, 'an increment')
            before = [applied(counter) for counter in fleet.counters]
            for _ in range(500):
                eq(client.request('POST', INCREMENT, item('x')).status, 200, 'an increment')
        got = [applied(counter) - n for counter, n in zip(fleet.counters, before)]
        check(abs(got[0] - 100) <= 5 and abs(got[1] - 400) <= 5, f'500 messages by 1 to 4: {got}')


def test_acl_datacenter_and_tls():
    """By TLS, with a token of the policy that we ship, in a datacenter; without any of them nothing
    is found."""
    root = '11111111-2222-3333-4444-555555555555'
    _, store, tag = Shared.get()
    with Pki() as pki:
        pki.make('agent', 'DNS:localhost,IP:127.0.0.1')
        pki.make('service', 'DNS:counter.test')
        secret = pki.folder / 'token'
        https = lib.free_port()
        settings = {'datacenter': 'here',
                    'acl': {'enabled': True, 'default_policy': 'deny',
                            'tokens': {'initial_management': root, 'agent': root}},
                    'tls': {'https': {'cert_file': str(pki.pem('agent')), 'verify_incoming': True,
                                      'key_file': str(pki.key('agent')), 'ca_file': str(pki.pem('ca'))}}}
        with consul(settings, root, https) as agent:
            rules = (lib.tree() / 'deploy/consul/policy.hcl').read_text()
            agent.call('PUT', 'acl/policy', {'Name': 'high-go-press', 'Rules': rules})
            token = agent.call('PUT', 'acl/token',
                               {'Policies': [{'Name': 'high-go-press'}]})['SecretID']
            secret.touch(0o600)
            secret.write_text(token + '\n')
            right = {'HGP_DISCOVERY': f'consuls://localhost:{https}',
                     'HGP_CONSUL_CA_FILE': str(pki.pem('ca')),
                     'HGP_CONSUL_CERT_FILE': str(pki.pem('service')),
                     'HGP_CONSUL_KEY_FILE': str(pki.key('service')),
                     'HGP_CONSUL_DATACENTER': 'here', 'HGP_CONSUL_TOKEN_FILE': str(secret)}
            with Fleet(agent, store, tag, env=right) as fleet:
                eq(call(fleet.gateways[0].http, 'POST', INCREMENT, item('x')).value(), 1, 'one')
                check(token not in fleet.said(), 'the token is in a log')
            for missing in ('TOKEN_FILE', 'DATACENTER', 'CA_FILE'):
                wrong = {**right, f'HGP_CONSUL_{missing}': {'DATACENTER': 'there'}.get(missing, '')}
                with Server(role='gateway', env=wrong) as gateway:
                    end = time.monotonic() + lib.WAIT_S
                    while "Consul doesn't answer" not in gateway.said():
                        check(time.monotonic() < end, f'{missing}: {gateway.said()}')
                        time.sleep(0.01)
            os.chmod(secret, 0o644)
            code, said = refused(role='gateway', env=right)
            check(code == 78 and 'Consul' in said, f'a token that others may read: {code} {said}')


def test_dns():
    """The same agent's DNS: SRV records, and addresses that change."""
    agent, store, tag = Shared.get()
    server = f'dns://127.0.0.1:{agent.ports["dns"]}'
    # RFC 2782 as Consul has it: _SERVICE._TAG, or _tcp for all; others' counters aren't ours.
    discovery = {'HGP_DISCOVERY': server, 'HGP_DISCOVERY_DNS_MS': '200',
                 'HGP_COUNTER': f'_{COUNTER}._{tag}.service.consul'}
    with Fleet(agent, store, tag, gateways=1, counters=2, discovery=discovery) as fleet:
        load = Load(fleet.gateways)
        load.run(0.5)
        load.exact('by SRV')
        eq(int(metric(fleet.gateways[0], 'hgp_discovery_instances')), 2, 'instances')
        fleet.add()
        fleet.becomes('instances', 3,
                      lambda: int(metric(fleet.gateways[0], 'hgp_discovery_instances')))
        load.run(2, [(0.3, lambda: fleet.counters[0].send_signal(signal.SIGTERM))])
        load.exact('one goes')
        fleet.becomes('instances', 2,
                      lambda: int(metric(fleet.gateways[0], 'hgp_discovery_instances')))
        # Nobody is left: the name is gone, and the last one known is tried all the same.
        eq(fleet.gateways[0].stop(), 0, 'exit code')
        fleet.gateways[0].env['HGP_COUNTER'] = f'{tag}.{COUNTER}.service.consul:{fleet.counters[1].port}'
        fleet.gateways[0].start()
        ready(fleet.gateways[0])
        eq(int(metric(fleet.gateways[0], 'hgp_discovery_instances')), 1, 'by address')


def test_what_is_refused():
    for flags, what in [
            (['--discovery', 'consul://nobody'], 'HOST:PORT'),
            (['--discovery', 'consul://a:1,b:2'], 'HOST:PORT'),
            (['--discovery', 'dns://name:53'], 'dns://IPV4:PORT'),
            (['--analytics', 'discovery'], 'needs --discovery consul://'),
            (['--analytics', '_a._tcp.b'], 'need --discovery dns'),
            (['--discovery', 'etcd://a:1'], 'static, dns'),
            (['--counter', '_x._tcp.example'], 'need --discovery dns')]:
        code, said = refused([*flags, '--check-config'], role='gateway')
        check(code in (64, 78) and what in said, f'{flags}: {code} {said}')
    code, said = refused(['--check-config'], env={'HGP_DISCOVERY_TAGS': 'a b'}, role='gateway')
    check(code == 78 and 'discovery.tags' in said, f'{code} {said}')


def test_the_configurations_that_we_ship():
    for name in ('server', 'agent'):
        with tempfile.TemporaryDirectory(prefix='hgp-consul-') as folder:
            conf = pathlib.Path(folder) / f'{name}.hcl'
            text = (lib.tree() / f'deploy/consul/{name}.hcl').read_text()
            conf.write_text(text.replace('{{ GetPrivateIP }}', '127.0.0.1'))
            try:
                program = dev_servers.consul_program()
            except dev_servers.Trouble as why:
                raise Skipped(f'no Consul here: {why}'[:200]) from why
            done = subprocess.run([program, 'validate', conf], capture_output=True, text=True)
            check(done.returncode == 0, f'{name}.hcl: {done.stdout}{done.stderr}')


def test_zz_the_end():
    Shared.stack.close()
