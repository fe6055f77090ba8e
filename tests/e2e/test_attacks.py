"""HTTP/2 attacks (bench/h2_attacks.py), two seconds each: the connection is closed, the server's
memory stays below what one connection may take, and an honest client is answered afterwards.
bench/attacks has the long run, with what an honest client notices meanwhile.
"""
import pathlib
import re
import sys

from lib import Server, Skipped, check, tree

sys.path.insert(0, str(tree() / 'bench'))
import h2_attacks  # noqa: E402

LOOPS = 'both'
SMOKE = False  # a sanitizer's memory is its own
SECONDS = 2
LONG_SECONDS = 20
ENV = {'HGP_TIMEOUTS_WRITE_MS': '500'}
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
        # What only time ends is given that time.
        lasted = h2_attacks.attack_for(address, attack, target,
                                       SECONDS if attack.at_once else LONG_SECONDS, 1)
        grown = resident_kib(server) - before
        if attack.at_once:
            lasted += h2_attacks.attack_for(address, attack, target, SECONDS - lasted[0][0])
        if not any(cut for _, cut in lasted):
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
