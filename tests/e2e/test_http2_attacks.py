"""HTTP/2's attacks on both ports: bounded memory, a GOAWAY, and others don't notice."""
import pathlib
import socket
import struct
import threading
import time

from http2_client import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING,
                          PREFACE, RST, SETTINGS, frame, post_head)
from lib import WAIT_S, Server, call, check, eq

LOOPS = 'both'
SMOKE = False  # a sanitizer's own memory would be measured
MEMORY_MAX = 16 << 20
SECONDS = 3
POST = post_head('/')
GET = b'\x82\x86\x44\x0e/api/v1/health\x41\x01t'
BATCH = post_head('/api/v1/counter/batch')


def odd():
    number = 1
    while True:
        yield number
        number += 2


def rapid_reset():
    for stream in odd():
        yield frame(HEADERS, END_HEADERS, stream, GET) + frame(RST, 0, stream, struct.pack('>I', 8))


def continuations():
    yield frame(HEADERS, 0, 1, GET)
    while True:
        yield frame(CONTINUATION, 0, 1, b'\x40\x01a\x01b')


def bomb_by_size():
    """4 KB once, then a byte for each repetition: 900 fields, 3.6 MB, in each request."""
    for stream in odd():
        field = b'\x40\x01x\x7f\xa1\x1e' + b'v' * 4000 if stream == 1 else b''
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, GET + field + b'\xbe' * 900)


def bomb_by_count():
    for stream in odd():
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream,
                    GET + b'\x40\x01x\x01y' + b'\xbe' * 15000)


def pings():
    while True:
        yield frame(PING, 0, 0, b'12345678')


def settings():
    while True:
        yield frame(SETTINGS, 0, 0, b'\0\3\0\0\0\144')


def empty_data():
    yield frame(HEADERS, END_HEADERS, 1, POST)
    while True:
        yield frame(DATA, 0, 1)


def zero_window():
    """Batch reads whose answers, 100 KB each, aren't taken."""
    body = b'{"items":[' + b','.join(
        b'{"resource_id":"%s","counter_type":"like"}' % (b'r' * 60) for _ in range(500)) + b']}'
    yield frame(SETTINGS, 0, 0, b'\0\4\0\0\0\0')
    for stream in odd():
        yield frame(HEADERS, END_HEADERS, stream, BATCH)
        for at in range(0, len(body), 16384):
            last = at + 16384 >= len(body)
            yield frame(DATA, END_STREAM if last else 0, stream, body[at:at + 16384])


def unfinished_bodies():
    for stream in odd():
        yield frame(HEADERS, END_HEADERS, stream, BATCH)
        for _ in range(4):
            yield frame(DATA, 0, stream, b'x' * 10000)


# What ends the connection, and what is within the protocol and only bounded.
FLOODS = (rapid_reset, continuations, bomb_by_count, pings, settings, empty_data)
BOUNDED = (bomb_by_size, zero_window, unfinished_bodies)


class Attacker:
    """Sends one attack on one connection until it is over or SECONDS have passed."""

    def __init__(self, address, source, attack):
        # An address of its own: it has to wait behind what it did, and others don't.
        self.socket = socket.create_connection(address, timeout=WAIT_S, source_address=(source, 0))
        self.attack = attack
        self.said = b''
        self.closed = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while True:
                data = self.socket.recv(65536)
                if not data:
                    break
                self.said = (self.said + data)[-65536:]
        except OSError:
            pass
        self.closed = True

    def run(self):
        end = time.monotonic() + SECONDS
        self.socket.settimeout(SECONDS)
        pending = PREFACE + frame(SETTINGS, 0, 0)
        try:
            for piece in self.attack():
                pending += piece
                if len(pending) > 8192:
                    self.socket.sendall(pending)
                    pending = b''
                if time.monotonic() > end or self.closed:
                    break
        except OSError:
            pass  # the server has had enough, or reads no more for now

    def close(self):
        self.socket.close()


def resident(server, key):
    text = pathlib.Path(f'/proc/{server.process.pid}/status').read_text()
    return int(text.split(f'{key}:')[1].split()[0]) << 10


def measure(server, address, source, attack, other):
    """The attacker behind its attack, the memory it took at the most, and another client's slowest
    answer meanwhile."""
    slowest = 0.0
    pathlib.Path(f'/proc/{server.process.pid}/clear_refs').write_text('5')
    before = resident(server, 'VmRSS')
    attacker = Attacker(address, source, attack)
    thread = threading.Thread(target=attacker.run)
    thread.start()
    while thread.is_alive():
        began = time.monotonic()
        other()
        slowest = max(slowest, time.monotonic() - began)
        thread.join(0.01)
    return attacker, resident(server, 'VmHWM') - before, slowest


def attack_all(server, address, other):
    for number, attack in enumerate(FLOODS + BOUNDED, 1):
        name = attack.__name__
        attacker, memory, slowest = measure(server, address, f'127.0.1.{number}', attack, other)
        check(memory <= MEMORY_MAX, f'{name}: {memory >> 20} MiB')
        check(slowest < 2, f'{name}: another client waited {slowest:.1f} s')
        if attack in FLOODS:
            attacker.reader.join(WAIT_S)
            check(attacker.closed, f'{name}: the connection is still open')
            check(struct.pack('>BBI', GOAWAY, 0, 0) in attacker.said, f'{name}: no GOAWAY')
        attacker.close()


def test_the_http_port():
    with Server() as server:
        call(server.http, 'GET', '/api/v1/health')
        attack_all(server, server.http,
                   lambda: eq(call(server.http, 'GET', '/api/v1/health').status, 200, 'another'))


def test_the_grpc_port():
    """The requests aren't gRPC; the frames, and so the limits, are the same."""
    with Server(role='counter') as server:
        attack_all(server, server.grpc,
                   lambda: eq(call(server.admin, 'GET', '/livez').status, 200, 'another'))
