"""Golden rows, read and run. README.md has their format."""
import pathlib
import re
import time

from lib import Connection, Failed, check, eq

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

    def ask(self, server):
        with Connection(server.admin if '@admin' in self.marks else server.http) as connection:
            connection.send(self.request())
            return connection.answer(self.line.split()[0])

    def run(self, server):
        got = self.ask(server)
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
