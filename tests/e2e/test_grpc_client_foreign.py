"""Our gRPC client against servers that aren't ours: Python's grpcio and Node's @grpc/grpc-js."""
import collections
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import lib
from lib import WAIT_S, Skipped, check, eq

LOOPS = 'both'
PYTHON = '/usr/bin/python3'  # Debian's, which has python3-grpcio

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTEROP = ROOT / 'tests/interop'
CACHE = ROOT / '.cache/grpc-js'
NO_NETWORK = ('ENOTFOUND', 'EAI_AGAIN', 'ECONN', 'ETIMEDOUT', 'ENETUNREACH', 'EHOSTUNREACH')

OK, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED, UNAVAILABLE = 0, 1, 3, 4, 12, 14
LARGEST = 4 << 20


# --- the servers -----------------------------------------------------------------------------


def fetch_grpc_js():
    """Installs what package-lock.json pins into .cache, once."""
    if not shutil.which('node') or not shutil.which('npm'):
        raise Skipped('node and npm are not installed')
    files = [INTEROP / name for name in ('package.json', 'package-lock.json', '.npmrc')]
    wanted = hashlib.sha256(b''.join(f.read_bytes() for f in files)).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / 'lock', 'w', encoding='ascii') as lock:  # one runs for each loop
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(files, wanted)


def install(files, wanted):
    complete = CACHE / 'complete'
    if complete.exists() and complete.read_text() == wanted:
        return
    for file in files:
        shutil.copy(file, CACHE)
    done = subprocess.run(['npm', 'ci', '--ignore-scripts'], cwd=CACHE, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0 and any(word in done.stderr for word in NO_NETWORK):
        raise Skipped('npm can not reach its registry')
    eq(done.returncode, 0, f'npm ci: {done.stderr[-500:]}')
    complete.write_text(wanted)


def beside_grpc_js(script):
    """require() looks beside the file, so it runs where its modules are; whole at any moment."""
    fetch_grpc_js()
    own = CACHE / f'{script}.{os.getpid()}'
    shutil.copy(INTEROP / script, own)
    own.replace(CACHE / script)
    return script


def python_command():
    try:
        import grpc  # noqa: F401
    except ImportError as why:
        raise Skipped('python3-grpcio is not installed') from why
    return [PYTHON, INTEROP / 'echo_server.py'], None


def node_command():
    return ['node', beside_grpc_js('echo_server.js')], CACHE


class Foreign:
    def __init__(self, command, port=0):
        self.command, self.folder = command()
        self.process = subprocess.Popen([*self.command, str(port)], cwd=self.folder,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline() or 0)
        check(self.port, 'the server said no port')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


# --- our client ------------------------------------------------------------------------------


def caller(port, method, count=1, at_once=1, timeout_ms=WAIT_S * 1000, size=100):
    program = lib.Server.binary.parent / 'tests/interop/grpc_caller'
    check(program.exists(), f'{program} is not built')
    return subprocess.Popen([program, lib.Server.loop or 'auto', f'localhost:{port}',
                             f'/echo.Echo/{method}', str(count), str(at_once), str(timeout_ms),
                             str(size)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_lines(process, count):
    """What it has said when it has said so much: not by readline(), which would take more off the
    pipe than it gives, and communicate() would miss it."""
    said = b''
    while said.count(b'\n') < count:
        part = os.read(process.stdout.fileno(), 4096)
        check(part, f'grpc_caller ended: {said[-500:]}')
        said += part
    return said.decode()


def ended(process, said=''):
    """([(status, 'same' or 'other', message)], times repeated, times ready); 'said' was read before."""
    out, err = process.communicate(timeout=60)
    eq(process.returncode, 0, f'grpc_caller: {err[-500:]}')
    *lines, last = (said + out).splitlines()
    _, repeated, _, ready = last.split()
    results = [line.split(' ', 2) for line in lines]
    return [(int(status), same, text) for status, same, text in results], int(repeated), int(ready)


def call(port, method, **options):
    return ended(caller(port, method, **options))[0]


# --- what both must do -----------------------------------------------------------------------


def answers(server):
    eq(call(server.port, 'Unary'), [(OK, 'same', '')], 'a call')
    eq(call(server.port, 'Unary', size=0), [(OK, 'same', '')], 'an empty message')
    eq(call(server.port, 'Unary', count=500, at_once=50), [(OK, 'same', '')] * 500, 'many')


def errors(server):
    eq(call(server.port, 'Fail'), [(INVALID_ARGUMENT, 'other', 'half 50% \u00e9\\n')], 'an error')
    eq(call(server.port, 'Nope')[0][0], UNIMPLEMENTED, 'no such method')
    began = time.monotonic()
    eq(call(server.port, 'Slow', timeout_ms=200)[0][:2], (DEADLINE_EXCEEDED, 'other'), 'too slow')
    check(time.monotonic() - began < WAIT_S, 'the deadline came late')


def largest(server):
    eq(call(server.port, 'Unary', count=3, size=LARGEST), [(OK, 'same', '')] * 3, '4 MiB')


def stopped(server):
    """A stopped process answers nothing and closes nothing: the deadline is what ends a call."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        # Its kernel still takes connections, but no SETTINGS come.
        process = caller(server.port, 'Unary')
        try:
            process.communicate(timeout=0.5)
            raise lib.Failed('a stopped server answered')
        except subprocess.TimeoutExpired:
            pass
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    eq(ended(process)[0], [(OK, 'same', '')], 'after it goes on')


def graceful_stop(command):
    """GOAWAY while calls run: each is answered, by the old server or by the next one."""
    with Foreign(command) as old:
        process = caller(old.port, 'Brief', count=400, at_once=20)
        said = first_lines(process, 40)
        old.process.send_signal(signal.SIGTERM)
        old.process.wait(WAIT_S)
        with Foreign(command, old.port):
            results, _, ready = ended(process, said)
    check(ready >= 2, f'the channel was ready {ready} times')
    return collections.Counter(results)


def test_python_answers():
    with Foreign(python_command) as server:
        answers(server)
        errors(server)
        largest(server)


def test_python_stopped():
    with Foreign(python_command) as server:
        stopped(server)


def test_python_stops_gracefully():
    """grpcio itself refuses what comes between the beginning of its end and its GOAWAY, or at the
    very end of it; all others are answered well."""
    results = graceful_stop(python_command)
    cancelled = (results.pop((CANCELLED, 'other', 'CANCELLED'), 0) +
                 results.pop((UNAVAILABLE, 'other', 'Cancelling all calls'), 0))
    check(cancelled <= 20, f'{cancelled} calls were cancelled')
    eq(results, {(OK, 'same', ''): 400 - cancelled}, 'the calls')


def test_node_answers():
    with Foreign(node_command) as server:
        answers(server)
        errors(server)
        largest(server)


def test_node_stopped():
    with Foreign(node_command) as server:
        stopped(server)


def test_node_stops_gracefully():
    eq(graceful_stop(node_command), {(OK, 'same', ''): 400}, 'the calls')
