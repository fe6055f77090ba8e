"""The admin listener, the probes, the metrics, request ids."""
import re

from lib import call, check, eq, get, increment

PROBES = ('/healthz', '/livez', '/readyz')
SERIES = re.compile(r'^([a-z_]+)(?:\{([^}]*)\})? (\S+)$', re.M)


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


def test_clients_cannot_make_series(server):
    before = len(metrics(server))
    for n in range(200):
        call(server.http, 'GET', f'/random/{n}')
        call(server.http, 'GET', f'/api/v1/counter/name-{n}/type-{n}')
    grown = len(metrics(server)) - before
    check(grown < 60, f'{grown} new series by 400 paths')
    text = call(server.admin, 'GET', '/metrics').body
    check(b'name-7' not in text and b'random' not in text, 'a client\'s name in a label')


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
