"""The configuration while the service runs: Consul's KV, SIGHUP, and the tool that writes the former.

Every test has an environment of its own in the KV of one real Consul.
"""
import itertools
import pathlib
import signal
import subprocess
import tempfile
import time

import lib
from lib import BATCH, INCREMENT, Server, call, check, eq, item
from test_discovery import Load, Shared
from test_split import metric

SMOKE = False
SOON_S = 1.0  # the issue's: visible within a second
NUMBERS = itertools.count(1)


class Center:
    """An environment of its own, the tool, and the raw KV."""

    def __init__(self):
        self.agent = Shared.get()[0]
        self.environment = f'test-{next(NUMBERS)}'
        self.env = {'HGP_DISCOVERY': self.agent.url, 'HGP_CONSUL_ENVIRONMENT': self.environment}

    def tool(self, *words, text=None):
        """(exit code, output, errors) of highgopress config."""
        done = subprocess.run([str(Server.binary), 'config', *map(str, words)], input=text or '',
                              env=self.env, capture_output=True, text=True, timeout=lib.WAIT_S)
        return done.returncode, done.stdout, done.stderr

    def put(self, role, text):
        code, out, err = self.tool('put', role, '-', text=text)
        eq(code, 0, f'put: {out}{err}')

    def raw(self, role, text):
        """Around all that the tool checks."""
        self.agent.call('PUT', f'kv/high-go-press/config/{self.environment}/{role}', text.encode())

    def server(self, **more):
        return Server(env={**self.env, **more.pop('env', {})}, **more)


def batch_status(server, count):
    return call(server.http, 'POST', BATCH, {'items': [item(f'b-{n}') for n in range(count)]}).status


def soon(what, wanted, got):
    """Polls until got() is wanted; gives how long that took, in seconds."""
    began = time.monotonic()
    while (is_now := got()) != wanted:
        check(time.monotonic() - began < lib.WAIT_S, f'{what}: {is_now!r} instead of {wanted!r}')
        time.sleep(0.005)
    return time.monotonic() - began


def said(server, text):
    soon(f'"{text}" in the log', True, lambda: text in server.said())


def reloads(server, result):
    body = call(server.admin, 'GET', '/metrics').body.decode()
    return int(body.split(f'hgp_config_reloads_total{{result="{result}"}} ')[1].split()[0])


def pending(server):
    return call(server.admin, 'GET', '/readyz?verbose').json()['pending_restart']


# --- Consul's KV ---------------------------------------------------------------------------------


def test_a_good_one_a_bad_one_and_the_way_back_under_load():
    center = Center()
    with center.server() as server:
        eq(batch_status(server, 5), 200, 'by default')
        load = Load([server])
        steps = []

        def good():
            center.put('all', 'limits:\n  batch_items: 3\n')
            soon('a smaller limit', 400, lambda: batch_status(server, 5))
            said(server, 'a setting has changed')
            eq(reloads(server, 'applied') > 0, True, 'counted')
            steps.append('good')

        def bad():
            center.raw('all', 'limits:\n  batch_items: 1000\n  bodies: 7\n')
            said(server, 'the configuration was refused: the one before stays')
            soon('counted', 1, lambda: reloads(server, 'refused'))
            eq(batch_status(server, 5), 400, 'the one before stays, all of it')
            steps.append('bad')

        def back():
            center.put('all', 'limits:\n  batch_items: 7\n')
            soon('seven', 200, lambda: batch_status(server, 7))
            eq(center.tool('rollback', 'all', '1')[0], 0, 'rollback')
            soon('three again', 400, lambda: batch_status(server, 5))
            steps.append('back')

        load.run(1.5, [(0.2, good), (0.6, bad), (1.0, back)])
        eq(steps, ['good', 'bad', 'back'], 'steps')
        # Nothing there any more: the defaults again.
        center.agent.call('DELETE', f'kv/high-go-press/config/{center.environment}/all')
        soon('the default', 200, lambda: batch_status(server, 5))
        load.exact('changes of configuration')


def test_rate_limit_and_log_level():
    center = Center()
    with center.server() as server:
        for _ in range(20):
            eq(call(server.http, 'POST', INCREMENT, item('x')).status, 200, 'without a limit')
        center.put('all', 'rate_limit:\n  per_second: 1\n  burst: 2\nlog:\n  level: error\n')
        soon('a limit', 429, lambda: call(server.http, 'POST', INCREMENT, item('x')).status)
        check(call(server.http, 'GET', '/api/v1/counter/x/like').header('RateLimit-Policy')
              == '"client";q=2;w=2', 'the policy')
        lines = server.said().count('\n')
        center.put('all', 'log:\n  level: error\n')
        soon('no limit', 200, lambda: call(server.http, 'POST', INCREMENT, item('x')).status)
        check('"a setting has changed"' not in '\n'.join(server.said().split('\n')[lines:]),
              'info lines in spite of log.level')


def test_what_needs_a_restart_is_pending():
    center = Center()
    with center.server() as server:
        eq(pending(server), [], 'at first')
        check('pending_restart' not in call(server.admin, 'GET', '/readyz').json(), 'only on request')
        center.put('all', 'limits:\n  pipeline: 7\n  batch_items: 3\n')
        soon('one waits', ['limits.pipeline'], lambda: pending(server))
        eq(int(metric(server, 'hgp_config_pending_restart')), 1, 'the metric')
        eq(batch_status(server, 5), 400, 'the other is in force')
        said(server, 'settings wait for the next start')
        # Rules between keys hold all the time: the limit can't pass the queue that is in force.
        center.put('all', 'limits:\n  batch_items: 8000\nbatch:\n  queue: 70000\n')
        soon('a hot one', ['batch.queue'], lambda: pending(server))
        server.stop()
        server.start()
        eq(pending(server), [], 'after the restart')


def test_rules_between_keys_hold():
    """Of what is configured, and of what is in force: a hot key waits for one that isn't."""
    center = Center()
    with tempfile.TemporaryDirectory(prefix='hgp-conf-') as folder:
        conf = pathlib.Path(folder) / 'all.yaml'
        conf.write_text('batch:\n  queue: 5000\n  operations: 100\n')
        with center.server(flags=['--config', conf]) as server:
            center.raw('all', 'limits:\n  batch_items: 6000\n')
            said(server, 'the configuration was refused')
            eq(pending(server), [], 'refused whole')
            center.put('all', 'limits:\n  batch_items: 6000\nbatch:\n  queue: 20000\n')
            soon('both wait', ['limits.batch_items', 'batch.queue'], lambda: pending(server))
            check('a setting has changed' not in server.said(), 'neither is in force')


def test_within_a_second():
    """The median of some changes: any one of them may meet a machine that is busy elsewhere."""
    center = Center()
    with center.server() as server:
        took = []
        for n in range(3, 8):
            center.put('all', f'limits:\n  batch_items: {n}\n')
            took.append(soon(f'{n} items', (200, 400), lambda n=n: (
                batch_status(server, n), batch_status(server, n + 1))))
        check(sorted(took)[2] < SOON_S, f'seconds until a change is visible: {took}')


def test_precedence():
    center = Center()
    with tempfile.TemporaryDirectory(prefix='hgp-conf-') as folder:
        conf = pathlib.Path(folder) / 'all.yaml'
        conf.write_text('limits:\n  batch_items: 4\nidempotency:\n  required: true\n')
        with center.server(flags=['--config', conf]) as server:
            eq((batch_status(server, 4), batch_status(server, 5)), (200, 400), 'the file')
            center.put('all', 'limits:\n  batch_items: 6\nidempotency:\n  required: false\n')
            soon('Consul before the file', 200, lambda: batch_status(server, 6))
            eq(call(server.http, 'POST', INCREMENT, item('x')).status, 200, 'no key is required')
            server.stop()
            server.env['HGP_LIMITS_BATCH_ITEMS'] = '2'
            server.start()
            eq((batch_status(server, 2), batch_status(server, 3)), (200, 400),
               'the environment before Consul')


def test_what_consul_may_not_say():
    center = Center()
    with center.server() as server:
        for key, value in [('http', ':1'), ('admin', ':1'), ('data', '/x'), ('store', 'rocksdb:'),
                           ('discovery.url', 'static'), ('consul.weight', '2')]:
            text = f'{key}: "{value}"\n'
            code, _, err = center.tool('put', 'all', '-', text=text)
            check(code == 78 and "can't be set in Consul" in err, f'{key}: {code} {err}')
            before = reloads(server, 'refused')
            center.raw('all', text)
            soon('refused', before + 1, lambda: reloads(server, 'refused'))


def test_starts_in_spite_of_it():
    """A bad document, or no Consul, must not turn a restart into an outage."""
    center = Center()
    center.raw('all', 'no yaml: [\n')
    with center.server() as server:
        check('the configuration was refused' in server.said(), server.said())
        eq(batch_status(server, 5), 200, 'it serves')
    center.raw('all', 'limits:\n  batch_items: 3\n')
    with center.server() as server:
        eq(batch_status(server, 5), 400, 'from the first request on')
    with Server(env={'HGP_DISCOVERY': f'consul://127.0.0.1:{lib.free_port()}'}) as server:
        check('starting without it' in server.said(), server.said())
        eq(batch_status(server, 5), 200, 'it serves')


# --- SIGHUP --------------------------------------------------------------------------------------


def test_sighup_reads_the_file_again():
    with tempfile.TemporaryDirectory(prefix='hgp-conf-') as folder:
        conf = pathlib.Path(folder) / 'all.yaml'
        conf.write_text('limits:\n  batch_items: 4\n')
        with Server(flags=['--config', conf]) as server:
            eq(batch_status(server, 5), 400, 'four')
            conf.write_text('limits:\n  batch_items: 5\n  pipeline: 9\n')
            server.send_signal(signal.SIGHUP)
            soon('five', 200, lambda: batch_status(server, 5))
            soon('one waits', ['limits.pipeline'], lambda: pending(server))
            conf.write_text('limits:\n  batch_items: many\n')
            server.send_signal(signal.SIGHUP)
            said(server, 'the configuration was refused: the one before stays')
            eq(batch_status(server, 5), 200, 'five stays')
            eq(server.stop(), 0, 'exit code')


# --- the tool ------------------------------------------------------------------------------------


def test_the_tool():
    center = Center()
    eq(center.tool('get', 'gateway')[0], 1, 'nothing is there')
    eq(center.tool('list'), (0, '', ''), 'an empty list')
    eq(center.tool('put', 'gateway', '-', text='limits:\n  batch_items: 3\n')[:2],
       (0, 'version 1\n'), 'the first')
    eq(center.tool('put', 'gateway', '-', text='limits.batch_items: 4\nlog.level: warn\n')[:2],
       (0, 'version 2\n'), 'the second')
    eq(center.tool('get', 'gateway')[:2], (0, 'limits.batch_items: 4\nlog.level: warn\n'), 'get')
    code, out, _ = center.tool('diff', 'gateway', '-', text='limits:\n  batch_items: 5\n')
    eq((code, out), (1, '- limits.batch_items: 4\n+ limits.batch_items: 5\n- log.level: warn\n'),
       'diff')
    eq(center.tool('diff', 'gateway', '-', text='log.level: warn\nlimits.batch_items: 4\n')[:2],
       (0, ''), 'no difference')
    eq(center.tool('list')[1], 'gateway version 2, 38 bytes\n', 'list')
    eq(center.tool('rollback', 'gateway')[:2], (0, 'version 3\n'), 'rollback')
    eq(center.tool('get', 'gateway')[1], 'limits:\n  batch_items: 3\n', 'the first again')
    eq(center.tool('rollback', 'gateway', '9')[0], 1, 'no such version')
    lines = center.tool('history', 'gateway')[1].splitlines()
    eq([line.split()[1] for line in lines], ['1', '2', '3'], 'history')
    eq(center.tool('validate', 'gateway', '-', text='limits.batch_items: 4\n')[:2],
       (0, 'configuration ok\n'), 'validate')
    code, _, err = center.tool('validate', 'gateway', '-', text='limits.batch_itemz: 4\n')
    check(code == 78 and 'did you mean limits.batch_items' in err, f'{code} {err}')
    code, _, err = center.tool('put', 'gateway', '-', text='limits.batch_items: no\n')
    check(code == 78 and 'nothing has changed' in err, f'{code} {err}')
    eq(center.tool('get', 'gateway')[1], 'limits:\n  batch_items: 3\n', 'nothing has changed')
    for words in (['get'], ['get', 'nobody'], ['put', 'gateway'], ['fetch', 'gateway'], []):
        code, _, err = center.tool(*words)
        check(code == 64 and 'usage' in err, f'{words}: {code} {err}')
    center.env['HGP_DISCOVERY'] = f'consul://127.0.0.1:{lib.free_port()}'
    eq(center.tool('get', 'gateway')[0], 69, 'no Consul')
    center.env['HGP_DISCOVERY'] = 'static'
    eq(center.tool('get', 'gateway')[0], 64, 'no Consul is named')


def test_watch():
    center = Center()
    watch = subprocess.Popen([str(Server.binary), 'config', 'watch', 'counter'], env=center.env,
                             stdout=subprocess.PIPE, text=True)
    try:
        eq(watch.stdout.readline(), 'nothing is configured\n', 'at first')
        center.put('counter', 'log.level: warn\n')
        eq(watch.stdout.readline(), 'version 1, 16 bytes\n', 'a change')
    finally:
        watch.kill()
        watch.wait()


def test_zz_the_end():
    Shared.stack.close()
