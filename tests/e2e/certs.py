"""certs.py - certificates for tests, made by the openssl command when a test runs."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from lib import Failed, Skipped

CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']


def openssl(*words, data=b'', timeout_s=20):
    """(exit code, all it said)."""
    if not shutil.which('openssl'):
        raise Skipped('the openssl command is not there (Debian: openssl)')
    done = subprocess.run(['openssl', *map(str, words)], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout_s)
    return done.returncode, done.stdout.decode(errors='replace')


def must(*words):
    code, said = openssl(*words)
    if code:
        raise Failed(f'openssl {" ".join(map(str, words))}: {said}')


class Pki:
    """A folder of certificates NAME.pem with keys NAME.key; authorities are made when named."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix='hgp-pki-')
        self.folder = pathlib.Path(self.temporary.name)
        self.serial = 0

    def pem(self, name):
        return self.folder / f'{name}.pem'

    def key(self, name):
        return self.folder / f'{name}.key'

    def authority(self, name):
        if not self.pem(name).exists():
            must('req', '-x509', *CURVE, '-keyout', self.key(name), '-out', self.pem(name),
                 '-days', 30, '-subj', f'/CN={name}')
        return self.pem(name)

    def make(self, name, san, ca='ca'):
        """Replaces both files at once, as a renewal should."""
        self.authority(ca)
        self.serial += 1
        new = self.folder / 'new'
        extensions = self.folder / 'extensions'
        extensions.write_text(f'subjectAltName={san}\nbasicConstraints=critical,CA:FALSE\n')
        must('req', *CURVE, '-keyout', f'{new}.key', '-out', f'{new}.csr', '-subj', f'/CN={name}')
        must('x509', '-req', '-in', f'{new}.csr', '-CA', self.pem(ca), '-CAkey', self.key(ca),
             '-set_serial', self.serial, '-days', 30, '-extfile', extensions, '-out', f'{new}.pem')
        os.chmod(f'{new}.key', 0o600)
        os.replace(f'{new}.key', self.key(name))
        os.replace(f'{new}.pem', self.pem(name))
        return self.serial

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()
