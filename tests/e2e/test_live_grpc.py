"""Live values over gRPC: CounterService/Watch, by grpcio and grpcurl."""
import functools
import json
import signal
import struct
import time

import test_live
from grpc_client import COUNTER, PYTHON, Client  # noqa: F401
from http2_client import (DATA, END_HEADERS, END_STREAM, HEADERS, RST, SETTINGS, Frames, frame,
                          post_head)
from lib import WAIT_S, Server, Split, check, eq, increment
from sse_client import Events
from test_grpc import grpcurl

ROLE = 'counter'
N = 1000
WINDOW_UPDATE = 8
INITIAL_WINDOW_SIZE, WINDOW = 4, 1000


metric = functools.partial(test_live.metric, transport='grpc')
until_metric = functools.partial(test_live.until_metric, transport='grpc')


def states(message):
    return {counter.resource_id: counter.current_value for counter in message.counters}


def ending(client, watch):
    """The status a call ends with."""
    try:
        for _ in watch:
            pass
    except client.grpc.RpcError as error:
        return error.code().name
    return 'OK'


def test_first_all_then_what_changed(server):
    with Client(server) as client:
        written = client.increment('a', 5)
        watch = client.watch('a', 'b', 'a', timeout=WAIT_S)
        first = next(watch)
        eq(states(first), {'a': 5, 'b': 0}, 'the state')
        eq((first.counters[0].success, first.counters[0].counter_type, first.counters[0].updated_at,
            first.counters[0].stale, first.counters[0].as_of),
           (True, 'like', written.timestamp, False, 0), 'as GetCounter has it')
        client.increment('b')
        eq(states(next(watch)), {'b': 1}, 'what has changed')
        client.set('a', -7)
        eq(states(next(watch)), {'a': -7}, 'set')
        client.delete('a')
        eq(states(next(watch)), {'a': 0}, 'reset')
        watch.cancel()


def test_a_thousand_increments(server):
    with Client(server) as client, Client(server) as other:
        watch = client.watch('thousand', timeout=60)
        next(watch)
        began = time.monotonic()
        for _ in range(N):
            other.increment('thousand')
        messages, value = 0, 0
        while value < N:
            got = states(next(watch))['thousand']
            check(got > value, f'{got} behind {value}')
            messages, value = messages + 1, got
        check(messages <= 2 + (time.monotonic() - began) / 0.1, f'{messages} messages')
        watch.cancel()


def test_bad_requests(server):
    with Client(server) as client:
        for names in ((), ('',), ('a\0',), tuple(str(n) for n in range(101)),
                      ('x' * 8188, 'y' * 8189)):  # and twice "like"
            code, detail = client.code(lambda names=names: next(client.watch(*names)))
            check(code == 'INVALID_ARGUMENT' and detail.startswith('requests'),
                  f'{names[:3]}: {code} {detail}')
        eq(len(next(client.watch('x' * 8188, 'y' * 8188)).counters), 2, 'the longest names')


def test_cancel_and_deadline(server):
    with Client(server) as client:
        watch = client.watch('cancel')
        next(watch)
        eq(metric(server, 'hgp_streams'), 1, 'open')
        watch.cancel()
        until_metric(server, 'hgp_streams', 0)
        began = time.monotonic()
        eq(ending(client, client.watch('deadline', timeout=0.5)), 'DEADLINE_EXCEEDED', 'status')
        check(0.4 < time.monotonic() - began < 5, 'the deadline')
        until_metric(server, 'hgp_streams', 0)
        eq(metric(server, 'hgp_streams_dropped_total'), 0, 'none was slow')


def test_no_client_no_reads(server):
    with Client(server) as client:
        next(client.watch('gone'))
    until_metric(server, 'hgp_streams', 0)
    reads = metric(server, 'hgp_stream_reads_total')
    time.sleep(0.5)  # nobody is there: nothing is read
    eq(metric(server, 'hgp_stream_reads_total'), reads, 'reads without clients')


def test_limits():
    with Server(role=ROLE, env={'HGP_STREAM_CONNECTIONS': '2'}) as server, Client(server) as client:
        watches = [client.watch('limit') for _ in range(2)]
        for watch in watches:
            next(watch)
        eq(client.code(lambda: next(client.watch('limit'))),
           ('RESOURCE_EXHAUSTED', 'stream.connections streams are open already'), 'the third')
        eq(metric(server, 'hgp_streams_refused_total'), 1, 'refused')
        watches[0].cancel()
        until_metric(server, 'hgp_streams', 1)
        next(client.watch('limit'))
        eq(server.stop(), 0, 'exit code')


class Shut:
    """A Watch by hand, whose window is opened only when the test says so."""

    def __init__(self, server, client, names):
        self.pb = client.pb
        self.frames = Frames(server.grpc)
        self.bytes = b''
        message = self.pb.WatchRequest(requests=[
            self.pb.GetCounterRequest(resource_id=name, counter_type='like')
            for name in names]).SerializeToString()
        kind = b'application/grpc'
        head = post_head(f'/{COUNTER}/Watch') + b'\x0f\x10' + bytes([len(kind)]) + kind
        body = b'\0' + struct.pack('>I', len(message)) + message
        self.frames.send(frame(SETTINGS, 0, 0, struct.pack('>HI', INITIAL_WINDOW_SIZE, WINDOW)))
        self.frames.send(frame(HEADERS, END_HEADERS, 1, head))
        for at in range(0, len(body), 16384):
            last = END_STREAM if at + 16384 >= len(body) else 0
            self.frames.send(frame(DATA, last, 1, body[at:at + 16384]))

    def more(self):
        self.bytes += self.frames.wait(DATA)[3]

    def fill(self):
        """Until the window is shut."""
        while len(self.bytes) < WINDOW:
            self.more()

    def open(self):
        for stream in 0, 1:
            self.frames.send(frame(WINDOW_UPDATE, 0, stream, struct.pack('>I', 2**30)))

    def message(self):
        while len(self.bytes) < 5 or len(self.bytes) < 5 + struct.unpack('>I', self.bytes[1:5])[0]:
            self.more()
        end = 5 + struct.unpack('>I', self.bytes[1:5])[0]
        got, self.bytes = self.bytes[5:end], self.bytes[end:]
        return self.pb.WatchResponse.FromString(got)


def test_a_slow_reader():
    """It is sent the latest, not a queue; if it takes nothing for too long it is dropped."""
    names = [f'{n}' + 'x' * 1000 for n in range(10)]  # a message is more than a window
    for write_ms, dropped in ('60000', 0), ('500', 1):
        with Server(role=ROLE, env={'HGP_TIMEOUTS_WRITE_MS': write_ms}) as server, \
                Client(server) as writer:
            slow = Shut(server, writer, names)
            slow.fill()
            began = time.monotonic()
            rounds = 0
            while time.monotonic() - began < 1.5:
                writer.batch_increment([(name, 1, '') for name in names])
                rounds += 1
            eq(metric(server, 'hgp_stream_frames_total'), 1, 'frames for a shut window')
            if dropped:
                until_metric(server, 'hgp_streams_dropped_total', 1)
                eq(slow.frames.wait(RST)[3], struct.pack('>I', 8), 'its end: CANCEL')
                eq(metric(server, 'hgp_streams'), 0, 'open')
            else:
                slow.open()
                eq(states(slow.message())[names[0]], 0, 'what was under way')
                if (latest := states(slow.message())[names[0]]) != rounds:
                    # read before the last round was counted
                    check(latest > rounds / 2, f'{latest} of {rounds}')
                    latest = states(slow.message())[names[0]]
                eq(latest, rounds, 'the latest')
            slow.frames.socket.close()
            eq(server.stop(), 0, 'exit code')


def test_a_drain():
    with Server(role=ROLE) as server, Client(server) as client:
        watch = client.watch('drain')
        next(watch)
        server.send_signal(signal.SIGTERM)
        eq(ending(client, watch), 'UNAVAILABLE', 'status')
        eq(server.wait(), 0, 'exit code')


def test_what_gateways_count():
    with Split() as split, Client(split.counter) as client:
        watch = client.watch('split', timeout=WAIT_S)
        eq(states(next(watch)), {'split': 0}, 'at first')
        increment(split, 'split', delta=3)
        eq(states(next(watch)), {'split': 3}, 'by a gateway')
        with Events(split.http, 'counter=split/like') as events:
            events.frame()
            client.increment('split', 4)
            events.until_value('split', 7)


def test_grpcurl(server):
    code, out = grpcurl(server, 'describe', f'{COUNTER}.Watch')
    check(code == 0 and 'returns ( stream .counter.WatchResponse )' in out, out)
    done = grpcurl(server, f'{COUNTER}/Watch', max_s=1,
                   data={'requests': [{'resource_id': 'grpcurl', 'counter_type': 'like'}]})
    eq(done[0], 64 + 4, f'DEADLINE_EXCEEDED: {done[1]}')
    got = json.loads(done[1][:done[1].rindex('}') + 1].split('ERROR')[0])
    eq(got['counters'][0]['resourceId'], 'grpcurl', 'a message')
