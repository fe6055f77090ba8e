"""The systemd units: valid, hardened, and not so hard that the service can't work."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from lib import Server, Skipped, check, eq, get, increment, tree

SMOKE = False  # the leak sanitizer doesn't work under strace
UNITS = sorted((tree() / 'deploy/systemd').glob('*.service'))
SOCKETS = sorted((tree() / 'deploy/systemd').glob('*.socket'))


def needs(program):
    if not shutil.which(program):
        raise Skipped(f'{program} is not installed')


def analyze(*arguments):
    done = subprocess.run(['systemd-analyze', *arguments], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_units_are_valid_and_hardened():
    needs('systemd-analyze')
    check(len(UNITS) >= 5 and len(SOCKETS) >= 4, f'{len(UNITS)} units, {len(SOCKETS)} sockets')
    with tempfile.TemporaryDirectory() as folder:
        for unit in UNITS + SOCKETS:
            # Program and man pages aren't installed where they are only built.
            text = unit.read_text().replace('/usr/bin/highgopress', str(Server.binary))
            copy = pathlib.Path(folder, unit.name)
            copy.write_text(re.sub('^Documentation=.*\n', '', text, flags=re.M))
        code, said = analyze('verify', *map(str, sorted(pathlib.Path(folder).iterdir())))
        eq((code, said), (0, ''), 'systemd-analyze verify')
    for unit in UNITS:  # the threshold is in tenths
        code, said = analyze('security', '--offline=yes', '--threshold=15', str(unit))
        eq(code, 0, f'{unit.name}: {said[-300:]}')


def allowed_calls(unit):
    """The system calls that its SystemCallFilter lines leave."""
    sets, current = {}, None
    for line in analyze('syscall-filter')[1].splitlines():
        if line.startswith('@'):
            current = sets.setdefault(line.strip(), set())
        elif current is not None and line.startswith(' ') and not line.strip().startswith('#'):
            current.add(line.strip())

    def members(word):
        if not word.startswith('@'):
            return {word}
        return set().union(*(members(part) for part in sets[word]))

    found = set()
    for line in re.findall(r'^SystemCallFilter=(.*)$', unit.read_text(), re.M):
        for word in line.lstrip('~').split():
            found = found - members(word) if line[0] == '~' else found | members(word)
    return found


def test_the_filter_lets_us_work():
    """Every call that a loaded server makes, on either loop, is one that the units allow."""
    needs('systemd-analyze')
    needs('strace')
    for loop in ('epoll', 'auto'):
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder, 'trace')
            server = Server(loop=loop)
            server.wrapper = ['strace', '-f', '-qq', '-o', str(trace)]
            with server:
                for n in range(50):
                    increment(server, f'traced-{n % 5}')
                eq(get(server, 'traced-1'), 10, 'the counter')
                child = pathlib.Path(f'/proc/{server.process.pid}/task/{server.process.pid}/children')
                os.kill(int(child.read_text().split()[0]), signal.SIGTERM)
                eq(server.wait(), 0, 'exit code')
            called = set(re.findall(r'^\d+ +([a-z_0-9]+)\(', trace.read_text(), re.M))
        called.add('sched_yield')  # busy_poll_us, where work comes sooner than under strace
        check(len(called) > 30 and 'listen' in called, f'the trace has only {called}')
        for unit in UNITS:
            refused_calls = called - allowed_calls(unit)
            check(not refused_calls, f'{unit.name} refuses {sorted(refused_calls)} ({loop})')
