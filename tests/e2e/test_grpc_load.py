"""N concurrent increments over gRPC are answered with exactly the values 1 … N."""
import signal

from grpc_client import PYTHON, Client, Flood  # noqa: F401
from lib import check, eq

ROLE = 'counter'
LOOPS = 'both'
SMOKE = False
N = 20000
IN_FLIGHT = 1000


def storm(server, name, count, window, channels):
    clients = [Client(server) for _ in range(channels)]
    try:
        flood = Flood(window)
        requests = client_requests(clients, name)
        for n in range(count):
            flood.send(*requests[n % channels])
        values = [answer.current_value for answer in flood.wait()]
        eq(len(values), count, 'answers')
        check(sorted(values) == list(range(1, count + 1)), 'the values are not 1 … N, each once')
        eq(clients[0].get(name).current_value, count, 'the counter')
    finally:
        for client in clients:
            client.close()


def client_requests(clients, name):
    return [(client.counter('IncrementCounter', 'IncrementResponse'),
             client.pb.IncrementRequest(resource_id=name, counter_type='like'))
            for client in clients]


def test_a_thousand_calls_in_flight(server):
    """All of one channel: more than a connection may have streams, so some wait their turn."""
    client = Client(server)
    try:
        flood = Flood(IN_FLIGHT)
        request = client_requests([client], 'in-flight')[0]
        flood.send(*request)
        flood.wait()  # connected
        server.stand_still()
        for _ in range(IN_FLIGHT):
            flood.send(*request)
        server.send_signal(signal.SIGCONT)
        values = sorted(answer.current_value for answer in flood.wait())
        eq(flood.most, IN_FLIGHT, 'calls under way at once')
        check(values == list(range(1, IN_FLIGHT + 2)), 'the values are not 1 … N, each once')
    finally:
        client.close()


def test_every_value_once(server):
    storm(server, 'storm', N, 500, 4)


def test_keyed_increments_count_once(server):
    """Each of 500 keys is sent by four channels at the same time."""
    clients = [Client(server) for _ in range(4)]
    try:
        flood = Flood(400)
        for n in range(500):
            for client in clients:
                flood.send(client.counter('IncrementCounter', 'IncrementResponse'),
                           client.pb.IncrementRequest(resource_id='keyed', counter_type='like',
                                                      idempotency_key=f'keyed-{n}'))
        answers = flood.wait()
        fresh = sorted(a.current_value for a in answers if not a.replayed)
        eq(fresh, list(range(1, 501)), 'the first answers')
        eq(clients[0].get('keyed').current_value, 500, 'the counter')
    finally:
        for client in clients:
            client.close()
