"""A real Prometheus, configured as it is deployed, scrapes running services under load: every query
of a panel gives series, so does every selector of an alert, and alerts fire when they should.

PROMETHEUS_REPORT=FILE writes what each query gave.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import lib
from lib import (INCREMENT, Failed, Server, Skipped, Split, Swarm, call, check, eq, increment, item,
                 request_bytes, tree)
from test_verify import plant

sys.path.insert(0, str(tree() / 'tools'))
import dev_servers  # noqa: E402

SMOKE = False
DEPLOY = tree() / 'deploy'
CONNECTIONS = 8
SERIES_S = 60
# A name that is followed neither by more of it nor by an opening bracket, with its labels.
SELECTOR = re.compile(r'\b(?:hgp_\w+|process_\w+|up)\b(?:\{[^}]*\})?')
FIRE = ('HighGoPressDown', 'HighGoPressStoreDown', 'HighGoPressOutboxGrowing',
        'HighGoPressOutboxFull', 'HighGoPressRelayDown', 'HighGoPressAnalyticsDrift')


def tool(*args, **more):
    try:
        program = dev_servers.Prometheus.program('promtool')
    except dev_servers.Trouble as why:
        raise Skipped(str(why)[:200]) from why
    got = subprocess.run([program, *args], capture_output=True, text=True, **more)
    return got.returncode, got.stdout + got.stderr


def passes(*args):
    code, said = tool(*args, cwd=DEPLOY / 'prometheus')
    eq(code, 0, f'promtool {args[0]} {args[1]}: {said}')
    return said


def panels():
    """(dashboard, title, query) of every query of every panel."""
    found = []
    for path in sorted((DEPLOY / 'grafana/dashboards').glob('*.json')):
        board = json.loads(path.read_text())
        found += [(path.stem, panel['title'], target['expr'])
                  for panel in board['panels'] for target in panel['targets']]
    check(len(found) > 50, f'{len(found)} queries')
    return found


def resolved(query):
    """As Grafana fills it in, with all instances chosen."""
    return query.replace('$__rate_interval', '10s').replace('$instance', '.+')


def planted(stack):
    """A server whose analytics has another total of 'planted' than its value, which the next event tells."""
    server = stack.enter_context(Server(env={'HGP_ANALYTICS_COMMIT_MS': '100'}))
    increment(server, 'planted', 5)
    lib.wait_for('analytics has counted it', lambda: call(
        server.http, 'GET', '/api/v1/analytics/stats/planted/like?time_range=all').json()
        .get('data', {}).get('metrics', {}).get('total') == 5)
    server.stop()
    plant('analytics', server.data, 'planted', 7)
    return server.start()


class Deployment:
    """One process of each kind whose metrics differ, and a Prometheus over them."""

    def __init__(self, stack, mend=lambda rules: rules):
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='hgp-prom-')))
        self.kafka = dev_servers.Kafka(folder / 'kafka')
        self.redis = dev_servers.Redis(folder / 'redis')
        self.consul = dev_servers.Consul(folder / 'consul')
        for process in [*self.kafka.processes(), *self.redis.processes(),
                        *self.consul.processes()]:
            stack.callback(process.kill)
        self.shipping = stack.enter_context(Server(
            flags=['--events', self.kafka.url],
            env={'HGP_OUTBOX_MAX_BYTES': '65536', 'HGP_RATE_LIMIT_PER_SECOND': '1000000'}))
        # A collector that isn't there: spans fail, which is an outcome as well.
        found = {'flags': ['--discovery', self.consul.url],
                 'counter_flags': ['--discovery', self.consul.url]}
        self.split = stack.enter_context(
            Split(env={'HGP_TRACES_ENDPOINT': 'http://127.0.0.1:9/v1/traces'}, **found))
        counting = stack.enter_context(Server(role='counter', flags=['--store', self.redis.url]))
        self.canary = stack.enter_context(Server(
            role='gateway', env={'HGP_GATEWAY_CANARY_PERCENT': '50'},
            flags=['--upstream', 'canary', '--store', self.redis.url, '--counter',
                   '{}:{}'.format(*counting.grpc), '--analytics', 'none']))
        for server in (counting, self.canary):
            lib.ready(server)
        self.planted = planted(stack)
        roles = [('all', self.shipping), ('all', self.planted), ('gateway', self.split.gateways[0]),
                 ('gateway', self.canary), ('counter', self.split.counter), ('counter', counting)]
        self.servers = [server for _, server in roles]
        self.prometheus = dev_servers.Prometheus(
            folder / 'prometheus', interval=1, mend=mend,
            targets=[{'targets': [f'127.0.0.1:{server.admin[1]}'], 'labels': {'role': role}}
                     for role, server in roles])
        stack.callback(self.prometheus.process.kill)


@contextlib.contextmanager
def deployment(**more):
    with contextlib.ExitStack() as stack:
        try:
            made = Deployment(stack, **more)
        except dev_servers.Trouble as why:
            raise Skipped(str(why)[:200]) from why
        yield made


@contextlib.contextmanager
def load(addresses):
    """Increments over all of 'addresses' until the block ends; refusals are answers too."""
    going = threading.Event()
    going.set()
    data = request_bytes('POST', INCREMENT, item('scraped'))
    swarm = Swarm(addresses, CONNECTIONS, lambda: (0, data) if going.is_set() else None,
                  lambda *_: time.sleep(0.002))
    thread = threading.Thread(target=swarm.run)
    thread.start()
    try:
        yield
    finally:
        going.clear()
        thread.join()


def wait_for(what, so, timeout_s=SERIES_S):
    return lib.wait_for(what, so, timeout_s)


def series(prometheus, query):
    return (prometheus.get('query', query=query) or {}).get('result', [])


def rules(prometheus):
    groups = prometheus.get('rules')['groups']
    return [rule for group in groups for rule in group['rules']]


def queries(prometheus):
    """(where, what, query): panels' as they are, alerts' selectors one by one."""
    found = [(board, title, resolved(query)) for board, title, query in panels()]
    for rule in rules(prometheus):
        found += [('alerts', rule['name'], selector)
                  for selector in sorted(set(SELECTOR.findall(rule['query'])))]
    return found


def report(rows):
    path = os.environ.get('PROMETHEUS_REPORT')
    if path:
        lines = [f'{where} | {what} | {query} | {len(got)} series, first value '
                 f'{got[0]["value"][1]}\n' for where, what, query, got in rows]
        pathlib.Path(path).write_text(''.join(lines))


def test_config_and_rules():
    check('rules found' in passes('check', 'config', 'prometheus.yml'), 'rules')
    check('SUCCESS' in passes('test', 'rules', 'rules_test.yml'), 'their tests')


def test_each_alert_has_its_page_and_its_test():
    text = (DEPLOY / 'prometheus/rules.yml').read_text()
    tested = (DEPLOY / 'prometheus/rules_test.yml').read_text()
    names = re.findall(r'- alert: (\w+)', text)
    check(len(names) >= 18, f'{len(names)} alerts')
    eq(len(set(names)), len(names), 'names')
    for name in names:
        page = f'docs/runbooks/{name}.md'
        check(f'runbook: {page}' in text, f'{name} names no {page}')
        check((tree() / page).read_text().startswith(f'# {name}\n'), f'{page} has no such title')
        cases = re.findall(rf'alertname: {name}\n((?: .*\n)*)', tested)
        check(any('exp_alerts: []' in case for case in cases), f'{name}: no test that it is silent')
        check(any('exp_labels' in case for case in cases), f'{name}: no test that it fires')
    pages = {path.stem for path in (tree() / 'docs/runbooks').glob('*.md')} - {'README'}
    eq(pages, set(names), 'pages and alerts')


def test_dashboards_are_current():
    got = subprocess.run([tree() / 'tools/gen_dashboards', '--check', tree()], capture_output=True,
                         text=True)
    eq(got.returncode, 0, got.stdout)
    check('uid: prometheus\n' in
          (DEPLOY / 'grafana/provisioning/datasources/prometheus.yml').read_text(), 'the source')


def test_metrics_pass_promtool(server):
    increment(server, 'linted')
    text = call(server.admin, 'GET', '/metrics').body.decode()
    _, said = tool('check', 'metrics', input=text)
    # Counters are what this service is about.
    known = re.compile(r"hgp_counter_\w+ metric name should not include type 'counter'")
    eq([line for line in said.splitlines() if not known.fullmatch(line)], [], 'promtool says')


def test_every_query_has_series():
    with deployment() as made, load([server.http for server in made.servers if server.http]):
        prometheus = made.prometheus
        wait_for('every target is up', lambda: len(
            series(prometheus, 'up{job="highgopress"} == 1')) == len(made.servers))
        rows = [(*row, wait_for(f'{row[0]}, {row[1]}: no series from {row[2]}',
                                lambda row=row: series(prometheus, row[2])))
                for row in queries(prometheus)]
        report(rows)
        eq([rule['name'] for rule in rules(prometheus) if rule['health'] != 'ok'], [], 'rules')
        check(float(series(prometheus, 'sum(rate(hgp_http_requests_total[10s]))')[0]['value'][1]) > 0,
              'there was load')


def firing(prometheus):
    return {alert['labels']['alertname'] for alert in prometheus.get('alerts')['alerts']
            if alert['state'] == 'firing'}


def fill(server):
    """Until writes are refused because the outbox is full."""
    while (status := increment(server, 'full').status) != 503:
        eq(status, 200, 'before the outbox is full')


def test_alerts_fire():
    """A process, Redis and Kafka killed, an event of a planted drift: and nothing fires before."""
    with deployment(mend=lambda text: re.sub(r'for: \w+', 'for: 1s', text)) as made:
        prometheus = made.prometheus
        wait_for('every target is up', lambda: len(
            series(prometheus, 'up{job="highgopress"} == 1')) == len(made.servers))
        wait_for('the rules have run', lambda: all(
            rule['lastEvaluation'] > '2000' for rule in rules(prometheus)))
        eq(firing(prometheus), set(), 'alerts while all is well')
        for broker in made.kafka.processes():
            broker.kill()
        made.redis.process.kill()
        made.split.gateways[0].kill()
        increment(made.planted, 'planted')
        end = time.monotonic() + SERIES_S
        while not set(FIRE) <= (now := firing(prometheus)):
            check(time.monotonic() < end, f'only {now} fire')
            with contextlib.suppress(Failed):
                fill(made.shipping)
            time.sleep(0.2)
        made.redis.restart()
        wait_for('the alert ends', lambda: 'HighGoPressStoreDown' not in firing(prometheus))
