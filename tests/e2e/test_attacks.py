"""HTTP/2 attacks (bench/h2_attacks.py), a second each or until they are met: the connection is
closed, the server's memory stays below what one connection may take, and an honest client is
answered afterwards.
Then the same attacker again and again: it waits. bench/attacks has the long run, with what an
honest client notices meanwhile.
"""
import pathlib
import re
import sys
import time

from lib import Server, Skipped, call, check, eq, tree

sys.path.insert(0, str(tree() / 'bench'))
import h2_attacks  # noqa: E402

LOOPS = 'both'
SMOKE = False  # a sanitizer's memory is its own
LONG = True
AGAIN_S = 1
# What the server can tell by counting, and what only time ends; the machine has others to serve.
PATIENCE_S = {True: 5, False: 20}
# Every attack is to meet the server, not the penalty of the one before.
ENV = {'HGP_TIMEOUTS_WRITE_MS': '500', 'HGP_FLOOD_PENALTY_FIRST_MS': '0'}
ATTACKER = '127.0.0.2'
MEMORY_MAX_KIB = 16384


def resident_kib(server):
    status = pathlib.Path(f'/proc/{server.process.pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status).group(1))


def attacked(server, address, service):
    """Every attack in turn on one server, which has to stand them all."""
    target = h2_attacks.SERVICES[service]
    check(h2_attacks.honest_answer(address, target.large), 'an honest request before')
    wrong = []
    for attack in h2_attacks.ATTACKS:
        before = resident_kib(server)
        (lasted, cut), = h2_attacks.attack_for(address, attack, target,
                                               PATIENCE_S[attack.at_once], 1) or [(0, False)]
        grown = resident_kib(server) - before
        h2_attacks.attack_for(address, attack, target, AGAIN_S - lasted)
        if not cut:
            wrong.append(f'{attack.name}: not closed')
        if grown > MEMORY_MAX_KIB:
            wrong.append(f'{attack.name}: {grown} KiB more')
        if not h2_attacks.honest_answer(address, target.small):
            wrong.append(f'{attack.name}: an honest request is not answered')
    check(not wrong, '; '.join(wrong))


def test_on_the_counter():
    with Server(role='counter', env=ENV) as server:
        attacked(server, server.grpc, 'grpc')


def test_on_the_http_port():
    with Server(env=ENV) as server:
        if not h2_attacks.speaks_http2(server.http):
            raise Skipped('no HTTP/2 on this port')
        attacked(server, server.http, 'http')


def figures(server):
    """(penalties, delayed, refused) of /metrics."""
    text = call(server.admin, 'GET', '/metrics').body.decode()
    return tuple(int(re.search(rf'^{name}_total (\d+)$', text, re.M).group(1)) for name in (
        'hgp_flood_penalties', 'hgp_flood_connections_delayed', 'hgp_flood_connections_refused'))


def penalised(server, address, service):
    """Three seconds of rapid reset: at 0, 1 and 3 s; nobody else waits."""
    target = h2_attacks.SERVICES[service]
    attack = next(a for a in h2_attacks.ATTACKS if a.name == 'rapid_reset')
    lasted = h2_attacks.attack_for(address, attack, target, 3.2, source=ATTACKER)
    cut = sum(cut for _, cut in lasted)
    check(2 <= cut <= 3, f'{cut} connections of the attacker were cut, the first at once')
    began = time.monotonic()
    check(h2_attacks.honest_answer(address, target.small), 'another client is answered')
    check(time.monotonic() - began < 0.9, 'another client does not wait')
    # The last connection may still wait when the attacker gives up.
    penalties, delayed, refused = figures(server)
    check(penalties == cut and cut - 1 <= delayed <= cut, f'{penalties} penalties, {delayed}')
    eq(refused, 0, 'refused')
    check('"peer":"127.0.0.2"' in server.said(), 'the log names it')


def test_a_penalty_on_the_counter():
    with Server(role='counter') as server:
        penalised(server, server.grpc, 'grpc')


def test_a_penalty_on_the_http_port():
    with Server() as server:
        penalised(server, server.http, 'http')


def test_an_exempt_peer():
    with Server(env={'HGP_FLOOD_PENALTY_EXEMPT': '127.0.0.0/24'}) as server:
        target = h2_attacks.SERVICES['http']
        attack = next(a for a in h2_attacks.ATTACKS if a.name == 'rapid_reset')
        lasted = h2_attacks.attack_for(server.http, attack, target, 1, source=ATTACKER)
        check(sum(cut for _, cut in lasted) > 3, 'it comes again at once')
        eq(figures(server), (0, 0, 0), 'penalties')
