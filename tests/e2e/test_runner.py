"""What tests start ends with them, and with run.py, however that ends."""
import pathlib
import signal
import subprocess
import sys
import tempfile

from lib import Server, check, eq, tree, wait_for

SMOKE = False

# A server, one of another session from a thread that has ended, and one whose parent has.
STARTS = '''
import os, pathlib, subprocess, sys, tempfile, threading
import dev_servers, lib

HERE = pathlib.Path(__file__).parent

def test_it():
    server = lib.Server(role='all').start()
    folder = pathlib.Path(tempfile.mkdtemp())
    made = []
    def start():
        made.append(dev_servers.Process(folder, ['sleep', '1000']))
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    orphan = subprocess.run(['setsid', 'sh', '-c', 'sleep 1000 >&- 2>&- & echo $!'],
                            stdout=subprocess.PIPE, text=True)
    assert made[0].alive()
    pids = [server.process.pid, made[0].pid, int(orphan.stdout)]
    (HERE / 'new').write_text('\\n'.join([str(folder), *map(str, pids)]))
    (HERE / 'new').rename(HERE / 'pids')
    END
'''


def begun(folder, end):
    """run.py with such a module."""
    module = folder / 'test_starts_things.py'
    module.write_text(STARTS.replace('END', end))
    return subprocess.Popen([sys.executable, tree() / 'tests/e2e/run.py', '--binary', Server.binary,
                             '--loop', 'auto', module], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def runs(pid):
    """Not as a zombie, either."""
    return pathlib.Path(f'/proc/{pid}').exists()


def all_gone(folder):
    temporary, *pids = (folder / 'pids').read_text().split()
    eq(len(pids), 3, 'processes')
    wait_for(lambda: f'{[pid for pid in pids if runs(pid)]} of {pids} still run',
             lambda: not any(runs(pid) for pid in pids))
    wait_for('its temporary files are gone', lambda: not pathlib.Path(temporary).exists())


def killed_by(number):
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        with begun(folder, 'threading.Event().wait()') as run:
            wait_for('the module has started its processes', (folder / 'pids').exists)
            run.send_signal(number)
            eq(run.wait(), -number, 'how run.py ended')
        all_gone(folder)


def test_after_kill_9():
    killed_by(signal.SIGKILL)


def test_after_a_sigterm():
    killed_by(signal.SIGTERM)


def test_after_ctrl_c():
    killed_by(signal.SIGINT)


def ended_by_itself(end, code, says):
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        with begun(folder, end) as run:
            said = run.stdout.read()
        eq(run.returncode, code, said)
        check(says in said, said)
        all_gone(folder)


def test_after_a_module_that_leaves_them():
    ended_by_itself('', 0, '1 passed, 0 failed')


def test_after_a_module_that_breaks_down():
    ended_by_itself('os.kill(os.getpid(), 11)', 1, 'the module broke down')
