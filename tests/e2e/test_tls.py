"""TLS and mTLS with clients that aren't ours: curl, the openssl command, Python's ssl, grpcio."""
import json
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import grpc_client
from certs import Pki, openssl
from lib import (WAIT_S, Connection, Failed, Gone, Server, call, check, counter_path, eq, exchange,
                 refused, request_bytes)

PYTHON = grpc_client.PYTHON
LOOPS = 'both'
HERE = 'DNS:localhost,IP:127.0.0.1'


def tls_env(pki, group, name='server', **more):
    files = {'CERT_FILE': pki.pem(name), 'KEY_FILE': pki.key(name), **more}
    return {f'HGP_{group}_TLS_{key}': str(value) for key, value in files.items()}


def serve_http(pki, **env):
    pki.make('server', HERE)
    return Server(env={**tls_env(pki, 'HTTP'), **env})


def trusting(pki, ca='ca', alpn=('http/1.1',)):
    context = ssl.create_default_context(cafile=str(pki.authority(ca)))
    context.set_alpn_protocols(list(alpn))
    return context


class Secure(Connection):
    """A lib.Connection under TLS."""

    def __init__(self, address, context, timeout_s=WAIT_S):
        super().__init__(address, timeout_s)
        # A FIN without close_notify is an error here, as it is to careful clients.
        self.socket = context.wrap_socket(self.socket, server_hostname='localhost',
                                          suppress_ragged_eofs=False)

    def serial(self):
        return int(self.socket.getpeercert()['serialNumber'], 16)


def s_client(address, *words, data=b''):
    return openssl('s_client', '-connect', '%s:%d' % address, *words, data=data)


def log_lines(server):
    return [json.loads(line) for line in server.said().splitlines() if line.startswith('{')]


def wait_for_log(server, word, count=1):
    end = time.monotonic() + WAIT_S
    while True:
        found = [line for line in log_lines(server) if word in json.dumps(line)]
        if len(found) >= count:
            return found
        check(time.monotonic() < end, f'{count} x "{word}" in the log: {server.said()[-800:]}')
        time.sleep(0.02)


# --- HTTP clients ------------------------------------------------------------------------------


def curl(pki, url, *words):
    done = subprocess.run(
        ['curl', '-sS', '--noproxy', '*', '--cacert', pki.pem('ca'), '-w',
         '\n%{http_version} %{http_code}', *words, url], capture_output=True, text=True,
        timeout=WAIT_S)
    body, _, last = done.stdout.rpartition('\n')
    return done.returncode, body, last, done.stderr


def test_curl():
    with Pki() as pki, serve_http(pki) as server:
        url = f'https://localhost:{server.http[1]}'
        post = ['-d', '{"resource_id":"tls","counter_type":"like"}', '-H',
                'Content-Type: application/json']
        for round_, version in enumerate((['--tlsv1.2', '--tls-max', '1.2'], ['--tlsv1.3'])):
            code, body, last, said = curl(pki, f'{url}/api/v1/counter/increment', '--http1.1',
                                          *version, *post)
            eq((code, last), (0, '1.1 200'), f'curl {version}: {said}')
            eq(json.loads(body)['data']['current_value'], round_ + 1, 'the value')
        _, said = s_client(server.http, '-alpn', 'h2,http/1.1')
        offers_h2 = 'ALPN protocol: h2' in said
        check(offers_h2 or 'ALPN protocol: http/1.1' in said, f'no ALPN: {said}')
        code, body, last, said = curl(pki, url + counter_path('tls'))
        eq((code, last), (0, '2 200' if offers_h2 else '1.1 200'), f'curl by ALPN: {said}')
        code, _, _, said = curl(pki, f'https://127.0.0.2:{server.http[1]}/')
        check(code != 0, 'another name or address is accepted')
        check('curl' in server.said() and 'https://' in server.said(), 'the line to try')


def test_plain_and_admin():
    with Pki() as pki, serve_http(pki) as server:
        eq(exchange(server.http, request_bytes('GET', counter_path('x'))), None,
           'plain HTTP to the TLS port')
        line = wait_for_log(server, 'a TLS handshake failed')[0]
        check('plain HTTP' in line['detail'], line)
        eq(call(server.admin, 'GET', '/metrics').status, 200, 'the admin listener is plain')


def test_versions_suites_and_alpn():
    with Pki() as pki, serve_http(pki) as server:
        weak = ['-cipher', 'ALL:@SECLEVEL=0']
        for words, good in ((['-tls1', *weak], False), (['-tls1_1', *weak], False),
                            (['-tls1_2', *weak], True), (['-tls1_3'], True),
                            (['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA'], False),
                            (['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES256-GCM-SHA384'], True),
                            (['-alpn', 'spdy/3'], False), (['-alpn', 'spdy/3,http/1.1'], True)):
            code, said = s_client(server.http, *words)
            eq(code == 0, good, f's_client {words}: {said[-600:]}')
            if not good and words[0] == '-tls1_1':
                check('protocol version' in said, f's_client {words}: {said[-600:]}')
            if not good and words[0] == '-alpn':
                check('no application protocol' in said, f's_client {words}: {said[-600:]}')
        _, said = s_client(server.http, '-tls1_2')
        check('Compression: NONE' in said and 'TLS session ticket:' not in said, said)


def test_no_renegotiation():
    """The client asks for it (R); the server says no and the connection is of no use any more."""
    with Pki() as pki, serve_http(pki) as server:
        _, said = s_client(server.http, '-tls1_2', '-quiet', '-no_ign_eof', data=b'R\n')
        check('no renegotiation' in said, said[-600:])


def test_ends():
    """Answers end with close_notify, also when the server hangs up first."""
    with Pki() as pki, serve_http(pki) as server:
        with Secure(server.http, trusting(pki)) as connection:
            answer = connection.request('GET', counter_path('x'), headers=[('Connection', 'close')])
            eq(answer.status, 200, repr(answer))
            eq(connection.socket.recv(1), b'', 'the end')  # no SSLEOFError
        with Secure(server.http, trusting(pki)) as connection:
            connection.send(request_bytes('GET', counter_path('x')))
            eq(connection.answer().status, 200, 'a request')
            connection.socket.unwrap()  # our close_notify, and the server's
        with Secure(server.http, trusting(pki)) as connection:
            eq(connection.request('GET', counter_path('x')).status, 200, 'before a drain')
            eq(server.stop(), 0, 'the exit code of a drain')
            eq(connection.socket.recv(1), b'', 'the end of a drain')


def test_handshakes_have_a_deadline():
    with Pki() as pki, serve_http(pki, HGP_TIMEOUTS_HEADER_MS='200') as server:
        for data in (b'', b'\x16\x03\x01'):
            with socket.create_connection(server.http, timeout=WAIT_S) as silent:
                silent.sendall(data)
                eq(silent.recv(1), b'', 'the end')
        wait_for_log(server, 'the handshake took too long', 2)


# --- reload ------------------------------------------------------------------------------------


class Load(threading.Thread):
    """Connects, asks a few times, and again; what goes wrong is an error."""

    def __init__(self, server, context):
        super().__init__(daemon=True)
        self.address, self.context = server.http, context
        self.stop = threading.Event()
        self.serials, self.errors, self.answers = set(), [], 0

    def run(self):
        while not self.stop.is_set():
            try:
                with Secure(self.address, self.context) as connection:
                    self.serials.add(connection.serial())
                    for _ in range(5):
                        eq(connection.request('GET', counter_path('x')).status, 200, 'status')
                        self.answers += 1
            except (OSError, Gone, Failed) as why:
                self.errors.append(repr(why))


def test_reload_under_load():
    with Pki() as pki, serve_http(pki) as server:
        context = trusting(pki)
        loads = [Load(server, context) for _ in range(4)]
        with Secure(server.http, context) as old:
            before = old.serial()
            for load in loads:
                load.start()
            for round_ in range(1, 6):
                pki.make('server', HERE)
                server.send_signal(signal.SIGHUP)
                wait_for_log(server, 'certificates were read again', round_)
                with Secure(server.http, context) as new:
                    eq(new.serial(), pki.serial, 'the certificate after a reload')
            eq(old.request('GET', counter_path('x')).status, 200, 'a connection from before')
            eq(old.serial(), before, 'its certificate')
        for load in loads:
            load.stop.set()
        for load in loads:
            load.join(WAIT_S)
        eq([e for load in loads for e in load.errors], [], 'errors')
        check(sum(load.answers for load in loads) > 50, 'hardly any load')
        check(len(set.union(*(load.serials for load in loads))) > 2, 'the load saw no reloads')


def test_bad_reload_changes_nothing():
    with Pki() as pki, serve_http(pki) as server:
        serial = pki.serial
        pki.make('other', HERE)
        pki.key('other').replace(pki.key('server'))  # not the certificate's
        server.send_signal(signal.SIGHUP)
        line = wait_for_log(server, 'could not be read again')[0]
        check('server.key' in line['detail'] and 'not the certificate' in line['detail'], line)
        with Secure(server.http, trusting(pki)) as connection:
            eq(connection.serial(), serial, 'the certificate')
        pki.make('server', HERE)
        server.send_signal(signal.SIGHUP)
        wait_for_log(server, 'certificates were read again')
        with Secure(server.http, trusting(pki)) as connection:
            eq(connection.serial(), pki.serial, 'the certificate')


def test_hangup_without_tls():
    with Server() as server:
        server.send_signal(signal.SIGHUP)
        wait_for_log(server, 'TLS is off')
        eq(call(server.http, 'GET', counter_path('x')).status, 200, 'after SIGHUP')


# --- what is refused at the start ---------------------------------------------------------------


def test_refused_settings():
    with Pki() as pki, tempfile.TemporaryDirectory() as data:
        pki.make('server', HERE)
        pem, key = str(pki.pem('server')), str(pki.key('server'))
        rows = (('all', {'HTTP_TLS_CERT_FILE': pem}, 'http_tls.cert_file (HGP_HTTP_TLS_CERT_FILE) '
                                                     'needs http_tls.key_file: '),
                ('all', {'HTTP_TLS_KEY_FILE': key}, 'needs http_tls.cert_file'),
                ('all', {'GRPC_TLS_KEY_FILE': key}, 'needs grpc_tls.cert_file'),
                ('all', {'GRPC_TLS_NAMES': 'a'}, 'needs grpc_tls.ca_file'),
                ('counter', {'GRPC_TLS_CA_FILE': pem}, 'would be plain'),
                ('all', {'HTTP_TLS_CERT_FILE': pem, 'HTTP_TLS_KEY_FILE': pem + 'x'},
                 'No such file'))
        for role, env, sentence in rows:
            env = {f'HGP_{name}': value for name, value in env.items()}
            flags = ['--admin', '127.0.0.1:0', '--data', data]
            code, said = refused(flags, env=env, role=role)
            eq(code, 78, f'{env}: {said[-400:]}')
            check(sentence in said, f'{env}: {said[-400:]}')
        pki.key('server').chmod(0o644)
        code, said = refused(['--data', data], env=tls_env(pki, 'HTTP'))
        eq(code, 78, said[-400:])
        check('server.key' in said and 'chmod 600' in said, said[-400:])


# --- gRPC between services ----------------------------------------------------------------------


def grpc_try(server, pki, ca='ca', name=None):
    """The increment's value, or the status it failed with."""
    grpc = grpc_client.modules().grpc

    def read(path):
        return path.read_bytes()
    credentials = grpc.ssl_channel_credentials(
        read(pki.authority(ca)), read(pki.key(name)) if name else None,
        read(pki.pem(name)) if name else None)
    client = grpc_client.Client(server, credentials=credentials)
    try:
        return client.increment('mtls', timeout=5).current_value
    except grpc.RpcError as why:
        return why.code().name
    finally:
        client.channel.close()


def test_grpc_mutual():
    with Pki() as pki:
        pki.make('server', HERE)
        pki.make('gateway', 'URI:spiffe://test/gateway')
        pki.make('intern', 'DNS:intern.test')
        pki.make('stranger', 'URI:spiffe://test/gateway', ca='other-ca')
        env = tls_env(pki, 'GRPC', CA_FILE=pki.pem('ca'),
                      NAMES='gw.test, spiffe://test/gateway')
        with Server(role='counter', env=env) as server:
            eq(grpc_try(server, pki, name='gateway'), 1, 'the gateway')
            eq(grpc_try(server, pki), 'UNAVAILABLE', 'without a certificate')
            eq(grpc_try(server, pki, name='intern'), 'UNAVAILABLE', 'another name')
            eq(grpc_try(server, pki, name='stranger'), 'UNAVAILABLE', "another CA's")
            eq(grpc_try(server, pki, ca='other-ca', name='gateway'), 'UNAVAILABLE',
               'a client that trusts others')
            plain = grpc_client.Client(server)
            try:
                plain.increment('mtls', timeout=2)
                raise Failed('a plain client is served')
            except plain.grpc.RpcError:
                pass
            finally:
                plain.channel.close()
            for word in ('showed no certificate', 'none of the names', 'unable to get local issuer',
                         'hung up in the handshake', 'is not TLS'):
                wait_for_log(server, word)
            words = ['-cert', pki.pem('gateway'), '-key', pki.key('gateway'), '-tls1_2']
            code, said = s_client(server.grpc, *words)
            check('no application protocol' in said, f'without ALPN: {said[-500:]}')
            code, said = s_client(server.grpc, *words, '-alpn', 'h2')
            eq(code, 0, said[-500:])
            check('ALPN protocol: h2' in said, said[-500:])
            eq(grpc_try(server, pki, name='gateway'), 2, 'the gateway, afterwards')
            eq(server.stop(), 0, 'exit code')


def test_grpc_one_way():
    with Pki() as pki:
        pki.make('server', HERE)
        with Server(role='counter', env=tls_env(pki, 'GRPC')) as server:
            eq(grpc_try(server, pki), 1, 'any client')
