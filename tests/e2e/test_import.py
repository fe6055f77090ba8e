"""highgopress import: what Phase 1 has counted, in another store; cut off, started again, compared."""
import os
import random
import subprocess
import tempfile
import time

from lib import Server, check, eq, get, get_many, increment
from test_redis import Shared
from test_redis_cluster import Cluster
from test_verify import found

SMOKE = False
N = 6000


def copy(*flags):
    """(exit code, stdout, stderr)."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith('HGP_')}
    done = subprocess.run([str(Server.binary), 'import', *flags], capture_output=True, text=True,
                          timeout=120, env=clean)
    return done.returncode, done.stdout, done.stderr


def fill(db, values):
    """As Phase 1 leaves them."""
    lines = ''.join(f'SET counter:{name} {value}\n' for name, value in values.items())
    subprocess.run(['redis-cli', '-p', str(Shared.server.port), '-n', str(db), '--pipe'],
                   input=lines, text=True, check=True, stdout=subprocess.DEVNULL)


def many():
    rng = random.Random(4)
    return {f'r-{n}:like': rng.randint(-2**40, 2**40) or 1 for n in range(N)}


def test_into_a_cluster_and_again():
    url, db = Shared.store()
    values = {**many(), 'a:b:c%25%3A': 7, 'min:x': -2**63, 'max:x': 2**63 - 1, 'zero:x': 0}
    fill(db, values)
    Shared.server.cli('-n', db, 'set', 'counter:odd', 1)
    Shared.server.cli('-n', db, 'set', 'counter:big:x', str(2**63))
    Shared.server.cli('-n', db, 'lpush', 'counter:list:x', 'y')
    Shared.server.cli('-n', db, 'set', 'something', 'else')
    there = Cluster.store()
    flags = ['--from', url, '--store', there]

    # Cut off in the middle, whatever was under way; then it begins anew.
    first = subprocess.Popen([str(Server.binary), 'import', *flags], stderr=subprocess.DEVNULL)
    while int(Cluster.there.nodes[0].cli('dbsize')) < 600 and first.poll() is None:
        time.sleep(0.005)
    first.kill()
    first.wait()
    code, out, err = copy(*flags)
    eq(code, 0, out + err)
    check(out.startswith(f'{N + 4} counters: '), out)
    check(', 0 not; 3 other keys left out' in out, out)
    for key in ('counter:odd:', 'counter:big:x:', 'counter:list:x:'):
        check(key in err, f'{key} is named: {err}')
    copied = int(out.split()[2])
    check(0 < copied <= N + 3, f'some were there already: {out}')

    with Server(flags=['--store', there]) as server:
        got = get_many(server, [f'r-{n}' for n in range(N)])
        eq({name: value for name, value in got.items() if value != values[f'{name}:like']}, {},
           'values')
        eq(get(server, 'a:b', 'c%:'), 7, 'marks in the type')
        eq((get(server, 'min', 'x'), get(server, 'max', 'x')), (-2**63, 2**63 - 1), 'the ends')
        increment(server, 'r-1')
    code, out, err = copy(*flags)
    eq(code, 1, out + err)
    check(f'counter:r-1:like: {values["r-1:like"]} in the source, {values["r-1:like"] + 1} in the '
          'store: left as it is' in err, err)
    check(f'{N + 4} counters: 0 copied now, {N + 3} as in the source, 1 not' in out, out)
    verdict = found(0, 'an event for each', '--store', there)
    # zero:x was never written: there is nothing to set.
    eq((verdict['counters'], verdict['events']), (N + 3, N + 4), 'nothing was set twice')
    Cluster.end()


def test_into_a_folder_and_another_redis():
    url, db = Shared.store()
    values = {f'r-{n}:like': n - 50 for n in range(100)}
    fill(db, values)
    other, other_db = Shared.store()
    with tempfile.TemporaryDirectory(prefix='hgp-e2e-') as folder:
        data = f'{folder}/data'
        for flags in (['--data', data], ['--store', other]):
            for copied in (99, 0):
                code, out, err = copy('--from', url, *flags)
                eq(code, 0, out + err)
                check(out.startswith(f'100 counters: {copied} copied now, 100 as in the source'), out)
        with Server(data=data) as server:
            eq(get_many(server, [f'r-{n}' for n in range(100)]),
               {f'r-{n}': n - 50 for n in range(100)}, 'in the folder')
            code, out, err = copy('--from', url, '--data', data)
            eq((code, out), (69, ''), err)
            check('stop the service' in err, err)
    eq(Shared.server.cli('-n', other_db, 'get', 'counter:r-7:like'), '-43', 'a plain string there')


def test_what_can_t_be():
    url, _ = Shared.store()
    with tempfile.TemporaryDirectory(prefix='hgp-e2e-') as folder:
        data = ['--data', f'{folder}/data']
        for flags, want, why in (
                (data, 64, '--from is missing'),
                (['--from', 'redis-cluster://127.0.0.1:1', *data], 64, 'not in a Cluster'),
                (['--from', 'http://x', *data], 64, 'redis://'),
                (['--from', url, '--from-password', '/nowhere', *data], 78, '/nowhere'),
                (['--from', url.replace('redis://', 'redis://:wr0ng-pw@'), *data], 69, 'AUTH')):
            code, out, err = copy(*flags)
            eq((code, out), (want, ''), f'{flags}: {err}')
            check(why in err and 'wr0ng' not in err, f'{flags}: {err}')
