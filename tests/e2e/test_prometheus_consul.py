"""A Prometheus with deploy/prometheus/consul.yml finds every role that is in a real Consul, loses who leaves,
and keeps who dies."""
import contextlib
import os
import pathlib
import re
import tempfile

import lib
from lib import Server, Skipped, eq, free_port, tree, wait_for
from test_prometheus import dev_servers, rules, series

SMOKE = False
WAIT_S = 60


def found(prometheus, query='up{job="highgopress"}'):
    """{(role, instance): value}"""
    return {(row['metric']['role'], row['metric']['instance']): row['value'][1]
            for row in series(prometheus, query)}


def instance(server):
    return server.role, '{}:{}'.format(*server.admin)


@contextlib.contextmanager
def deployment():
    """(Prometheus, Consul, servers by role)"""
    with tempfile.TemporaryDirectory(prefix='hgp-prom-') as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        try:
            consul = dev_servers.Consul(folder / 'consul')
            stack.callback(consul.process.kill)
            prometheus = dev_servers.Prometheus(folder / 'prometheus', interval=1, consul=consul)
        except dev_servers.Trouble as why:
            raise Skipped(str(why)[:200]) from why
        stack.callback(prometheus.process.kill)
        env = {'HGP_DISCOVERY': consul.url, 'HGP_CONSUL_CHECK_MS': '500'}
        counter = stack.enter_context(Server(role='counter', env=env, port=free_port()))
        made = {'counter': counter}
        for role, flags in (('gateway', ['--analytics', 'none']),
                            ('analytics', ['--counter', f'127.0.0.1:{counter.port}']),
                            ('all', ['--grpc', '127.0.0.1:0'])):  # two services, one process
            made[role] = stack.enter_context(Server(role=role, env=env, flags=flags))
        yield prometheus, consul, made


def test_it_asks_for_what_we_register():
    asked = set(re.findall(r'high-go-press-\w+', (tree() / 'deploy/prometheus/consul.yml').read_text()))
    registered = re.findall(r'"(high-go-press-\w+)"', (tree() / 'src/cli/discovery_self.c').read_text())
    eq((asked, len(registered)), (set(registered), 3), 'services')


def test_every_role_is_found():
    if not os.environ.get('PROMETHEUS_CONSUL'):
        raise Skipped("Debian's Prometheus can't ask Consul, and to build one that can takes Go ten minutes: "
                      'PROMETHEUS_CONSUL=1')
    with deployment() as (prometheus, consul, made):
        wanted = {instance(server): '1' for server in made.values()}
        wait_for(lambda: f'{found(prometheus)} are found, wanted {wanted}',
                 lambda: found(prometheus) == wanted, WAIT_S)
        eq([rule['name'] for rule in rules(prometheus) if rule['health'] == 'err'], [], 'rules')

        # One that listens on every interface is scraped where its service is.
        port = made['gateway'].admin[1]
        consul.call('PUT', 'agent/service/register', {
            'Name': 'high-go-press-gateway', 'ID': 'everywhere', 'Address': '127.0.0.1', 'Port': 1,
            'Meta': {'admin': f'0.0.0.0:{port}', 'role': 'everywhere'}})
        wait_for('it is found', lambda: found(prometheus).get(('everywhere', f'127.0.0.1:{port}')) == '1',
                 WAIT_S)
        consul.call('PUT', 'agent/service/deregister/everywhere')

        eq(made['gateway'].stop(), 0, 'a gateway ends well')
        gone = instance(made['gateway'])
        wait_for('who has left is no target', lambda: gone not in found(prometheus), WAIT_S)
        dead = instance(made['counter'])
        made['counter'].kill()
        wait_for('who has died is down', lambda: found(prometheus).get(dead) == '0', WAIT_S)
        wait_for('an alert waits for its minute', lambda: any(
            alert['labels']['alertname'] == 'HighGoPressDown' and alert['labels']['instance'] == dead[1]
            for alert in prometheus.get('alerts')['alerts']), WAIT_S)
