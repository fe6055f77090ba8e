#!/usr/bin/python3
"""composed.py - what deploy/compose.yaml runs, as processes on loopback: under load, does it add up?

    tests/e2e/composed.py [--binary build/highgopress] [--appendfsync everysec]

Two gateways, two counters on one Redis, analytics, Kafka, Consul, and a Prometheus that scrapes them, all
of them real, with the commands, environments and health checks of deploy/compose.yaml; each of our
services has a loopback address of its own, so that ports stay as they are written. Then over both gateways:

    scripts/load_test.sh                     no error, every counter exact
    scripts/performance_test.sh --baseline   the migration plan's floor
    highgopress verify                       store, Kafka's topic and analytics' totals: no drift
    Prometheus                               has seen each of these increments once, and no 5xx

Prints what each says, and ends what it has started. Exit 0: all of it holds. LEVELS, LOW, HIGH and ROUNDS
are the scripts' own. test_compose.py is a short run of it.
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import yaml

import lib
from lib import Failed, Server, WAIT_S, check, eq, tree

sys.path.insert(0, str(tree() / 'tools'))
import dev_servers  # noqa: E402

DEPLOY = tree() / 'deploy'
IMAGE = 'highgopress'
BINARY = '/usr/bin/highgopress'
ADMIN = {'gateway': 2112, 'counter': 2113, 'analytics': 2114}  # the roles' defaults
SETTLE_S = 60  # for events on their way, and the next scrapes
SENT = re.compile(r'consistency: (\d+) increments sent')


def compose():
    return yaml.safe_load((DEPLOY / 'compose.yaml').read_text())['services']


def in_order(services):
    """Names, each behind those it depends on."""
    done = []

    def visit(name, above=()):
        check(name not in above, f'{name} depends on itself')
        for other, how in services[name].get('depends_on', {}).items():
            eq(how['condition'], 'service_healthy', f'{name} and {other}')
            check('healthcheck' in services[other], f'{other} has no health check')
            visit(other, (*above, name))
        if name not in done:
            done.append(name)

    for name in services:
        visit(name)
    return done


class Address:
    """An address of a gateway, for what the tests' clients want of a server."""

    def __init__(self, host, port):
        self.http = (host, port)


class Composed:
    """The services of ours, as processes."""

    def __init__(self, stack, appendfsync=None):
        self.services = compose()
        self.appendfsync = appendfsync
        self.stack = stack
        net = f'127.{random.randrange(1, 250)}.{random.randrange(250)}'
        ours = [name for name in in_order(self.services)
                if self.services[name]['image'] == IMAGE]
        self.hosts = {name: f'{net}.{n + 1}' for n, name in enumerate(ours)}
        self.folder = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix='hgp-compose-')))
        self.elsewhere = {}
        self.processes = {}

    def at_home(self, name, text):
        """A value of 'name', with addresses of this machine."""
        for host, address in {**self.hosts, **self.elsewhere}.items():
            text = re.sub(rf'(^|[/,@]){host}:(\d+)',
                          lambda m: f'{m[1]}{address}' if ':' in address
                          else f'{m[1]}{address}:{m[2]}', text)
        text = self.hosts.get(text, text)
        return self.hosts[name] + text if re.fullmatch(r':\d+', text) else text

    def environment(self, name):
        mine = {key: value for key, value in os.environ.items() if not key.startswith('HGP_')}
        return {**mine, **{key: self.at_home(name, value) for key, value in
                           self.services[name].get('environment', {}).items()}}

    def start(self, name):
        service = self.services[name]
        folder = self.folder / name
        folder.mkdir()
        log = self.stack.enter_context(open(folder / 'log', 'wb'))
        self.processes[name] = process = subprocess.Popen(
            [str(Server.binary), *service['command']], cwd=folder, env=self.environment(name),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.callback(self.kill, process)
        end = time.monotonic() + WAIT_S
        while not self.healthy(name):
            if process.poll() is not None or time.monotonic() > end:
                raise Failed(f'{name} is not healthy: {(folder / "log").read_text()[-800:]}')
            time.sleep(0.05)

    @staticmethod
    def kill(process):
        process.kill()
        process.wait()

    def healthy(self, name):
        how, program, *words = self.services[name]['healthcheck']['test']
        eq((how, program), ('CMD', BINARY), f'{name}: who asks')
        return subprocess.run([str(Server.binary), *words], env=self.environment(name),
                              capture_output=True).returncode == 0

    def others(self):
        """Redis, Kafka and Consul, as the services are told of them."""
        self.redis()
        kafka = dev_servers.Kafka(self.folder / 'kafka')
        self.stack.callback(kafka.brokers[0].kill)
        self.consul = dev_servers.Consul(self.folder / 'consul')
        self.stack.callback(self.consul.process.kill)
        self.elsewhere['kafka'] = f'127.0.0.1:{kafka.ports[0]}'
        self.elsewhere['consul'] = self.consul.url.removeprefix('consul://')

    def prometheus(self):
        """As the composed one is configured, but impatient."""
        targets = yaml.safe_load((DEPLOY / 'prometheus/targets/compose.yml').read_text())
        for group in targets:
            group['targets'] = [self.at_home(None, target) for target in group['targets']]
        made = dev_servers.Prometheus(self.folder / 'prometheus', targets=targets, interval=1)
        self.stack.callback(made.process.kill)
        return made

    def redis(self):
        program, *options = self.services['redis']['command']
        eq(program, 'redis-server', 'the command of redis')
        if self.appendfsync:
            options[options.index('--appendfsync') + 1] = self.appendfsync
        redis = dev_servers.Redis(self.folder / 'redis', *options)
        self.stack.callback(redis.process.kill)
        how, *words = self.services['redis']['healthcheck']['test']
        eq((how, words), ('CMD', ['redis-cli', 'ping']), 'its health check')
        self.elsewhere['redis'] = f'127.0.0.1:{redis.port}'

    def gateways(self):
        return [Address(host, 8080) for name, host in self.hosts.items() if name.startswith('gateway')]

    # ---- what it is asked ----

    def script(self, name, *options, **env):
        """(exit code, how many increments it sent); what it prints is shown as it comes."""
        urls = ['http://{}:{}'.format(*gateway.http) for gateway in self.gateways()]
        print(f'\n{" ".join([name, *options])}\n', flush=True)
        sent = 0
        with subprocess.Popen([tree() / 'scripts' / name, *options, *urls], stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True, env={**os.environ, **env}) as process:
            for line in process.stdout:
                print(line, end='', flush=True)
                found = SENT.match(line)
                sent = int(found[1]) if found else sent
        return process.returncode, sent

    def verify(self):
        """Its last lines. Redis is ours alone: what no event tells of is drift."""
        said = subprocess.run(
            [str(Server.binary), 'verify', '--store', self.at_home('', 'redis://redis:6379'), '--strict',
             '--events', self.at_home('', 'kafka://kafka:9092/counter-events'), '--analytics',
             self.at_home('', 'analytics:50052'), '--wait', str(SETTLE_S)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL)
        eq(said.returncode, 0, f'verify: {said.stdout[-1000:]} {said.stderr[-500:]}')
        return said.stdout

    def scraped(self, prometheus):
        """Until all five are, each in its role."""
        wanted = {((role := name.split('-')[0]), f'{host}:{ADMIN[role]}')
                  for name, host in self.hosts.items()}
        lib.wait_for('Prometheus scrapes all of them', lambda: {
            (row['metric']['role'], row['metric']['instance'])
            for row in series(prometheus, 'up{job="highgopress"} == 1')} == wanted, SETTLE_S)
        return len(wanted)

    def seen(self, prometheus, count):
        """Until Prometheus has seen 'count' increments answered by the gateways and applied by the counters,
        and nothing that waits for Kafka; fails if anything failed. Says so in a sentence."""
        answered = 'hgp_http_requests_total{role="gateway",route="/api/v1/counter/increment",code="200"}'
        for what, query in (
                ('answered by the gateways', f'sum({answered})'),
                ('applied by the counters', 'sum(hgp_counter_operations_total{role="counter"})')):
            lib.wait_for(lambda what=what, query=query: f'{value(prometheus, query):.0f} of {count} increments '
                         f'{what}, as Prometheus has it',
                         lambda query=query: value(prometheus, query) == count, SETTLE_S)
        wait_until_shipped(prometheus)
        # /readyz may, before all is there.
        refused = 'hgp_http_requests_total{role="gateway",route=~"/api/v1/.*",code=~"5.."}'
        eq(value(prometheus, f'sum({refused})'), 0, 'answers 5xx')
        return f'Prometheus has seen each of {count:,} increments once, and no answer 5xx'


def series(prometheus, query):
    return (prometheus.get('query', query=query) or {}).get('result', [])


def value(prometheus, query):
    """Of a query of one series; 0 where there is none."""
    found = series(prometheus, query)
    return float(found[0]['value'][1]) if found else 0


def wait_until_shipped(prometheus):
    lib.wait_for('all events are in Kafka', lambda: series(
        prometheus, 'sum(hgp_relay_events_total) > 0 and sum(hgp_relay_lag_events) == 0'), SETTLE_S)


@contextlib.contextmanager
def composed(appendfsync=None):
    """All of them; raises dev_servers.Trouble where a server can't be had."""
    with contextlib.ExitStack() as stack:
        made = Composed(stack, appendfsync)
        made.others()
        for name in made.hosts:
            made.start(name)
        eq(len(made.gateways()), 2, 'gateways')
        yield made


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--binary', type=pathlib.Path, default=tree() / 'build/highgopress')
    parser.add_argument('--appendfsync', choices=('always', 'everysec'),
                        help="Redis's, instead of compose.yaml's: what Phase 1 had is everysec")
    return parser.parse_args()


def under_load(made, prometheus):
    """What doesn't hold, as sentences."""
    failed, count = [], 0
    for words in (['load_test.sh'], ['performance_test.sh', '--baseline']):
        code, sent = made.script(*words)
        count += sent
        if code:
            failed.append(f'{" ".join(words)} ends with {code}')
    print('\nhighgopress verify\n')
    for question in (made.verify, lambda: made.seen(prometheus, count)):
        try:
            print(question())
        except Failed as why:
            failed.append(str(why))
    return failed


def main():
    options = arguments()
    Server.binary = options.binary.resolve()
    with composed(options.appendfsync) as made:
        prometheus = made.prometheus()
        made.scraped(prometheus)
        print(f'running: {", ".join([*made.hosts, "Redis", "Kafka", "Consul", "Prometheus"])}')
        failed = under_load(made, prometheus)
    print('\n'.join(f'FAILED: {why}' for why in failed) or 'all of it holds')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    try:
        main()
    except dev_servers.Trouble as trouble:
        sys.exit(f'composed: {trouble}')
