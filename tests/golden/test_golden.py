"""The contract's rows, byte for byte, on both event loops, and however the gateway reaches its
counter core. README.md has the format."""
import pathlib
import sys

from lib import Server, Split, call, check, eq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from rows import rows  # noqa: E402

LOOPS = 'both'


def run_all(name, least, server):
    """Every row, so that one red row doesn't hide the next."""
    table = rows(name)
    check(len(table) >= least, f'{name}: only {len(table)} rows')
    wrong = []
    for row in table:
        try:
            row.run(server)
        except Exception as why:  # noqa: BLE001 - collected
            wrong.append(str(why) if str(why).startswith(row.name) else f'{row.name}: {why}')
    check(not wrong, f'{len(wrong)} of {len(table)} rows:\n  ' + '\n  '.join(wrong))


def test_part_a(server):
    run_all('part_a.txt', 60, server)


def test_part_b(server):
    run_all('part_b.txt', 20, server)


def test_analytics(server):
    run_all('part_b_analytics.txt', 20, server)


def both_parts(server):
    with server:
        run_all('part_a.txt', 60, server)
        run_all('part_b.txt', 20, server)
        eq(server.stop(), 0, 'exit code')


def test_a_gateway_and_a_counter():
    both_parts(Split())


def test_a_gateway_without_analytics_says_so():
    with Split() as server:
        for path in ('top?counter_type=a', 'stats/a/b'):
            got = call(server.http, 'GET', f'/api/v1/analytics/{path}')
            eq((got.status, got.header('Content-Type')), (501, 'application/problem+json'), path)


def test_a_gateway_with_upstream_direct():
    both_parts(Server(role='gateway', flags=['--upstream', 'direct']))
