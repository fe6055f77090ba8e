"""The command line: what it prints, what it refuses, and with which words."""
import pathlib
import re
import tempfile

from lib import Server, Split, check, eq, get, increment, refused, tree

CONFIGS = tree() / 'configs'


def test_help():
    for arguments in (['--help'], ['all', '--help']):
        code, said = refused(arguments, role=None)
        eq(code, 0, f'{arguments}')
        for word in ('all', '--http', '--data', '--durability', '--loop'):
            check(word in said, f'{arguments} does not mention {word}')


def test_version():
    code, said = refused(['--version'], role=None)
    eq(code, 0, 'exit code')
    check(any(c.isdigit() for c in said) and 'highgopress' in said.lower(), said)


def test_unknown_things_are_refused():
    for role, flags, env, word in (
            (None, ['nonsense'], {}, 'nonsense'),
            ('all', ['--nonsense', '1'], {}, 'nonsense'),
            ('all', ['--durability', 'maybe'], {}, 'maybe'),
            ('all', ['--durability', 'replicated'], {}, 'replicated'),
            ('all', ['--loop', 'kqueue'], {}, 'kqueue'),
            ('all', ['--http', 'nowhere:http'], {}, 'nowhere:http'),
            ('all', ['--threads', '-3'], {}, 'threads'),
            ('all', ['--check-config'], {'HGP_NONSENSE': '1'}, 'NONSENSE')):
        with tempfile.TemporaryDirectory() as data:
            data = data if role else None
            code, said = refused(flags, data=data, env=env, role=role)
        check(code != 0, f'{flags} {env}: was accepted')
        check(word in said, f'{flags} {env}: the refusal does not name {word}: {said[-300:]}')


def test_shipped_configs_are_valid():
    for name in ('all', 'gateway', 'counter', 'analytics'):
        file = CONFIGS / f'{name}.yaml'
        if file.exists():
            code, said = refused(['--config', str(file), '--check-config'], role=name)
            eq(code, 0, f'{file.name}: {said[-500:]}')
    check((CONFIGS / 'all.yaml').exists(), 'configs/all.yaml is not there')


def test_the_shipped_config_starts():
    with Server(flags=['--config', str(CONFIGS / 'all.yaml')]) as server:
        increment(server, 'config', 2)
        eq(get(server, 'config'), 2, 'the counter')
        eq(server.stop(), 0, 'exit code')


def test_the_shipped_configs_of_the_split_start():
    with Split(flags=['--config', str(CONFIGS / 'gateway.yaml')],
               counter_flags=['--config', str(CONFIGS / 'counter.yaml')]) as split:
        increment(split, 'config', 2)
        eq(get(split, 'config'), 2, 'the counter')
        eq(split.stop(), 0, 'exit code')


def test_a_bad_file_is_refused():
    for text, word in (('nonsense_key: 1\n', 'nonsense_key'),
                       ('durability:\n  mode: maybe\n', 'maybe'),
                       ('durability:\n  nonsense: 1\n', 'nonsense'),
                       ('threads: [\n', ''), ('threads: many\n', 'threads'),
                       ('threads: -1\n', 'threads')):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, 'bad.yaml')
            file.write_text(text)
            code, said = refused(['--config', str(file), '--check-config'])
        check(code != 0, f'{text!r} was accepted')
        check(word in said and 'bad.yaml' in said, f'{text!r}: {said[-300:]}')


def test_precedence():
    """Flag before environment before file before default."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, 'c.yaml')
        file.write_text('threads: 3\n')

        def threads(flags, env):
            code, said = refused([*flags, '--print-config'], env=env)
            eq(code, 0, said[-500:])
            found = re.findall(r'^ *threads: *"?(\d+)', said, re.M)
            eq(len(found), 1, f'lines of threads in {said}')
            return int(found[0])

        from_file = ['--config', str(file)]
        eq(threads([], {}), 0, 'the default')
        eq(threads(from_file, {}), 3, 'the file')
        eq(threads(from_file, {'HGP_THREADS': '5'}), 5, 'the environment')
        eq(threads([*from_file, '--threads', '7'], {'HGP_THREADS': '5'}), 7, 'the flag')


def test_a_used_port_is_refused():
    with Server() as server, tempfile.TemporaryDirectory() as data:
        port = f'127.0.0.1:{server.http[1]}'
        code, said = refused(['--http', port, '--admin', '127.0.0.1:0', '--data', data])
        check(code != 0, 'two servers on one port')
        check(str(server.http[1]) in said, f'the refusal does not name the port: {said[-300:]}')


def test_what_a_start_prints():
    with Server() as server:
        text = '\n'.join(server.lines)
        for word in ('http', 'admin', 'ready', 'curl', server.data):
            check(word in text or word in server.said(), f'{word} is not printed: {text}')
        eq(server.stop(), 0, 'exit code')
