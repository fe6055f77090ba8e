"""The scripts a person runs, in small: what they say of a good service, and that a bad one can't
pass: one that miscounts, one that answers with errors, one that cuts connections."""
import http.server
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import tempfile
import threading
import xml.etree.ElementTree as xml

from lib import Server, Skipped, Split, check, eq, free_port, tree

SMOKE = False  # the scripts are the same over a sanitized binary
SMALL = '300@10 500@50'


def run(script, *arguments, env=None, **options):
    """(exit code, stdout, stderr)"""
    if not shutil.which('h2load'):
        raise Skipped('h2load is not installed')
    environment = {**os.environ, 'LEVELS': SMALL, **(env or {})}
    done = subprocess.run([tree() / 'scripts' / script, *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120, **options)
    return done.returncode, done.stdout, done.stderr


def base(server):
    return f'http://{server.http[0]}:{server.http[1]}'


def rows(text):
    """The cells of a table's rows, without its two lines of head."""
    found = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in text.splitlines() if line.startswith('|')]
    return found[2:]


class Fake(http.server.ThreadingHTTPServer):
    """A service that answers as 'increment' says: a value to add, or a status."""

    daemon_threads = True

    def __init__(self, increment):
        super().__init__(('127.0.0.1', 0), Handler)
        self.increment = increment
        self.lock = threading.Lock()
        self.calls = 0
        self.values = {}
        self.http = self.server_address
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a client that leaves


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1  # head and body in one packet

    def log_message(self, *_):
        pass

    def answer(self, status, document):
        body = json.dumps(document, separators=(',', ':')).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        parts = self.path.split('/')
        self.answer(200, {'data': {'current_value': self.server.values.get(parts[-2], 0)}})

    def do_POST(self):
        name = json.loads(self.rfile.read(int(self.headers['Content-Length'])))['resource_id']
        with self.server.lock:
            self.server.calls += 1
            status, add = self.server.increment(self.server.calls)
            self.server.values[name] = self.server.values.get(name, 0) + add
        if status:
            self.answer(status, {'data': {'current_value': 1}})
        else:
            self.close_connection = True


def test_load_test_of_a_good_service():
    with Server() as server:
        code, out, err = run('load_test.sh', base(server))
    eq(code, 0, out + err)
    eq([row[:2] + row[5:] for row in rows(out)], [['300', '10', '0'], ['500', '50', '0']], 'rows')
    check('800 increments sent, the counters hold 800' in out, out)
    eq(err, '', 'stderr, which is no terminal')


def test_load_test_over_two_gateways():
    with Split(gateways=2) as split:
        code, out, err = run('load_test.sh', *(base(gateway) for gateway in split.gateways))
    eq(code, 0, out + err)
    check('the counters hold 800' in out, out)


def test_a_miscount_is_found():
    for add, calls in ((0, 17), (2, 17)):
        with Fake(lambda n, add=add, calls=calls: (200, add if n == calls else 1)) as fake:
            code, out, err = run('load_test.sh', base(fake), env={'LEVELS': '100@5'})
        eq(code, 1, out + err)
        check(f'100 sent, 100 acknowledged, the counter holds {99 + add}' in err, err)


def test_errors_are_found():
    for script in ('load_test.sh', 'performance_test.sh'):
        with Fake(lambda n: (503, 0) if n == 17 else (200, 1)) as fake, \
                tempfile.TemporaryDirectory() as folder:
            code, out, err = run(script, *(['--svg', f'{folder}/p.svg'] if 'perf' in script else []),
                                 base(fake), env={'LEVELS': '100@5'})
        eq(code, 1, f'{script}: {out}{err}')
        check('1 answers were 503' in err and 'FAILED' in out, f'{script}: {out}{err}')
        eq(rows(out)[-1][-1], '1', f'{script}: errors in {out}')


def test_a_cut_connection_is_found():
    """Counted, but never answered: the counter holds more than was acknowledged."""
    with Fake(lambda n: (None, 1) if n == 17 else (200, 1)) as fake:
        code, out, err = run('load_test.sh', base(fake), env={'LEVELS': '100@5'})
    eq(code, 1, out + err)
    check('NOT EXACT' in err, err)


def test_no_service():
    code, _, err = run('load_test.sh', f'http://127.0.0.1:{free_port()}')
    eq(code, 69, err)


def test_wrong_use():
    for arguments, env in ((['--nonsense'], {}), (['--svg'], {}), ([], {'LEVELS': '10@20'}),
                           ([], {'LEVELS': 'many'})):
        code, out, err = run('performance_test.sh', *arguments, env=env)
        eq((code, out), (64, ''), f'{arguments} {env}: {err}')


def test_performance_test():
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        svg = pathlib.Path(folder, 'figures.svg')
        code, out, err = run('performance_test.sh', '--svg', str(svg), base(server))
        eq(code, 0, out + err)
        picture = xml.parse(svg).getroot()
    found = rows(out)
    eq([row[:3] for row in found],
       [[call, *level] for call in ('health', 'read', 'write')
        for level in (['300', '10'], ['500', '50'])], 'the rows')
    for row in found:
        check(int(row[3].replace(',', '')) > 0 and 0 < float(row[4]) <= float(row[5]), f'{row}')
    name = '{http://www.w3.org/2000/svg}'
    words = [text.text for text in picture.iter(f'{name}text')]
    check(any(base(server) in word for word in words), f'of what it is: {words}')
    for row in found:  # each bar has its figure
        figure = float(row[3].replace(',', '')) / 1000
        check(any(re.fullmatch(r'[\d.]+k', word) and abs(float(word[:-1]) - figure) < 0.06
                  for word in words), f'{row[3]} is not in the picture: {words}')
    eq(len(list(picture.iter(f'{name}circle'))), 2 * len(found), 'points of p50 and p99')


def test_the_baseline_judges():
    env = {'LOW': '200@10', 'HIGH': '200@10', 'ROUNDS': '3'}
    with Fake(lambda n: (200, 1)) as fake:  # a thread of Python for each connection: never 16k/s
        code, out, err = run('performance_test.sh', '--baseline', base(fake), env=env)
    eq(code, 1, out + err)
    low, high, _, errors = rows(out)
    eq((low[1], high[1]), ('18433', '23738'), 'the figures of Phase 1')
    eq((low[4], low[5], errors[5]), ('at least 16589', 'BROKEN', 'holds'), out)
    check(int(low[2]) > 0 and low[3].startswith('-'), out)
    check('1200 increments sent, the counters hold 1200' in out, out)


def test_progress_on_a_terminal():
    with Server() as server:
        parent, child = pty.openpty()
        process = subprocess.Popen([tree() / 'scripts/load_test.sh', base(server)],
                                   env={**os.environ, 'LEVELS': '20000@20'}, stdout=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, stderr=child, text=True)
        os.close(child)
        out, _ = process.communicate(timeout=120)
        seen = os.read(parent, 65536).decode()
        os.close(parent)
    eq(process.returncode, 0, out)
    check(re.search(r'increments 20000@20 +\[[# ]{30}\] +\d+ %', seen), f'{seen!r}')
