"""The Debian package: built from the last commit, lintian has nothing to say, what it holds works.

It is a whole build, so only with DEB=1.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

from lib import Skipped, check, eq, tree

SMOKE = False
BUILD_S = 600
HOLDS = ('usr/bin/highgopress', 'usr/share/man/man1/highgopress.1.gz',
         'usr/share/man/man5/highgopress.yaml.5.gz',
         'usr/share/bash-completion/completions/highgopress',
         'usr/share/zsh/site-functions/_highgopress',
         'usr/share/fish/vendor_completions.d/highgopress.fish',
         'usr/share/doc/highgopress/copyright',
         'usr/share/doc/highgopress/docs/runbooks/HighGoPressDown.md',
         'usr/share/doc/highgopress/examples/prometheus/rules.yml',
         'usr/share/doc/highgopress/examples/grafana/dashboards/overview.json',
         'lib/systemd/system/highgopress-gateway@.service')
UNITS = {'highgopress': 'all', 'highgopress-analytics': 'analytics',
         'highgopress-counter': 'counter', 'highgopress-gateway': 'gateway'}


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=BUILD_S, **options)
    eq(done.returncode, 0, f'{command[0]}: {(done.stdout + done.stderr)[-1500:]}')
    return done.stdout


def check_role(root, unit, role):
    """Its unit, and that the options beside the unit are ones the binary takes."""
    for kind in ('service', 'socket'):
        check((root / f'lib/systemd/system/{unit}.{kind}').exists(), f'{unit}.{kind}')
    options = (root / f'etc/default/{unit}').read_text().split('OPTIONS=')[1].split()
    eq(options, ['--config', f'/etc/highgopress/{role}.yaml'], f'{unit}: options')
    eq(run(root / 'usr/bin/highgopress', role, '--config', f'{root}{options[1]}',
           '--check-config'), 'configuration ok\n', role)


def test_package():
    if not os.environ.get('DEB'):
        raise Skipped('it builds everything once more: DEB=1')
    for program in ('dpkg-buildpackage', 'dh', 'lintian'):
        if not shutil.which(program):
            raise Skipped(f'{program} is not installed')
    with tempfile.TemporaryDirectory(prefix='hgp-deb-') as folder:
        package, = run(tree() / 'scripts/build_deb.sh', folder).split()
        said = run('lintian', '--allow-root', '--fail-on', 'error,warning', package)
        eq(said, '', 'lintian')
        root = pathlib.Path(folder, 'root')
        run('dpkg-deb', '-x', package, root)
        eq([name for name in HOLDS if not (root / name).exists()], [], 'what is missing')
        for unit, role in UNITS.items():
            check_role(root, unit, role)
        run('dpkg-deb', '-e', package, pathlib.Path(folder, 'control'))
        conffiles = pathlib.Path(folder, 'control/conffiles').read_text().split()
        eq(sorted(conffiles), sorted([f'/etc/highgopress/{role}.yaml' for role in UNITS.values()]
                                     + [f'/etc/default/{unit}' for unit in UNITS]), 'conffiles')
        version = run('dpkg-deb', '-f', package, 'Version').strip()
        check(version in run(root / 'usr/bin/highgopress', '--version'), f'version {version}')
