"""sse_client.py - a reader of Server-Sent Events, byte for byte (WHATWG HTML 9.2)."""
import json
import socket
import time

from lib import WAIT_S, Connection, Failed, Gone, check, eq, request_bytes

STREAM = '/api/v1/stream'


class Events(Connection):
    """One stream; the first answer's head is read when it is made.

    With 'receive_bytes' its socket takes little, and what isn't read is noticed soon.
    """

    def __init__(self, address, query, last_id=None, receive_bytes=None, status=200):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(address)
        self.pending = b''
        self.text = b''  # of chunks, not yet events
        self.ended = False
        self.values = {}  # (id, type) -> the latest state
        self.top = None
        self.last_id = None
        self.retry = None
        self.comments = 0
        self.frames = 0  # with data; a frame is what came in one chunk
        self.arrivals = []  # of frames
        headers = [('Last-Event-ID', last_id)] if last_id else []
        self.send(request_bytes('GET', f'{STREAM}?{query}', headers=headers))
        self.head = self._head()
        eq(self.head['status'], status, f'{query}: {self.head}')

    def _head(self):
        _, code, _ = self._line().split(b' ', 2)
        head = {'status': int(code)}
        while line := self._line():
            name, value = line.split(b':', 1)
            head[name.decode().lower()] = value.strip().decode()
        return head

    def _event(self, block):
        kind, data = 'message', None
        for line in block.split(b'\n'):
            field, _, value = line.partition(b':')
            value = value.removeprefix(b' ').decode()
            if not field:
                self.comments += 1
            elif field == b'event':
                kind = value
            elif field == b'data':
                data = json.loads(value)
            elif field == b'id':
                self.last_id = value
            elif field == b'retry':
                self.retry = int(value)
            else:
                raise Failed(f'an unknown field: {line!r}')
        if kind == 'counters':
            for state in data['counters']:
                self.values[state['resource_id'], state['counter_type']] = state
        elif kind == 'top':
            self.top = data
        else:
            eq(data, None, f'data of an event named {kind}')

    def frame(self):
        """Reads one chunk, which is whole events; false: it was the last one."""
        size = int(self._line(), 16)
        text = self._exactly(size)
        eq(self._exactly(2), b'\r\n', 'the end of a chunk')
        if size == 0:
            self.ended = True
            return False
        check(text.endswith(b'\n\n'), f'a frame that ends inside an event: {text[-50:]!r}')
        if b'data:' in text:
            self.frames += 1
            self.arrivals.append(time.monotonic())
        for block in text.removesuffix(b'\n\n').split(b'\n\n'):
            self._event(block)
        return True

    def until(self, what, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            check(time.monotonic() < end, f'{what}: {self.values} {self.top}')
            if not self.frame():
                raise Gone(f'the stream has ended, waiting for: {what}')

    def value(self, resource_id, counter_type='like'):
        state = self.values.get((resource_id, counter_type))
        return state and state['current_value']

    def until_value(self, resource_id, value, counter_type='like'):
        self.until(f'{resource_id} is {value}',
                   lambda: self.value(resource_id, counter_type) == value)

    def silent(self, seconds):
        """Nothing comes for so long."""
        self.socket.settimeout(seconds)
        try:
            got = self.pending or self.socket.recv(1)
            raise Failed(f'something came: {got!r}')
        except socket.timeout:
            self.socket.settimeout(WAIT_S)
