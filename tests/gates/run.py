#!/usr/bin/env python3
"""Every gate must turn red for each planted violation, green for a clean tree,
and red when there was nothing to check. A gate that can't fail proves nothing.
"""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
BUILD = ROOT / 'build'

HEADER = '/* {name} - a header that is planted for this test. */\n#ifndef H\n#define H\n{text}\n#endif\n'


def header(name, text=''):
    return HEADER.format(name=name, text=text)


CLEAN = {
    'src/base/slice.h': header('slice.h', '#include <stddef.h>'),
    'src/core/lane.c': '#include "base/slice.h"\n#include <stdint.h>\n',
    'src/edge/rocks_kv.c': '#include <rocksdb/c.h>\n#include "core/kv.h"\n',
    'src/gateway/increment.c': '#include "edge/http_server.h"\n#include <unistd.h>\n',
    'src/main.c': '#include "gateway/gateway.h"\n#include "counter/service.h"\n',
}


def plant(path, text):
    return {**CLEAN, path: text}


# gate, what is wrong, the tree, what the gate must say (None: it must be green)
TREES = [
    ('layers', 'a clean tree', CLEAN, None),
    ('layers', 'nothing to check', {'README.md': 'x'}, 'checked 0 files'),
    ('layers', 'core knows edge', plant('src/core/a.c', '#include "edge/tls.h"\n'),
     'core may not know edge'),
    ('layers', 'core knows wire', plant('src/core/a.c', '#include "wire/uri.h"\n'),
     'core may not know wire'),
    ('layers', 'base knows core', plant('src/base/a.c', '#include "core/op.h"\n'),
     'base may not know core'),
    ('layers', 'loop knows edge', plant('src/loop/a.c', '#include "edge/http.h"\n'),
     'loop may not know edge'),
    ('layers', 'edge knows a service', plant('src/edge/a.c', '#include "gateway/a.h"\n'),
     'edge may not know gateway'),
    ('layers', 'gateway knows counter', plant('src/gateway/a.c', '#include "counter/a.h"\n'),
     'gateway may not know counter'),
    ('layers', 'counter knows gateway', plant('src/counter/a.c', '#include "gateway/a.h"\n'),
     'counter may not know gateway'),
    ('layers', 'core reads a clock', plant('src/core/a.c', '#include <time.h>\n'), 'core is pure'),
    ('layers', 'core reads our clock', plant('src/core/a.c', '#include "base/clock.h"\n'),
     'core is pure'),
    ('layers', 'wire does I/O', plant('src/wire/a.c', '# include <sys/socket.h>\n'),
     'wire is pure'),
    ('layers', 'wire closes files', plant('src/wire/a.h', '#include <unistd.h>\n'), 'wire is pure'),
    ('layers', 'a second place for RocksDB', plant('src/counter/a.c', '#include <rocksdb/c.h>\n'),
     'only src/edge/rocks_* may know rocksdb/c.h'),
    ('layers', 'a second place for liburing', plant('src/loop/a.c', '#include <liburing.h>\n'),
     'only src/loop/backend_uring.c'),
    ('layers', 'a second place for OpenSSL', plant('src/edge/a.c', '#include <openssl/err.h>\n'),
     'only src/edge/tls* may know openssl/err.h'),
    ('layers', 'a second place for protobuf-c',
     plant('src/edge/a.c', '#include <protobuf-c/protobuf-c.h>\n'),
     'only src/wire/proto_unpack.*'),
    ('layers', "messages' C outside of wire", plant('src/edge/a.c', '#include "counter.pb-c.h"\n'),
     'edge may not know .'),
    ('layers', 'quotes do not hide a library', plant('src/edge/a.c', '#include "llhttp.h"\n'),
     'only src/wire/http1*'),
    ('layers', 'a library nobody allowed', plant('src/edge/a.c', '#include <zmq.h>\n'),
     'a foreign header'),
    ('layers', 'a path that climbs', plant('src/core/a.c', '#include "../edge/tls.h"\n'),
     'not named from src/'),
    ('layers', 'a computed include', plant('src/core/a.c', '#include HIDDEN\n'), 'computed include'),
    ('layers', 'an unknown folder', plant('src/util/a.c', ''), 'src/util is no layer'),
    ('headers', 'a clean tree', CLEAN, None),
    ('headers', 'nothing to check', {'src/main.c': ''}, 'checked 0 files'),
    ('headers', 'no purpose', plant('src/core/a.h', '#ifndef A\n#define A\n#endif\n'),
     'does not open with'),
    ('headers', "another file's name", plant('src/core/a.h', header('b.h')),
     'opens with the name of b.h'),
    ('headers', 'leans on its includer', plant('src/core/a.h', header('a.h', 'size_t n(void);')),
     'does not compile alone'),
    ('headers', 'no guard', plant('src/core/a.h', '/* a.h - it can be read only once. */\n'
                                  'enum twice { TWICE };\n'), 'does not compile alone'),
    ('headers', 'a file without end', plant('src/core/a.c', '\n' * 601), 'longer than 600'),
    ('readme', 'a short README', {'README.md': 'hello\n'}, None),
    ('readme', 'no README', {'a': ''}, 'checked 0 files'),
    ('readme', 'a long README', {'README.md': 'x\n' * 150}, '150 lines'),
    ('readme', 'a dead link', {'README.md': '[x](docs/gone.md)\n'}, 'docs/gone.md'),
    ('shell', 'a clean script', {'a.sh': '#!/bin/sh\necho "$1"\n'}, None),
    ('shell', 'nothing to check', {'a': ''}, 'checked 0 files'),
    ('shell', 'an unquoted word', {'a.sh': '#!/bin/bash\nrm $1\n'}, 'SC2086'),
    ('text', 'a clean tree', CLEAN, None),
    ('text', 'nothing to check', {'a': ''}, 'checked 0 files'),
    ('text', 'half done', plant('src/core/a.c', '/* TO' 'DO: later */\n'), 'later'),
    ('text', "one person's machine", plant('src/core/a.c', '"/ho' 'me/me/x"\n'), 'me/x'),
]

# file, its text, the layer it is built into, what check_symbols must say
SYMBOLS = [
    ('lane.c', 'int lane_of(int n); int lane_of(int n) { return n; }', 'core', None),
    ('lane.c', '#include <time.h>\nlong lane_now(void); long lane_now(void) { return time(0); }',
     'core', 'references time'),
    ('uri.c', '#include <stdio.h>\nvoid uri_say(int n); void uri_say(int n) '
     '{ printf("%d\\n", n); }', 'wire', 'references printf'),
    ('uri.c', '#include <unistd.h>\nlong uri_in(char *p); long uri_in(char *p) '
     '{ return read(0, p, 1); }', 'wire', 'references read'),
    ('lane.c', 'int helper(int n); int helper(int n) { return n; }', 'core', 'exports helper'),
    ('lane.c', 'static __attribute__((noinline)) int helper(int n) { return n; }\n'
     'int lane_of(int n); int lane_of(int n) { return helper(n); }', 'core', None),
]


def verdict(name, command, want):
    """'want' None: green. Else red, and saying 'want'."""
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    good = done.returncode == 0 if want is None else done.returncode == 1 and want in said
    print(f'{"ok  " if good else "FAIL"} {name}')
    if not good:
        print(f'     exit {done.returncode}, wanted {want or "green"}, said: {said.strip()}')
    return good


def run_tree(row):
    gate, name, tree, want = row
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            file = pathlib.Path(root, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return verdict(f'{gate}: {name}', [TOOLS / f'check_{gate}', root], want)


def run_symbols(row):
    name, text, layer, want = row
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root, 'src', layer)
        folder.mkdir(parents=True)
        (folder / name).write_text(text)
        subprocess.run(['gcc', '-O1', '-U_FORTIFY_SOURCE', '-c', name, '-o', f'{name}.o'],
                       cwd=folder, check=True)
        subprocess.run(['ar', 'rcs', f'lib{layer}.a', f'{name}.o'], cwd=folder, check=True)
        return verdict(f'symbols: {name} in {layer}, {want or "clean"}',
                       [TOOLS / 'check_symbols', root, layer], want)


def main():
    results = [run_tree(row) for row in TREES] + [run_symbols(row) for row in SYMBOLS]
    results.append(verdict('symbols: nothing built', [TOOLS / 'check_symbols', 'nowhere'],
                           'checked 0 files'))
    results.append(verdict('instructions: 5 % more for an increment', [
        ROOT / 'bench/instructions', '--only', 'embedded', '--base', BUILD / 'bench_measured',
        '--binary', BUILD / 'tests/gates/highgopress_slow'], 'FAIL all, increment'))
    failed = results.count(False)
    print(f'{len(results) - failed} passed, {failed} failed')
    return 1 if failed else 0


sys.exit(main())
