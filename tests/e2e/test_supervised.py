"""What a service manager and a container engine see: notifications, the watchdog, health checks."""
import ctypes
import os
import pathlib
import re
import signal
import socket
import tempfile
import time

from lib import WAIT_S, Server, Skipped, check, eq, free_port, ready, refused

PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


class Manager:
    """The socket of NOTIFY_SOCKET."""

    def __init__(self, abstract=False):
        self.folder = tempfile.TemporaryDirectory()
        path = f'{self.folder.name}/notify'
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('\0' + path if abstract else path)
        self.env = {'NOTIFY_SOCKET': '@' + path if abstract else path}

    def next(self, timeout_s=WAIT_S):
        """The next message's lines; None: nothing came."""
        self.socket.settimeout(timeout_s)
        try:
            return self.socket.recv(4096).decode().split('\n')
        except TimeoutError:
            return None

    def until(self, word, others=('WATCHDOG=1',)):
        """Reads up to the message with this line; nothing but 'others' may come before."""
        while True:
            lines = self.next()
            check(lines is not None, f'{word} did not come')
            if word in lines:
                return lines
            check(lines[0] in others, f'{lines} before {word}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.folder.cleanup()


def test_notifications():
    for role in ('all', 'counter', 'gateway'):
        for abstract in (False, True):
            with Manager(abstract) as manager, Server(role=role, env=manager.env) as server:
                eq(manager.until('READY=1', ()), ['READY=1'], f'{role}: ready')
                server.send_signal(signal.SIGHUP)
                lines = manager.until('RELOADING=1', ())
                stamp = int(re.fullmatch(r'MONOTONIC_USEC=(\d+)', lines[1]).group(1))
                check(0 <= time.monotonic() - stamp / 1e6 < WAIT_S, f'{role}: the time of {lines}')
                manager.until('READY=1', ())
                eq(server.stop(), 0, 'exit code')
                manager.until('STOPPING=1', ())


def loop_threads(server):
    tasks = pathlib.Path(f'/proc/{server.process.pid}/task').iterdir()
    return [int(task.name) for task in tasks
            if (task / 'comm').read_text().startswith('hgp-loop-')]


class Frozen:
    """One thread that stands still, while the process's others run."""

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)

    def _ptrace(self, request):
        null = ctypes.c_void_p(0)
        if self.libc.ptrace(ctypes.c_long(request), ctypes.c_int(self.tid), null, null) != 0:
            raise Skipped(f'ptrace is not allowed: {os.strerror(ctypes.get_errno())}')

    def __enter__(self):
        self._ptrace(PTRACE_ATTACH)
        os.waitpid(self.tid, WALL)
        return self

    def __exit__(self, *_):
        self._ptrace(PTRACE_DETACH)


def test_watchdog():
    """Fed while every loop turns, starved by any single one that doesn't."""
    env = {'WATCHDOG_USEC': '150000', 'HGP_THREADS': '2'}
    with Manager() as manager, Server(env={**env, **manager.env}) as server:
        manager.until('READY=1')
        for _ in range(5):
            manager.until('WATCHDOG=1')
        threads = loop_threads(server)
        eq(len(threads), 2, 'loops')
        for tid in threads:
            with Frozen(tid):
                last = 0
                while manager.next(1) is not None:  # 20 times as long as between two
                    last += 1
                    check(last < 20, 'the watchdog is fed although a loop stands still')
            manager.until('WATCHDOG=1')
        eq(server.stop(), 0, 'exit code')


def test_no_watchdog_of_another():
    """WATCHDOG_PID says whose it is; a manager that watches nobody hears nothing."""
    for env in ({'WATCHDOG_USEC': '30000', 'WATCHDOG_PID': '1'}, {'WATCHDOG_USEC': '0'},
                {'WATCHDOG_USEC': 'soon'}, {}):
        with Manager() as manager, Server(env={**env, **manager.env}) as server:
            manager.until('READY=1', ())
            eq(manager.next(0.3), None, f'{env}')
            eq(server.stop(), 0, 'exit code')


def healthcheck(flags=(), env=None, role=None):
    began = time.monotonic()
    code, said = refused([*([role] if role else []), *flags], role='healthcheck', env=env)
    check(time.monotonic() - began < 10, 'a health check that hangs')
    return code, said


def test_healthcheck():
    with Server() as server, Server(role='gateway', flags=['--counter', '127.0.0.1:1']) as lost:
        admin = f'127.0.0.1:{server.admin[1]}'
        eq(healthcheck(['--admin', admin]), (0, ''), 'ready')
        eq(healthcheck(env={'HGP_ADMIN': admin}), (0, ''), 'by the variable')
        eq(healthcheck(['--admin', f':{server.admin[1]}'], role='counter'), (0, ''), 'any address')
        ready(lost, 503)
        code, said = healthcheck(['--admin', f'127.0.0.1:{lost.admin[1]}'])
        eq(code, 1, said)
        check('not ready' in said and 'counter' in said, said)
        eq((server.stop(), lost.stop()), (0, 0), 'exit codes')
        code, said = healthcheck(['--admin', admin])
        eq(code, 1, said)
        check('refused' in said, said)


def test_healthcheck_of_what_is_no_service():
    with socket.create_server(('127.0.0.1', 0)) as silent:
        code, said = healthcheck(['--admin', f'127.0.0.1:{silent.getsockname()[1]}'])
        eq(code, 1, said)
        check('timed out' in said, said)
    code, said = healthcheck(['--admin', '127.0.0.1:0'])
    eq(code, 1, said)
    check('port' in said, said)
    eq(healthcheck(['--nonsense', '1'])[0], 64, 'wrong use')
    eq(healthcheck(['--admin', f'127.0.0.1:{free_port()}'], role='nonsense')[0], 64, 'no such role')
