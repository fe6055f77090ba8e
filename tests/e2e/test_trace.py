"""W3C Trace Context: a request's trace id is in every log line about it, in whichever process."""
import json
import time

from grpc_client import PYTHON, Client  # noqa: F401
from lib import WAIT_S, Split, call, check, eq

LOOPS = 'both'
SMOKE = False
INCREMENT = '/api/v1/counter/increment'
SPAN = 'b7ad6b7169203331'


def parent(n, flags='01'):
    return f'00-{n:032x}-{SPAN}-{flags}'


def lines(server, trace_id, count, where='"trace_id"', at_least=False):
    """The log lines of that trace; waits for 'count' of them, and finds no more (or 'at_least')."""
    end = time.monotonic() + WAIT_S
    while True:
        found = [json.loads(line) for line in server.said().splitlines()
                 if where in line and (trace_id is None or f'{trace_id:032x}' in line)]
        if len(found) >= count or time.monotonic() > end:
            break
        time.sleep(0.02)
    check(len(found) == count or (at_least and len(found) > count),
          f'{len(found)} lines of trace {trace_id}')
    return found


def test_a_trace_over_http(server):
    """Over HTTP/1; h2 hands over the same header list."""
    response = call(server.http, 'POST', INCREMENT, b'{', [('Traceparent', parent(0xa1))])
    eq(response.status, 400, 'a bad body')
    line, = lines(server, 0xa1, 1)
    eq((line['msg'], line['parent_span_id'], line['status']), ('request failed', SPAN, 400),
       'its line')
    check(len(line['span_id']) == 16 and line['span_id'] != SPAN, f'its span: {line}')
    eq(line['request_id'], response.header('X-Request-Id'), 'the request id beside it')
    call(server.http, 'GET', '/nothing', None, [('traceparent', parent(0xa2))])
    second, = lines(server, 0xa2, 1)
    check(second['span_id'] != line['span_id'], 'the same span twice')


def test_what_is_no_trace(server):
    """A request is served and logged all the same, without a trace."""
    bad = [parent(0xb1)[:-1], parent(0xb1).upper(), 'ff' + parent(0xb1)[2:], parent(0), 'x', '']
    for n, value in enumerate(bad):
        path = f'/not/a/trace/{n}'
        eq(call(server.http, 'GET', path, None, [('traceparent', value),
                                                 ('X-Request-Id', f'bad-{n}')]).status, 404, value)
    eq(call(server.http, 'GET', '/twice', None, [('traceparent', parent(0xb2)),
                                                 ('traceparent', parent(0xb3)),
                                                 ('X-Request-Id', 'bad-twice')]).status, 404,
       'two of them')
    for name in [*(f'bad-{n}' for n in range(len(bad))), 'bad-twice']:
        line, = lines(server, None, 1, f'"request_id":"{name}"')
        check('trace_id' not in line, f'{name}: {line}')


def test_gateway_and_counter():
    with Split(env={'HGP_TIMEOUTS_REQUEST_MS': '1000'}) as split:
        gateway, = split.gateways
        with Client(split.counter) as client:
            status, _ = client.code(client.counter('IncrementCounter', 'IncrementResponse'),
                                    client.pb.IncrementRequest(), timeout=WAIT_S,
                                    metadata=[('traceparent', parent(0xc1))])
            eq(status, 'INVALID_ARGUMENT', 'an empty id')
        line, = lines(split.counter, 0xc1, 1)
        eq((line['msg'], line['parent_span_id'], line['status']),
           ('call failed', SPAN, 'INVALID_ARGUMENT'), 'the counter\'s line')

        body = b'{"resource_id":"a","counter_type":"like"}'
        traced = [('traceparent', parent(0xc2)), ('tracestate', 'a=1')]
        eq(call(split.http, 'POST', INCREMENT, body, traced).status, 200, 'a traced increment')
        split.counter.stand_still()
        response = call(split.http, 'POST', INCREMENT, body, [('traceparent', parent(0xc3))])
        eq(response.status, 504, 'the counter stands still')
        found = lines(gateway, 0xc3, 2, at_least=True)
        eq({line['msg'] for line in found}, {'a message to a counter failed', 'request failed'},
           'the gateway\'s lines')
        eq(len({line['span_id'] for line in found}), 1, 'all of the request\'s span')
