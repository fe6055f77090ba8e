"""What deploy/compose.yaml and deploy/kubernetes run, without containers: commands, environments and
health checks of our services, in the order of their dependencies, beside real servers (composed.py); and
the image's files as the only ones there are.
"""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

import lib
from composed import BINARY, DEPLOY, IMAGE, compose, composed, dev_servers
from lib import Server, Skipped, WAIT_S, call, check, eq, increment

SMOKE = False
PYTHON = '/usr/bin/python3'  # Debian's has python3-yaml
UID = 65532


@contextlib.contextmanager
def running():
    try:
        with composed() as made:
            yield made
    except dev_servers.Trouble as why:
        raise Skipped(str(why)[:200]) from why


def test_the_composed_services_count_exactly():
    """composed.py, in small; then they are stopped, one counter before the others."""
    with running() as made:
        prometheus = made.prometheus()
        gateways = made.gateways()
        eq(made.script('load_test.sh', LEVELS='2000@16'), (0, 2000), 'load_test.sh')
        made.scraped(prometheus)
        check(made.verify().endswith('no drift\n'), 'the verdict')
        made.seen(prometheus, 2000)
        top = '/api/v1/analytics/top?counter_type=like&time_range=all'
        lib.wait_for('it is ranked', lambda: (
            call(gateways[0].http, 'GET', top).json().get('data', {}).get('counters') or
            [{}])[0].get('value') == 2000, 2 * WAIT_S)

        made.processes['counter-1'].terminate()
        eq(made.processes['counter-1'].wait(WAIT_S), 0, 'a counter ends well')
        check(not made.healthy('counter-1'), 'a counter that is gone is not healthy')
        eq(increment(gateways[1], 'composed').value(), 1, 'by the other one')
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
            if document['kind'] in ('Deployment', 'StatefulSet'):
                yield from ((path.name, c)
                            for c in document['spec']['template']['spec']['containers'])


def test_kubernetes_runs_what_the_binary_takes():
    found = list(containers())
    eq(len(found), 3, 'containers')
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
