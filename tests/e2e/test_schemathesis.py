"""The API as it describes itself, by Schemathesis: for hundreds of requests that the description
allows, and that it doesn't, the answers are among those that are described.

It takes minutes, so only with SCHEMATHESIS=1.
"""
import json
import os
import pathlib
import subprocess
import tempfile

from lib import Skipped, call, check, eq, tree

SMOKE = False
VENV = tree() / '.cache/schemathesis/venv'
RUN_S = 300
# Not among them: 501 for an unknown method is HTTP's (RFC 9110 9.1), and of what a JSON schema lets
# through some is refused, in words: U+0000, 1.0 as an integer, two parameters that don't go together.
CHECKS = ('status_code_conformance,content_type_conformance,response_headers_conformance,'
          'response_schema_conformance,negative_data_rejection')
ADMIN = ('/metrics', '/api/v1/counter/{resource_id}/{counter_type}')


def schemathesis(schema, address, *flags):
    host, port = address
    with tempfile.TemporaryDirectory(prefix='hgp-st-') as folder:
        done = subprocess.run(
            [VENV / 'bin/st', 'run', schema, '--url', f'http://{host}:{port}', '--checks', CHECKS,
             '--phases', 'examples,coverage,fuzzing', '--max-examples', '30', '--seed', '1',
             *flags], cwd=folder, capture_output=True, text=True, timeout=RUN_S)
    return done.returncode, done.stdout + done.stderr


def described(server):
    """The description, and Schemathesis to hold against it."""
    if not os.environ.get('SCHEMATHESIS'):
        raise Skipped('it takes minutes: SCHEMATHESIS=1')
    done = subprocess.run([tree() / 'tests/lib/pip_install.sh',
                           tree() / 'tests/openapi/requirements.txt', VENV],
                          capture_output=True, text=True)
    if done.returncode == 77:
        raise Skipped(done.stdout)
    eq(done.returncode, 0, done.stdout + done.stderr)
    return call(server.http, 'GET', '/openapi.json').json()


def run(schema, *arguments):
    with tempfile.NamedTemporaryFile('w', prefix='hgp-openapi-', suffix='.json') as file:
        json.dump(schema, file)
        file.flush()
        return schemathesis(pathlib.Path(file.name), *arguments)


def plant(node):
    """Makes every current_value a text; how many there were."""
    if isinstance(node, list):
        return sum(map(plant, node))
    if not isinstance(node, dict):
        return 0
    found = sum(map(plant, node.values()))
    if isinstance(node.get('current_value'), dict):
        node['current_value'] = {'type': 'string'}
        found += 1
    return found


def test_the_public_api(server):
    code, said = run(described(server), server.http,
                     *(word for path in ('/api/v1/stream', ADMIN[0])
                       for word in ('--exclude-path', path)))
    eq(code, 0, said[-3000:])
    check('Tested: 1' in said, said[-600:])


def test_the_admin_api(server):
    code, said = run(described(server), server.admin,
                     *(word for path in ADMIN for word in ('--include-path', path)),
                     '--exclude-method', 'GET')
    eq(code, 0, said[-3000:])


def test_it_sees_what_is_wrong(server):
    """A description that isn't ours: the value as text."""
    schema = described(server)
    check(plant(schema) > 0, 'nothing planted')
    code, said = run(schema, server.http, '--include-path', '/api/v1/counter/increment')
    check(code != 0 and 'current_value' in said, said[-600:])
