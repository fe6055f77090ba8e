"""What is acknowledged survives every way to end; what can't start says why."""
import pathlib
import random
import signal
import tempfile
import threading
import time

from lib import (INCREMENT, Connection, Gone, Server, Swarm, call, check, eq, get, get_many,
                 increment, item, refused, request_bytes)

SMOKE = False


def fill(server):
    for n in range(20):
        increment(server, f'keep-{n}', n + 1)
    call(server.admin, 'PUT', '/api/v1/counter/keep-set/like', {'value': -5})
    return increment(server, 'keep-key', 7, 'k-keep').body


def unchanged(server, keyed):
    eq(get_many(server, [f'keep-{n}' for n in range(20)]),
       {f'keep-{n}': n + 1 for n in range(20)}, 'values')
    eq(get(server, 'keep-set'), -5, 'a value that was set')
    again = increment(server, 'keep-key', 7, 'k-keep')
    eq(again.header('Idempotent-Replayed'), 'true', 'the key')
    eq(again.body, keyed, 'the first answer')
    eq(increment(server, 'keep-key', 8, 'k-keep').status, 422, 'another payload')
    eq(get(server, 'keep-key'), 7, 'the counter with the key')


def each_end(end):
    for durability in ('local', 'fast'):
        with Server(durability=durability) as server:
            keyed = fill(server)
            for _ in range(3):
                end(server)
                server.restart()
                unchanged(server, keyed)
            eq(server.stop(), 0, f'{durability}: exit code')


def test_sigterm():
    each_end(lambda server: eq(server.stop(signal.SIGTERM), 0, 'exit code'))


def test_ctrl_c():
    each_end(lambda server: eq(server.stop(signal.SIGINT), 0, 'exit code'))


def test_kill_9():
    each_end(lambda server: server.kill())


def under_load(server, number):
    """Ends the server by a signal in the middle of a storm: (acked, attempted)."""
    data = request_bytes('POST', INCREMENT, item('drain'))
    count = {'sent': 0, 'acked': 0}

    def source():
        count['sent'] += 1
        return count['sent'], data

    def answered(_, status, body):
        check(status in (200, 503), f'a {status} while draining: {body[:100]!r}')
        count['acked'] += status == 200

    swarm = Swarm(server.http, 50, source, answered)
    timer = threading.Timer(0.4, server.send_signal, [number])
    timer.start()
    swarm.run()
    return count['acked'], count['sent']


def test_ctrl_c_drains_under_load():
    with Server() as server:
        floor = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            acked, sent = under_load(server, number)
            eq(server.wait(), 0, f'exit code after {number.name}')
            check(acked > 0, 'nothing was acknowledged')
            server.restart()
            value = get(server, 'drain')
            check(floor + acked <= value <= floor + sent,
                  f'{value} after {floor}, {acked} acknowledged of {sent}')
            floor = value


def test_a_drain_answers_what_it_has_read():
    """Requests that came before the signal get their answers, not a closed door."""
    with Server() as server:
        connections = [Connection(server.http) for _ in range(50)]
        for connection in connections:  # warm: each is known to its loop
            eq(connection.request('POST', INCREMENT, item('read')).status, 200, 'warm up')
        for connection in connections:
            connection.send(request_bytes('POST', INCREMENT, item('read')) * 3)
        firsts = [connection.answer().status for connection in connections]
        server.send_signal(signal.SIGTERM)
        acked = 50 + firsts.count(200)
        for connection in connections:
            for _ in range(2):
                try:
                    acked += connection.answer().status == 200
                except Gone:
                    break
            connection.close()
        eq(server.wait(), 0, 'exit code')
        server.restart()
        check(acked <= get(server, 'read') <= 200, f'{get(server, "read")} of {acked} acknowledged')


def test_idle_connections_do_not_hold_up_the_end():
    with Server() as server:
        held = [Connection(server.http) for _ in range(50)]
        for connection in held[:25]:
            eq(connection.request('GET', '/api/v1/health').status, 200, 'health')
        began = time.monotonic()
        eq(server.stop(), 0, 'exit code')
        check(time.monotonic() - began < 5, 'it took more than 5 s')
        for connection in held:
            connection.close()


def test_a_second_signal_forces():
    with Server(env={'HGP_TIMEOUTS_BODY_MS': '60000'}) as server:
        with Connection(server.http) as connection:
            connection.send(b'POST ' + INCREMENT.encode() + b' HTTP/1.1\r\nHost: x\r\n'
                            b'Content-Length: 43\r\n\r\n{"half')
            eq(call(server.http, 'GET', '/api/v1/health').status, 200, 'health')
            server.send_signal(signal.SIGINT)
            time.sleep(0.1)  # the signals must not merge into one
            if server.alive():
                server.send_signal(signal.SIGINT)
            began = time.monotonic()
            server.wait(5)
            check(time.monotonic() - began < 3, 'the second signal did not force')


def test_one_owner_of_the_data():
    with Server() as server:
        increment(server, 'owner', 3)
        code, said = refused(data=server.data)
        check(code != 0, 'a second process on the same data started')
        check(server.data in said, f'the refusal does not name the folder: {said[-500:]}')
        eq(get(server, 'owner'), 3, 'the first one goes on')


def test_the_number_of_lanes_is_fixed():
    with Server(env={'HGP_LANES': '4'}) as server:
        increment(server, 'lanes', 3)
        eq(server.stop(), 0, 'exit code')
        code, said = refused(data=server.data, env={'HGP_LANES': '8'})
        check(code != 0, 'another number of lanes started')
        check('4' in said and '8' in said and 'lane' in said, f'the refusal: {said[-500:]}')
        server.env.pop('HGP_LANES')
        server.restart()
        eq(get(server, 'lanes'), 3, 'without a number it takes the folder\'s')


def test_as_many_lanes_as_a_new_store_has_use_for():
    """One, unless consumers of a topic can share them: the number stays when that changes."""
    topic = ['--events', 'kafka://127.0.0.1:1/events']
    for flags, partitions, lanes in ((), 4, 1), (topic, 2, 2), (topic, 4, 4), (topic, 64, 4):
        with Server(flags=flags, env={'HGP_EVENTS_PARTITIONS': str(partitions)}) as server:
            increment(server, 'lanes')
            server.stop()
            for later in (topic, ()):
                code, said = refused(later, data=server.data, env={'HGP_LANES': '8'})
                check(code != 0 and f'made with {lanes}, ' in said, f'{flags}: {said[-500:]}')


def test_a_damaged_folder_is_refused():
    """A byte in the middle of the newest table or log file turns."""
    random.seed(20)
    with Server(durability='local') as server:
        for n in range(300):
            increment(server, f'damage-{n}', 1)
        eq(server.stop(), 0, 'exit code')
        logs = [p for p in pathlib.Path(server.data).rglob('*.log') if p.stat().st_size > 4096]
        check(logs, 'no log file to damage')
        raw = bytearray(logs[0].read_bytes())
        at = len(raw) // 3
        raw[at] ^= 0x55
        logs[0].write_bytes(raw)
        code, said = refused(data=server.data)
        check(code != 0, f'started on a log that is damaged at byte {at} of {len(raw)}')
        check(server.data in said, f'the refusal does not name the folder: {said[-500:]}')


def test_an_unusable_folder_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, 'file')
        file.write_text('not a folder')
        code, said = refused(data=file / 'data')
        check(code != 0, 'a data folder under a file was accepted')
        check(str(file) in said, f'the refusal does not name it: {said[-500:]}')
