"""A process is replaced under load, and no request is refused, cut off or lost: the next one takes its
sockets over (--handover), or systemd holds them (LISTEN_FDS)."""
import contextlib
import pathlib
import signal
import socket
import tempfile
import threading
import time

import lib
from lib import (INCREMENT, Connection, Server, Swarm, call, check, eq, free_port, get_many,
                 item, refused, request_bytes, wait_for)
from test_split import metric

CONNECTIONS = 24
KEYS = 50
HOLD = 'exec 3<&$0; shift 0; LISTEN_PID=$$ exec "$@"'  # as systemd starts it


class Load:
    """Increments over connections that are kept for as long as the server lets them, and over ones of
    a single request."""

    def __init__(self, address):
        self.address = address
        self.sent = self.good = 0
        self.failed = []

    def next(self):
        self.sent += 1
        headers = [('Connection', 'close')] if self.sent % 8 == 0 else []
        return self.sent, request_bytes('POST', INCREMENT, item(f'load-{self.sent % KEYS}'), headers)

    def answered(self, n, status, body):
        if status == 200:
            self.good += 1
        else:
            self.failed.append((n, status, body[:100]))

    def go_on(self):
        """For 'act': returns when more has been answered."""
        goal = self.good + 200
        wait_for('answers', lambda: self.good >= goal)

    def run(self, act):
        """Load, until act() is over, which runs beside it."""
        trouble = []

        def run_it():
            try:
                self.go_on()
                act()
                self.go_on()
            except BaseException as why:  # noqa: BLE001 - raised again below
                trouble.append(why)

        acting = threading.Thread(target=run_it)
        swarm = Swarm(self.address, CONNECTIONS, self.next, self.answered, again=True)

        def tick():
            swarm.stopping |= not acting.is_alive()

        acting.start()
        swarm.run(tick)
        acting.join()
        self.failed += [(n, 'lost') for n in swarm.lost]
        if trouble:
            raise trouble[0]

    def exact(self, server):
        eq(self.failed[:3], [], f'of {self.sent} requests {len(self.failed)} failed')
        values = get_many(server, [f'load-{n}' for n in range(KEYS)])
        eq(sum(values.values()), self.good, 'the sum of the counters')


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix='hgp-handover-') as name:
        yield pathlib.Path(name)


def replaced(make, times=2):
    """One server after the other, each of which takes over from the one before, under load."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(make())]
        load = Load(servers[0].http)

        def act():
            for _ in range(times):
                new = make()
                stack.callback(new.__exit__)
                new.start()
                eq(new.http, servers[-1].http, 'the address')
                servers.append(new)
                load.go_on()

        load.run(act)
        for old in servers[:-1]:
            eq(old.wait(), 0, 'exit code')
            check('taken the listeners over' in old.said(), old.said()[-500:])
        load.exact(servers[-1])
        check(servers[-1].alive(), 'the last one')
        eq(servers[-1].stop(), 0, 'exit code')


def at(path, port, **options):
    return Server(port=port, flags=['--handover', str(path), *options.pop('flags', [])], **options)


def test_all():
    """Whoever owns a store has to wait for it; clients wait in the sockets."""
    with folder() as path:
        port = free_port()
        replaced(lambda: at(path / 'socket', port, data=path / 'data'))
        check(not (path / 'socket').exists(), 'the path is left behind')


def test_gateway():
    with Server(role='counter') as counter, folder() as path:
        port = free_port()
        flags = ['--counter', f'127.0.0.1:{counter.grpc[1]}', '--analytics', 'none']
        replaced(lambda: at(path / 'socket', port, role='gateway', flags=flags))


def test_another_number_of_threads():
    """More sockets than threads, and fewer: every one is served."""
    with folder() as path, contextlib.ExitStack() as stack:
        port = free_port()
        for threads in ('3', '1', '2'):
            server = at(path / 'socket', port, data=path / 'data', env={'HGP_THREADS': threads})
            stack.enter_context(server)
            for _ in range(40):  # spread by their ports
                eq(call(server.http, 'GET', '/livez').status, 200, f'{threads} threads')


def test_what_fails_leaves_the_other_alone():
    with folder() as path:
        port = free_port()
        with at(path / 'socket', port) as server:
            environment = {'HGP_HANDOVER': str(path / 'socket')}
            wait_for('its log', lambda: '"loop":' in server.said())
            other = 'epoll' if '"io_uring"' in server.said() else 'io_uring'
            code, said = refused(['--loop', other], path / 'other', environment)
            check(code != 0 and '--loop' in said, f'{code}: {said}')
            # One that asks and says nothing more, then goes.
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asks:
                asks.connect(str(path / 'socket'))
                eq(asks.recv(100), b'http', 'the first word')
            eq(call(server.http, 'POST', INCREMENT, item('x')).value(), 1, 'it goes on')
            code, said = refused(['--handover', 'x' * 101, '--check-config'])
            check(code in (64, 78) and 'handover' in said, f'{code}: {said}')
            eq(server.stop(), 0, 'exit code')
        # A path whose process was killed is nobody's.
        with at(path / 'socket', port) as server:
            server.kill()
            server.start()
            eq(call(server.http, 'GET', '/livez').status, 200, 'after a kill')


def test_a_new_address():
    """The configuration's word counts: where it names another address the old one goes."""
    with folder() as path:
        first, second = free_port(), free_port()
        with at(path / 'socket', first, data=path / 'data') as old, \
                at(path / 'socket', second, data=path / 'data') as new:
            eq(old.wait(), 0, 'exit code')
            eq(new.http[1], second, 'the port')
            eq(call(new.http, 'GET', '/livez').status, 200, 'there')
            with socket.socket() as probe:
                check(probe.connect_ex(old.http) != 0, 'the old address is still served')


# --- sockets that systemd holds --------------------------------------------------------------


class Held:
    """A listening socket that outlives the servers on it."""

    def __init__(self, name='http'):
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.name = name

    def give(self, server, name=None):
        server.sockets = [self.socket.fileno()]
        server.wrapper = ['sh', '-c', HOLD, str(self.socket.fileno())]
        server.env.update({'LISTEN_FDS': '1', 'LISTEN_FDNAMES': name or self.name})
        return server

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def test_restarts_behind_a_socket():
    """Stopped and started under load; with whatever name a lone socket has."""
    with folder() as path, Held() as held, held.give(Server(data=path / 'data')) as server:
        eq(server.http, held.socket.getsockname(), 'the address')
        load = Load(server.http)

        def act():
            for name in ('highgopress.socket', 'http'):
                eq(server.stop(), 0, 'exit code')
                held.give(server, name).start()
                load.go_on()

        load.run(act)
        load.exact(server)
        eq(server.stop(), 0, 'exit code')


def test_a_socket_that_cannot_be_served():
    with Held() as held, socket.socket() as deaf, folder() as path:
        for what, why in ((deaf, 'no listening TCP socket'), (held.socket, 'none of http')):
            server = held.give(Server(data=path / 'data'), 'http:web')
            if what is held.socket:
                server.env.update({'LISTEN_FDS': '2', 'LISTEN_FDNAMES': 'http:web'})
            server.sockets = [what.fileno()]
            server.wrapper = ['sh', '-c', 'exec 3<&$0; exec 4<&$0; LISTEN_PID=$$ exec "$@"',
                              str(what.fileno())]
            try:
                with server:
                    raise lib.Failed('it started')
            except lib.Failed as failed:
                check(why in str(failed), str(failed))
        server = held.give(Server(data=path / 'data', flags=['--handover', str(path / 'socket')]))
        try:
            with server:
                raise lib.Failed('it started')
        except lib.Failed as failed:
            check('systemd holds' in str(failed), str(failed))


# --- the end of idle connections -------------------------------------------------------------


def test_an_idle_connection_may_still_ask():
    """A request that comes just behind the signal is answered, and says that it was the last."""
    with Server(env={'HGP_TIMEOUTS_DRAIN_IDLE_MS': '5000'}) as server, \
            Connection(server.http) as used, Connection(server.http) as fresh:
        eq(used.request('GET', '/livez').status, 200, 'before')
        wait_for('both are there', lambda: metric(server, 'hgp_http_connections') >= 2)
        server.send_signal(signal.SIGTERM)
        wait_for('it drains', lambda: 'draining' in server.said())
        for connection in (used, fresh):
            answer = connection.request('POST', INCREMENT, item('x'))
            eq((answer.status, answer.header('Connection')), (200, 'close'), 'during the drain')
            check(connection.closed(), 'the connection is open still')
        began = time.monotonic()
        eq(server.wait(), 0, 'exit code')
        check(time.monotonic() - began < 4, 'it waits although nobody is there')
