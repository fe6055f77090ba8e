"""bench.py - what the benchmarks share: processes and their CPU, wrk and h2load, medians."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
BINARY = ROOT / 'build/highgopress'
TICK_US = 1e6 / os.sysconf('SC_CLK_TCK')
# The frozen increment answer's size, so that both send the same bytes.
REPLY = '{"data":{"resource_id":"hot","counter_type":"like","current_value":1,' \
        '"success":true,"timestamp":1732290000},"status":"success"}'
REPLY = REPLY[:-1] + ' ' * (131 - len(REPLY)) + '}'
NGINX = '''daemon off; master_process {master}; worker_processes {workers}; pid {dir}/pid;
error_log {dir}/error.log crit; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    {tls}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096{how};
        default_type "application/json; charset=utf-8";
        location / {{ return 200 '{reply}'; }}
    }}
}}
'''


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f'a server ended at once: {process.args}')
        try:
            socket.create_connection(('127.0.0.1', port), 0.1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit('a server does not listen')


class Target:
    """A running server: where it listens and what it has cost so far."""

    scheme = 'http'
    h2 = False

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder

    def pids(self):
        children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(self.process.pid)],
                                  capture_output=True, text=True).stdout.split()
        return [self.process.pid, *map(int, children)]

    def processes(self):
        """{name: process ids}, children with their parent."""
        return {self.name: self.pids()}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Nginx(Target):
    """'return 200'. With a Pki it speaks TLS, with h2 HTTP/2."""

    def __init__(self, name, folder, workers=1, pki=None, h2=False):
        super().__init__(name, folder)
        self.workers, self.pki, self.h2 = workers, pki, h2
        self.scheme = 'https' if pki else 'http'

    def start(self):
        self.port = free_port()
        conf = pathlib.Path(self.folder, 'nginx.conf')
        tls = f'ssl_certificate {self.pki.pem("localhost")}; ' \
              f'ssl_certificate_key {self.pki.key("localhost")};' if self.pki else ''
        conf.write_text(NGINX.format(
            dir=self.folder, port=self.port, reply=REPLY, workers=self.workers, tls=tls,
            master='on' if self.workers > 1 else 'off',
            how=(' ssl' if self.pki else '') + (' http2' if self.h2 else '')))
        self.process = subprocess.Popen(['nginx', '-p', self.folder, '-c', str(conf)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.port, self.process)
        return self


class Ours(Target):
    """One process of ours; 'ports' says where it listens once it has started."""

    def __init__(self, name, folder, binary, role, listeners, flags=(), env=None):
        super().__init__(name, folder)
        addresses = [word for listener in listeners for word in (f'--{listener}', '127.0.0.1:0')]
        self.command = [str(binary), role, *addresses, *flags]
        self.env = {**os.environ, **(env or {})}

    def start(self):
        """None when it refuses: an event loop that this host hasn't, a role that isn't there."""
        self.errors = pathlib.Path(self.folder, 'stderr')
        self.ports = {}
        with open(self.errors, 'w') as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, text=True,
                                            stdout=subprocess.PIPE, stderr=errors, env=self.env)
        for line in self.process.stdout:
            found = re.match(r'(http|grpc|admin) +listening on .*:(\d+)$', line.strip())
            if found:
                self.ports[found.group(1)] = int(found.group(2))
            if line.strip() == 'ready':
                self.port = self.ports.get('http')
                return self
        self.process.wait()
        print(f'bench: {self.name} did not start, it is left out', file=sys.stderr)
        return None


class Split:
    """A counter process and a gateway in front of it, as one server."""

    scheme = 'http'
    h2 = False

    def __init__(self, name, folder, binary, flags=(), env=None, gateway_flags=()):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.binary, self.flags, self.env = binary, flags, env
        self.gateway_flags = gateway_flags
        self.running = []

    def start(self):
        made = [(self.folder / part) for part in ('counter', 'gateway')]
        for folder in made:
            folder.mkdir(exist_ok=True)
        self.counter = Ours('counter', str(made[0]), self.binary, 'counter', ('grpc', 'admin'),
                            [*self.flags, '--data', str(self.folder / 'data')], self.env).start()
        if not self.counter:
            return None
        self.running = [self.counter]
        gateway = self.in_front(str(made[1]), f'127.0.0.1:{self.counter.ports["grpc"]}').start()
        if not gateway:
            self.stop()
            return None
        self.running = [gateway, self.counter]
        self.port = gateway.port
        return self

    def in_front(self, folder, counter):
        return Ours('gateway', folder, self.binary, 'gateway', ('http', 'admin'),
                    ['--counter', counter, '--threads', '1', '--analytics', 'none',
                     *self.gateway_flags], self.env)

    def processes(self):
        return {target.name: target.pids() for target in self.running}

    def stop(self):
        for target in self.running:
            target.stop()


def cpu_parts(target):
    """{process: (user, system) time so far, in us}."""
    used = {}
    for name, pids in target.processes().items():
        stats = [pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
                 for pid in pids]
        used[name] = tuple(sum(int(fields[at]) for fields in stats) * TICK_US for at in (11, 12))
    return used


def cpu_us(target):
    """{process: both}."""
    return {name: sum(parts) for name, parts in cpu_parts(target).items()}


def run_wrk(target, load, threads, connections, seconds):
    script = getattr(target, 'loads', {}).get(load, load)
    path = '/' if load == 'get' else '/api/v1/counter/increment'
    done = subprocess.run(
        ['wrk', f'-t{threads}', f'-c{connections}', f'-d{seconds}s', '--timeout', '10s', '-s',
         str(BENCH / f'{script}.lua'), f'{target.scheme}://127.0.0.1:{target.port}{path}'],
        env={**os.environ, 'BENCH': str(BENCH)}, capture_output=True, text=True)
    found = re.search(r'^REPORT (.*)$', done.stdout, re.M)
    if not found:
        sys.exit(f'wrk failed: {done.stdout}{done.stderr}')
    report = json.loads(found.group(1))
    report['rps'] = report['requests'] / (report['duration_us'] / 1e6)
    report['errors'] = report['status_errors'] + report['socket_errors'] + report['timeouts']
    return report


H2_STREAMS = 10
H2_PATIENCE_S = 30  # it runs for ever when a connection fails before all are there: then once more
H2_TRIES = 3
H2_BODY = '{"resource_id":"bench-hot","counter_type":"like","delta":1}'


def patiently(command):
    for _ in range(H2_TRIES):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, capture_output=True, text=True, timeout=H2_PATIENCE_S)
    sys.exit(f'bench: {H2_TRIES} times no end after {H2_PATIENCE_S} s: {" ".join(command)}')


def run_h2load(target, load, threads, connections, seconds):
    """HTTP/2, ten streams a connection; it sends one body only, so the load is 'hot'."""
    if load not in ('get', 'hot'):
        sys.exit(f'bench: {target.name}: HTTP/2 is measured with the load hot, not {load}')
    with tempfile.TemporaryDirectory(prefix='hgp-bench-') as folder:
        body, log = pathlib.Path(folder, 'body'), pathlib.Path(folder, 'log')
        body.write_text(H2_BODY)
        what = ['-d', str(body), '-H', 'content-type: application/json'] if load == 'hot' else []
        done = patiently(
            ['h2load', f'-t{threads}', f'-c{connections}', f'-m{H2_STREAMS}', f'-D{seconds}',
             f'--log-file={log}', *what,
             f'{target.scheme}://127.0.0.1:{target.port}/api/v1/counter/increment'])
        times = sorted(int(line.rsplit('\t', 1)[1]) for line in log.read_text().splitlines())
    rate = re.search(r'finished in .*?, ([\d.]+) req/s', done.stdout)
    totals = re.search(r'(\d+) done, (\d+) succeeded', done.stdout)
    if not rate or not times:
        sys.exit(f'h2load failed: {done.stdout}{done.stderr}')
    requests, good = map(int, totals.groups())
    return {'requests': requests, 'rps': float(rate.group(1)), 'errors': requests - good,
            'p50_us': times[len(times) // 2], 'p99_us': times[len(times) * 99 // 100]}


def wrk(target, load, threads, connections, seconds):
    """One cell: what wrk or h2load reports, and the server's CPU time per request."""
    before = cpu_us(target)
    report = (run_h2load if target.h2 else run_wrk)(target, load, threads, connections, seconds)
    after = cpu_us(target)
    report['cpu_by'] = {name: (after[name] - before[name]) / max(report['requests'], 1)
                        for name in after}
    report['cpu_us'] = sum(report['cpu_by'].values())
    return report


def medians(samples):
    keys = ('rps', 'p50_us', 'p99_us', 'cpu_us')
    found = {key: statistics.median(s[key] for s in samples) for key in keys}
    rates = [s['rps'] for s in samples]
    return found | {
        'errors': sum(s['errors'] for s in samples),
        'spread': (max(rates) - min(rates)) / max(found['rps'], 1),
        'cpu_by': {name: statistics.median(s['cpu_by'][name] for s in samples)
                   for name in samples[0]['cpu_by']}}


def own_folder(parent, name):
    made = pathlib.Path(parent, name)
    made.mkdir()
    return str(made)


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            sys.exit(f'bench: {tool} is not installed: scripts/setup.sh bench')


def words(text):
    return text.split(',')


def cells(text):
    return [tuple(map(int, cell.split('x'))) for cell in text.split(',')]


def load_of(target, load):
    """nginx has one answer to everything."""
    return 'get' if isinstance(target, Nginx) else load


def measure(targets, loads, where, rounds, seconds):
    """{(target, load, cell): samples}, the targets interleaved in every round."""
    samples = {}
    for number in range(rounds):
        for cell in where:
            jobs = dict.fromkeys((target, load_of(target, load))
                                 for load in loads for target in targets)
            for target, load in jobs:
                report = wrk(target, load, *cell, seconds)
                samples.setdefault((target.name, load, cell), []).append(report)
                print(f'bench: round {number + 1} of {rounds}, {target.name}, {load}, '
                      f't{cell[0]} c{cell[1]}: {report["rps"]:,.0f}/s', file=sys.stderr)
    return samples


def save_raw(path, samples):
    path.write_text(json.dumps([
        {'server': name, 'load': load, 'threads': cell[0], 'connections': cell[1],
         'samples': got} for (name, load, cell), got in samples.items()], indent=1) + '\n')


def say(good, text):
    print(f'- {"OK " if good else "NOT"} {text}')
