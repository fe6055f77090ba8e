"""A gateway's messages over the wire, by grpcio and generated classes: counter.internal.Lanes."""
import random
import re
import signal
import threading

from grpc_client import PYTHON, Client  # noqa: F401
from lib import WAIT_S, Failed, Server, call, check, eq

ROLE = 'counter'
LOOPS = 'both'

LANES = 'counter.internal.Lanes'
LOCAL = ('acknowledged increments survive a crash of this process and a power loss of this '
         'machine')


class Gateway(Client):
    """One producer: messages with numbers of their own, issued by the store's clock."""

    def __init__(self, server, producer=None):
        super().__init__(server)
        self.lanes = self.modules.lanes
        self.producer = producer or (random.getrandbits(64) | 1, random.getrandbits(64))

    def hello(self):
        return self.method(f'/{LANES}/Hello', self.lanes.HelloResponse)(
            self.lanes.HelloRequest(), timeout=WAIT_S)

    def op(self, resource_id, arg=1, kind='ADD', key='', counter_type='like'):
        return self.lanes.Operation(kind=self.lanes.OperationKind.Value(f'OPERATION_KIND_{kind}'),
                                    arg=arg, resource_id=resource_id, counter_type=counter_type,
                                    key=key.encode())

    def message(self, number, ops, issued_ms=None):
        return self.lanes.ApplyRequest(
            producer_hi=self.producer[0], producer_lo=self.producer[1], number=number,
            issued_ms=self.hello().store_now_ms if issued_ms is None else issued_ms,
            operations=ops)

    def apply(self, message, timeout=WAIT_S):
        return self.method(f'/{LANES}/Apply', self.lanes.ApplyResponse)(message, timeout=timeout)

    def refused(self, message, timeout=WAIT_S):
        """Status, details, and the two trailers."""
        try:
            self.apply(message, timeout)
        except self.grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            return (error.code().name, error.details(), trailers.get('hgp-error'),
                    trailers.get('hgp-not-applied'))
        raise Failed('it was answered')


def told(response):
    return [(a.error, a.replayed, a.value, a.time_ms) for a in response.answers]


def values(response):
    return [(a.error, a.value) for a in response.answers]


def test_hello(server):
    with Gateway(server) as gateway:
        first, second = gateway.hello(), gateway.hello()
        check(first.store_id != 0, 'a store has an identity')
        eq(second.store_id, first.store_id, 'the same store')
        check(second.store_now_ms >= first.store_now_ms > 0, 'its clock goes on')
        eq((first.durability, first.guarantee), ('local', LOCAL), 'durability')
        eq(re.sub('[0-9]+', 'n', first.version), 'n.n.n', 'version')
        code, _ = gateway.code(gateway.method(f'/{LANES}/Hello', None), b'\xff', timeout=WAIT_S)
        eq(code, 'INVALID_ARGUMENT', 'bytes that are no message')


def test_hello_fast():
    with Server(role='counter', durability='fast') as server, Gateway(server) as gateway:
        hello = gateway.hello()
        eq(hello.durability, 'fast', 'durability')
        check('up to 1 second' in hello.guarantee, hello.guarantee)


def test_every_kind(server):
    with Gateway(server) as gateway:
        ops = [gateway.op('kinds', 5), gateway.op('kinds', -7), gateway.op('kinds', 0, 'GET'),
               gateway.op('kinds', 2**63 - 1, 'SET'), gateway.op('kinds', 1),
               gateway.op('kinds', 0, 'RESET'), gateway.op('kinds', -2**63, 'SET')]
        answer = gateway.apply(gateway.message(1, ops))
        eq(values(answer), [('', 5), ('', -2), ('', -2), ('', 2**63 - 1), ('RANGE', 2**63 - 1),
                            ('', 0), ('', -2**63)], 'in their order')
        check(answer.store_now_ms > 0 and answer.answers[0].time_ms > 0, 'times')
        eq(gateway.get('kinds').current_value, -2**63, 'what clients see')


def test_the_same_message_is_applied_once(server):
    with Gateway(server) as gateway:
        message = gateway.message(1, [gateway.op('once', 3), gateway.op('once-b', 4)])
        first = gateway.apply(message)
        gateway.increment('once', 100)
        for _ in range(3):
            eq(told(gateway.apply(message)), told(first), 'the same answers')
        eq(gateway.get('once').current_value, 103, 'applied once')
        other = Gateway(server)
        eq(values(other.apply(other.message(1, message.operations))), [('', 106), ('', 8)],
           'another producer with the same number')
        other.close()


def test_numbers_out_of_order(server):
    with Gateway(server) as gateway:
        seen = {n: told(gateway.apply(gateway.message(n, [gateway.op('order', n)])))
                for n in (5, 2, 64, 1)}
        eq([seen[n][0][2] for n in (5, 2, 64, 1)], [5, 7, 71, 72], 'as they came')
        for n in (1, 2, 5, 64):
            eq(told(gateway.apply(gateway.message(n, [gateway.op('order', n)]))), seen[n],
               f'{n} again')
        gateway.apply(gateway.message(70, [gateway.op('order', 1000)]))
        eq(values(gateway.apply(gateway.message(5, [gateway.op('order', 5)]))), [('TOO_OLD', 0)],
           'out of the window')
        eq(gateway.get('order').current_value, 1072, 'nothing twice')


def test_issued_long_ago(server):
    with Gateway(server) as gateway:
        now = gateway.hello().store_now_ms
        ops = [gateway.op('aged')]
        for issued in (now - 61000, now + 400000, 0, -2**63, 2**63 - 1):
            eq(values(gateway.apply(gateway.message(1, ops, issued))), [('TOO_OLD', 0)],
               f'issued {issued - now} ms from now')
        eq(gateway.get('aged').current_value, 0, 'nothing applied')


def test_refused_messages(server):
    with Gateway(server) as gateway:
        good = gateway.op('refused')
        lanes = gateway.lanes
        rows = [
            ('no operations', 'operations', gateway.message(1, [])),
            ('number 0', 'number', gateway.message(0, [good])),
            ('no producer', 'producer',
             lanes.ApplyRequest(number=1, operations=[good], issued_ms=1)),
            ('ADD 0', 'operations[1].arg', gateway.message(1, [good, gateway.op('x', 0)])),
            ('no kind', 'operations[0].kind',
             gateway.message(1, [lanes.Operation(arg=1, resource_id='a', counter_type='b')])),
            ('no id', 'operations[0].resource_id', gateway.message(1, [gateway.op('')])),
            ('a NUL', 'U+0000', gateway.message(1, [gateway.op('a\0')])),
            ('a key of 280 bytes', 'key', gateway.message(1, [gateway.op('a', key='k' * 280)])),
            ('no message', 'ApplyRequest', b'\xff'),
        ]
        for name, says, message in rows:
            code, details, error, not_applied = gateway.refused(message)
            eq((code, error, not_applied), ('INVALID_ARGUMENT', 'INVALID', '1'), name)
            check(says in details, f'{name}: {details!r} does not say {says}')
        many = gateway.message(1, [gateway.op('a', counter_type='b')] * 65537)
        eq(gateway.refused(many)[0::2], ('RESOURCE_EXHAUSTED', 'TOO_LARGE'), '65,537 operations')
        eq(gateway.get('refused').current_value, 0, 'nothing applied')


def test_a_large_message(server):
    with Gateway(server) as gateway:
        ops = [gateway.op(f'large-{n % 1000}', counter_type='b') for n in range(65536)]
        message = gateway.message(1, ops)
        answer = gateway.apply(message)
        eq(len(answer.answers), 65536, 'answers')
        eq({a.error for a in answer.answers}, {''}, 'errors')
        eq(told(gateway.apply(message)), told(answer), 'again')


def test_replay_over_kill_and_restart():
    with Server(role='counter') as server:
        gateway = Gateway(server)
        message = gateway.message(7, [gateway.op('kill', 3), gateway.op('kill', 4, key='k'),
                                      gateway.op('kill', 2**63 - 1), gateway.op('kill-b', -9)])
        store, first = gateway.hello().store_id, gateway.apply(message)
        eq(values(first), [('', 3), ('', 7), ('RANGE', 7), ('', -9)], 'the first time')
        gateway.close()
        for _ in range(2):
            server.kill()
            server.restart()
            with Gateway(server, gateway.producer) as again:
                eq(again.hello().store_id, store, 'the same store')
                eq(told(again.apply(message)), told(first), 'the same answers')
                eq(again.get('kill').current_value, 7, 'applied once')


def test_kill_under_load():
    """Every message is sent until it is answered, whatever happens between: counted once."""
    with Server(role='counter') as server:
        gateway = Gateway(server)
        now, number = gateway.hello().store_now_ms, 0
        for round_ in range(3):
            killer = threading.Timer(0.3, server.kill)
            killer.start()
            while True:
                number += 1
                message = gateway.message(number, [gateway.op('load')], now)
                try:
                    eq(values(gateway.apply(message)), [('', number)], 'in order')
                except gateway.grpc.RpcError:
                    break
            killer.join()
            gateway.close()
            server.restart()
            gateway = Gateway(server, gateway.producer)
            eq(values(gateway.apply(message)), [('', number)], f'{round_}: the lost one again')
        eq(gateway.get('load').current_value, number, 'the counter')
        check(number > 10, f'{number} messages')
        gateway.close()


# --- nobody waits any more, and the message is applied once all the same ----------------------


UNDER_WAY = 32  # half of a producer's window


def start(gateway, name, timeout=WAIT_S):
    """UNDER_WAY messages, one increment each, and a future for each."""
    now = gateway.hello().store_now_ms
    apply = gateway.method(f'/{LANES}/Apply', gateway.lanes.ApplyResponse)
    messages = [gateway.message(n, [gateway.op(name)], now) for n in range(1, UNDER_WAY + 1)]
    return messages, lambda: [apply.future(message, timeout=timeout) for message in messages]


def once(gateway, name, messages):
    """Sent again, each counts once; in which order they counted is the server's choice."""
    seen = [values(gateway.apply(message)) for message in messages]
    eq(sorted(seen), [[('', n + 1)] for n in range(len(messages))], f'{name}: the answers')
    eq(gateway.get(name).current_value, len(messages), f'{name}: the counter')


def test_deadlines_that_pass_under_way(server):
    with Gateway(server) as gateway:
        messages, send = start(gateway, 'deadline', timeout=0.3)
        server.stand_still()
        codes = {f.exception().code().name for f in send()}
        server.send_signal(signal.SIGCONT)
        eq(codes, {'DEADLINE_EXCEEDED'}, 'by the client\'s clock')
        once(gateway, 'deadline', messages)


def test_a_connection_that_dies_under_way(server):
    gateway = Gateway(server)
    messages, send = start(gateway, 'dies')
    server.stand_still()
    send()
    gateway.close()
    server.send_signal(signal.SIGCONT)
    with Gateway(server, gateway.producer) as again:
        once(again, 'dies', messages)


def test_drain():
    with Server(role='counter') as server:
        with Gateway(server) as gateway:
            messages, send = start(gateway, 'drain')
            waiting = send()
            waiting[0].exception()
            eq(server.stop(), 0, 'exit')
            told_so = [f.result().answers[0].value for f in waiting if f.exception() is None]
        server.restart()
        with Gateway(server, gateway.producer) as again:
            value = again.get('drain').current_value
            check(set(told_so) <= set(range(1, value + 1)), f'told {told_so}, there is {value}')
            once(again, 'drain', messages)


def test_metrics(server):
    with Gateway(server) as gateway:
        gateway.apply(gateway.message(1, [gateway.op('metrics')]))
        response = call(server.admin, 'GET', '/metrics')
        for method in ('Apply', 'Hello'):
            series = f'hgp_grpc_server_requests_total{{method="/{LANES}/{method}",code="OK"}}'
            check(re.search(re.escape(series) + ' [1-9]', response.body.decode()), series)
