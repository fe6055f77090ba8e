#!/usr/bin/python3
"""grpc_transport.py - the gRPC server against a client that isn't ours: Python's grpcio.

    tests/e2e/grpc_transport.py build/tests/lib/grpc_echo_server

Exits with 77 (skipped) where grpcio isn't installed (python3-grpcio).
"""
import signal
import subprocess
import sys

try:
    import grpc
except ImportError:
    print('skipped: no grpcio')
    sys.exit(77)

PATIENCE_S = 60


def refused(call, *args, **kwargs):
    """The code and details that the call fails with."""
    try:
        call(*args, timeout=kwargs.pop('timeout', PATIENCE_S), **kwargs)
    except grpc.RpcError as why:
        return why.code(), why.details()
    raise AssertionError('the call was answered')


def unary(channel):
    echo = channel.unary_unary('/echo.Echo/Unary')
    reply, call = echo.with_call(
        b'hello', timeout=PATIENCE_S, metadata=(('x-echo', 'hey'), ('x-echo-bin', b'\0\1\xff')))
    assert reply == b'hello'
    trailers = dict(call.trailing_metadata())
    assert trailers == {'x-echo': 'hey', 'x-echo-bin': b'\0\1\xff'}, trailers
    assert echo(b'z' * 100000, compression=grpc.Compression.Gzip) == b'z' * 100000
    assert len(echo(b'x' * 1000000)) == 1000000
    code, _ = refused(echo, b'x' * (5 << 20))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED, code


def errors(channel):
    code, details = refused(channel.unary_unary('/echo.Echo/Fail'), b'')
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, 'half 50% \u00e9\n'), details
    code, _ = refused(channel.unary_unary('/echo.Echo/Nope'), b'')
    assert code == grpc.StatusCode.UNIMPLEMENTED, code
    code, _ = refused(channel.unary_unary('/echo.Echo/Slow'), b'', timeout=0.2)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED, code


def streams(channel):
    replies = channel.unary_stream('/echo.Echo/Stream')(b'100 10000', timeout=PATIENCE_S)
    assert sum(len(r) for r in replies) == 1000000
    each = channel.stream_stream('/echo.Echo/Each')
    assert list(each(iter([b'a', b'bc', b'']), timeout=PATIENCE_S)) == [b'a', b'bc', b'']


def a_thousand_in_flight(channel):
    echo = channel.unary_unary('/echo.Echo/Unary')
    futures = [echo.future(b'%d' % i, timeout=PATIENCE_S) for i in range(1000)]
    assert [f.result() for f in futures] == [b'%d' % i for i in range(1000)]


def drain(channel, server):
    watch = channel.unary_stream('/echo.Echo/Watch')(b'w')
    assert next(watch) == b'w'
    server.send_signal(signal.SIGTERM)
    try:
        next(watch)
        raise AssertionError('the watch goes on')
    except grpc.RpcError as why:
        assert why.code() == grpc.StatusCode.UNAVAILABLE, why.code()
    out, _ = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0 and 'floods=0' in out, out


def run(program, loop):
    server = subprocess.Popen([program, loop], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        if not address and loop == 'io_uring':
            print('skipped on io_uring, which this kernel refuses')
            return
        with grpc.insecure_channel(address) as channel:
            for test in (unary, errors, streams, a_thousand_in_flight):
                test(channel)
                print(f'ok {loop} {test.__name__}')
            drain(channel, server)
            print(f'ok {loop} drain')
    finally:
        if server.poll() is None:
            server.kill()


for backend in ('epoll', 'io_uring'):
    run(sys.argv[1], backend)
