"""The contract's rows, byte for byte, on both event loops, and however the gateway reaches its
counter core. README.md has the format."""
import pathlib
import re
import time

from lib import Connection, Failed, Server, Split, check, eq

LOOPS = 'both'
HERE = pathlib.Path(__file__).resolve().parent
CLOCK_SLACK_S = 5
PLACEHOLDERS = {
    '{{now}}': r'(?P<now>\d{10})',
    '{{int}}': r'-?\d+',
    '{{float}}': r'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?',
    '{{text}}': r'(?:[^"\\\x00-\x1f]|\\.)+',
}


def unescape(text):
    return re.sub(rb'\\x([0-9a-fA-F]{2})', lambda m: bytes([int(m.group(1), 16)]),
                  text.encode())


class Row:
    """One '===' block of a golden file."""

    def __init__(self, block):
        self.name, _, rest = block.partition('\n')
        sent, _, wanted = re.sub(r'\n\n+$', '\n', rest).partition('\n--- ')
        head, _, body = sent.partition('\n\n')
        lines = head.strip('\n').split('\n')
        self.marks = [line for line in lines if line.startswith('@')]
        self.line, *self.headers = [line for line in lines if not line.startswith('@')]
        self.body = unescape(body.strip('\n'))
        head, _, self.want = wanted.partition('\n\n')
        self.status, *self.want_headers = head.split('\n')
        self.want = self.want.strip('\n')

    def request(self):
        lines = [f'{self.line} HTTP/1.1', 'Host: test', *self.headers]
        if (self.body or self.line.startswith('POST')) and '@no-length' not in self.marks:
            lines.append(f'Content-Length: {len(self.body)}')
        return unescape('\r\n'.join(lines)) + b'\r\n\r\n' + self.body

    def check_body(self, body):
        if self.want == '*':
            return
        pattern = re.escape('' if self.want == '-' else self.want)
        for name, expression in PLACEHOLDERS.items():
            pattern = pattern.replace(re.escape(name), expression, 1)
            pattern = pattern.replace(re.escape(name), expression.replace('?P<now>', ''))
        match = re.fullmatch(pattern.encode(), body)
        if not match:
            raise Failed(f'{self.name}: got body {body!r}, wanted {self.want}')
        if 'now' in match.groupdict():
            off = abs(int(match.group('now')) - time.time())
            check(off < CLOCK_SLACK_S, f'{self.name}: the time is {off:.0f} s off')

    def run(self, server):
        method = self.line.split()[0]
        with Connection(server.admin if '@admin' in self.marks else server.http) as connection:
            connection.send(self.request())
            got = connection.answer(method)
        eq(got.status, int(self.status), f'{self.name}: {got!r}: status')
        for line in self.want_headers:
            name, _, value = line.partition(': ')
            if name.startswith('!'):
                eq(got.header(name[1:]), None, f'{self.name}: {name}')
                continue
            eq(got.header(name), value, f'{self.name}: {name}')
        check(got.header('X-Request-Id'), f'{self.name}: no X-Request-Id')
        eq(got.version, 'HTTP/1.1', f'{self.name}: version')
        self.check_body(got.body)


def rows(name):
    text = (HERE / name).read_text()
    return [Row(block) for block in re.split(r'^=== ', text, flags=re.M)[1:]]


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


def both_parts(server):
    with server:
        run_all('part_a.txt', 60, server)
        run_all('part_b.txt', 20, server)
        eq(server.stop(), 0, 'exit code')


def test_a_gateway_and_a_counter():
    both_parts(Split())


def test_a_gateway_with_upstream_direct():
    both_parts(Server(role='gateway', flags=['--upstream', 'direct']))
