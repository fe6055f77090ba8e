"""A way to the counter that hangs is set aside, and everybody can see it."""
import time

import lib
from lib import Server, Split, call, check, eq, increment, ready
from proxy import Proxy
from test_split import metric

POOLS = '/api/v1/system/grpc-pools'


def breakers(gateway):
    return call(gateway.http, 'GET', POOLS).json()['data']['counter'].get('breakers', [])


def test_one_of_two_ways_hangs():
    with Split() as split:
        proxy = Proxy(('127.0.0.1', split.counter.port))
        hangs = '%s:%d' % proxy.address
        with Server(role='gateway', flags=[
                '--counter', f'{hangs},127.0.0.1:{split.counter.port}', '--threads', '1']) as gateway:
            ready(gateway)
            end = time.monotonic() + lib.WAIT_S
            while metric(gateway, 'hgp_upstream_connections') < 2:
                check(time.monotonic() < end, 'both ways can be used')
            eq(increment(gateway, 'breaker').status, 200, 'an increment')
            eq(breakers(gateway), [], 'a sound system has nothing to say')
            proxy.hold()
            sent = 1
            while not breakers(gateway):
                check(time.monotonic() < end, 'the breaker never opens')
                # A message that hangs is sent again on the other way, with its number.
                eq(increment(gateway, 'breaker').status, 200, 'an increment')
                sent += 1
            eq(breakers(gateway), [{'address': hangs, 'open': 1, 'half_open': 0}], 'breakers')
            eq(metric(gateway, 'hgp_upstream_breakers{state="open"}'), 1, 'the gauge')
            eq(metric(gateway, 'hgp_upstream_breakers{state="half_open"}'), 0, 'the gauge')
            eq(metric(gateway, 'hgp_upstream_ejections_total'), 1, 'ejections')
            check("breaker has moved" in gateway.said(), 'it is in the log')
            before = metric(gateway, 'hgp_upstream_retries_total')
            for _ in range(20):
                got = increment(gateway, 'breaker')
                sent += 1
                eq((got.status, got.value()), (200, sent), 'counted once')
            eq(metric(gateway, 'hgp_upstream_retries_total'), before,
               'nobody waits for the way that hangs')
            proxy.close()
            eq(gateway.stop(), 0, 'exit code')
