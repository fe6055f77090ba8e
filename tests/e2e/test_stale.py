"""Reads while the store is away: from what was last known, and marked so."""
import pathlib
import re
import signal
import tempfile
import time

from lib import (BATCH, Server, Split, call, check, counter_path, eq, increment, item, ready,
                 wait_for)
from test_redis import redis

SMOKE = False
ON = {'HGP_STALE_READS_MAX_AGE_MS': '600000', 'HGP_TIMEOUTS_REQUEST_MS': '800'}
WARNING = '110 - "Response is Stale"'


def read(server, name):
    return call(server.http, 'GET', counter_path(name))


def stale_reads(server):
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return int(re.search(r'^hgp_stale_reads_total (\d+)$', text, re.M).group(1))


def away(server, name='known'):
    """Until reads are answered from memory; gives the answer."""
    answers = []

    def so():
        answers.append(read(server, name))
        return answers[-1].header('Warning') is not None
    wait_for('a stale answer', so)
    return answers[-1]


def test_what_is_known_and_what_is_not():
    before = int(time.time())
    with Split(flags=['--threads', '1'], env=ON) as split:
        for _ in range(3):
            eq(increment(split, 'known').status, 200, 'counted')
        fresh = read(split, 'known')
        eq((fresh.header('Warning'), 'stale' in fresh.json()['data']), (None, False), 'a fresh answer')
        eq(read(split, 'never written').value(), 0, 'read, and known to be 0')
        split.counters[0].kill()
        gone = int(time.time())
        answer = away(split)
        eq((answer.status, answer.header('Warning')), (200, WARNING), 'a stale answer')
        data = answer.json()['data']
        eq(list(data), ['resource_id', 'counter_type', 'current_value', 'updated_at', 'stale', 'as_of'], 'keys')
        eq((data['current_value'], data['updated_at'], data['stale']),
           (3, fresh.json()['data']['updated_at'], True), 'the last known value')
        check(before <= data['as_of'] <= gone, f'as of {data["as_of"]}, it went at {gone}')
        eq(read(split, 'never written').json()['data']['current_value'], 0, 'known to be 0')
        unknown = read(split, 'unknown')
        eq((unknown.status, unknown.header('Warning')), (503, None), 'nothing is known of it')
        eq(increment(split, 'known').status, 503, 'a write')
        both = call(split.http, 'POST', BATCH, {'items': [item('known'), item('never written')]})
        eq((both.status, both.header('Warning')), (200, WARNING), 'a batch')
        eq([(r['current_value'], r['stale']) for r in both.json()['data']['results']],
           [(3, True), (0, True)], 'its items')
        mixed = call(split.http, 'POST', BATCH, {'items': [item('known'), item('unknown')]})
        eq((mixed.status, mixed.header('Warning')), (503, None), 'a batch with an unknown one')
        check(stale_reads(split) >= 4, f'counted: {stale_reads(split)}')
        split.counters[0].start()
        ready(split)
        counted = []

        def counts():
            counted.append(increment(split, 'known'))
            return counted[-1].status == 200
        wait_for('fresh again', counts)
        fresh = read(split, 'known')
        eq((fresh.value(), fresh.header('Warning'), 'stale' in fresh.json()['data']), (counted[-1].value(), None, False),
           'fresh again')


def test_not_older_than_allowed_and_off_by_default():
    with redis() as server, tempfile.TemporaryDirectory(prefix='hgp-conf-') as folder:
        conf = pathlib.Path(folder) / 'all.yaml'
        conf.write_text('stale_reads.max_age_ms: 0\n')
        with Server(flags=['--threads', '1', '--store', server.url, '--config', conf],
                    env={'HGP_TIMEOUTS_REQUEST_MS': '800'}) as front:
            def change(ms):
                news = front.said().count('the configuration was read again') + 1
                conf.write_text(f'stale_reads.max_age_ms: {ms}\n')
                front.send_signal(signal.SIGHUP)
                wait_for('the change', lambda: front.said().count(
                    'the configuration was read again') == news)

            eq(increment(front, 'known').status, 200, 'counted')
            server.process.kill()
            wait_for('away', lambda: read(front, 'known').status == 503)
            change(600000)
            eq(read(front, 'known').status, 503, 'what was answered before it was on is not known')
            server.restart()
            wait_for('back', lambda: increment(front, 'known').status == 200)
            server.process.kill()
            eq(away(front).status, 200, 'known')
            change(1)
            eq(read(front, 'known').status, 503, 'too old')
            change(600000)
            eq(read(front, 'known').status, 200, 'and not too old')
            change(0)
            eq(read(front, 'known').status, 503, 'off')
