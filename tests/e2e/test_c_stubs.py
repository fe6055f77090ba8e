"""The counter service called with the C that scripts/generate_proto.sh makes, carried by curl."""
import pathlib
import shutil
import subprocess
import tempfile

from lib import WAIT_S, Skipped, eq, tree

ROLE = 'counter'
LOOPS = 'both'
SMOKE = False


def run(command, data=b''):
    done = subprocess.run([str(word) for word in command], input=data, capture_output=True,
                          timeout=WAIT_S)
    eq(done.returncode, 0, f'{command}: {done.stderr.decode(errors="replace")[-500:]}')
    return done.stdout


def test_increments(server):
    if not shutil.which('curl'):
        raise Skipped('curl is not installed')
    with tempfile.TemporaryDirectory(prefix='hgp-stubs-') as name:
        folder = pathlib.Path(name)
        run([tree() / 'scripts/generate_proto.sh', folder, 'c'])
        stubs = folder / 'c'
        run(['cc', '-std=gnu11', '-Wall', '-Werror', f'-I{stubs}', '-o', folder / 'c_stubs',
             tree() / 'tests/interop/c_stubs.c', stubs / 'counter/counter.pb-c.c',
             '-lprotobuf-c'])
        value = 0
        for delta in (1, 2**62, -5):
            value += delta
            frame = run([folder / 'c_stubs', 'request', 'caf\u00e9', delta])
            answer = run(['curl', '-sS', '--http2-prior-knowledge', '-H', 'te: trailers',
                          '-H', 'content-type: application/grpc', '--data-binary', '@-',
                          'http://%s:%d/counter.CounterService/IncrementCounter' % server.grpc],
                         frame)
            eq(run([folder / 'c_stubs', 'response'], answer).decode(), f'{value} caf\u00e9\n',
               'the answer')
