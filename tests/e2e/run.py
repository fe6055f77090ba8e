#!/usr/bin/env python3
"""run.py - the end-to-end tests: real binaries, real sockets.

    tests/e2e/run.py [--binary build/highgopress] [--only WORD] [--loop epoll|io_uring|both]
                     [--jobs N] [--rounds N] [--smoke] [--list] [MODULE.py ...]

Each module test_*.py here and in tests/golden (or those that are named) is a list of
functions test_*(); one that takes an argument gets a running server, shared by its module.
A module may set LOOPS = 'both' (it runs once per event loop), ENV, FLAGS, ROLE,
SMOKE = False (too heavy for a sanitized binary), LONG = True (it begins first,
so that nothing long is left alone at the end), and PYTHON, the interpreter that
has the libraries it wants. Whatever a module starts ends with it (keeper.py).
"""
import argparse
import concurrent.futures
import importlib.util
import inspect
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
import keeper  # noqa: E402
import lib  # noqa: E402


def modules():
    found = [*HERE.glob('test_*.py'), *(ROOT / 'tests/golden').glob('test_*.py')]
    return sorted(found, key=lambda p: p.stem)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tests_of(module, only):
    names = [n for n in vars(module) if n.startswith('test_') and callable(vars(module)[n])]
    return [(n, vars(module)[n]) for n in names
            if not only or only in n or only in module.__name__]


def loop_works(loop):
    """io_uring is refused by many hosts; then its tests are skipped, and say so."""
    try:
        with lib.Server(loop=loop):
            return True
    except lib.Failed as why:
        if loop == 'io_uring' and 'io_uring' in str(why):
            return False
        raise


class Report:
    def __init__(self, prefix):
        self.prefix = prefix
        self.count = {'ok': 0, 'FAIL': 0, 'skip': 0}

    def line(self, verdict, name, text=''):
        self.count[verdict] += 1
        print(f'{verdict:4} {self.prefix}{name}{text}', flush=True)

    def run(self, name, function, *args):
        began = time.monotonic()
        try:
            function(*args)
        except lib.Skipped as why:
            self.line('skip', name, f': {why}')
        except Exception as why:  # noqa: BLE001 - every way to fail is a red test
            self.line('FAIL', name, f': {str(why) or type(why).__name__}')
            if not isinstance(why, (lib.Failed, lib.Gone)):
                traceback.print_exc(file=sys.stdout)
            return False
        else:
            self.line('ok', name, f' ({time.monotonic() - began:.1f} s)')
        return True


def run_module(path, loop, options):
    """All tests of one module on one event loop, in this process."""
    module = load(path)
    lib.Server.loop = None if loop == 'auto' else loop
    report = Report(f'{path.stem.removeprefix("test_")}[{loop}].')
    tests = tests_of(module, options.only)
    shared = [t for t in tests if inspect.signature(t[1]).parameters]
    alone = [t for t in tests if t not in shared]
    for name, function in alone:
        report.run(name.removeprefix('test_'), function)
    if shared:
        server = lib.Server(flags=getattr(module, 'FLAGS', ()), env=getattr(module, 'ENV', None),
                            role=getattr(module, 'ROLE', 'all'))
        try:
            with server:
                for name, function in shared:
                    if not report.run(name.removeprefix('test_'), function, server):
                        if not server.alive():
                            print(server.said()[-3000:])
                            server.start()
                report.run('server_ends_well', lambda: lib.eq(server.stop(), 0, 'exit code'))
        except lib.Failed as why:
            report.line('FAIL', 'server', f': {why}')
    return report.count


def run_apart(path, loop, options):
    """The same in a process of its own, so that modules can run side by side."""
    python = getattr(load(path), 'PYTHON', sys.executable)
    if not pathlib.Path(python).exists():
        python = sys.executable
    command = [python, __file__, '--binary', str(options.binary), '--module', str(path),
               '--loop', loop, '--rounds', str(options.rounds)]
    command += ['--only', options.only] if options.only else []
    # In a session of its own, so that what ends us doesn't end the keeper: it has to clean up.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        said = process.stdout.read()
    lines = said.splitlines()
    print('\n'.join(lines[:-1]), flush=True)
    try:
        words = lines[-1].replace(',', '').split()
        return {'ok': int(words[0]), 'FAIL': int(words[2]), 'skip': int(words[4])}
    except (IndexError, ValueError):
        print(f'FAIL {path.stem}: the module broke down\n{said[-2000:]}')
        return {'ok': 0, 'FAIL': 1, 'skip': 0}


def plan(options):
    """(module, loop) pairs."""
    loops = ['epoll', 'io_uring'] if options.loop == 'both' else [options.loop]
    skipped = [loop for loop in loops if loop != 'auto' and not loop_works(loop)]
    pairs = []
    for path in options.modules or modules():
        module = load(path)
        if options.smoke and not getattr(module, 'SMOKE', True):
            continue
        if not tests_of(module, options.only):
            continue
        wanted = loops if getattr(module, 'LOOPS', None) == 'both' else loops[:1]
        if options.loop == 'both' and len(wanted) == 1:
            wanted = ['auto']
        pairs += [(path, loop) for loop in wanted]
    pairs.sort(key=lambda pair: not getattr(load(pair[0]), 'LONG', False))
    return [p for p in pairs if p[1] not in skipped], [p for p in pairs if p[1] in skipped]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--binary', type=pathlib.Path, default=ROOT / 'build/highgopress')
    parser.add_argument('--only', help='modules or tests whose name holds this')
    parser.add_argument('--loop', default='both', choices=['both', 'auto', 'epoll', 'io_uring'])
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=3, help='kill -9 rounds per durability mode')
    parser.add_argument('--smoke', action='store_true', help='leave the heavy modules out')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('modules', type=pathlib.Path, nargs='*', metavar='MODULE.py')
    parser.add_argument('--module', type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = arguments()
    options.binary = options.binary.resolve()
    lib.Server.binary = options.binary
    lib.ROUNDS = options.rounds
    if options.module:
        keeper.keep()
        count = run_module(options.module, options.loop, options)
        print(f'{count["ok"]} passed, {count["FAIL"]} failed, {count["skip"]} skipped')
        return 1 if count['FAIL'] else 0
    if options.list:
        for path in options.modules or modules():
            print(*(f'{path.stem}.{name}' for name, _ in tests_of(load(path), options.only)),
                  sep='\n')
        return 0
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing to wait for: the keepers see to it
    runs, skips = plan(options)
    total = {'ok': 0, 'FAIL': 0, 'skip': 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for count in pool.map(lambda pair: run_apart(*pair, options), runs):
            for verdict, number in count.items():
                total[verdict] += number
    for path, loop in skips:
        total['skip'] += 1
        print(f'skip {path.stem}[{loop}]: this host does not let us use it')
    extra = f', {total["skip"]} skipped' if total['skip'] else ''
    print(f'{total["ok"]} passed, {total["FAIL"]} failed{extra}')
    return 1 if total['FAIL'] or not total['ok'] else 0


sys.exit(main())
