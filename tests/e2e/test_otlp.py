"""Spans by OTLP, as OpenTelemetry's own messages read them: parents, links from requests to their
batch, sampling, what a collector that is away costs."""
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from lib import (INCREMENT, WAIT_S, Connection, Server, Skipped, Split, call, check, eq, increment,
                 item, request_bytes, tree, wait_for)
from test_kafka import PARTITIONS, Counting, kafka, topic_url

sys.path.insert(0, str(tree() / 'tools'))
import dev_servers  # noqa: E402

SMOKE = False
VENV = tree() / '.cache/otlp/venv'
CLIENT_SPAN = 'b7ad6b7169203331'
QUICK = {'HGP_TRACES_DELAY_MS': '20', 'HGP_ANALYTICS_ENABLED': 'false'}
INTERNAL, SERVER, CLIENT, PRODUCER = 1, 2, 3, 4


class Sink:
    """A collector; 'answers' are the statuses of its first answers."""

    def __init__(self, *answers):
        done = subprocess.run([tree() / 'tests/lib/pip_install.sh',
                               tree() / 'tests/otlp/requirements.txt', VENV],
                              capture_output=True, text=True)
        if done.returncode == 77:
            raise Skipped(done.stdout)
        eq(done.returncode, 0, done.stdout + done.stderr)
        self.process = subprocess.Popen(
            [VENV / 'bin/python3', tree() / 'tests/otlp/sink.py', *map(str, answers)],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.messages = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.messages.append(json.loads(line))

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}/v1/traces'

    def spans(self, trace=None):
        return [span for message in list(self.messages) for span in message['spans']
                if trace is None or span['trace'] == f'{trace:032x}']

    def wait(self, count, trace=None):
        """That many spans, and no more of them."""
        end = time.monotonic() + WAIT_S
        while len(found := self.spans(trace)) < count:
            check(time.monotonic() < end, f'{len(found)} spans, wanted {count}: {found}')
            time.sleep(0.01)
        eq(len(found), count, f'spans: {found}')
        return found

    def env(self, **more):
        return {'HGP_TRACES_ENDPOINT': self.url, **QUICK, **more}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join(WAIT_S)


def traceparent(trace, flags='01'):
    return ('traceparent', f'00-{trace:032x}-{CLIENT_SPAN}-{flags}')


def count(server, name, trace, flags='01'):
    return call(server.http, 'POST', INCREMENT, item(name), [traceparent(trace, flags)])


def by_name(spans):
    found = {span['name']: span for span in spans}
    eq(len(found), len(spans), 'names')
    return found


def outcomes(server):
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return {line.split('"')[1]: int(line.split()[-1]) for line in text.splitlines()
            if line.startswith('hgp_trace_spans_total')}


def wait_outcome(server, outcome, at_least):
    end = time.monotonic() + WAIT_S
    while outcomes(server)[outcome] < at_least:
        check(time.monotonic() < end, f'{outcome}: {outcomes(server)}')
        time.sleep(0.02)


def test_one_request_through_gateway_and_counter():
    with Sink() as sink, Split(env=sink.env()) as split:
        eq(count(split, 'traced', 0xa1).status, 200, 'a traced one')
        spans = by_name(sink.wait(4, 0xa1))
        request, batch = spans[f'POST {INCREMENT}'], spans['batch']
        apply, commit = spans['counter.internal.Lanes/Apply'], spans['store commit']
        eq([span['parent'] for span in (request, batch, apply, commit)],
           [CLIENT_SPAN, request['id'], batch['id'], apply['id']], 'parents')
        eq(request['links'], [[request['trace'], batch['id']]], 'the link to its batch')
        eq((request['kind'], batch['kind'], apply['kind']), (SERVER, CLIENT, SERVER), 'kinds')
        eq(request['attributes'], {'http.request.method': 'POST', 'http.route': INCREMENT,
                                   'http.response.status_code': 200}, 'attributes')
        eq((request['service'], apply['service']),
           ('high-go-press-gateway', 'high-go-press-counter'), 'services')
        for outer, inner in ((request, batch), (apply, commit)):
            check(outer['start'] <= inner['start'] + 10 ** 6 and
                  inner['end'] <= outer['end'] + 10 ** 6, f'{inner["name"]} lies outside')
        check(abs(request['end'] / 1e9 - time.time()) < 60, 'the wall clock')


def test_requests_that_share_a_batch():
    with Sink() as sink, Server(env=sink.env(), flags=['--threads', '1']) as server:
        traces = range(0xb00, 0xb20)
        with Connection(server.http) as connection:
            connection.send(b''.join(request_bytes('POST', INCREMENT, item('shared'),
                                                   [traceparent(trace)]) for trace in traces))
            for _ in traces:
                eq(connection.answer().status, 200, 'an answer')
        end = time.monotonic() + WAIT_S
        while len(requests := [s for s in sink.spans() if s['kind'] == SERVER]) < len(traces):
            check(time.monotonic() < end, f'{len(requests)} requests')
            time.sleep(0.01)
        batches = {(s['trace'], s['id']): s for s in sink.spans() if s['name'] == 'batch'}
        carried = [batches[tuple(link)] for request in requests for link in request['links']]
        eq(len(carried), len(traces), 'links')
        eq(sum(b['attributes']['hgp.batch.operations'] for b in batches.values()), len(traces),
           'operations in batches')
        check(len(batches) < len(traces), 'they shared some')


def test_what_is_not_sampled():
    with Sink() as sink, Server(env=sink.env(HGP_TRACES_SAMPLE_PER_MILLION='0')) as server:
        eq(count(server, 'unsampled', 0xc1, '00').status, 200, 'the caller has said no')
        eq(increment(server, 'unsampled').status, 200, 'without a trace')
        eq(count(server, 'unsampled', 0xc2).status, 200, 'the caller has said yes')
        eq({span['trace'] for span in sink.wait(3)}, {f'{0xc2:032x}'}, 'traces')


def test_a_trace_that_begins_here():
    with Sink() as sink, Server(env=sink.env(HGP_TRACES_SAMPLE_PER_MILLION='1000000')) as server:
        eq(increment(server, 'root').status, 200, 'without a trace')
        spans = by_name(sink.wait(3))
        request = spans[f'POST {INCREMENT}']
        eq(request['parent'], '', 'no parent')
        eq({span['trace'] for span in spans.values()}, {request['trace']}, 'one trace')


def test_work_for_no_request():
    """Analytics' commits and events on their way to Kafka have traces of their own."""
    every = {'HGP_TRACES_SAMPLE_PER_MILLION': '1000000', 'HGP_ANALYTICS_ENABLED': 'true'}
    with Sink() as sink, Counting(topic_url(kafka()), env=sink.env(**every)) as server:
        eq(increment(server, 'root').status, 200, 'an increment')
        wait_for('all spans', lambda: {'analytics commit', 'send'} <= {s['name'] for s in sink.spans()})
        spans = {span['name']: span for span in sink.spans()}
        commit, send = spans['analytics commit'], spans['send']
        eq((commit['kind'], commit['parent'], send['kind'], send['parent']),
           (INTERNAL, '', PRODUCER, ''), 'kinds and parents')
        check(len({span['trace'] for span in (commit, send, spans['batch'])}) == 3, 'traces')
        eq(send['attributes']['messaging.system'], 'kafka', 'attributes')
        check(send['attributes']['messaging.destination.partition.id'] < PARTITIONS, 'partition')
        check(send['start'] < send['end'], 'it took time')


EXEMPLARS = """
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps([[s.name, s.exemplar.labels, s.exemplar.value, float(s.exemplar.timestamp), s.labels['le']]
                  for f in parse(sys.stdin.read()) for s in f.samples if s.exemplar]))
"""


def test_exemplars():
    """A scrape in OpenMetrics says which traced request was the last in a bucket."""
    with Sink() as sink, Server(env=sink.env(HGP_TRACES_SAMPLE_PER_MILLION='0')) as server:
        eq(increment(server, 'untraced').status, 200, 'one that leaves no exemplar')
        eq(count(server, 'exemplary', 0xe1).status, 200, 'one that does')
        spans = by_name(sink.wait(3, 0xe1))
        text = call(server.admin, 'GET', '/metrics', None,
                    [('Accept', 'application/openmetrics-text')]).body
        done = subprocess.run(['/usr/bin/python3', '-c', EXEMPLARS], input=text, capture_output=True)
        eq(done.returncode, 0, done.stderr.decode()[-500:])
        found = {name.removesuffix('_bucket'): rest for name, *rest in json.loads(done.stdout)}
        eq(set(found), {'hgp_http_request_duration_seconds', 'hgp_store_commit_duration_seconds'},
           'families')
        labels, value, timestamp, bound = found['hgp_http_request_duration_seconds']
        eq(labels, {'trace_id': f'{0xe1:032x}', 'span_id': spans[f'POST {INCREMENT}']['id']}, 'who')
        check(bound == '+Inf' or value <= float(bound), f'{value} beyond {bound}')
        check(abs(timestamp - time.time()) < 60, f'when: {timestamp}')


def test_part_of_them():
    with Sink() as sink, Server(env=sink.env(HGP_TRACES_SAMPLE_PER_MILLION='100000')) as server:
        with Connection(server.http) as connection:
            for _ in range(2000):
                eq(connection.request('POST', INCREMENT, item('part')).status, 200, 'an answer')
        eq(server.stop(), 0, 'the end')  # what waits is exported
        time.sleep(0.1)
        sampled = len({span['trace'] for span in sink.spans()})
        # 200 on average; 6 standard deviations.
        check(120 <= sampled <= 280, f'{sampled} of 2000')


def test_otel_variables():
    with Sink() as sink:
        env = {'OTEL_EXPORTER_OTLP_ENDPOINT': sink.url.removesuffix('/v1/traces'),
               'OTEL_EXPORTER_OTLP_HEADERS': 'x-key=a%20secret,x-other=2',
               'OTEL_SERVICE_NAME': 'likes', 'OTEL_BSP_SCHEDULE_DELAY': '20',
               'OTEL_RESOURCE_ATTRIBUTES': 'deployment.environment.name=test,service.name=no',
               'OTEL_TRACES_SAMPLER': 'parentbased_always_on'}
        with Server(env=env) as server:
            eq(increment(server, 'otel').status, 200, 'an increment')
            sink.wait(3)
            check('a secret' not in server.said(), 'the header is in the log')
        message = sink.messages[0]
        eq(message['path'], '/v1/traces', 'the path')
        eq((message['headers']['x-key'], message['headers']['x-other'],
            message['headers']['Content-Type']),
           ('a secret', '2', 'application/x-protobuf'), 'headers')
        eq((message['resource']['service.name'],
            message['resource']['deployment.environment.name']), ('likes', 'test'), 'resource')
        eq(message['scopes'], ['highgopress'], 'scope')
        for off in ({'OTEL_SDK_DISABLED': 'true'}, {'OTEL_TRACES_EXPORTER': 'none'},
                    {'HGP_TRACES_ENDPOINT': 'none'}):
            with Server(env={**env, **off}) as server:
                eq(increment(server, 'otel').status, 200, f'with {off}')
                eq(outcomes(server), {}, f'with {off}')


def test_a_collector_that_is_busy_gets_it_again():
    with Sink(503, 429) as sink, Server(env=sink.env()) as server:
        eq(count(server, 'again', 0xd1).status, 200, 'an increment')
        sink.wait(3, 0xd1)
        wait_outcome(server, 'exported', 3)
        eq(outcomes(server)['failed'], 0, 'failed')


def test_a_collector_that_refuses_or_is_away():
    every = [400] * 9  # spans may come in several messages
    with Sink(*every) as sink, Server(env=sink.env(HGP_TRACES_QUEUE='8')) as server:
        eq(count(server, 'refused', 0xe1).status, 200, 'an increment')
        wait_outcome(server, 'failed', 3)
        check('the collector answers 400' in server.said(), 'the log')
        sink.__exit__()
        with Connection(server.http) as connection:
            for n in range(200):
                answer = connection.request('POST', INCREMENT, item('away'), [traceparent(0xe2)])
                eq(answer.status, 200, 'counting goes on')
        wait_outcome(server, 'queue_full', 1)
        eq(increment(server, 'away').value(), 201, 'all of them counted')
        eq(server.stop(), 0, 'the end')


def test_a_store_in_redis():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='hgp-otlp-')))
        try:
            redis = dev_servers.Redis(folder / 'redis')
        except dev_servers.Trouble as why:
            raise Skipped(str(why)) from why
        stack.callback(redis.process.kill)
        sink = stack.enter_context(Sink())
        server = stack.enter_context(Server(env=sink.env(), flags=['--store', redis.url]))
        eq(count(server, 'redis', 0xf1).status, 200, 'an increment')
        spans = by_name(sink.wait(3, 0xf1))
        eq(spans['EVALSHA']['parent'], spans['batch']['id'], 'its parent')
        eq(spans['EVALSHA']['attributes']['db.system.name'], 'redis', 'what it is')
