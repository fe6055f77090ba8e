"""The commands in the documents. Those of a page that is a session are run in a shell as they stand there,
against a real Redis where it wants one; only the ports are free ones. Of all pages the binary is asked
whether it takes their flags and values, and the scripts whether they are there and know their options.

A block that can't be run here says what it needs behind its language, as ```sh container.
"""
import os
import pathlib
import re
import shlex
import signal
import string
import subprocess
import sys
import tempfile

from lib import Server, Skipped, check, eq, free_port, tree
from test_install import verbs

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
    'docs/recount.md': 'test_recount',
    'docs/recover.md': 'test_redis_events',
    'docs/redis.md': 'test_redis, test_redis_cluster',
    'docs/scale.md': 'by hand: bench/scale',
    'docs/tls.md': 'test_tls',
    'docs/traces.md': 'test_otlp',
    'docs/verify.md': 'test_verify',
    'docs/adr': 'decisions, not manuals',
    'tests/sim/README.md': 'make test',
}


# What scripts/dev-up.sh prints.
GIVEN = {'REDIS': 'redis://127.0.0.1:6379', 'KAFKA': 'kafka://127.0.0.1:9092/counter-events',
         'CONSUL': 'consul://127.0.0.1:8500'}
BINARY = re.compile(r'(?:build/)?highgopress')
SCRIPT = re.compile(r'(?:scripts|bench|tests|tools)/[\w./-]+')
UNMARKED = re.compile(rf'^```\n(?:{BINARY.pattern} [a-z]+|{SCRIPT.pattern})(?![:\w]).*', re.M)
INDENTED = re.compile(rf'^ {{4,}}({BINARY.pattern} .*)$', re.M)  # in a list, as code
INLINE = re.compile(rf'`({SCRIPT.pattern}(?: [^`\n]*)?)`')
BUILT = ('tools/gen_docs',)


def blocks(path):
    return BLOCK.findall(path.read_text())


def pages():
    listed = subprocess.run(['git', 'ls-files', '*.md'], cwd=tree(), capture_output=True, text=True)
    return listed.stdout.split()


def commands(text):
    """(variables set for it, words) of each command in a piece of shell."""
    for line in text.replace('\\\n', ' ').splitlines():
        lexer = shlex.shlex(string.Template(line).safe_substitute(GIVEN), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = [*lexer, ';']
        except ValueError:  # its quotes end in another line: JSON, not flags of ours
            continue
        env, command = {}, []
        for word in words:
            if set(word) <= set('();<>|&'):
                if command:
                    yield env, command
                env, command = {}, []
            elif not command and re.match(r'\w+=', word):
                env.update([word.split('=', 1)])
            else:
                command.append(word)


def refusal(env, words):
    """What the binary has against this call; None: nothing. A page's own files aren't here."""
    if words[:1] == ['config']:
        return None if words[1] in verbs() else f'no such verb: {words}'
    while '--config' in words:
        at = words.index('--config')
        words = words[:at] + words[at + 2:]
    clean = {k: v for k, v in os.environ.items() if not k.startswith('HGP_')}
    done = subprocess.run([Server.binary, *words, '--check-config'], env={**clean, **env}, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL)
    return None if done.returncode == 0 else f'{env} {words}: {done.stdout}{done.stderr}'


def stale(words):
    """What a script of ours doesn't know of this call; None: nothing."""
    path = tree() / words[0]
    if not path.is_file():
        return None if path.is_dir() or words[0] in BUILT else f'there is no {words[0]}'
    text = path.read_text(errors='replace')
    unknown = [word for word in words[1:] if word.startswith('--') and word.split('=')[0] not in text]
    return f'{words[0]} has no {unknown}' if unknown else None


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
    shown = [name for name in pages() if blocks(tree() / name)]
    check(len(shown) > 8, f'pages: {shown}')
    here = re.findall(r"session\('([^']+)'", pathlib.Path(__file__).read_text())
    known = [*ELSEWHERE, *here]
    eq([page for page in shown if not any(page == k or page.startswith(f'{k}/') for k in known)], [],
       'pages that nobody runs')
    for page, by in ELSEWHERE.items():
        for module in re.findall(r'test_\w+', by):
            check((tree() / f'tests/e2e/{module}.py').exists(), f'{page}: no {module}')


def test_no_command_is_stale():
    """Flags and values of the binary, paths and options of the scripts, in every page."""
    found, seen = [], 0
    for page in pages():
        text = (tree() / page).read_text()
        eq(UNMARKED.findall(text), [], f'{page}: commands in a block that does not say sh')
        outside = BLOCK.sub('', text)
        shown = [code for _, code in BLOCK.findall(text)] + INDENTED.findall(outside)
        for env, words in (call for code in shown for call in commands(code)):
            ours = BINARY.fullmatch(words[0])
            said = refusal(env, words[1:]) if ours else stale(words) if SCRIPT.fullmatch(words[0]) else None
            seen += bool(ours)
            found += [f'{page}: {said}'] if said else []
        found += [f'{page}: {said}' for inline in INLINE.findall(outside)
                  if (said := stale(inline.split()))]
    check(seen > 40, f'{seen} calls of the binary')
    eq(found, [], 'stale commands')
