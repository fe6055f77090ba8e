"""proxy.py - TCP between a gateway and a counter, as bad as a test wants it.

Forwards until it is told otherwise. Faults take hold wherever the bytes are: in the middle of a
frame, of a header, of the preface.
"""
import random
import socket
import struct
import threading
import time

CHUNK = 4096


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = socket.create_connection(proxy.target)
        self.closed = False
        self.bytes_left = proxy.bytes_of_a_link()
        self.lock = threading.Lock()
        for source, sink in ((client, self.server), (self.server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _take(self, count):
        """How many of 'count' bytes may pass; None: all."""
        with self.lock:
            if self.bytes_left is None:
                return None
            took = min(count, self.bytes_left)
            self.bytes_left -= took
            return took if took < count or self.bytes_left == 0 else None

    def _forward(self, source, sink):
        try:
            while data := source.recv(CHUNK):
                self.proxy.open.wait()
                time.sleep(self.proxy.rng.uniform(0, self.proxy.lag_s))
                if source is self.client:
                    self.proxy.pace(len(data))
                allowed = self._take(len(data))
                sink.sendall(data[:allowed])
                if allowed is not None:
                    self.proxy.end(self, sink)
                    return
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut(reset=True)

    def half_close(self, sink):
        """The end of what goes to 'sink'; the other way stays open."""
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self, reset):
        with self.lock:
            if self.closed:
                return
            self.closed = True
        for sock in (self.client, self.server):
            try:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


class Proxy:
    """Listens at 'address', forwards to 'target'.

    cut_between  (least, most) bytes after which a connection ends, one way or another; None: never
    lag_s        how late bytes may be: each link of its own, so that they overtake each other
    bytes_per_s  of what clients send, over all links; None: as many as come
    hold()       what comes stays here, until release()
    """

    def __init__(self, target, seed=0, cut_between=None, lag_s=0, bytes_per_s=None):
        self.target = target
        self.bytes_per_s = bytes_per_s
        self.free_at = 0
        self.pacing = threading.Lock()
        self.lag_s = lag_s
        self.rng = random.Random(seed)
        self.cut_between = cut_between
        self.open = threading.Event()
        self.open.set()
        self.links = []
        self.ends = {'reset': 0, 'close': 0, 'half': 0}
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.links.append(Link(self, client))
            except OSError:
                client.close()  # nobody listens behind us

    def bytes_of_a_link(self):
        return self.rng.randrange(*self.cut_between) if self.cut_between else None

    def pace(self, count):
        """Returns when so many bytes have passed a link of that rate."""
        if not self.bytes_per_s:
            return
        with self.pacing:
            now = time.monotonic()
            self.free_at = max(now, self.free_at) + count / self.bytes_per_s
            wait_s = self.free_at - now
        time.sleep(wait_s)

    def end(self, link, sink):
        way = self.rng.choice(list(self.ends))
        self.ends[way] += 1
        if way == 'half':
            link.half_close(sink)
        else:
            link.cut(reset=way == 'reset')

    def hold(self):
        self.open.clear()

    def release(self):
        self.open.set()

    def close(self):
        self.release()
        self.listener.close()
        for link in self.links:
            link.cut(reset=True)
