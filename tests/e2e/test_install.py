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
WORDS = ['all', 'analytics', 'counter', 'gateway', 'healthcheck', 'import', 'move', 'recount',
         'verify']


def run(*command, **options):
    if not shutil.which(command[0]):
        raise Skipped(f'{command[0]} is not installed')
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


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
    eq(sorted(bash('')), WORDS, 'roles and tools')
    eq(bash('healthcheck', 'co'), ['counter'], 'a role behind healthcheck')
    eq(bash('all', '--dura'), ['--durability'], 'a flag')
    check({'fast', 'local'} <= set(bash('all', '--durability', '')), 'values')
    eq(bash('all', '--loop', 'io'), ['io_uring'], 'a value')
    eq(bash('all', '--http', ''), [], 'nothing for an address')
    check(f'{tree()}/configs/all.yaml' in bash('--config', f'{tree()}/configs/a'), 'a file')


def test_fish_offers():
    eq(sorted(fish('')), WORDS, 'roles and tools')
    eq(fish('healthcheck co'), ['counter'], 'a role behind healthcheck')
    eq(fish('all --dura'), ['--durability'], 'a flag')
    check({'fast', 'local'} <= set(fish('all --durability ')), 'values')


def test_zsh_can_read_it():
    eq(run('zsh', '-n', COMPLETION / '_highgopress'), (0, '', ''), 'zsh -n')


def test_man_pages_are_clean():
    """But for pages of others, which may not be installed here."""
    _, out, err = run('mandoc', '-Tlint', *MAN)
    said = [line for line in (out + err).splitlines()
            if 'referenced manual not found' not in line and 'mandoc.db' not in line]
    eq(said, [], 'mandoc -Tlint')
    code, out, _ = run('mandoc', '-Tutf8', *MAN)
    eq(code, 0, 'mandoc')
    for word in ('healthcheck', 'HGP_LIMITS_BODY_BYTES', 'limits.body_bytes', 'SIGHUP'):
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
