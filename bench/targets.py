"""targets.py - the servers that can be measured, by name: kind+option+option.

    nginx1 nginx2       'return 200' by one or two workers
    all                 one process
    split               a gateway and a counter; unbatched: one operation a message
    direct              a gateway that counts itself
    gin                 bench/peers/gin and a Redis: what a team writes in an afternoon
    transcode           grpc-gateway in front of a counter, where 'split' has a gateway
    webdis              Redis over HTTP

    fast local replicated   the durability; default fast
    redis                   counts in a Redis over its unix socket, instead of RocksDB; 'fast' is
                            appendfsync everysec, 'local' always, 'replicated' always and a replica
    kafka                   ships every event to a real Kafka, too: a store of four lanes
    lane                    a store of one lane, also with a Kafka
    quiet                   without analytics: events stay in the outbox
    epoll io_uring          the event loop
    poll                    it polls for up to 200 µs before it sleeps
    tls h2                  how clients talk: HTTPS, HTTP/2
"""
import json
import pathlib
import subprocess
import sys

from bench import (BENCH, ROOT, Nginx, Ours, Split, Target, free_port, need, own_folder, wait_for)

sys.path[:0] = [str(ROOT / 'tools'), str(ROOT / 'tests/e2e')]
import dev_servers  # noqa: E402
from certs import Pki  # noqa: E402

DURABILITY = ('fast', 'local', 'replicated')
OPTIONS = {*DURABILITY, 'redis', 'kafka', 'lane', 'quiet', 'epoll', 'io_uring', 'poll', 'tls',
           'h2'}
FSYNC = {'fast': 'everysec', 'local': 'always'}


class Behind:
    """A server and what it counts in and ships to, as one."""

    def __init__(self, front, behind):
        self.front = front
        self.behind = behind  # (name, of dev_servers)
        self.name, self.scheme, self.h2 = front.name, front.scheme, front.h2
        self.loads = getattr(front, 'loads', {})

    def start(self):
        started = self.front.start()
        self.port = self.front.port if started else 0
        return self if started else None

    def processes(self):
        return self.front.processes() | {
            name: [process.pid for process in server.processes()] for name, server in self.behind}

    def stop(self):
        self.front.stop()
        for _, server in self.behind:
            for process in server.processes():
                process.end()


class Peer(Target):
    """A server that isn't ours, in front of what ours has behind it: a Redis, or a counter's address."""

    def __init__(self, name, folder, behind):
        super().__init__(name, folder)
        self.behind = behind

    def start(self):
        self.port = free_port()
        with open(pathlib.Path(self.folder, 'log'), 'w') as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.folder)
        wait_for(self.port, self.process)
        return self


class Gin(Peer):
    def command(self):
        need('go')
        program = ROOT / 'build/bench/gin'
        subprocess.run(['go', 'build', '-o', program, '.'], cwd=BENCH / 'peers/gin', check=True)
        return [program, f'127.0.0.1:{self.port}', self.behind.socket]


class Webdis(Peer):
    loads = {'hot': 'webdis_hot', 'keys': 'webdis_keys'}

    def command(self):
        package = ROOT / 'build/bench/webdis'
        subprocess.run([ROOT / 'scripts/fetch_deb.sh', 'webdis', package], check=True)
        conf = pathlib.Path(self.folder, 'webdis.json')
        conf.write_text(json.dumps({
            'redis_host': '127.0.0.1', 'redis_port': self.behind.port, 'http_host': '127.0.0.1',
            'http_port': self.port, 'threads': 2, 'pool_size': 20, 'daemonize': False,
            'websockets': False, 'database': 0, 'verbosity': 0,
            'logfile': str(pathlib.Path(self.folder, 'webdis.log')),
            'acl': [{'disabled': []}]}))
        return [package / 'usr/bin/webdis', conf]


class GrpcGateway(Peer):
    def command(self):
        need('go', 'protoc')
        built = ROOT / 'build/bench/transcode'
        subprocess.run([BENCH / 'peers/transcode/build.sh', built], check=True)
        return [built / 'transcode', f'127.0.0.1:{self.port}', self.behind]


class Transcoded(Split):
    """A counter process, and somebody else's gateway."""

    def in_front(self, folder, counter):
        return GrpcGateway('grpc-gateway', folder, counter)


PEERS = {'gin': Gin, 'webdis': Webdis}
SPLIT = {'split': Split, 'unbatched': Split, 'transcode': Transcoded}


def certificates(folder):
    pki = Pki()
    pki.folder = pathlib.Path(folder)
    pki.make('localhost', 'DNS:localhost,IP:127.0.0.1')
    return pki


def store_of(options, folder):
    """(the servers of dev_servers, flags)."""
    if 'redis' not in options:
        return [], []
    if 'replicated' in options:
        both = dev_servers.Sentinels(folder / 'redis')
        return [('redis', both)], ['--store', both.url]
    redis = dev_servers.Redis(folder / 'redis', '--appendfsync', FSYNC[durability_of(options)])
    return [('redis', redis)], ['--store', f'redis+unix://{redis.socket}']


def durability_of(options):
    return next((word for word in DURABILITY if word in options), 'fast')


def flags_of(options):
    """Of every process of ours. A Redis says itself what a write survives."""
    flags = [word for loop in ('epoll', 'io_uring') if loop in options for word in ('--loop', loop)]
    if 'redis' not in options or 'replicated' in options:
        flags += ['--durability', durability_of(options)]
    return flags


def front_of(kind, options, name, own, binary, flags, more):
    env = {**more, **({'HGP_ANALYTICS_ENABLED': 'false'} if 'quiet' in options else {})}
    if 'lane' in options:
        env['HGP_LANES'] = '1'
    if 'poll' in options:
        env['HGP_BUSY_POLL_US'] = '200'
    if 'tls' in options:
        pki = certificates(own)
        env.update({'HGP_HTTP_TLS_CERT_FILE': str(pki.pem('localhost')),
                    'HGP_HTTP_TLS_KEY_FILE': str(pki.key('localhost'))})
    if kind == 'unbatched':
        env['HGP_BATCH_OPERATIONS'] = '1'
    if kind in SPLIT:
        return SPLIT[kind](name, own, binary, flags, env)
    listeners = ('http', 'admin')
    data = [] if 'redis' in options else ['--data', f'{own}/data']
    role = {'all': 'all', 'direct': 'gateway'}[kind]
    more = ['--upstream', 'direct'] if kind == 'direct' else []
    return Ours(name, own, binary, role, listeners, [*flags, *data, *more, '--threads', '1'], env)


def make(name, folder, binary, called=None, env=None):
    """A target that hasn't started; what is behind it has. 'called' tells two of the same name apart,
    'env' is for processes of ours."""
    kind, *options = name.split('+')
    if unknown := set(options) - OPTIONS:
        sys.exit(f'bench: {name}: there is no {", ".join(sorted(unknown))}; {__doc__}')
    own = own_folder(folder, called or name)
    if kind in ('nginx1', 'nginx2'):
        pki = certificates(own) if 'tls' in options else None
        return Nginx(name, own, int(kind[-1]), pki, 'h2' in options)
    if kind in PEERS:
        behind, _ = store_of(['redis', *options], pathlib.Path(own))
        return Behind(PEERS[kind](name, own, behind[0][1]), behind)
    if kind not in ('all', 'direct', *SPLIT):
        sys.exit(f'bench: there is no server {kind}; {__doc__}')
    behind, flags = store_of(options, pathlib.Path(own))
    if 'kafka' in options:
        kafka = dev_servers.Kafka(pathlib.Path(own, 'kafka'))
        behind.append(('kafka', kafka))
        flags += ['--events', kafka.url]
    front = front_of(kind, options, called or name, own, binary, flags_of(options) + flags, env or {})
    front.scheme, front.h2 = 'https' if 'tls' in options else 'http', 'h2' in options
    return Behind(front, behind) if behind else front


def start_all(names, folder, binary, running):
    """Adds to 'running' as it goes, so that what did start can be stopped."""
    for name in names:
        target = make(name, folder, binary)
        if target.start():
            running.append(target)
    return running
