"""The commands in the documents, as they stand there: each page is one session in a shell, against a
real Redis where it wants one. Only the ports are free ones.

A block that can't be run here says what it needs behind its language, as ```sh container.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from lib import Server, Skipped, check, eq, free_port, tree

sys.path.insert(0, str(tree() / 'tools'))
import dev_servers  # noqa: E402

SMOKE = False
SESSION_S = 120
BLOCK = re.compile(r'^```sh([^\n]*)\n(.*?)^```$', re.M | re.S)
PORTS = ('8080', '8081', '50051', '2112', '2113')
# Whoever else runs what stands in a page; those that are run here aren't among them.
ELSEWHERE = {
    'README.md': '.ci/run and make test',
    'CONTRIBUTING.md': 'make test',
    'bench/README.md': 'by hand: minutes each',
    'deploy/README.md': 'test_compose, test_units, test_deb; the rest wants an engine or systemd',
    'docs/analytics.md': 'test_analytics',
    'docs/backup.md': 'test_docs, by operations.md',
    'docs/discovery.md': 'test_discovery',
    'docs/config-center.md': 'the module of its feature',
    'docs/import.md': 'test_import',
    'docs/kafka.md': 'test_kafka',
    'docs/live.md': 'test_live',
    'docs/redis.md': 'test_redis, test_redis_cluster',
    'docs/scale.md': 'by hand: bench/scale',
    'docs/tls.md': 'test_tls',
    'docs/traces.md': 'test_otlp',
    'docs/verify.md': 'test_verify',
    'docs/adr': 'decisions, not manuals',
    'tests/sim/README.md': 'make test',
}


def blocks(path):
    return BLOCK.findall(path.read_text())


def session(page, redis=None):
    """Runs all blocks of a page in one shell that ends at the first command that fails."""
    found = blocks(tree() / page)
    check(found, f'{page} has no commands')
    text = '\n'.join(code for needs, code in found if not needs.strip())
    for port in PORTS:
        text = re.sub(rf'(?<=:){port}\b', str(free_port()), text)
    if redis:
        text = re.sub(r'\b6379\b', str(redis.port), text)
    with tempfile.TemporaryDirectory(prefix='hgp-docs-') as folder:
        bin_folder = pathlib.Path(folder, 'bin')
        bin_folder.mkdir()
        (bin_folder / 'highgopress').symlink_to(pathlib.Path(Server.binary).resolve())
        env = {k: v for k, v in os.environ.items() if not k.startswith('HGP_')}
        shell = subprocess.Popen(
            ['bash', '-c', f'set -eu -o pipefail\n{text}'], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**env, 'PATH': f'{bin_folder}:{env["PATH"]}', 'HGP_TIMEOUTS_REQUEST_MS': '10000'})
        timeout = False
        try:
            shell.wait(SESSION_S)
        except subprocess.TimeoutExpired:
            timeout = True
        # What the page has left running; nobody else is in this session.
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        said = shell.communicate()[0]
        eq((timeout, shell.returncode), (False, 0), f'{page}: {said[-1500:]}')


def test_operations():
    session('docs/operations.md')


def test_migration():
    with tempfile.TemporaryDirectory(prefix='hgp-docs-redis-') as folder:
        try:
            redis = dev_servers.Redis(pathlib.Path(folder, 'redis'))
        except dev_servers.Trouble as why:
            raise Skipped(str(why)) from why
        try:
            session('docs/migration.md', redis)
        finally:
            redis.process.kill()


def test_every_page_with_commands_is_run_by_somebody():
    listed = subprocess.run(['git', 'ls-files', '*.md'], cwd=tree(), capture_output=True, text=True)
    pages = [name for name in listed.stdout.split() if blocks(tree() / name)]
    check(len(pages) > 8, f'pages: {pages}')
    here = re.findall(r"session\('([^']+)'", pathlib.Path(__file__).read_text())
    known = [*ELSEWHERE, *here]
    eq([page for page in pages if not any(page == k or page.startswith(f'{k}/') for k in known)], [],
       'pages that nobody runs')
    for page, by in ELSEWHERE.items():
        for module in re.findall(r'test_\w+', by):
            check((tree() / f'tests/e2e/{module}.py').exists(), f'{page}: no {module}')
