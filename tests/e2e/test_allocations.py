"""Memory is asked for at the start and for connections, not for requests: what the threads that
serve ask malloc for, while the same connections go on as before."""
import pathlib
import struct
import tempfile

from lib import (BATCH, BATCH_INCREMENT, INCREMENT, Server, Split, Swarm, call, check,
                 counter_path, eq, item, preloaded, ready, request_bytes)
from test_redis import redis

LOOPS = 'both'
SMOKE = False  # a sanitizer has a malloc of its own
CONNECTIONS = 20
WARM = 2000
REQUESTS = 5000
SLACK = 20
TRIES = 3  # a turn larger than any before needs memory, once
COUNT = struct.Struct('qQ')  # tests/lib/alloccount.c: thread, requests for memory

KINDS = {
    'increment': request_bytes('POST', INCREMENT, item('alloc')),
    'get': request_bytes('GET', counter_path('alloc')),
    'batch': request_bytes('POST', BATCH_INCREMENT,
                           {'items': [item(f'alloc-{n}') for n in range(20)]}),
    'batch read': request_bytes('POST', BATCH, {'items': [item(f'alloc-{n}') for n in range(20)]}),
    'unreadable': request_bytes('POST', INCREMENT, '{"resource_id":'),
}
STATUS = {'unreadable': 400}


def by_thread(server, file):
    """How often each of the server's threads has asked for memory, by the thread's name."""
    found = {}
    for tid, requests in COUNT.iter_unpack(file.read_bytes()):
        comm = pathlib.Path(f'/proc/{server.process.pid}/task/{tid}/comm')
        if tid and comm.exists():
            found[comm.read_text().strip()] = requests
    return found


def shim(folder):
    file = pathlib.Path(folder, 'counts')
    return file, {'LD_PRELOAD': preloaded('alloccount'), 'ALLOC_COUNT': str(file)}


def asked_for(server, http, file, kind):
    """By each loop, during REQUESTS of a kind on connections that have served WARM of them."""
    left = [WARM + REQUESTS]
    marks = []

    def source():
        if left[0] == 0:
            return None
        left[0] -= 1
        if left[0] == REQUESTS - 1:
            marks.append(by_thread(server, file))
        if left[0] == 0:  # every connection is open still, and busy
            marks.append(by_thread(server, file))
        return kind, KINDS[kind]

    Swarm(http, CONNECTIONS, source,
          lambda kind, status, body: eq(status, STATUS.get(kind, 200), body)).run()
    before, after = marks
    loops = [name for name in after if name.startswith('hgp-loop')]
    check(loops, f'no loop in {after}')
    return sum(after[name] - before[name] for name in loops)


def expect(server, http, file):
    """A request needs nothing, of one item or of 20: what is larger than a connection or a call
    keeps is its loop's spare."""
    got = {}
    for kind in KINDS:
        for _ in range(TRIES):
            got[kind] = asked_for(server, http, file, kind)
            if got[kind] <= SLACK:
                break
        check(got[kind] <= SLACK, f'{kind}: {got[kind]} times during {REQUESTS} requests')
    print(f'     asked for memory during {REQUESTS} requests: {got}', flush=True)


def test_the_count_counts():
    """A connection isn't free, so that nought elsewhere means something."""
    with tempfile.TemporaryDirectory() as folder:
        file, env = shim(folder)
        with Server(env=env) as server:
            before = by_thread(server, file)
            for _ in range(50):
                eq(call(server.http, 'GET', counter_path('alloc')).status, 200, 'a read')
            after = by_thread(server, file)
        loops = [name for name in after if name.startswith('hgp-loop')]
        check(sum(after[name] - before.get(name, 0) for name in loops) >= 50, f'{before}, {after}')


def test_all():
    with tempfile.TemporaryDirectory() as folder:
        file, env = shim(folder)
        with Server(env=env) as server:
            expect(server, server.http, file)


def counted(split, server, folder):
    """The same for one process of several, started again with the shim."""
    file, env = shim(folder)
    server.stop()
    server.env.update(env)
    server.start()
    for each in (server, *split.gateways):
        ready(each)
    expect(server, split.gateways[0].http, file)


def test_gateway():
    with tempfile.TemporaryDirectory() as folder, Split() as split:
        counted(split, split.gateways[0], folder)


def test_counter():
    with tempfile.TemporaryDirectory() as folder, Split() as split:
        counted(split, split.counter, folder)


def test_counter_on_redis():
    with tempfile.TemporaryDirectory() as folder, redis() as store, \
            Split(counter_flags=['--store', store.url]) as split:
        counted(split, split.counter, folder)
