"""The admin listener, the probes, the metrics, request ids."""
import json
import os
import random
import re
import subprocess

from lib import Connection, call, check, eq, get, increment, request_bytes

PROBES = ('/healthz', '/livez', '/readyz')
SERIES = re.compile(r'^([a-z_]+)(?:\{([^}]*)\})? (\S+)$', re.M)
PARSE = '''
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps({f.name: sorted({s.name for s in f.samples}) for f in parse(sys.stdin.read())}))
'''


def metrics(server):
    """{(name, labels): value}"""
    response = call(server.admin, 'GET', '/metrics')
    eq(response.status, 200, 'metrics')
    return {(n, labels): float(v) for n, labels, v in SERIES.findall(response.body.decode())}


def total(series, name, *holding):
    return sum(v for (n, labels), v in series.items()
               if n == name and all(h in labels for h in holding))


def test_set_and_reset(server):
    path = '/api/v1/counter/admin/like'
    for value in (7, -7, 0, 2 ** 63 - 1, -2 ** 63):
        response = call(server.admin, 'PUT', path, {'value': value})
        eq(response.status, 200, repr(response))
        eq(response.value(), value, 'the answer')
        eq(get(server, 'admin'), value, 'what the public sees')
    eq(call(server.admin, 'DELETE', path).status, 200, 'reset')
    eq(get(server, 'admin'), 0, 'after the reset')
    eq(increment(server, 'admin').value(), 1, 'and on it counts')


def test_the_public_listener_cannot_set(server):
    increment(server, 'public', 5)
    for method, body in (('PUT', {'value': 9}), ('DELETE', None)):
        response = call(server.http, method, '/api/v1/counter/public/like', body)
        eq(response.status, 405, method)
        check('GET' in response.header('Allow'), f'Allow: {response.header("Allow")}')
    eq(get(server, 'public'), 5, 'the counter')


def test_probes_on_both_listeners(server):
    for address in (server.http, server.admin):
        for path in PROBES:
            eq(call(address, 'GET', path).status, 200, path)
            eq(call(address, 'HEAD', path).body, b'', f'HEAD {path}')


def test_metrics_only_on_admin(server):
    eq(call(server.http, 'GET', '/metrics').status, 404, 'public')
    response = call(server.admin, 'GET', '/metrics')
    check((response.header('Content-Type') or '').startswith('text/plain'),
          f'Content-Type {response.header("Content-Type")}')
    names = {name for name, _ in metrics(server)}
    for name in ('hgp_build_info', 'hgp_http_requests_total', 'hgp_batches_total',
                 'hgp_store_commit_duration_seconds_count', 'hgp_counter_operations_total'):
        check(name in names, f'{name} is missing')


def test_metrics_count(server):
    before = metrics(server)
    for _ in range(25):
        increment(server, 'counted')
    after = metrics(server)
    grown = {name: total(after, name) - total(before, name)
             for name in ('hgp_counter_operations_total', 'hgp_http_requests_total',
                          'hgp_store_commit_duration_seconds_count')}
    check(grown['hgp_counter_operations_total'] >= 25, f'operations grew by {grown}')
    check(grown['hgp_http_requests_total'] >= 25, f'requests grew by {grown}')
    check(0 < grown['hgp_store_commit_duration_seconds_count'], f'commits grew by {grown}')


def names_of(series):
    return sorted(series)


def random_request():
    """Of paths, queries, methods and names that nobody has thought of."""
    word = f'w{random.getrandbits(64):x}'
    kind = random.randrange(4)
    if kind == 0:
        return request_bytes('GET', f'/{word}/{word}?{word}=1')
    if kind == 1:
        return request_bytes('GET', f'/api/v1/counter/{word}/{word}')
    if kind == 2:
        return request_bytes(random.choice(('PUT', 'DELETE', 'PATCH', 'OPTIONS')), f'/{word}')
    return request_bytes('GET', f'/api/v1/analytics/stats/{word}/{word}?time_range={word}')


def test_clients_cannot_make_series(server):
    """However many random paths: not one series more (CARDINALITY_PATHS for more of them)."""
    before = names_of(metrics(server))
    left = int(os.environ.get('CARDINALITY_PATHS', 10000))
    with Connection(server.http) as connection:
        while left > 0:
            some = min(left, 200)
            connection.send(b''.join(random_request() for _ in range(some)))
            for _ in range(some):
                connection.answer()
            left -= some
    call(server.admin, 'GET', '/random')
    after = metrics(server)
    eq(names_of(after), before, 'the series')
    check(total(after, 'hgp_http_requests_total', 'code="404"') > 1000, 'they were counted')


def test_openmetrics_for_who_asks(server):
    """As prometheus_client reads it: it refuses what isn't OpenMetrics to the letter."""
    increment(server, 'openmetrics')
    accept = [('Accept', 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5')]
    response = call(server.admin, 'GET', '/metrics', None, accept)
    eq(response.header('Content-Type'),
       'application/openmetrics-text; version=1.0.0; charset=utf-8', 'type')
    eq(response.header('Vary'), 'Accept', 'Vary')
    done = subprocess.run(['/usr/bin/python3', '-c', PARSE], input=response.body,
                          capture_output=True)
    eq(done.returncode, 0, done.stderr.decode()[-500:])
    families = json.loads(done.stdout)
    plain = {name for name, _ in metrics(server)}
    for name in ('hgp_http_requests', 'hgp_store_commit_duration_seconds', 'process_cpu_seconds'):
        check(name in families, f'no {name}')
    eq({sample for samples in families.values() for sample in samples}, plain, 'samples')


def test_a_request_id_is_echoed(server):
    for name in ('abc', '0af7651916cd43dd8448eb211c80319c', 'x' * 64, 'a-b_c.d'):
        response = call(server.http, 'GET', '/api/v1/health', None, [('X-Request-Id', name)])
        eq(response.header('X-Request-Id'), name, 'a sensible one')


def test_a_bad_request_id_is_replaced(server):
    for name in ('', 'x' * 5000, 'with "quotes"', 'caf\xe9', 'two words'):
        response = call(server.http, 'GET', '/api/v1/health', None, [('X-Request-Id', name)])
        got = response.header('X-Request-Id')
        check(got and got != name, f'{name[:20]!r} came back')
        check(re.fullmatch(r'[A-Za-z0-9._-]{8,64}', got), f'made {got!r}')


def test_request_ids_differ(server):
    made = {call(server.http, 'GET', '/api/v1/health').header('X-Request-Id') for _ in range(50)}
    eq(len(made), 50, 'ids')


def test_errors_have_ids_too(server):
    for method, target in (('GET', '/nothing'), ('PUT', '/api/v1/health')):
        check(call(server.http, method, target).header('X-Request-Id'), target)
