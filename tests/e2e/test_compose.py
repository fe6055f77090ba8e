"""What deploy/compose.yaml and deploy/kubernetes run, without containers: commands, environments and
health checks of our services, in the order of their dependencies, against a real Redis; and the
image's files as the only ones there are.

Each service has a loopback address of its own, so that ports stay as they are written.
"""
import contextlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import yaml

import lib
from lib import Failed, Server, Skipped, Swarm, call, check, eq, get, increment, request_bytes, tree
from lib import INCREMENT, WAIT_S, item

sys.path.insert(0, str(tree() / 'tools'))
import dev_servers  # noqa: E402

SMOKE = False
PYTHON = '/usr/bin/python3'  # Debian's has python3-yaml
DEPLOY = tree() / 'deploy'
IMAGE = 'highgopress'
BINARY = '/usr/bin/highgopress'
UID = 65532


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

    def __init__(self, stack):
        self.services = compose()
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
        self.stack.callback(process.kill)
        end = time.monotonic() + WAIT_S
        while not self.healthy(name):
            if process.poll() is not None or time.monotonic() > end:
                raise Failed(f'{name} is not healthy: {(folder / "log").read_text()[-800:]}')
            time.sleep(0.05)

    def healthy(self, name):
        how, program, *words = self.services[name]['healthcheck']['test']
        eq((how, program), ('CMD', BINARY), f'{name}: who asks')
        return subprocess.run([str(Server.binary), *words], env=self.environment(name),
                              capture_output=True).returncode == 0

    def others(self):
        """Redis, Kafka and Consul, as the services are told of them."""
        self.redis()
        kafka = dev_servers.Kafka(self.folder / 'kafka')
        self.consul = dev_servers.Consul(self.folder / 'consul')
        for process in [*kafka.processes(), *self.consul.processes()]:
            self.stack.callback(process.kill)
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
        redis = dev_servers.Redis(self.folder / 'redis', *options)
        self.stack.callback(redis.process.kill)
        how, *words = self.services['redis']['healthcheck']['test']
        eq((how, words), ('CMD', ['redis-cli', 'ping']), 'its health check')
        self.elsewhere['redis'] = f'127.0.0.1:{redis.port}'


def wait_for(what, so):
    lib.wait_for(what, so, 2 * WAIT_S)


def scraped(prometheus):
    got = prometheus.get('query', query='up{job="highgopress"} == 1') or {'result': []}
    return sorted((row['metric']['role'], row['metric']['instance']) for row in got['result'])


def shipped(prometheus):
    """Has all that was counted reached Kafka?"""
    query = 'sum(hgp_relay_events_total) > 0 and sum(hgp_relay_lag_events) == 0'
    return (prometheus.get('query', query=query) or {}).get('result')


@contextlib.contextmanager
def composed():
    """All of them, and the addresses of the gateways."""
    with contextlib.ExitStack() as stack:
        made = Composed(stack)
        try:
            made.others()
        except dev_servers.Trouble as why:
            raise Skipped(str(why)[:200]) from why
        for name in made.hosts:
            made.start(name)
        gateways = [(made.hosts[name], 8080) for name in made.hosts if name.startswith('gateway')]
        eq(len(gateways), 2, 'gateways')
        yield made, gateways


def test_load_test_script():
    """scripts/load_test.sh over all of it, at its own levels: LOAD_TEST=FILE has what it says."""
    if not os.environ.get('LOAD_TEST'):
        raise Skipped('it takes minutes: LOAD_TEST=FILE')
    with composed() as (made, gateways):
        prometheus = made.prometheus()
        done = subprocess.run([tree() / 'scripts/load_test.sh',
                               *(f'http://{host}:{port}' for host, port in gateways)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        pathlib.Path(os.environ['LOAD_TEST']).write_text(done.stdout)
        eq(done.returncode, 0, done.stdout[-1500:])
        wait_for('all events are in Kafka', lambda: shipped(prometheus))


def test_the_composed_services_count_exactly():
    with composed() as (made, gateways):
        prometheus = made.prometheus()
        left = iter(range(2000))
        data = request_bytes('POST', INCREMENT, item('composed'))
        answers = []
        Swarm(gateways, 16, lambda: next(((n, data) for n in left), None),
              lambda n, status, body: answers.append(status)).run()
        eq(answers, [200] * 2000, 'answers')
        eq(get(Address(*gateways[0]), 'composed'), 2000, 'the value')

        wanted = sorted((name.split('-')[0], f'{host}:{2113 if "counter" in name else 2112}')
                        for name, host in made.hosts.items())
        wait_for('Prometheus finds all of them', lambda: scraped(prometheus) == wanted)
        top = '/api/v1/analytics/top?counter_type=like&time_range=all'
        wait_for('it is ranked', lambda: (
            call(gateways[0], 'GET', top).json().get('data', {}).get('counters') or
            [{}])[0].get('value') == 2000)
        wait_for('all events are in Kafka', lambda: shipped(prometheus))

        made.processes['counter-1'].terminate()
        eq(made.processes['counter-1'].wait(WAIT_S), 0, 'a counter ends well')
        check(not made.healthy('counter-1'), 'a counter that is gone is not healthy')
        eq(increment(Address(*gateways[1]), 'composed').value(), 2001, 'by the other one')
        for name in reversed(made.hosts):
            made.processes[name].terminate()
            eq(made.processes[name].wait(WAIT_S), 0, f'{name} ends well')


def test_services_are_hardened():
    for name, service in compose().items():
        if service['image'] != IMAGE:
            check(re.search(r':v?\d', service['image']), f'{name}: no version in its image')
            continue
        eq(service['read_only'], True, f'{name}: read_only')
        eq(service['cap_drop'], ['ALL'], f'{name}: cap_drop')
        eq(service['user'], f'{UID}:{UID}', f'{name}: user')
    published = [port for service in compose().values() for port in service.get('ports', [])]
    check(len(published) > 3 and all(port.startswith('127.0.0.1:') for port in published),
          f'ports: {published}')


def containers():
    """(file, container) of all workloads for Kubernetes."""
    for path in sorted((DEPLOY / 'kubernetes').glob('*.yaml')):
        for document in yaml.safe_load_all(path.read_text()):
            if document['kind'] == 'Deployment':
                yield from ((path.name, c)
                            for c in document['spec']['template']['spec']['containers'])


def test_kubernetes_runs_what_the_binary_takes():
    found = list(containers())
    eq(len(found), 2, 'containers')
    for name, container in found:
        # What comes from a secret is a Redis here.
        env = {e['name']: e.get('value', 'redis://redis:6379') for e in container['env']}
        clean = {k: v for k, v in os.environ.items() if not k.startswith('HGP_')}
        done = subprocess.run([str(Server.binary), *container['args'], '--check-config'],
                              env={**clean, **env}, capture_output=True, text=True)
        eq((done.returncode, done.stdout), (0, 'configuration ok\n'), f'{name}: {done.stderr}')
        listening = {port['name']: port['containerPort'] for port in container['ports']}
        for key, port in (('HGP_ADMIN', 'admin'), ('HGP_HTTP', 'http'), ('HGP_GRPC', 'grpc')):
            if port in listening:
                eq(env[key], f':{listening[port]}', f'{name}: {key}')


def test_image_has_all_it_needs():
    """In a root folder that has the image's files and libc, as the image's user."""
    if os.geteuid() != 0 or not shutil.which('chroot'):
        raise Skipped('chroot needs root')
    with tempfile.TemporaryDirectory(prefix='hgp-image-') as folder:
        root = pathlib.Path(folder, 'root')
        done = subprocess.run([DEPLOY / 'image_files.sh', Server.binary, root],
                              capture_output=True, text=True)
        eq(done.returncode, 0, done.stderr)
        for library in libc_files():
            target = root / library.lstrip('/')
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
        os.chown(root / 'data', UID, UID)
        for path in (pathlib.Path(folder), root):
            path.chmod(0o755)
        link = root / str(Server.binary).lstrip('/')
        link.parent.mkdir(parents=True)
        link.symlink_to(BINARY)
        server = Server(data='/data')
        server.wrapper = ['chroot', f'--userspec={UID}:{UID}', str(root)]
        with server:
            eq(increment(server, 'imaged', 7).value(), 7, 'it counts')
            status = pathlib.Path(f'/proc/{server.process.pid}/status').read_text()
            check(f'Uid:\t{UID}\t{UID}' in status, 'its user')
            eq(server.stop(), 0, 'it ends well')
        check(list(root.glob('usr/share/doc/librocksdb*/copyright')), 'the copyright notices')


def libc_files():
    """What the base image has of it."""
    said = subprocess.run(['ldd', str(Server.binary)], capture_output=True, text=True).stdout
    found = [word for word in said.split() if re.search(r'/(libc|libm|libpthread|libresolv|libdl|librt)\.so', word)]
    return found + [word for word in said.split() if 'ld-linux' in word]


def test_dockerfile_keeps_its_word():
    text = (DEPLOY / 'Dockerfile').read_text()
    last = text[text.rindex('\nFROM '):]
    check('distroless' in last.splitlines()[1], 'the base')
    for line in (f'USER {UID}:{UID}', f'ENTRYPOINT ["{BINARY}"]', 'CMD ["all"]',
                 f'["{BINARY}", "healthcheck"]'):
        check(line in last, line)
