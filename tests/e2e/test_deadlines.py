"""A client's X-Request-Timeout, while the counter behind the gateway stands still."""
import json
import signal
import time

import lib
from lib import INCREMENT, Connection, Split, call, check, eq, get, item, request_bytes

EXPIRED = 'the deadline passed first: the operation was not applied and will not be'


def ask(server, name, timeout=None):
    """An increment under way on a connection of its own."""
    headers = [('X-Request-Timeout', timeout)] if timeout else []
    connection = Connection(server.http)
    connection.began = time.monotonic()  # before it is sent: its time doesn't begin any sooner
    connection.send(request_bytes('POST', INCREMENT, item(name), headers))
    return connection


def answer_within(connection, least_s, most_s):
    got = connection.answer('POST')
    took = time.monotonic() - connection.began
    connection.close()
    check(least_s <= took < most_s, f'answered after {took:.2f} s: {got!r}')
    return got


def under_way(server):
    """Until a message is."""
    end = time.monotonic() + lib.WAIT_S
    while not call(server.http, 'GET', '/api/v1/system/pools').json()['data']['counter_pool'][
            'running']:
        check(time.monotonic() < end, 'no message is sent')


def test_sooner_than_the_server_gives_up():
    with Split(flags=['--threads', '1']) as split:
        split.counter.stand_still()
        got = answer_within(ask(split, 'sooner', '300ms'), 0.25, 5)
        split.counter.send_signal(signal.SIGCONT)
        eq(got.status, 504, 'status')
        # The message was sent: what has become of it nobody knows.
        check('unknown' in json.loads(got.body)['details'], f'{got!r}')
        check(get(split, 'sooner') in (0, 1), 'the counter')
        eq(split.stop(), 0, 'exit code')


def test_what_has_expired_is_not_sent():
    env = {'HGP_BATCH_IN_FLIGHT': '1', 'HGP_TIMEOUTS_REQUEST_MS': str(lib.WAIT_S * 1000)}
    with Split(flags=['--threads', '1'], env=env | {'HGP_TIMEOUTS_DRAIN_MS': '30000'}) as split:
        split.counter.stand_still()
        first = ask(split, 'first')
        under_way(split)
        # The next message waits behind it, with both of these in it.
        waits = ask(split, 'waits')
        got = answer_within(ask(split, 'expired', '200ms'), 0.15, 5)
        eq(got.status, 504, 'status')
        eq(json.loads(got.body)['details'], EXPIRED, 'details')
        split.counter.send_signal(signal.SIGCONT)
        for connection in first, waits:
            eq(connection.answer('POST').status, 200, 'status')
            connection.close()
        eq([get(split, name) for name in ('first', 'waits', 'expired')], [1, 1, 0], 'the counters')
        eq(split.stop(), 0, 'exit code')
