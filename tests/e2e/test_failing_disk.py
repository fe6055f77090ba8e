"""A disk that can't write what it was given: an end that says so, also where it is the last thing done."""
import pathlib
import signal
import tempfile

from lib import Server, check, eq, increment, preloaded

SMOKE = False  # a sanitizer wants to be loaded first
GOOD = 'everything acknowledged is in the store'


def fail(how):
    """In mode fast a second passes before what was acknowledged is synced, or the end does it."""
    with tempfile.TemporaryDirectory() as folder:
        flag = pathlib.Path(folder, 'fails')
        with Server(durability='fast', env={'LD_PRELOAD': preloaded('failsync'),
                                            'FAILSYNC_WHILE': str(flag)}) as server:
            eq(increment(server, 'kept').value(), 1, 'acknowledged')
            flag.touch()
            how(server)
            eq(server.wait(), 74, 'exit code')
            check('the store failed' in server.said(), 'the log says why')
            check(GOOD not in server.said(), 'and nothing else')
            flag.unlink()
            server.restart()
            eq(server.stop(), 0, 'exit code')
            check(GOOD in server.said(), 'a good end')


def test_while_it_serves():
    fail(lambda server: None)


def test_at_the_end():
    fail(lambda server: server.send_signal(signal.SIGTERM))
