"""What is installed beside the binary: man pages and the completion of three shells."""
import pathlib
import re
import shutil
import subprocess
import tempfile

from lib import Server, Skipped, check, eq, tree

SMOKE = False
COMPLETION = tree() / 'deploy/completion'
MAN = [tree() / 'docs/man/highgopress.1', tree() / 'docs/man/highgopress.yaml.5']
ROLES = ['all', 'analytics', 'counter', 'gateway']


def run(*command, **options):
    if not shutil.which(command[0]):
        raise Skipped(f'{command[0]} is not installed')
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def words():
    """What may stand first behind the program's name, as the program says itself."""
    code, said, err = run(Server.binary, '--help')
    eq((code, err), (0, ''), '--help')
    found = [word for title in ('Roles', 'Tools')
             for word in re.findall(r'^  (\w+)', re.search(rf'^{title}:\n(.+?)\n\n', said, re.M | re.S)[1], re.M)]
    check({*ROLES, 'healthcheck', 'verify'} < set(found), f'--help lists {found}')
    return sorted(found)


def verbs():
    """Of the tool config, by its usage."""
    code, _, said = run(Server.binary, 'config')
    eq(code, 64, 'config without a verb')
    found = [verb for group in re.findall(r'config ([a-z|]+) ', said) for verb in group.split('|')]
    check({'get', 'put', 'list', 'rollback'} < set(found), said)
    return sorted(found)


def bash(*words):
    script = (f'source {COMPLETION}/highgopress.bash; COMP_WORDS=(highgopress "$@"); '
              'COMP_CWORD=$#; _highgopress; echo "${COMPREPLY[@]}"')
    code, out, err = run('bash', '-c', script, 'bash', *words)
    eq((code, err), (0, ''), 'bash')
    return out.split()


def fish(line):
    code, out, err = run('fish', '--no-config', '-c',
                         f'source {COMPLETION}/highgopress.fish; complete -C "highgopress {line}"')
    eq((code, err), (0, ''), 'fish')
    return [offer.split('\t')[0] for offer in out.splitlines()]


def test_bash_offers():
    eq(sorted(bash('')), words(), 'roles and tools')
    for tool in set(words()) - {*ROLES, 'config'}:
        eq(bash(tool, 'co'), ['counter'], f'a role behind {tool}')
    eq(sorted(bash('config', '')), verbs(), 'verbs')
    eq(bash('config', 'put', 'co'), ['counter'], 'a role behind a verb')
    check(f'{tree()}/configs/all.yaml' in bash('config', 'put', 'all', f'{tree()}/configs/a'), 'its file')
    eq(bash('all', ''), [], 'nothing behind a role')
    eq(bash('all', '--dura'), ['--durability'], 'a flag')
    check({'fast', 'local'} <= set(bash('all', '--durability', '')), 'values')
    eq(bash('all', '--loop', 'io'), ['io_uring'], 'a value')
    eq(bash('all', '--http', ''), [], 'nothing for an address')
    check(f'{tree()}/configs/all.yaml' in bash('--config', f'{tree()}/configs/a'), 'a file')


def test_fish_offers():
    eq(sorted(fish('')), words(), 'roles and tools')
    for tool in set(words()) - {*ROLES, 'config'}:
        eq(fish(f'{tool} co'), ['counter'], f'a role behind {tool}')
    eq(sorted(fish('config ')), verbs(), 'verbs')
    eq(fish('config rollback co'), ['counter'], 'a role behind a verb')
    check(f'{tree()}/configs/all.yaml' in fish(f'config put all {tree()}/configs/a'), 'its file')
    eq(fish('all --dura'), ['--durability'], 'a flag')
    check({'fast', 'local'} <= set(fish('all --durability ')), 'values')


def test_zsh_can_read_it():
    eq(run('zsh', '-n', COMPLETION / '_highgopress'), (0, '', ''), 'zsh -n')
    text = (COMPLETION / '_highgopress').read_text()
    eq(sorted(re.search(r"'1:role:\(([^)]*)\)'", text)[1].split()), words(), 'roles and tools')
    eq(sorted(re.search(r'compadd ([a-z ]*) \|\| compadd', text)[1].split()), verbs(), 'verbs')


def test_man_pages_are_clean():
    """But for pages of others, which may not be installed here."""
    _, out, err = run('mandoc', '-Tlint', *MAN)
    said = [line for line in (out + err).splitlines()
            if 'referenced manual not found' not in line and 'mandoc.db' not in line]
    eq(said, [], 'mandoc -Tlint')
    code, out, _ = run('mandoc', '-Tutf8', *MAN)
    eq(code, 0, 'mandoc')
    for word in (*words(), *verbs(), 'HGP_LIMITS_BODY_BYTES', 'limits.body_bytes', 'SIGHUP'):
        check(word in re.sub('.\b', '', out), f'{word} is not in the pages')


def test_meson_installs_them():
    with tempfile.TemporaryDirectory() as folder:
        code, out, err = run('meson', 'install', '-C', Server.binary.parent, '--no-rebuild',
                             '--destdir', folder)
        eq(code, 0, out + err)
        names = {path.name for path in pathlib.Path(folder).rglob('*') if path.is_file()}
        for path in [*MAN, *COMPLETION.glob('*[hs]')]:
            name = 'highgopress' if path.suffix == '.bash' else path.name
            check(name in names or f'{name}.gz' in names, f'{name} is not installed: {names}')
