"""http2_client.py - HTTP/2 with prior knowledge: frames by hand, and by a library that isn't ours.

The library is Python's h2, Debian's, for Debian's interpreter (a module that uses it sets PYTHON).
"""
import socket
import struct
import sys

from lib import WAIT_S, Failed, Gone, Response, Skipped

PYTHON = '/usr/bin/python3'

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def post_head(path):
    """HPACK (RFC 7541): POST http PATH, :authority t."""
    return b'\x83\x86\x44' + bytes([len(path)]) + path.encode() + b'\x41\x01t'


class Frames:
    """A connection whose frames are the test's; answers to SETTINGS and PING too."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=WAIT_S)
        self.pending = b''
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, *frames):
        self.socket.sendall(b''.join(frames))

    def next(self):
        """(type, flags, stream, payload); None: the server has closed."""
        while len(self.pending) < 9 or len(self.pending) < 9 + self._length():
            data = self.socket.recv(65536)
            if not data:
                return None
            self.pending += data
        end = 9 + self._length()
        head, payload, self.pending = self.pending[:9], self.pending[9:end], self.pending[end:]
        return (*struct.unpack('>BBI', head[3:]), payload)

    def _length(self):
        return int.from_bytes(self.pending[:3], 'big')

    def wait(self, kind, flags=None):
        """The next of its kind; others are passed over."""
        while True:
            got = self.next()
            if got is None:
                raise Gone(f'closed, waiting for a frame of type {kind}')
            if got[0] == kind and flags in (None, got[1]):
                return got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def library():
    try:
        import h2.config
        import h2.connection
        import h2.events
        import h2.exceptions
    except ImportError as why:
        raise Skipped(f'{sys.executable}: {why} (Debian: python3-h2)') from None
    return h2


class Stream:
    def __init__(self):
        self.fields = []
        self.body = b''
        self.ended = False
        self.reset = None  # the error code

    def response(self):
        if self.reset is not None and not self.ended:
            raise Gone(f'the stream was reset with {self.reset}')
        fields = [(n.decode(), v.decode('latin-1')) for n, v in self.fields]
        status = [v for n, v in fields if n == ':status']
        return Response(int(status[-1]), '', 'HTTP/2', [f for f in fields if f[0][0] != ':'],
                        self.body)


class Http2:
    """One connection; its streams by number."""

    def __init__(self, address, settings=None):
        self.h2 = library()
        self.socket = socket.create_connection(address, timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = self.h2.connection.H2Connection(
            self.h2.config.H2Configuration(client_side=True, validate_outbound_headers=False,
                                           normalize_outbound_headers=False))
        if settings:
            self.connection.local_settings.update(settings)
        self.connection.initiate_connection()
        self.streams = {}
        self.goaways = []  # (last stream, error code)
        self.open = True
        self.flush()

    def flush(self):
        data = self.connection.data_to_send()
        if data:
            self.socket.sendall(data)

    def start(self, method, target, body=None, headers=(), end=True):
        """Sends a request, or its beginning; its stream's number."""
        number = self.connection.get_next_available_stream_id()
        fields = [(':method', method), (':scheme', 'http'), (':path', target),
                  (':authority', 'test'), *((n.lower(), v) for n, v in headers)]
        self.streams[number] = Stream()
        self.connection.send_headers(number, fields, end_stream=end and not body)
        if body:
            self.send(number, body, end)
        self.flush()
        return number

    def send(self, number, body, end=True):
        while body:
            self.flush()
            room = min(self.connection.local_flow_control_window(number),
                       self.connection.max_outbound_frame_size)
            if room == 0:
                self.turn()
                continue
            self.connection.send_data(number, body[:room], end_stream=end and len(body) <= room)
            body = body[room:]
        self.flush()

    def turn(self):
        """Reads once."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b''
        except socket.timeout:
            raise Failed('no answer came') from None
        if not data:
            self.open = False
            raise Gone('the server closed')
        for event in self.connection.receive_data(data):
            self._on(event)
        self.flush()

    def _on(self, event):
        events = self.h2.events
        stream = self.streams.get(getattr(event, 'stream_id', None))
        if isinstance(event, (events.ResponseReceived, events.InformationalResponseReceived)):
            stream.fields += event.headers
        elif isinstance(event, events.DataReceived):
            stream.body += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length,
                                                      event.stream_id)
        elif isinstance(event, events.StreamEnded):
            stream.ended = True
        elif isinstance(event, events.StreamReset):
            stream.reset = int(event.error_code)
        elif isinstance(event, events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, int(event.error_code)))

    def wait(self, number):
        """The response of a stream."""
        stream = self.streams[number]
        while not stream.ended and stream.reset is None:
            self.turn()
        return stream.response()

    def request(self, method, target, body=None, headers=()):
        return self.wait(self.start(method, target, body, headers))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
