"""bench.py - what the benchmarks share: the servers, wrk, medians."""
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
import time

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
BINARY = ROOT / 'build/highgopress'
TICK_US = 1e6 / os.sysconf('SC_CLK_TCK')
# The frozen increment answer's size, so that both send the same bytes.
REPLY = '{"data":{"resource_id":"hot","counter_type":"like","current_value":1,' \
        '"success":true,"timestamp":1732290000},"status":"success"}'
REPLY = REPLY[:-1] + ' ' * (131 - len(REPLY)) + '}'
NGINX = '''daemon off; master_process on; worker_processes 1; pid {dir}/pid;
error_log {dir}/error.log crit; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
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

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder

    def pids(self):
        children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(self.process.pid)],
                                  capture_output=True, text=True).stdout.split()
        return [self.process.pid, *map(int, children)]

    def cpu_us(self):
        """{process: utime and stime so far}, children with their parent."""
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return {self.name: total * TICK_US}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Nginx(Target):
    def start(self):
        self.port = free_port()
        conf = pathlib.Path(self.folder, 'nginx.conf')
        conf.write_text(NGINX.format(dir=self.folder, port=self.port, reply=REPLY))
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

    def __init__(self, name, folder, binary, flags=(), env=None):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.binary, self.flags, self.env = binary, flags, env
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
        gateway = Ours('gateway', str(made[1]), self.binary, 'gateway', ('http', 'admin'),
                       ['--counter', f'127.0.0.1:{self.counter.ports["grpc"]}', '--threads', '1',
                        '--analytics', 'none'],
                       self.env).start()
        if not gateway:
            self.stop()
            return None
        self.running = [gateway, self.counter]
        self.port = gateway.port
        return self

    def cpu_us(self):
        return {name: us for target in self.running for name, us in target.cpu_us().items()}

    def stop(self):
        for target in self.running:
            target.stop()


def wrk(target, script, threads, connections, seconds):
    """One cell: what wrk reports, and the server's CPU time per request."""
    path = '/' if script == 'get' else '/api/v1/counter/increment'
    script = getattr(target, 'loads', {}).get(script, script)
    before = target.cpu_us()
    done = subprocess.run(
        ['wrk', f'-t{threads}', f'-c{connections}', f'-d{seconds}s', '--timeout', '10s', '-s',
         str(BENCH / f'{script}.lua'), f'http://127.0.0.1:{target.port}{path}'],
        env={**os.environ, 'BENCH': str(BENCH)}, capture_output=True, text=True)
    after = target.cpu_us()
    found = re.search(r'^REPORT (.*)$', done.stdout, re.M)
    if not found:
        sys.exit(f'wrk failed: {done.stdout}{done.stderr}')
    report = json.loads(found.group(1))
    report['rps'] = report['requests'] / (report['duration_us'] / 1e6)
    report['cpu_by'] = {name: (after[name] - before[name]) / max(report['requests'], 1)
                        for name in after}
    report['cpu_us'] = sum(report['cpu_by'].values())
    report['errors'] = report['status_errors'] + report['socket_errors'] + report['timeouts']
    return report


def medians(samples):
    keys = ('rps', 'p50_us', 'p99_us', 'cpu_us')
    return {key: statistics.median(s[key] for s in samples) for key in keys} | {
        'errors': sum(s['errors'] for s in samples),
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


def measure(options, nginx, ours):
    """{(target, load, cell): samples}, the targets interleaved in every round."""
    samples = {}
    jobs = [(nginx, 'get')] + [(target, load) for load in options.load for target in ours]
    for round_number in range(options.rounds):
        for cell in options.cells:
            for target, load in jobs:
                report = wrk(target, load, *cell, options.seconds)
                samples.setdefault((target.name, load, cell), []).append(report)
                print(f'bench: round {round_number + 1} of {options.rounds}, {target.name}, '
                      f'{load}, t{cell[0]} c{cell[1]}: {report["rps"]:,.0f}/s', file=sys.stderr)
    return samples


def save_raw(path, samples):
    path.write_text(json.dumps([
        {'server': name, 'load': load, 'threads': cell[0], 'connections': cell[1],
         'samples': got} for (name, load, cell), got in samples.items()], indent=1) + '\n')
