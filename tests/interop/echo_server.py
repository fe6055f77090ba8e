#!/usr/bin/python3
"""echo_server.py - the echo methods on Python's grpcio: echo_server.py [PORT]

    /echo.Echo/Unary   the message comes back
    /echo.Echo/Brief   the same, after 20 ms
    /echo.Echo/Slow    the same, after a minute
    /echo.Echo/Fail    INVALID_ARGUMENT with a message that needs encoding

Prints its port. SIGTERM lets what runs finish (GOAWAY), then ends.
"""
import os
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

LARGEST = 8 << 20
GRACE_S = 3


def echo(request, _context):
    return request


def brief(request, _context):
    time.sleep(0.02)
    return request


def slow(request, context):
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(60)
    return request


def fail(_request, context):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, 'half 50% \u00e9\n')


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    # Blocked in all threads: a handler's Event can be missed while this thread begins to wait for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32),
                         options=[('grpc.max_receive_message_length', LARGEST),
                                  ('grpc.max_send_message_length', LARGEST)])
    methods = {'Unary': echo, 'Brief': brief, 'Slow': slow, 'Fail': fail}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('echo.Echo', {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}),))
    port = server.add_insecure_port(f'127.0.0.1:{port}')
    server.start()
    print(port, flush=True)
    signal.sigwait([signal.SIGTERM])
    # grpcio 1.51 at times keeps a call in its books that nobody waits for, and then never says that
    # it has stopped (1 stop in 300 under calls, its own client's too): so this isn't left to it.
    server.stop(GRACE_S).wait(GRACE_S + 1)
    os._exit(0)


main()
