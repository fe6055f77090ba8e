"""The counter service as @grpc/grpc-js sees it, with the protos as they stand in api/proto."""
import json
import os
import signal
import subprocess

from certs import Pki
from lib import Server, check, eq
from test_grpc_client_foreign import CACHE, ROOT, beside_grpc_js

ROLE = 'counter'
LOOPS = 'both'
SMOKE = False
IN_FLIGHT = 1000
GRPC_PROTOS = '/usr/share/grpc-proto'
DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, OUT_OF_RANGE, UNIMPLEMENTED, UNAVAILABLE = 4, 8, 11, 12, 14


class Client:
    def __init__(self, server, host=None, env=None):
        self.process = subprocess.Popen(
            ['node', beside_grpc_js('counter_client.js'), f'{host or server.grpc[0]}:{server.grpc[1]}',
             ROOT / 'api/proto', GRPC_PROTOS],
            cwd=CACHE, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **what):
        self.process.stdin.write(json.dumps(what) + '\n')
        self.process.stdin.flush()
        return self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        check(line, 'the client has ended')
        return json.loads(line)

    def call(self, method, **request):
        return self.ask(method=method, request=request)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def test_calls(server):
    with Client(server) as client:
        got = client.call('IncrementCounter', resource_id='js', counter_type='like', delta=5)
        eq((got['code'], got['response']['current_value']), (0, 5), 'an increment')
        got = client.call('GetCounter', resource_id='js', counter_type='like')
        eq((got['code'], got['response']['current_value']), (0, 5), 'reading it')
        got = client.call('IncrementCounter', resource_id='js', counter_type='like',
                          delta=str(2**63 - 1))
        eq(got['code'], OUT_OF_RANGE, 'past the end')
        check('64-bit' in got['details'], got['details'])
        eq(client.call('Nothing')['code'], UNIMPLEMENTED, 'an unknown method')
        got = client.call('IncrementCounter', resource_id='x' * (5 << 20), counter_type='like')
        eq(got['code'], RESOURCE_EXHAUSTED, 'a message of 5 MiB')


def test_a_thousand_calls_in_flight(server):
    with Client(server) as client:
        first = client.call('IncrementCounter', resource_id='grpc-js', counter_type='like')
        eq(first['response']['current_value'], 1, 'connected')
        server.stand_still()
        eq(client.ask(flood=IN_FLIGHT), {'sent': IN_FLIGHT, 'answered': 0}, 'under way')
        server.send_signal(signal.SIGCONT)
        got = client.hear()
        eq(got['errors'], [], 'errors')
        check(sorted(got['values']) == list(range(2, IN_FLIGHT + 2)), 'not 1 … N, each once')


def test_a_deadline_that_passes(server):
    with Client(server) as client:
        client.call('GetCounter', resource_id='js', counter_type='like')
        server.stand_still()
        try:
            got = client.ask(method='GetCounter', deadline_ms=100,
                             request={'resource_id': 'js', 'counter_type': 'like'})
        finally:
            server.send_signal(signal.SIGCONT)
        eq(got['code'], DEADLINE_EXCEEDED, 'the status')


def test_watching_a_drain(server):
    with Client(server) as client:
        eq(client.ask(watch=''), {'serving': 'SERVING'}, 'before')
        eq(server.stop(), 0, 'exit code')
        eq(client.hear(), {'serving': 'NOT_SERVING'}, 'at the drain')
        eq(client.hear(), {'ended': UNAVAILABLE}, 'the stream')


def test_mutual_tls():
    with Pki() as pki:
        pki.make('counter', 'DNS:localhost')
        pki.make('js', 'DNS:js')
        env = {'HGP_GRPC_TLS_CERT_FILE': str(pki.pem('counter')),
               'HGP_GRPC_TLS_KEY_FILE': str(pki.key('counter')),
               'HGP_GRPC_TLS_CA_FILE': str(pki.pem('ca'))}
        ours = {'GRPC_CA': str(pki.pem('ca')), 'GRPC_CERT': str(pki.pem('js')),
                'GRPC_KEY': str(pki.key('js'))}
        name = {'resource_id': 'tls', 'counter_type': 'like'}
        with Server(role='counter', env=env) as server:
            with Client(server, 'localhost', ours) as client:
                got = client.call('IncrementCounter', **name)
                eq((got['code'], got['response']['current_value']), (0, 1), 'by mTLS')
                eq(client.ask(flood=100)['sent'], 100, 'under way')
                eq(sorted(client.hear()['values']), list(range(1, 101)), 'many at once')
            del ours['GRPC_CERT'], ours['GRPC_KEY']
            with Client(server, 'localhost', ours) as client:
                got = client.ask(method='IncrementCounter', request=name, deadline_ms=3000)
                check(got['code'] in (DEADLINE_EXCEEDED, UNAVAILABLE), f'no certificate: {got}')
