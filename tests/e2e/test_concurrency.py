"""N concurrent increments are answered with exactly the values 1 … N."""
import json

from lib import (BATCH_INCREMENT, INCREMENT, Server, Swarm, check, current_value, eq, get, item,
                 request_bytes)

LOOPS = 'both'
SMOKE = False
N = 20000
CONNECTIONS = 200


def storm(server, count, connections, requests, answered):
    """Sends requests(n) for n in 0 … count-1; all must be answered with 200."""
    numbers = iter(range(count))
    statuses = {}

    def source():
        n = next(numbers, None)
        return None if n is None else (n, requests(n))

    def on_answer(n, status, body):
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200:
            answered(n, body)

    swarm = Swarm(server.http, connections, source, on_answer)
    swarm.run()
    eq(swarm.lost, [], 'requests without an answer')
    eq(statuses, {200: count}, 'statuses')


def every_value_once(server):
    values = []
    data = request_bytes('POST', INCREMENT, item('storm'))
    storm(server, N, CONNECTIONS, lambda n: data, lambda n, body: values.append(
        current_value(body)))
    eq(len(values), N, 'answers')
    check(sorted(values) == list(range(1, N + 1)), 'the values are not 1 … N, each once')
    eq(get(server, 'storm'), N, 'the counter')


def test_every_value_once_on_one_thread():
    with Server(flags=['--threads', '1']) as server:
        every_value_once(server)


def test_every_value_once_on_two_threads():
    with Server(flags=['--threads', '2']) as server:
        every_value_once(server)


def test_many_counters(server):
    values = {}
    count, counters = 10000, 500
    requests = [request_bytes('POST', INCREMENT, item(f'storm-{n}')) for n in range(counters)]

    def answered(n, body):
        values.setdefault(n % counters, []).append(current_value(body))

    storm(server, count, CONNECTIONS, lambda n: requests[n % counters], answered)
    want = list(range(1, count // counters + 1))
    wrong = [n for n, got in values.items() if sorted(got) != want]
    eq(wrong, [], 'counters whose values are not 1 … n, each once')


def test_mixed_signs(server):
    """Ups and downs, one by one: the sum is exact and each step is somebody's answer."""
    ups = request_bytes('POST', INCREMENT, item('signs', delta=3))
    downs = request_bytes('POST', INCREMENT, item('signs', delta=-2))
    seen = []
    storm(server, 6000, 100, lambda n: downs if n % 2 else ups,
          lambda n, body: seen.append((current_value(body), n % 2)))
    eq(get(server, 'signs'), 3000, 'the counter')
    # Each operation is an edge (before, after); together they are one walk from 0 to 3000.
    balance = {}
    for after, down in seen:
        before = after + 2 if down else after - 3
        balance[before] = balance.get(before, 0) + 1
        balance[after] = balance.get(after, 0) - 1
    eq({v: n for v, n in balance.items() if n}, {0: 1, 3000: -1}, 'where the walk starts and ends')


def test_one_key_from_many_connections(server):
    """The same idempotency key at the same time everywhere counts once."""
    bodies = set()
    data = request_bytes('POST', INCREMENT, item('samekey', delta=5),
                         [('Idempotency-Key', 'everywhere')])
    storm(server, 1000, 100, lambda n: data, lambda n, body: bodies.add(body))
    eq(len(bodies), 1, 'different answers')
    eq(get(server, 'samekey'), 5, 'the counter')


def test_batches_beside_singles(server):
    single = request_bytes('POST', INCREMENT, item('beside'))
    batch = request_bytes('POST', BATCH_INCREMENT, {'items': [item('beside')] * 20})
    values = []

    def answered(n, body):
        if n % 10:
            values.append(current_value(body))
        else:
            values.extend(r['current_value'] for r in json.loads(body)['data']['results'])

    storm(server, 2000, 100, lambda n: single if n % 10 else batch, answered)
    total = 1800 + 200 * 20
    check(sorted(values) == list(range(1, total + 1)), 'the values are not 1 … N, each once')


def test_reads_never_go_back(server):
    """Once answered, a value is never read lower by anyone."""
    write = request_bytes('POST', INCREMENT, item('monotone'))
    read = request_bytes('GET', '/api/v1/counter/monotone/like')
    numbers = iter(range(6000))
    state = {'acked': 0}
    wrong = []

    def source():
        n = next(numbers, None)
        return None if n is None else ((n % 2, state['acked']), read if n % 2 else write)

    def answered(token, status, body):
        eq(status, 200, 'status')
        reading, floor = token
        value = current_value(body)
        if value < floor:
            wrong.append((value, floor))
        if not reading or value > state['acked']:
            state['acked'] = max(state['acked'], value)

    Swarm(server.http, 100, source, answered).run()
    eq(wrong, [], 'reads below what was acknowledged before they were sent')
