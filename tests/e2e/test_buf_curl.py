"""The counter service as 'buf curl' sees it: grpc-go with buf's own reflection client."""
import json
import subprocess

from certs import Pki
from lib import WAIT_S, Server, Skipped, check, eq, tree

ROLE = 'counter'
LOOPS = 'both'
SMOKE = False
COUNTER = 'counter.CounterService'


def buf():
    """The pinned one that lints the protos, installed on the first run."""
    folder = tree() / '.cache/buf'
    done = subprocess.run([tree() / 'tests/lib/npm_install.sh', tree() / 'tests/proto', folder],
                          capture_output=True, text=True)
    if done.returncode == 77:
        raise Skipped((done.stdout + done.stderr).strip().splitlines()[-1])
    eq(done.returncode, 0, done.stderr)
    return folder / 'node_modules/.bin/buf'


def curl(server, path, data=None, flags=('--http2-prior-knowledge',), scheme='http'):
    """(exit code, stdout, stderr) of one run; the schema is what the server's reflection tells."""
    body = ['-d', json.dumps(data)] if data is not None else []
    done = subprocess.run([buf(), 'curl', '--protocol', 'grpc', *flags, *body,
                           f'{scheme}://localhost:{server.grpc[1]}{path}'],
                          capture_output=True, text=True, timeout=WAIT_S)
    return done.returncode, done.stdout, done.stderr


def test_reflection(server):
    for protocol in ('grpc-v1', 'grpc-v1alpha'):
        code, out, said = curl(server, '', flags=('--http2-prior-knowledge', '--reflect-protocol',
                                                  protocol, '--list-services'))
        check(code == 0 and COUNTER in out.split(), f'{protocol}: {code} {out} {said}')
    code, out, said = curl(server, '', flags=('--http2-prior-knowledge', '--list-methods'))
    check(code == 0 and f'{COUNTER}/BatchIncrementCounters' in out.split(), f'{out} {said}')


def test_calls(server):
    name = {'resource_id': 'buf', 'counter_type': 'like'}
    code, out, said = curl(server, f'/{COUNTER}/IncrementCounter',
                           {**name, 'delta': '9007199254740993'})
    eq(code, 0, said)
    eq(json.loads(out)['currentValue'], '9007199254740993', 'an int64 beyond a double')
    code, out, said = curl(server, f'/{COUNTER}/BatchGetCounters', {'requests': [name, name]})
    eq(code, 0, said)
    eq([c['currentValue'] for c in json.loads(out)['counters']], ['9007199254740993'] * 2, 'a batch')


def test_errors(server):
    code, _, said = curl(server, f'/{COUNTER}/IncrementCounter', {'resource_id': 'buf'})
    check(code != 0, 'an increment without a type')
    eq(json.loads(said)['code'], 'invalid_argument', said)
    name = {'resource_id': 'buf-range', 'counter_type': 'like', 'delta': str(2**63 - 1)}
    eq(curl(server, f'/{COUNTER}/IncrementCounter', name)[0], 0, 'to the top')
    code, _, said = curl(server, f'/{COUNTER}/IncrementCounter', name)
    check(code != 0, 'past it')
    eq(json.loads(said)['code'], 'out_of_range', said)


def test_mutual_tls():
    with Pki() as pki:
        pki.make('counter', 'DNS:localhost')
        pki.make('buf', 'DNS:buf')
        env = {'HGP_GRPC_TLS_CERT_FILE': str(pki.pem('counter')),
               'HGP_GRPC_TLS_KEY_FILE': str(pki.key('counter')),
               'HGP_GRPC_TLS_CA_FILE': str(pki.pem('ca'))}
        with Server(role='counter', env=env) as server:
            ours = ['--cacert', pki.pem('ca'), '--cert', pki.pem('buf'), '--key', pki.key('buf')]
            name = {'resource_id': 'tls', 'counter_type': 'like'}
            code, out, said = curl(server, f'/{COUNTER}/IncrementCounter', name, ours, 'https')
            eq(code, 0, said)
            eq(json.loads(out)['currentValue'], '1', 'by mTLS')
            code, out, said = curl(server, f'/{COUNTER}/IncrementCounter', name, ours[:2], 'https')
            check(code != 0 and not out, f'without a certificate: {out}')
