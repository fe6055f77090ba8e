"""The counter service over gRPC, by clients that aren't ours: grpcio and grpcurl."""
import json
import queue
import re
import signal
import subprocess
import threading
import time

from grpc_client import COUNTER, HEALTH, PYTHON, Client, modules  # noqa: F401
from lib import WAIT_S, Server, Skipped, check, eq, tree

ROLE = 'counter'
LOOPS = 'both'

TOP = 2**63 - 1
BOTTOM = -2**63
REFLECTION = '/grpc.reflection.%s.ServerReflection/ServerReflectionInfo'


# --- the unary methods -----------------------------------------------------------------------


def test_increment(server):
    with Client(server) as client:
        began = int(time.time())
        first = client.increment('inc')
        eq((first.success, first.current_value, first.resource_id, first.counter_type,
            first.replayed), (True, 1, 'inc', 'like', False), 'the first')
        check(began - 2 <= first.timestamp <= time.time() + 2, f'its time: {first.timestamp}')
        eq(client.increment('inc', 41).current_value, 42, 'a delta')
        eq(client.increment('inc', -50).current_value, -8, 'a negative delta')
        eq(client.increment('inc', 0).current_value, -7, 'delta 0 means 1')


def test_get(server):
    with Client(server) as client:
        never = client.get('get')
        eq((never.success, never.current_value, never.updated_at), (True, 0, 0), 'never written')
        written = client.increment('get', 5)
        read = client.get('get')
        eq((read.current_value, read.resource_id, read.counter_type, read.updated_at),
           (5, 'get', 'like', written.timestamp), 'written')
        eq(client.get('get', 'view').current_value, 0, 'another type')


def test_set_and_delete(server):
    with Client(server) as client:
        eq(client.set('set', 10).current_value, 10, 'set')
        eq(client.set('set', 0).current_value, 0, 'set to 0')
        for value in (BOTTOM, TOP):
            eq(client.set('set', value).current_value, value, 'set to an end')
            eq(client.get('set').current_value, value, 'read back')
        gone = client.delete('set')
        eq((gone.success, gone.current_value, gone.resource_id), (True, 0, 'set'), 'deleted')
        eq(client.get('set').current_value, 0, 'read back')


def test_batch_get(server):
    with Client(server) as client:
        client.increment('bg-a', 3)
        client.increment('bg-b', 4)
        found = client.batch_get(['bg-b', 'bg-none', 'bg-a', 'bg-b']).counters
        eq([(c.resource_id, c.current_value, c.success) for c in found],
           [('bg-b', 4, True), ('bg-none', 0, True), ('bg-a', 3, True), ('bg-b', 4, True)],
           'in order, duplicates kept')
        eq(len(client.batch_get([]).counters), 0, 'an empty batch')
        many = [f'bg-{n}' for n in range(1000)]
        eq([c.resource_id for c in client.batch_get(many).counters], many, '1,000')


def test_batch_increment(server):
    with Client(server) as client:
        client.set('bi-top', TOP)
        results = client.batch_increment([('bi', 2, ''), ('bi-top', 1, ''), ('bi', 0, ''),
                                          ('bi', 7, 'bi-key'), ('bi', 7, 'bi-key'),
                                          ('bi', 8, 'bi-key')]).results
        eq([(r.success, r.current_value, r.code, r.replayed) for r in results],
           [(True, 2, 0, False), (False, 0, 11, False), (True, 3, 0, False),
            (True, 10, 0, False), (True, 10, 0, True), (False, 0, 9, False)], 'item by item')
        check(results[1].message and results[5].message, 'a failed item says why')
        eq([r.resource_id for r in results], ['bi', 'bi-top', 'bi', 'bi', 'bi', 'bi'], 'names')
        eq(client.get('bi').current_value, 10, 'the counter')
        eq(client.get('bi-top').current_value, TOP, 'the one that failed')
        eq(len(client.batch_increment([]).results), 0, 'an empty batch')


def test_any_name(server):
    with Client(server) as client:
        for name in ('with space', 'a/b', 'a:b', 'é', '数', '👍', '"\\', '\x01', 'x' * 200):
            eq(client.increment(name, 3, counter_type=name).resource_id, name, 'the answer')
            eq(client.get(name, name).current_value, 3, f'{name!r} read back')


# --- refusals --------------------------------------------------------------------------------


def test_invalid_requests(server):
    with Client(server) as client:
        refused = [
            ('no resource_id', 'resource_id', client.increment, ''),
            ('no counter_type', 'counter_type', lambda n: client.increment(n, counter_type=''), 'a'),
            ('a NUL in an id', 'resource_id', client.increment, 'a\0b'),
            ('get without an id', 'resource_id', client.get, ''),
            ('get a NUL', 'counter_type', lambda n: client.get(n, '\0'), 'a'),
            ('set without an id', 'resource_id', lambda n: client.set(n, 1), ''),
            ('delete without an id', 'resource_id', client.delete, ''),
            ('a key of 256 bytes', 'idempotency_key', lambda n: client.increment(n, 1, n), 'k' * 256),
            ('a batch of 1,001', 'requests', client.batch_get, ['a'] * 1001),
            ('a bad item', 'requests[1].resource_id', client.batch_get, ['a', '']),
            ('a bad item to write', 'requests[1].resource_id', client.batch_increment,
             [('invalid', 1, ''), ('', 1, '')]),
        ]
        for name, field, function, argument in refused:
            code, message = client.code(function, argument)
            eq(code, 'INVALID_ARGUMENT', name)
            check(field in message, f'{name}: {message!r} does not name {field}')
        eq(client.get('invalid').current_value, 0, 'a refused batch changes nothing')


def test_bytes_that_are_no_message(server):
    with Client(server) as client:
        increment = client.counter('IncrementCounter', 'IncrementResponse')
        for raw in (b'\xff', b'\x0a\x05ab', b'\x0a\x01\xff\x12\x01c', b'\x0a\x02\xc0\xaf\x12\x01c',
                    b'\x08\x01', b'{"resource_id":"a"}'):
            eq(client.code(increment, raw, timeout=WAIT_S)[0], 'INVALID_ARGUMENT', repr(raw))
        # What a newer client knows and we don't is ignored.
        answer = increment(b'\x0a\x07unknown\x12\x04like\xfa\x3f\x03new', timeout=WAIT_S)
        eq(answer.current_value, 1, 'an unknown field')


def test_out_of_range(server):
    with Client(server) as client:
        for end, delta in ((TOP, 1), (TOP, TOP), (BOTTOM, -1), (BOTTOM, BOTTOM)):
            client.set('range', end)
            eq(client.code(client.increment, 'range', delta)[0], 'OUT_OF_RANGE', f'{end}, {delta}')
            eq(client.get('range').current_value, end, 'the counter stays')
        eq(client.increment('range', TOP).current_value, -1, 'and counts on')


def test_idempotency_keys(server):
    with Client(server) as client:
        first = client.increment('key', 3, 'k-1')
        client.increment('key', 10)
        for _ in range(3):
            again = client.increment('key', 3, 'k-1')
            eq((again.current_value, again.timestamp, again.replayed),
               (first.current_value, first.timestamp, True), 'the first answer again')
        code, message = client.code(client.increment, 'key', 4, 'k-1')
        eq(code, 'FAILED_PRECONDITION', f'another delta: {message}')
        eq(client.get('key').current_value, 13, 'the counter')
        # A key belongs to its method and counter: elsewhere it is another operation.
        eq(client.set('key', 3, 'k-1').replayed, False, 'the same key on another method')
        eq(client.get('key').current_value, 3, 'the counter that was set')
        client.set('key', 100, 'k-2')
        client.increment('key')
        check(client.set('key', 100, 'k-2').replayed, 'a set again')
        check(not client.delete('key', 'k-3').replayed, 'a delete')
        client.increment('key', 9)
        check(client.delete('key', 'k-3').replayed, 'a delete again')
        eq(client.get('key').current_value, 9, 'replays change nothing')


def test_unimplemented(server):
    with Client(server) as client:
        for path in (f'/{COUNTER}/Nothing', '/counter.Nothing/IncrementCounter',
                     f'/{COUNTER}/incrementCounter', '/nothing', f'/{COUNTER}/'):
            eq(client.code(client.method(path, None), b'', timeout=WAIT_S)[0], 'UNIMPLEMENTED',
               path)


def test_message_too_large(server):
    with Client(server) as client:
        increment = client.counter('IncrementCounter', 'IncrementResponse')
        fine = client.pb.IncrementRequest(resource_id='large', counter_type='like')
        padding = b'\xfa\x3f' + bytes([0x80, 0x80, 0x80, 0x02])  # field 1023, 4 MiB
        large = fine.SerializeToString() + padding + b'x' * (4 << 20)
        eq(client.code(increment, large, timeout=WAIT_S)[0], 'RESOURCE_EXHAUSTED', 'over 4 MiB')
        eq(increment(fine, timeout=WAIT_S).current_value, 1, 'the connection goes on')


def test_gzip(server):
    grpc = modules().grpc
    with Client(server, compression=grpc.Compression.Gzip) as client:
        eq(client.increment('gzip', 5).current_value, 5, 'a compressed request')
        names = [f'gzip-{"x" * 50}-{n}' for n in range(500)]
        eq(len(client.batch_get(names).counters), 500, 'a large one')
    with Client(server, compression=grpc.Compression.Deflate) as client:
        code, message = client.code(client.increment, 'deflate')
        check(code in ('OK', 'UNIMPLEMENTED'), f'another coding: {code} {message}')


def test_deadline(server):
    """A server that stands still is DEADLINE_EXCEEDED, and well again afterwards."""
    with Client(server) as client:
        eq(client.increment('deadline').current_value, 1, 'before')
        server.stand_still()
        try:
            eq(client.code(client.increment, 'deadline', timeout=0.3)[0], 'DEADLINE_EXCEEDED',
               'while it stands')
        finally:
            server.send_signal(signal.SIGCONT)
        after = client.increment('deadline').current_value
        check(after in (2, 3), f'the late one counted once or not at all: {after}')
        eq(client.get('deadline').current_value, after, 'the counter')


# --- health ----------------------------------------------------------------------------------


def health(client, service, kind='unary_unary', method='Check'):
    pb = client.modules.health
    return client.method(f'/{HEALTH}/{method}', pb.HealthCheckResponse, kind)(
        pb.HealthCheckRequest(service=service), timeout=WAIT_S)


def test_health_check(server):
    with Client(server) as client:
        for service in ('', COUNTER):
            eq(health(client, service).status, 1, f'{service!r} is SERVING')
        eq(client.code(health, client, 'nothing')[0], 'NOT_FOUND', 'an unknown service')


def test_health_watch(server):
    with Client(server) as client:
        known = health(client, COUNTER, 'unary_stream', 'Watch')
        unknown = health(client, 'nothing', 'unary_stream', 'Watch')
        eq(next(known).status, 1, 'SERVING')
        eq(next(unknown).status, 3, 'SERVICE_UNKNOWN')
        known.cancel()
        unknown.cancel()
        eq(health(client, '').status, 1, 'the connection goes on')


def test_health_watch_sees_the_drain():
    with Server(role=ROLE) as server, Client(server) as client:
        seen = queue.Queue()

        def watch():
            try:
                for message in health(client, COUNTER, 'unary_stream', 'Watch'):
                    seen.put(message.status)
            except client.grpc.RpcError as error:
                seen.put(error.code().name)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        eq(seen.get(timeout=WAIT_S), 1, 'SERVING')
        eq(client.increment('drain').current_value, 1, 'a write')
        server.send_signal(signal.SIGTERM)
        eq(seen.get(timeout=WAIT_S), 2, 'NOT_SERVING')
        eq(seen.get(timeout=WAIT_S), 'UNAVAILABLE', 'the end of the watch')
        eq(server.wait(), 0, 'exit code')
        thread.join(WAIT_S)


# --- reflection ------------------------------------------------------------------------------


def reflect(client, version, *requests):
    """The answers to the requests of one stream."""
    pb = client.modules.reflection if version == 'v1' else client.modules.reflection_alpha
    method = client.method(REFLECTION % version, pb.ServerReflectionResponse, 'stream_stream')
    return list(method(iter([pb.ServerReflectionRequest(**r) for r in requests]), timeout=WAIT_S))


def test_reflection(server):
    with Client(server) as client:
        from google.protobuf import descriptor_pb2
        from_bytes = descriptor_pb2.FileDescriptorProto.FromString
        for version in ('v1', 'v1alpha'):
            listed, file, named, missing = reflect(
                client, version, {'list_services': ''}, {'file_containing_symbol': COUNTER},
                {'file_by_filename': 'counter/counter.proto'}, {'file_containing_symbol': 'no.such'})
            names = {service.name for service in listed.list_services_response.service}
            check({COUNTER, HEALTH, 'counter.internal.Lanes', 'grpc.reflection.v1.ServerReflection',
                   'grpc.reflection.v1alpha.ServerReflection'} <= names, f'{version}: {names}')
            for answer in (file, named):
                protos = [from_bytes(one) for one in
                          answer.file_descriptor_response.file_descriptor_proto]
                eq(protos[0].package, 'counter', 'the file')
                eq(protos[0].service[0].name, 'CounterService', 'its service')
            eq(file.original_request.file_containing_symbol, COUNTER, 'the question repeated')
            eq(missing.error_response.error_code, 5, 'NOT_FOUND')


def test_descriptors_are_the_files(server):
    """What reflection says is what generate_proto.sh makes of api/proto."""
    with Client(server) as client:
        from google.protobuf import descriptor_pb2
        own = descriptor_pb2.FileDescriptorProto()
        client.pb.DESCRIPTOR.CopyToProto(own)
        answer, = reflect(client, 'v1', {'file_by_filename': 'counter/counter.proto'})
        served = descriptor_pb2.FileDescriptorProto.FromString(
            answer.file_descriptor_response.file_descriptor_proto[0])
        for proto in (own, served):
            for message in proto.message_type:
                for field in message.field:
                    field.ClearField('json_name')
        check(served == own, 'the served descriptor differs from the generated one')


# --- grpcurl ---------------------------------------------------------------------------------


def grpcurl(server, *arguments, data=None, max_s=WAIT_S):
    """(exit code, output) of one grpcurl run."""
    fetched = subprocess.run(
        [tree() / 'scripts/fetch_go_tools.sh', tree() / '.cache/gotools', 'grpcurl'],
        capture_output=True, text=True)
    if fetched.returncode == 69:
        raise Skipped(fetched.stderr.strip().splitlines()[-1])
    eq(fetched.returncode, 0, fetched.stderr)
    flags = ['-plaintext', '-max-time', str(max_s)]
    if data is not None:
        flags += ['-d', json.dumps(data)]
    done = subprocess.run([tree() / '.cache/gotools/grpcurl', *flags, '%s:%d' % server.grpc,
                           *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_grpcurl_list_and_describe(server):
    code, out = grpcurl(server, 'list')
    eq(code, 0, out)
    check({COUNTER, HEALTH} <= set(out.split()), out)
    code, out = grpcurl(server, 'list', COUNTER)
    eq((code, len(out.split())), (0, 7), out)
    code, out = grpcurl(server, 'describe', COUNTER)
    check(code == 0 and 'rpc IncrementCounter' in out, out)
    code, out = grpcurl(server, 'describe', 'counter.internal.Lanes')
    check(code == 0 and 'rpc Apply' in out, out)
    code, out = grpcurl(server, 'describe', 'counter.IncrementRequest')
    check(code == 0 and re.search(r'int64 delta = 3;', out), out)


def test_grpcurl_calls(server):
    request = {'resource_id': 'grpcurl', 'counter_type': 'like', 'delta': '9007199254740993'}
    code, out = grpcurl(server, f'{COUNTER}/IncrementCounter', data=request)
    eq(code, 0, out)
    answer = {name.replace('_', '').lower(): value for name, value in json.loads(out).items()}
    eq(answer['currentvalue'], '9007199254740993', 'an int64 beyond a double')
    code, out = grpcurl(server, f'{COUNTER}/IncrementCounter', data={'resource_id': 'grpcurl'})
    check(code == 64 + 3 and 'InvalidArgument' in out, f'{code}: {out}')
    code, out = grpcurl(server, f'{HEALTH}/Check', data={'service': COUNTER})
    check(code == 0 and 'SERVING' in out, out)
