#!/usr/bin/env python3
"""dev_servers - real Redis, Kafka, Consul and Prometheus on loopback, without containers.

    tools/dev_servers.py up [--dir DIR] [redis] [sentinel] [cluster] [kafka] [kafka3] [consul]
                            [prometheus] [toxiproxy]
    tools/dev_servers.py down [--dir DIR]

'up' starts what isn't running yet, waits until it answers and prints a line NAME=URL for
each; DIR/env has the same lines. 'down' ends what DIR says was started, nothing else.
Tests import the classes. Ports are free ones; data and logs are under DIR.
"""
import argparse
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = '127.0.0.1'
READY_S = 60
END_S = 20
BUS = 10000  # a cluster's bus port is so far above its client port

# Started once in a while on a small machine: quick to start rather than quick in the end.
JAVA = ['java', '-Xms128m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']


class Trouble(Exception):
    """What is missing or went wrong, as a sentence."""


def need(program, package):
    if not shutil.which(program):
        raise Trouble(f'{program} is not installed (Debian: {package})')


def free_port():
    """One that is free now, with its bus port, and that the kernel gives to nobody who asks for any:
    a connection of somebody else's must not have it before the server does, nor a client of a server
    that has died meet itself there."""
    low = int(pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
    while True:
        port = random.randrange(10000, low - BUS)
        try:
            for number in (port, port + BUS):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, number))
        except OSError:
            continue
        return port


def wait_until(what, answers, process=None):
    end = time.monotonic() + READY_S
    while not answers():
        if process is not None and not process.alive():
            raise Trouble(f'{what} has ended; its log: {process.log}')
        if time.monotonic() > end:
            raise Trouble(f'{what} does not answer after {READY_S} s')
        time.sleep(0.05)  # the interval of a poll, not a guess how long it takes


def started_at(pid):
    """When the kernel says that this process began; None: it is gone."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(')') + 2:].split()
    return None if fields[0] == 'Z' else int(fields[19])


class Process:
    """A child in a session of its own, so that it outlives this program if it must."""

    def __init__(self, folder, argv, env=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.env = {**os.environ, **(env or {})}
        self.log = folder / 'log'
        self.argv = [str(arg) for arg in argv]
        self.child = None
        self.start()

    def start(self):
        with open(self.log, 'ab') as log:
            self.child = subprocess.Popen(self.argv, cwd=self.folder, stdin=subprocess.DEVNULL,
                                          env=self.env, stdout=log, stderr=log,
                                          start_new_session=True)
        self.pid = self.child.pid
        self.began = started_at(self.pid)

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def end(self):
        """SIGTERM, and SIGKILL when that takes too long."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()


def redis_cli(port, *args, password=''):
    got = subprocess.run(['redis-cli', '-h', HOST, '-p', str(port), *map(str, args)],
                         capture_output=True, text=True, timeout=READY_S,
                         env={**os.environ, **({'REDISCLI_AUTH': password} if password else {})})
    return got.stdout.strip()


def mend_aof(folder):
    """As an operator does before a start, where aof-load-truncated is no: what a kill has torn is
    cut off."""
    manifest = folder / 'appendonlydir/appendonly.aof.manifest'
    if manifest.exists():
        done = subprocess.run(['redis-check-aof', '--fix', manifest], input='y\n', text=True,
                              errors='replace', capture_output=True)
        if done.returncode:
            raise Trouble(f'redis-check-aof --fix: {done.stdout[-500:]}')


class Redis:
    """One redis-server that fsyncs before it answers, unless 'options' say otherwise; run by 'wrapper'."""

    def __init__(self, folder, *options, port=None, env=None, wrapper=()):
        need('redis-server', 'redis-server')
        self.port = port or free_port()
        self.password = (options[options.index('--requirepass') + 1]
                         if '--requirepass' in options else '')
        self.folder = folder
        self.socket = folder / 'redis.sock'
        folder.mkdir(parents=True, exist_ok=True)
        self.process = Process(folder, [
            *wrapper, 'redis-server', '--port', self.port, '--bind', HOST, '--unixsocket', self.socket,
            '--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always',
            '--aof-load-truncated', 'no',
            '--maxmemory-policy', 'noeviction', '--repl-diskless-sync-delay', '0', *options], env)
        try:
            self.wait()
        except BaseException:
            self.process.kill()
            raise

    def wait(self):
        wait_until('redis-server', lambda: self.cli('ping') == 'PONG', self.process)

    def restart(self):
        mend_aof(self.folder)
        self.process.start()
        self.wait()

    def cli(self, *args):
        return redis_cli(self.port, *args, password=self.password)

    @property
    def url(self):
        credentials = f':{self.password}@' if self.password else ''
        return f'redis://{credentials}{HOST}:{self.port}'

    def processes(self):
        return [self.process]


def in_step(replica):
    """It follows, and its primary has heard so: before its first word, WAIT counts without it."""
    def heard():
        own = replica.cli('info', 'replication')
        port = re.search(r'master_port:(\d+)', own)
        if not port or 'master_link_status:up' not in own:
            return False
        redis_cli(port[1], 'publish', 'hgp', '')  # something to acknowledge, but on a Cluster
        said = redis_cli(port[1], 'info', 'replication')
        return 'master_repl_offset:0' in said or not re.search(
            r'slave\d+:.*(state=(?!online)|offset=0,)', said)

    wait_until('the replica', heard, replica.process)


class Sentinels:
    """A master, its replica, and three sentinels that watch them under the name hgp."""

    NAME = 'hgp'

    def __init__(self, folder):
        self.master = Redis(folder / 'master')
        self.replica = Redis(folder / 'replica', '--replicaof', HOST, self.master.port)
        self.ports = [free_port() for _ in range(3)]
        self.sentinels = [self._sentinel(folder / f'sentinel-{i}', port)
                          for i, port in enumerate(self.ports)]
        in_step(self.replica)
        for port in self.ports:
            wait_until('a sentinel', lambda port=port: self._knows_all(port))

    def _sentinel(self, folder, port):
        folder.mkdir(parents=True, exist_ok=True)
        conf = folder / 'sentinel.conf'
        conf.write_text(f'port {port}\nbind {HOST}\n'
                        f'sentinel monitor {self.NAME} {HOST} {self.master.port} 2\n'
                        f'sentinel down-after-milliseconds {self.NAME} 1000\n'
                        f'sentinel failover-timeout {self.NAME} 5000\n')
        return Process(folder, ['redis-server', conf, '--sentinel'])

    def _knows_all(self, port):
        words = redis_cli(port, 'sentinel', 'master', self.NAME).split('\n')
        facts = dict(zip(words[::2], words[1::2]))
        return facts.get('num-slaves') == '1' and facts.get('num-other-sentinels') == '2'

    @property
    def url(self):
        hosts = ','.join(f'{HOST}:{port}' for port in self.ports)
        return f'redis-sentinel://{hosts}/{self.NAME}'

    def processes(self):
        return self.master.processes() + self.replica.processes() + self.sentinels


class Cluster:
    """Six nodes: three masters with a replica each, all slots served."""

    def __init__(self, folder):
        self.nodes = [Redis(folder / str(i), '--cluster-enabled', 'yes', '--cluster-config-file',
                            'nodes.conf', '--cluster-node-timeout', '2000') for i in range(6)]
        hosts = [f'{HOST}:{node.port}' for node in self.nodes]
        made = subprocess.run(['redis-cli', '--cluster', 'create', *hosts, '--cluster-replicas',
                               '1', '--cluster-yes'], capture_output=True, text=True)
        if made.returncode:
            raise Trouble(f'redis-cli --cluster create: {made.stdout}{made.stderr}')
        for node in self.nodes:
            wait_until('the cluster', lambda node=node: self._serves(node))
        for node in self.nodes:
            if 'role:slave' in node.cli('info', 'replication'):
                in_step(node)

    @staticmethod
    def _serves(node):
        info = node.cli('cluster', 'info')
        return 'cluster_state:ok' in info and 'cluster_known_nodes:6' in info

    @property
    def url(self):
        return 'redis-cluster://' + ','.join(f'{HOST}:{node.port}' for node in self.nodes)

    def processes(self):
        return [node.process for node in self.nodes]


def becomes_master(node):
    wait_until('the takeover', lambda: 'role:master' in node.cli('info', 'replication'),
               node.process)


def take_over(master, replica):
    """Of a Cluster: the master is killed, its replica takes its place, and it comes back behind it."""
    master.process.kill()
    becomes_master(replica)
    master.restart()
    in_step(master)


def node_port(words):
    """Of a line of CLUSTER NODES or REPLICAS, split."""
    return int(words[1].split('@')[0].rsplit(':', 1)[1])


def followers(master):
    """The ports of those of whom a Cluster's master knows that they follow it: whom it doesn't know, it
    lets nobody take its place."""
    lines = master.cli('cluster', 'replicas', master.cli('cluster', 'myid')).splitlines()
    return [node_port(line.split()) for line in lines]


def change_places(master, replica):
    """As an operator does it before he restarts a master."""
    wait_until('the news of a replica', lambda: replica.port in followers(master))
    if replica.cli('cluster', 'failover') != 'OK':
        raise Trouble('CLUSTER FAILOVER is refused')
    becomes_master(replica)
    in_step(master)


def maven_jars(name):
    """The folder .cache/NAME with the jars that tools/NAME/pom.xml depends on."""
    pom = ROOT / 'tools' / name / 'pom.xml'
    jars = ROOT / '.cache' / name
    jars.mkdir(parents=True, exist_ok=True)
    with open(jars / 'lock', 'w') as lock:  # tests side by side fetch them once
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = jars / 'pom.xml'
        if not (stamp.exists() and stamp.read_bytes() == pom.read_bytes()):
            need('mvn', 'maven')
            for old in jars.glob('*.jar'):
                old.unlink()
            got = subprocess.run(
                ['mvn', '-B', '-q', '-f', str(pom),
                 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies',
                 '-DincludeScope=runtime', f'-DoutputDirectory={jars}'],
                capture_output=True, text=True)
            if got.returncode:
                raise Trouble(f'Maven could not get the jars of {name}: {got.stdout[-2000:]}')
            stamp.write_bytes(pom.read_bytes())
    return jars


def kafka_jars():
    """Apache Kafka's, as a Java class path."""
    return f'{maven_jars("kafka")}/*'


def kafka_answers(port):
    """ApiVersions, the request that every broker answers first."""
    request = struct.pack('>hhih', 18, 0, 1, -1)
    try:
        with socket.create_connection((HOST, port), 1) as conn:
            conn.settimeout(2)
            conn.sendall(struct.pack('>i', len(request)) + request)
            return len(conn.recv(8)) == 8
    except OSError:
        return False


class KafkaSecurity:
    """How clients must come: by SASL_SSL. Files are PEM; users by name, each with a password."""

    def __init__(self, ca, cert, key, users):
        self.ca, self.cert, self.key, self.users = ca, cert, key, users

    def settings(self, folder):
        """As Kafka wants it: key and certificate in one file."""
        store = folder / 'keystore.pem'
        store.write_text(pathlib.Path(self.key).read_text() + pathlib.Path(self.cert).read_text())
        store.chmod(0o600)
        module = 'org.apache.kafka.common.security'
        plain = ' '.join(f'user_{name}="{password}"' for name, password in self.users.items())
        scram = f'{module}.scram.ScramLoginModule required;'
        listener = 'listener.name.clients'
        return {
            'sasl.enabled.mechanisms': 'SCRAM-SHA-512,SCRAM-SHA-256,PLAIN',
            f'{listener}.scram-sha-512.sasl.jaas.config': scram,
            f'{listener}.scram-sha-256.sasl.jaas.config': scram,
            f'{listener}.plain.sasl.jaas.config':
                f'{module}.plain.PlainLoginModule required {plain};',
            f'{listener}.ssl.client.auth': 'required',
            'ssl.keystore.type': 'PEM',
            'ssl.keystore.location': store,
            'ssl.truststore.type': 'PEM',
            'ssl.truststore.location': self.ca,
        }


class Kafka:
    """Apache Kafka in KRaft mode: 'count' nodes that are broker and controller. With 'security' clients
    are let in by it alone, on 'client_ports'; else as they are."""

    def __init__(self, folder, count=1, security=None):
        need('java', 'default-jre-headless')
        self.jars = kafka_jars()
        self.security = security
        self.client_ports = [free_port() for _ in range(count)] if security else []
        self.ports = [free_port() for _ in range(count)]
        self.control_ports = [free_port() for _ in range(count)]
        self.id = self._tool('random-uuid').split()[-1]
        self.brokers = [self._broker(folder / f'broker-{i}', i) for i in range(count)]
        for port, broker in zip(self.ports, self.brokers):
            wait_until('a Kafka broker', lambda port=port: kafka_answers(port), broker)
        for name, password in security.users.items() if security else ():
            for kind in ('512', '256'):  # both in one request are refused
                self._java('kafka.admin.ConfigCommand', '--bootstrap-server',
                           f'{HOST}:{self.ports[0]}', '--alter', '--entity-type', 'users',
                           '--entity-name', name, '--add-config',
                           f'SCRAM-SHA-{kind}=[password={password}]')

    def _tool(self, *args):
        return self._java('kafka.tools.StorageTool', *args)

    def _java(self, name, *args):
        got = subprocess.run([*JAVA, '-cp', self.jars, name, *map(str, args)],
                             capture_output=True, text=True)
        if got.returncode:
            raise Trouble(f'{name} {args[0]}: {got.stdout}{got.stderr}')
        return got.stdout

    def _settings(self, folder, i):
        voters = ','.join(f'{n + 1}@{HOST}:{port}' for n, port in enumerate(self.control_ports))
        copies = min(3, len(self.ports))
        clients = f',CLIENTS://{HOST}:{self.client_ports[i]}' if self.security else ''
        return {
            'process.roles': 'broker,controller',
            'node.id': i + 1,
            'controller.quorum.voters': voters,
            'listeners': f'PLAINTEXT://{HOST}:{self.ports[i]},'
                         f'CONTROLLER://{HOST}:{self.control_ports[i]}{clients}',
            'advertised.listeners': f'PLAINTEXT://{HOST}:{self.ports[i]}{clients}',
            'controller.listener.names': 'CONTROLLER',
            'inter.broker.listener.name': 'PLAINTEXT',
            'listener.security.protocol.map':
                'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CLIENTS:SASL_SSL',
            **(self.security.settings(folder) if self.security else {}),
            'log.dirs': folder / 'data',
            'default.replication.factor': copies,
            'min.insync.replicas': max(1, copies - 1),
            'offsets.topic.replication.factor': copies,
            'transaction.state.log.replication.factor': copies,
            'transaction.state.log.min.isr': max(1, copies - 1),
            'share.coordinator.state.topic.replication.factor': copies,
            'share.coordinator.state.topic.min.isr': max(1, copies - 1),
            'unclean.leader.election.enable': 'false',
            'group.initial.rebalance.delay.ms': 0,
            'auto.create.topics.enable': 'false',
        }

    def _broker(self, folder, i):
        folder.mkdir(parents=True, exist_ok=True)
        conf = folder / 'server.properties'
        conf.write_text(''.join(f'{key}={value}\n'
                                for key, value in self._settings(folder, i).items()))
        self._tool('format', '-t', self.id, '-c', conf)
        return Process(folder, [*JAVA, '-cp', self.jars, 'kafka.Kafka', conf])

    @property
    def url(self):
        return 'kafka://' + ','.join(f'{HOST}:{port}' for port in self.ports) + '/counter-events'

    def processes(self):
        return self.brokers


def build_by_go(source, folder, package):
    need('go', 'golang-go')
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    got = subprocess.run(
        ['go', 'build', '-mod=mod', '-trimpath', '-p', '2', '-o', package.split('/')[-1], package],
        cwd=folder, capture_output=True, text=True,
        env={**os.environ, 'GOTOOLCHAIN': 'local', 'CGO_ENABLED': '0', 'GOFLAGS': ''})
    if got.returncode:
        raise Trouble(f'Go could not build {package}: {got.stderr[-2000:]}')


def go_program(name, package):
    """A program in .cache/NAME, built by Go as tools/NAME says."""
    source = ROOT / 'tools' / name
    folder = ROOT / '.cache' / name
    wanted = (source / 'go.mod').read_bytes()
    stamp = folder / 'built-from'
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_suffix('.lock'), 'w') as lock:  # tests side by side build it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_bytes() == wanted):
            build_by_go(source, folder, package)
            stamp.write_bytes(wanted)
    return folder / package.split('/')[-1]


def consul_program():
    """There is no package of it."""
    return go_program('consul', 'github.com/hashicorp/consul')


class Consul:
    """One agent that is server and client, with its data on disk: a restart knows everything."""

    STARTS = 3  # between our look at its ports and its own, others may take one

    def __init__(self, folder, settings=None, token='', https=-1):
        program = consul_program()
        folder.mkdir(parents=True, exist_ok=True)
        self.token = token
        for left in reversed(range(self.STARTS)):
            try:
                self._begin(program, folder, settings, https)
                return
            except BaseException as why:
                ended = isinstance(why, Trouble) and not self.process.alive()
                self.process.kill()
                if not (ended and left):
                    raise

    def _begin(self, program, folder, settings, https):
        names = ('http', 'dns', 'server', 'serf_lan')
        self.ports = {name: free_port() for name in names}
        conf = folder / 'agent.json'
        conf.write_text(json.dumps({
            'bind_addr': HOST, 'client_addr': HOST, 'data_dir': str(folder / 'data'),
            'node_name': 'dev', 'server': True, 'bootstrap_expect': 1, 'log_level': 'WARN',
            'disable_update_check': True, 'leave_on_terminate': False,
            # A lone server needs no leisure to elect itself.
            'performance': {'raft_multiplier': 1},
            'dns_config': {'allow_stale': True, 'service_ttl': {'*': '0s'}},
            'ports': {**self.ports, 'https': https, 'grpc': -1, 'serf_wan': -1},
            **(settings or {})}))
        self.process = Process(folder, [program, 'agent', '-config-file', conf])
        self.wait()

    def call(self, method, path, body=None):
        """The answer's JSON, or None where there is none; urllib's errors otherwise."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f'http://{HOST}:{self.ports["http"]}/v1/{path}',
                                         method=method, data=data)
        if self.token:
            request.add_header('X-Consul-Token', self.token)
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def _serves(self):
        # More than a leader's name: it has entered itself.
        try:
            return bool(self.call('GET', 'catalog/service/consul'))
        except (OSError, ValueError):
            return False

    def wait(self):
        wait_until('Consul', self._serves, self.process)

    def restart(self):
        self.process.start()
        self.wait()

    @property
    def url(self):
        return f'consul://{HOST}:{self.ports["http"]}'

    def processes(self):
        return [self.process]


class Toxiproxy:
    """Shopify's proxy, a network as bad as it is told to be; built by Go as Consul is."""

    def __init__(self, folder):
        tools = ROOT / '.cache/gotools'
        got = subprocess.run([ROOT / 'scripts/fetch_go_tools.sh', tools, 'toxiproxy'],
                             capture_output=True, text=True)
        if got.returncode:
            raise Trouble(f'no toxiproxy: {got.stderr[-500:]}')
        self.port = free_port()
        self.process = Process(folder, [tools / 'toxiproxy', '-host', HOST, '-port', self.port])
        try:
            wait_until('toxiproxy', lambda: self._answers(), self.process)
        except BaseException:
            self.process.kill()
            raise

    def call(self, method, path, body=None):
        """Its HTTP API; urllib's errors."""
        request = urllib.request.Request(f'{self.url}/{path}', method=method,
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def _answers(self):
        try:
            return self.call('GET', 'version') is not None
        except OSError:
            return False

    def add(self, name, target):
        """The address of a new proxy to 'target'."""
        made = self.call('POST', 'proxies', {'name': name, 'listen': f'{HOST}:0',
                                             'upstream': f'{target[0]}:{target[1]}'})
        host, port = made['listen'].rsplit(':', 1)
        return host, int(port)

    def late(self, name, ms):
        """What passes is late by so much, each way; 0: no longer."""
        for way in ('upstream', 'downstream'):
            if ms:
                self.call('POST', f'proxies/{name}/toxics',
                          {'name': way, 'type': 'latency', 'stream': way,
                           'attributes': {'latency': ms}})
            else:
                self.call('DELETE', f'proxies/{name}/toxics/{way}')

    @property
    def url(self):
        return f'http://{HOST}:{self.port}'

    def processes(self):
        return [self.process]


class Prometheus:
    """Prometheus with the configuration of deploy/prometheus, over what 'targets' lists, or what is
    registered in 'consul' (then one that is built for it: it takes minutes, once).

    Scrapes and looks at its rules every 'interval' seconds; 'mend' may change the rules' text.
    """

    # The admin listeners of roles that were started without flags.
    LOCAL = [{'targets': [f'{HOST}:{port}'], 'labels': {'role': role}}
             for role, port in (('gateway', 2112), ('counter', 2113), ('analytics', 2114))]

    def __init__(self, folder, targets=None, interval=15, mend=lambda rules: rules, consul=None):
        self.port = free_port()
        source = ROOT / 'deploy/prometheus'
        (folder / 'targets').mkdir(parents=True)
        conf = (source / ('consul.yml' if consul else 'prometheus.yml')).read_text()
        if consul:
            conf = conf.replace('127.0.0.1:8500', consul.url.removeprefix('consul://'))
        (folder / 'prometheus.yml').write_text(conf.replace(' 15s\n', f' {interval}s\n'))
        (folder / 'rules.yml').write_text(mend((source / 'rules.yml').read_text()))
        (folder / 'targets/local.yml').write_text(json.dumps(targets or self.LOCAL))
        self.process = Process(folder, [
            self.with_consul() if consul else self.program('prometheus'), f'--config.file={folder}/prometheus.yml',
            f'--storage.tsdb.path={folder}/data', f'--web.listen-address={HOST}:{self.port}'])
        wait_until('Prometheus', lambda: self.get('query', query='1') is not None, self.process)

    @staticmethod
    def with_consul():
        """Debian's is built without consul_sd_configs."""
        return go_program('prometheus_consul', 'github.com/prometheus/prometheus/cmd/prometheus')

    @staticmethod
    def program(name):
        """prometheus or promtool, out of Debian's package."""
        folder = ROOT / '.cache/prometheus'
        got = subprocess.run([ROOT / 'scripts/fetch_deb.sh', 'prometheus', folder],
                             capture_output=True, text=True)
        if got.returncode:
            raise Trouble(f'no Prometheus: {got.stderr}')
        return folder / 'usr/bin' / name

    def get(self, what, **params):
        """The data of an answer of its API; None: it gives none (now)."""
        url = f'{self.url}/api/v1/{what}?{urllib.parse.urlencode(params)}'
        try:
            with urllib.request.urlopen(url, timeout=READY_S) as answer:
                return json.load(answer)['data']
        except OSError:
            return None

    @property
    def url(self):
        return f'http://{HOST}:{self.port}'

    def processes(self):
        return [self.process]


KINDS = {
    'consul': Consul,
    'toxiproxy': Toxiproxy,
    'redis': Redis,
    'sentinel': Sentinels,
    'cluster': Cluster,
    'kafka': Kafka,
    'kafka3': lambda folder: Kafka(folder, 3),
    'prometheus': Prometheus,
}


# ---- up and down -----------------------------------------------------------

def runs(entry):
    return started_at(entry['pid']) == entry['began']


def read_state(path):
    return json.loads(path.read_text()) if path.exists() else {}


def up(folder, names):
    path = folder / 'state.json'
    state = {name: server for name, server in read_state(path).items()
             if all(runs(entry) for entry in server['processes'])}
    for name in names:
        if name in state:
            continue
        shutil.rmtree(folder / name, ignore_errors=True)
        server = KINDS[name](folder / name)
        state[name] = {'url': server.url,
                       'processes': [{'pid': process.pid, 'began': process.began}
                                     for process in server.processes()]}
        path.write_text(json.dumps(state, indent=1))
    lines = [f'{name.upper()}={state[name]["url"]}\n' for name in state]
    (folder / 'env').write_text(''.join(lines))
    sys.stdout.writelines(lines)


def down(folder):
    path = folder / 'state.json'
    running = [entry for server in read_state(path).values()
               for entry in server['processes'] if runs(entry)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for entry in filter(runs, running):
            os.kill(entry['pid'], number)
        end = time.monotonic() + END_S
        while any(map(runs, running)) and time.monotonic() < end:
            time.sleep(0.05)
    path.unlink(missing_ok=True)
    (folder / 'env').unlink(missing_ok=True)
    print(f'ended {len(running)} processes')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('action', choices=['up', 'down'])
    parser.add_argument('names', nargs='*', metavar='SERVER', help=' '.join(KINDS))
    parser.add_argument('--dir', type=pathlib.Path, default=ROOT / '.dev')
    args = parser.parse_intermixed_args()
    folder = args.dir.resolve()
    unknown = [name for name in args.names if name not in KINDS]
    if unknown:
        parser.error(f'{unknown[0]}: not one of {" ".join(KINDS)}')
    try:
        if args.action == 'down':
            down(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            up(folder, args.names or ['redis', 'kafka'])
    except Trouble as trouble:
        sys.exit(f'dev_servers: {trouble}')


if __name__ == '__main__':
    main()
