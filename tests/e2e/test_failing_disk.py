"""A disk that can't write what it was given: an end that says so, also where it is the last thing done."""
import pathlib
import signal
import tempfile

from lib import Server, Skipped, check, eq, increment

SMOKE = False  # a sanitizer wants to be loaded first
GOOD = 'everything acknowledged is in the store'


def fail(how):
    """In mode fast a second passes before what was acknowledged is synced, or the end does it."""
    shim = pathlib.Path(Server.binary).parent / 'tests/e2e/failsync.so'
    if not shim.exists():
        raise Skipped(f'{shim} is not built')
    with tempfile.TemporaryDirectory() as folder:
        flag = pathlib.Path(folder, 'fails')
        with Server(durability='fast', env={'LD_PRELOAD': str(shim), 'FAILSYNC_WHILE': str(flag)}) as server:
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
