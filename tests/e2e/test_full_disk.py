"""A disk that fills up: the truth at once, an end that says so, and nothing acknowledged lost."""
import json

from lib import Server, call, check, eq

BATCH = '/api/v1/counter/batch/increment'
# A file may not grow beyond 4 MiB: the log's write fails as on a full disk. Without the signal.
SMALL_FILES = ['sh', '-c', 'trap "" XFSZ; ulimit -f 8192; exec "$@"', 'sh']
ITEMS = 200
ROUNDS = 2000  # far more than 4 MiB


def ids(n):
    return [f'full-{n}-{i}-' + 'x' * 40 for i in range(ITEMS)]


def fill(server):
    """Increments fresh counters until the store fails: (acknowledged ids, the failure)."""
    acknowledged = []
    for n in range(ROUNDS):
        items = [{'resource_id': name, 'counter_type': 'like'} for name in ids(n)]
        response = call(server.http, 'POST', BATCH, {'items': items})
        if response.status != 200:
            return acknowledged, response
        results = json.loads(response.body)['data']['results']
        check(all(result['success'] for result in results), 'a whole batch')
        acknowledged += ids(n)
    raise AssertionError('the disk never filled up')


def values(server, names):
    for start in range(0, len(names), 1000):
        items = [{'resource_id': name, 'counter_type': 'like'} for name in names[start:start + 1000]]
        response = call(server.http, 'POST', '/api/v1/counter/batch', {'items': items})
        eq(response.status, 200, 'reading')
        for result in json.loads(response.body)['data']['results']:
            yield result['current_value']


def test_a_full_disk_ends_the_service_and_loses_nothing():
    for durability in ('local', 'fast'):
        server = Server(durability=durability)
        server.wrapper = SMALL_FILES
        with server:
            acknowledged, failure = fill(server)
            eq(failure.status, 503, f'{durability}: the first failure')
            check(failure.header('Retry-After'), 'Retry-After')
            check(b'unknown' in failure.body, failure.body)
            eq(server.wait(), 74, 'exit code')
            check('the store failed' in server.said(), 'the log says why')
            server.wrapper = []  # room again
            server.restart()
            check(acknowledged, 'something was acknowledged before')
            check(all(value == 1 for value in values(server, acknowledged)),
                  f'{durability}: every acknowledged increment is there once')
            eq(server.stop(), 0, 'exit code')
