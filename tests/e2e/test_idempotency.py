"""Idempotency keys and batch increments (CONTRACT part B)."""
from lib import (BATCH_INCREMENT, INCREMENT, Connection, call, check, eq, get, increment, item)


def batch(server, items, headers=()):
    return call(server.http, 'POST', BATCH_INCREMENT, {'items': items}, headers)


def replayed(response):
    return response.header('Idempotent-Replayed') == 'true'


def test_a_key_counts_once(server):
    first = increment(server, 'once', 3, 'k-once')
    eq(first.status, 200, 'the first')
    check(not replayed(first), 'the first one is no replay')
    increment(server, 'once', 10)
    for _ in range(5):
        again = increment(server, 'once', 3, 'k-once')
        eq(again.body, first.body, 'the answer again, byte for byte')
        check(replayed(again), 'marked as a replay')
    eq(get(server, 'once'), 13, 'the counter')


def test_another_payload_is_422(server):
    increment(server, 'payload', 3, 'k-payload')
    eq(increment(server, 'payload', 4, 'k-payload').status, 422, 'another delta')
    eq(get(server, 'payload'), 3, 'the counter')


def test_a_key_belongs_to_one_counter(server):
    increment(server, 'scope-a', 1, 'k-scope')
    check(not replayed(increment(server, 'scope-b', 1, 'k-scope')), 'another counter')
    check(not replayed(increment(server, 'scope-a', 1, 'k-scope', 'view')), 'another type')


def test_the_length_of_a_key(server):
    eq(increment(server, 'length', 1, 'x' * 255).status, 200, '255 bytes')
    check(replayed(increment(server, 'length', 1, 'x' * 255)), '255 bytes are kept')
    eq(increment(server, 'length', 1, 'x' * 256).status, 400, '256 bytes')
    eq(get(server, 'length'), 1, 'the counter')


def test_an_empty_key_is_refused(server):
    eq(increment(server, 'empty', 1, '').status, 400, 'an empty key')
    eq(get(server, 'empty'), 0, 'the counter')


def test_two_key_headers_are_refused(server):
    headers = [('Idempotency-Key', 'a'), ('Idempotency-Key', 'b')]
    eq(call(server.http, 'POST', INCREMENT, item('two'), headers).status, 400, 'two keys')
    eq(get(server, 'two'), 0, 'the counter')


def test_a_refused_operation_leaves_no_record(server):
    increment(server, 'refused', 2 ** 63 - 1)
    eq(increment(server, 'refused', 5, 'k-refused').status, 400, 'past the top')
    increment(server, 'refused', -100)
    again = increment(server, 'refused', 5, 'k-refused')
    eq(again.status, 200, 'the same key, now that it fits')
    check(not replayed(again), 'it is the first that applied')


def test_a_set_has_keys_too(server):
    path = '/api/v1/counter/keyset/like'
    key = [('Idempotency-Key', 'k-set')]
    eq(call(server.admin, 'PUT', path, {'value': 5}, key).status, 200, 'set')
    increment(server, 'keyset', 1)
    again = call(server.admin, 'PUT', path, {'value': 5}, key)
    eq(again.status, 200, 'again')
    check(replayed(again), 'is a replay')
    eq(get(server, 'keyset'), 6, 'the counter')
    eq(call(server.admin, 'PUT', path, {'value': 6}, key).status, 422, 'another value')


def test_a_batch_answers_in_order(server):
    names = [f'order-{n % 7}' for n in range(50)]
    response = batch(server, [item(name, delta=n + 1) for n, name in enumerate(names)])
    eq(response.status, 200, repr(response))
    data = response.json()['data']
    eq(data['total'], 50, 'total')
    sums = {}
    for n, (name, result) in enumerate(zip(names, data['results'])):
        sums[name] = sums.get(name, 0) + n + 1
        eq((result['resource_id'], result['current_value']), (name, sums[name]), f'item {n}')


def test_an_item_fails_alone(server):
    increment(server, 'alone-top', 2 ** 63 - 1)
    response = batch(server, [item('alone-a'), item('alone-top'), item('alone-a')])
    eq(response.status, 200, repr(response))
    document = response.json()
    eq(document['status'], 'partial', 'status')
    results = document['data']['results']
    eq([r['success'] for r in results], [True, False, True], 'success')
    eq(results[1]['error']['code'], 'RANGE', 'the code')
    check(results[1]['error']['message'], 'a message')
    eq(results[2]['current_value'], 2, 'the one behind it')
    eq(get(server, 'alone-top'), 2 ** 63 - 1, 'the counter at the top')


def test_a_thousand_items_and_no_more(server):
    eq(batch(server, [item(f'many-{n % 10}') for n in range(1000)]).status, 200, '1,000 items')
    eq(get(server, 'many-3'), 100, 'the counter')
    response = batch(server, [item(f'many-{n % 10}') for n in range(1001)])
    check(response.status in (400, 413), f'1,001 items: {response!r}')
    eq(get(server, 'many-3'), 100, 'the counter after the refusal')


def test_keys_of_items(server):
    items = [item('itemkey', delta=1, key='i-1'), item('itemkey', delta=1, key='i-2')]
    eq(batch(server, items).status, 200, 'first')
    results = batch(server, items + [item('itemkey', delta=1, key='i-3')]).json()['data']['results']
    eq([r['current_value'] for r in results], [1, 2, 3], 'values')
    eq([r.get('replayed', False) for r in results], [True, True, False], 'replayed')
    eq(get(server, 'itemkey'), 3, 'the counter')


def test_the_same_key_twice_in_one_batch(server):
    twice = [item('twice', delta=4, key='t-1')] * 2
    results = batch(server, twice).json()['data']['results']
    eq([r['current_value'] for r in results], [4, 4], 'values')
    eq([r.get('replayed', False) for r in results], [False, True], 'replayed')
    eq(get(server, 'twice'), 4, 'the counter')


def test_an_item_with_another_payload(server):
    increment(server, 'itemother', 1, 'io-1')
    results = batch(server, [item('itemother', delta=2, key='io-1')]).json()['data']['results']
    eq(results[0]['success'], False, 'refused')
    eq(results[0]['error']['code'], 'MISMATCH', 'the code')


def test_a_key_on_the_whole_batch(server):
    items = [item('whole', delta=n + 1) for n in range(20)]
    key = [('Idempotency-Key', 'w-1')]
    first = batch(server, items, key)
    again = batch(server, items, key)
    eq(again.status, 200, 'again')
    values = [[r['current_value'] for r in answer.json()['data']['results']]
              for answer in (first, again)]
    eq(values[1], values[0], 'the same values')
    eq(get(server, 'whole'), 210, 'the counter')


def test_a_replay_on_the_same_connection(server):
    with Connection(server.http) as connection:
        bodies = [connection.request('POST', INCREMENT, item('same', delta=2),
                                     [('Idempotency-Key', 'same-1')]).body for _ in range(20)]
    eq(len(set(bodies)), 1, 'different answers')
    eq(get(server, 'same'), 2, 'the counter')
