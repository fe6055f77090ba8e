"""keeper.py - nothing that a module's tests have started outlives them, nor the run itself.

run.py gives each module a keeper: a process in a session of its own that forks the one whose
tests run, inherits whatever loses its parent below it (PR_SET_CHILD_SUBREAPER), and kills all of
that when the tests have ended, or when run.py has, even by SIGKILL: the keeper's standard input is
a pipe whose other end only run.py has. PR_SET_PDEATHSIG for each server would not do: it is about
the thread that started the process, and tests start servers from threads that end before them.
"""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading

PR_SET_CHILD_SUBREAPER = 36


def parents():
    """{pid: its parent's}, of everything that runs."""
    found = {}
    for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):  # it has just ended
            text = path.read_text(errors='replace')
            found[int(path.parent.name)] = int(text[text.rindex(')') + 2:].split()[1])
    return found


def descendants():
    parent = parents()
    mine = {os.getpid()}
    while more := {pid for pid, of in parent.items() if of in mine and pid not in mine}:
        mine |= more
    return mine - {os.getpid()}


def end_all():
    """Until no child is left; those of a killed one become ours."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.wait()


def wait_for(child):
    """Its exit code; buries whatever else ends."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def keep():
    """Returns in the process whose tests run; the keeper waits for it here and ends with its exit
    code. The temporary files of the tests are in a folder that goes with it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), 'prctl')
    folder = tempfile.mkdtemp(prefix='e2e-')
    child = os.fork()
    if child == 0:
        tempfile.tempdir = os.environ['TMPDIR'] = folder
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, sys.stdin.fileno())
        os.close(null)
        return

    def run_ended():
        os.read(sys.stdin.fileno(), 1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    threading.Thread(target=run_ended, daemon=True).start()
    code = wait_for(child)
    end_all()
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)
