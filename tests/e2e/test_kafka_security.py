"""Events to a real Kafka that lets in by TLS with a certificate and SASL alone; verify reads there too."""
import atexit
import os
import pathlib
import tempfile

import lib
from certs import Pki
from lib import Server, Skipped, check, eq, increment, refused
from test_kafka import dev_servers, events_state, figures, wait_for
from test_verify import found, verify

SMOKE = False
PASSWORD = 's3cret-kafka-pw'
shared = {}


def there():
    """A broker and the certificates around it, for the whole module."""
    if 'kafka' not in shared:
        try:
            dev_servers.need('java', 'default-jre-headless')
            dev_servers.kafka_jars()
        except dev_servers.Trouble as why:
            raise Skipped(f'no Kafka here: {why}'[:200]) from why
        pki = shared['pki'] = Pki()
        pki.make('broker', 'DNS:localhost,IP:127.0.0.1')
        pki.make('us', 'DNS:us')
        pki.make('stranger', 'DNS:us', ca='other')
        shared['folder'] = tempfile.TemporaryDirectory(prefix='hgp-kafka-')
        shared['kafka'] = dev_servers.Kafka(
            pathlib.Path(shared['folder'].name), security=dev_servers.KafkaSecurity(
                pki.pem('ca'), pki.pem('broker'), pki.key('broker'), {'svc': PASSWORD}))
        atexit.register(lambda: [process.kill() for process in shared['kafka'].processes()])
    return shared['kafka'], shared['pki']


def url(scheme='kafkas', user='svc@', topic='counter-events'):
    return f'{scheme}://{user}127.0.0.1:{there()[0].client_ports[0]}/{topic}'


def password_file(text, mode=0o600):
    path = pathlib.Path(shared['folder'].name) / f'password-{len(os.listdir(shared["folder"].name))}'
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def settings(ca='ca', who='us', password=PASSWORD, mechanism=None, mode=0o600):
    _, pki = there()
    made = {'HGP_KAFKA_TLS_CA_FILE': str(pki.pem(ca))}
    if who:
        made.update({'HGP_KAFKA_TLS_CERT_FILE': str(pki.pem(who)),
                     'HGP_KAFKA_TLS_KEY_FILE': str(pki.key(who))})
    if password:
        made['HGP_KAFKA_PASSWORD_FILE'] = password_file(password + '\n', mode)
    if mechanism:
        made['HGP_KAFKA_SASL_MECHANISM'] = mechanism
    return made


def silent(said):
    check(PASSWORD not in said and 'wr0ng' not in said, 'a password is in what it says')


def test_every_mechanism():
    for mechanism in ('plain', 'scram-sha-256', None):
        env = settings(mechanism=mechanism)
        where = url(topic=f'by-{mechanism}')
        with Server(flags=['--events', where], env=env) as server:
            for n in range(20):
                increment(server, f'k-{n % 3}', n + 1)
            # Before 2.6.1 librdkafka's SCRAM is wrong, and Kafka 4 refuses it.
            if 'Kafka may not let us in' in server.said():
                check(mechanism != 'plain', server.said())
                wait_for('the refusal is said', lambda: 'SCRAM' in str(events_state(server)))
                print(f'     {mechanism or "scram-sha-512"}: refused, as this librdkafka is too old',
                      flush=True)
                silent(server.said())
                continue
            wait_for('all events are there', lambda: figures(server)['events_sent'] == 20)
            eq(events_state(server)['status'], 'shipping', 'readiness')
            got = found(0, f'by {mechanism}', '--data', server.data, '--events', where, env=env)
            eq((got['counters'], got['events']), (3, 20), f'by {mechanism}')
            eq(server.stop(), 0, 'exit code')
            silent(server.said())


def test_a_password_in_the_url():
    where = url(user=f'svc:{PASSWORD}@', topic='by-url')
    env = settings(password=None, mechanism='plain')
    with Server(flags=['--events', where], env=env) as server:
        increment(server, 'a')
        wait_for('the event is there', lambda: figures(server)['events_sent'] == 1)
        eq(server.stop(), 0, 'exit code')
        silent(server.said())
    code, said = refused(['--events', where, '--print-config'], env=env)
    eq(code, 0, said)
    silent(said)


def test_who_is_not_let_in():
    """Counting goes on, and it is said why events don't leave."""
    for env, word in ((settings(password='wr0ng', mechanism='plain'), 'SASL'),
                      (settings(ca='other'), 'certificate'),
                      (settings(who='stranger'), 'SSL'),
                      (settings(who=None), 'SSL')):
        with Server(flags=['--events', url()], env=env) as server:
            eq(increment(server, 'a').status, 200, 'counting')
            wait_for(f'the trouble is said: {events_state(server)}',
                     lambda: word in str(events_state(server)))
            eq(figures(server)['events_sent'], 0, 'events')
            server.kill()
            silent(server.said())
            code, out, err = verify('--data', server.data, '--events', url(), '--wait', '1', env=env)
            eq((code, out), (69, ''), err)
            check(word in err, err)
            silent(err)


def test_what_can_t_be_meant():
    for where, env, problem in (
            (url(user=''), settings(), 'names no user'),
            (url(), settings(password=None), 'has a user and no password'),
            (url(user=f'svc:{PASSWORD}@'), settings(), 'and so has kafka.password_file'),
            (url('kafka'), settings(mechanism='plain'), 'for all to read'),
            (url('kafka'), settings(), 'TLS is kafkas://'),
            (url(), settings(mode=0o644), 'others may read it'),
            (url(), {**settings(), 'HGP_KAFKA_TLS_KEY_FILE': ''}, 'no use without its key'),
            (url(), {**settings(), 'HGP_KAFKA_TLS_KEY_FILE': '/nowhere'}, '/nowhere')):
        with tempfile.TemporaryDirectory() as data:
            code, said = refused(['--events', where], data=data, env=env)
        eq(code, lib.os.EX_CONFIG, said)
        check(problem in said, said)
        silent(said)
