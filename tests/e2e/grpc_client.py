"""grpc_client.py - Python's grpcio as a client that isn't ours.

grpcio and protobuf are Debian's, for Debian's interpreter (a module that uses this sets
PYTHON). Messages come from scripts/generate_proto.sh, as any user would make them; calls
are made by path, so that no generated stub hides what is sent.
"""
import atexit
import collections
import os
import subprocess
import sys
import tempfile
import threading

from lib import WAIT_S, Failed, Skipped, eq, tree

PYTHON = '/usr/bin/python3'
COUNTER = 'counter.CounterService'
ANALYTICS = 'analytics.AnalyticsService'
HEALTH = 'grpc.health.v1.Health'

Modules = collections.namedtuple('Modules', 'grpc counter lanes outbox analytics health reflection reflection_alpha')
_loaded = None


def modules():
    """grpcio and the messages, generated once for each process."""
    global _loaded
    if _loaded:
        return _loaded
    try:
        import google.protobuf  # noqa: F401
        import grpc
    except ImportError as why:
        raise Skipped(f'{sys.executable}: {why} (Debian: python3-grpcio, python3-protobuf)') \
            from None
    folder = tempfile.TemporaryDirectory(prefix='hgp-stubs-')
    atexit.register(folder.cleanup)
    done = subprocess.run([tree() / 'scripts/generate_proto.sh', folder.name, 'python'],
                          capture_output=True, text=True, env=os.environ)
    eq(done.returncode, 0, f'generate_proto.sh: {done.stderr}')
    sys.path.insert(0, os.path.join(folder.name, 'python'))
    from analytics import analytics_pb2
    from counter import counter_pb2
    from counter.internal import lanes_pb2, outbox_pb2
    from grpc_services import health_pb2, reflection_v1_pb2, reflection_v1alpha_pb2
    _loaded = Modules(grpc, counter_pb2, lanes_pb2, outbox_pb2, analytics_pb2, health_pb2,
                      reflection_v1_pb2, reflection_v1alpha_pb2)
    return _loaded


def identity(data):
    return data


class Client:
    """A channel of its own (no connection is shared between two of these)."""

    def __init__(self, server, credentials=None, **channel):
        self.modules = modules()
        self.grpc = self.modules.grpc
        self.pb = self.modules.counter
        options = [('grpc.use_local_subchannel_pool', 1), ('grpc.enable_http_proxy', 0),
                   ('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)]
        address = '%s:%d' % server.grpc
        self.channel = self.grpc.secure_channel(address, credentials, options, **channel) \
            if credentials else self.grpc.insecure_channel(address, options, **channel)
        self.made = {}

    def method(self, path, answer, kind='unary_unary'):
        """The callable of a path; requests may be messages or raw bytes."""
        key = (path, kind)
        if key not in self.made:
            self.made[key] = getattr(self.channel, kind)(
                path, lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
                answer.FromString if answer else identity)
        return self.made[key]

    def counter(self, name, response):
        return self.method(f'/{COUNTER}/{name}', getattr(self.pb, response))

    # --- the methods; fields by name ---------------------------------------------------------

    def increment(self, resource_id, delta=0, key='', counter_type='like', timeout=WAIT_S):
        return self.counter('IncrementCounter', 'IncrementResponse')(self.pb.IncrementRequest(
            resource_id=resource_id, counter_type=counter_type, delta=delta,
            idempotency_key=key), timeout=timeout)

    def get(self, resource_id, counter_type='like'):
        return self.counter('GetCounter', 'GetCounterResponse')(self.pb.GetCounterRequest(
            resource_id=resource_id, counter_type=counter_type), timeout=WAIT_S)

    def batch_get(self, names, counter_type='like'):
        request = self.pb.BatchGetRequest(requests=[
            self.pb.GetCounterRequest(resource_id=name, counter_type=counter_type)
            for name in names])
        return self.counter('BatchGetCounters', 'BatchGetResponse')(request, timeout=WAIT_S)

    def batch_increment(self, items):
        """'items' are (resource_id, delta, key)."""
        request = self.pb.BatchIncrementRequest(requests=[
            self.pb.IncrementRequest(resource_id=name, counter_type='like', delta=delta,
                                     idempotency_key=key) for name, delta, key in items])
        return self.counter('BatchIncrementCounters', 'BatchIncrementResponse')(
            request, timeout=WAIT_S)

    def set(self, resource_id, value, key='', counter_type='like'):
        return self.counter('SetCounter', 'SetCounterResponse')(self.pb.SetCounterRequest(
            resource_id=resource_id, counter_type=counter_type, value=value,
            idempotency_key=key), timeout=WAIT_S)

    def delete(self, resource_id, key='', counter_type='like'):
        return self.counter('DeleteCounter', 'DeleteCounterResponse')(
            self.pb.DeleteCounterRequest(resource_id=resource_id, counter_type=counter_type,
                                         idempotency_key=key), timeout=WAIT_S)

    def watch(self, *names, counter_type='like', timeout=None):
        """Messages without end: an iterator, and a call."""
        request = self.pb.WatchRequest(requests=[
            self.pb.GetCounterRequest(resource_id=name, counter_type=counter_type)
            for name in names])
        return self.method(f'/{COUNTER}/Watch', self.pb.WatchResponse, 'unary_stream')(
            request, timeout=timeout)

    # --- analytics ---------------------------------------------------------------------------

    def top(self, counter_type='like', **fields):
        messages = self.modules.analytics
        return self.method(f'/{ANALYTICS}/GetTopCounters', messages.TopCountersResponse)(
            messages.TopCountersRequest(counter_type=counter_type, **fields), timeout=WAIT_S)

    def stats(self, resource_id, counter_type='like', **fields):
        messages = self.modules.analytics
        return self.method(f'/{ANALYTICS}/GetCounterStats', messages.StatsResponse)(
            messages.StatsRequest(resource_id=resource_id, counter_type=counter_type, **fields),
            timeout=WAIT_S)

    # --- the rest ----------------------------------------------------------------------------

    def code(self, function, *arguments, **named):
        """The name of the status a call ends with, and its message."""
        try:
            function(*arguments, **named)
        except self.grpc.RpcError as error:
            return error.code().name, error.details()
        return 'OK', ''

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Flood:
    """Many calls under way at once, never more than 'window'; every one must be answered."""

    def __init__(self, window):
        self.room = threading.Semaphore(window)
        self.lock = threading.Lock()
        self.answers = []
        self.errors = []
        self.done = threading.Condition(self.lock)
        self.sent = 0
        self.most = 0

    def send(self, method, request):
        if not self.room.acquire(timeout=WAIT_S):
            raise Failed('no answer came')
        with self.lock:
            self.sent += 1
            self.most = max(self.most, self.sent - len(self.answers) - len(self.errors))
        method.future(request, timeout=60).add_done_callback(self._answered)

    def _answered(self, future):
        error = future.exception()
        with self.lock:
            if error is None:
                self.answers.append(future.result())
            else:
                self.errors.append(str(error.code()))
            self.done.notify_all()
        self.room.release()

    def wait(self):
        with self.lock:
            if not self.done.wait_for(
                    lambda: len(self.answers) + len(self.errors) == self.sent, timeout=60):
                raise Failed(f'{self.sent} sent, {len(self.answers)} answered')
        eq(collections.Counter(self.errors), collections.Counter(), 'errors')
        return self.answers
