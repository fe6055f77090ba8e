"""/openapi.json against the running service: what every golden row gets is what is described."""
import json
import pathlib
import re
import sys

import lib
from lib import check, eq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from rows import rows  # noqa: E402

PYTHON = '/usr/bin/python3'  # Debian's, which has python3-jsonschema
FILES = ['part_a.txt', 'part_b.txt', 'part_b_analytics.txt']


def description(server, listener='http'):
    with lib.Connection(getattr(server, listener)) as connection:
        got = connection.request('GET', '/openapi.json')
    eq(got.status, 200, 'status')
    eq(got.header('Content-Type'), 'application/json; charset=utf-8', 'type')
    return json.loads(got.body)


def resolve(api, node):
    while '$ref' in node:
        at = api
        for part in node['$ref'].removeprefix('#/').split('/'):
            at = at[part]
        node = at
    return node


def operation_of(api, method, target):
    """The operation of a request, None where the description has none."""
    path, name = target.partition('?')[0], 'get' if method == 'HEAD' else method.lower()
    for template, item in api['paths'].items():
        pattern = re.sub(r'\\{\w+\\}', '[^/]+', re.escape(template))
        # An empty first part is the contract's 400, not another path.
        nameless = template.endswith('{counter_type}') and re.fullmatch(
            pattern.replace('[^/]+', '', 1), path)
        if name in item and (nameless or re.fullmatch(pattern, path)):
            return item[name]
    return None


def wrong_with(api, validators, operation, got):
    responses = operation['responses']
    response = responses.get(str(got.status)) or responses.get(f'{got.status // 100}XX')
    if response is None:
        return f'{got.status} is not described'
    media = (got.header('Content-Type') or '').partition(';')[0]
    content = resolve(api, response)['content'].get(media)
    if content is None:
        return f'{got.status} with {media} is not described'
    if 'json' not in media:
        return None
    found = [e.message for e in validators(content['schema']).iter_errors(json.loads(got.body))]
    return f'{got.status}: {found[0]}' if found else None


def validators_of(api):
    try:
        import jsonschema
    except ImportError:
        raise lib.Skipped('python3-jsonschema is not installed') from None

    def make(schema):
        whole = {**schema, 'components': api['components']}
        return jsonschema.Draft202012Validator(whole)
    return make


def test_golden_answers_are_as_described(server):
    api = description(server)
    validators = validators_of(api)
    wrong, checked = [], set()
    for row in (row for name in FILES for row in rows(name)):
        method, target = row.line.split()[:2]
        got = row.ask(server)
        operation = operation_of(api, method, target)
        if operation is None or got.status in (404, 405) or method == 'HEAD':
            check(operation or got.status in (404, 405), f'{row.name}: {row.line}')
            continue
        problem = wrong_with(api, validators, operation, got)
        if problem:
            wrong.append(f'{row.name}: {problem}')
        checked.add((operation['operationId'], got.status))
    check(not wrong, '\n  '.join(wrong))
    described = {operation['operationId'] for item in api['paths'].values()
                 for name, operation in item.items() if name != 'parameters'}
    eq(described - {name for name, _ in checked}, set(), 'operations that no golden row asks')
    check(len(checked) > len(described), f'only {checked}')


def test_a_wrong_answer_would_be_seen(server):
    api = description(server)
    validators = validators_of(api)
    operation = api['paths']['/api/v1/counter/increment']['post']

    class Answer:
        status = 200
        body = b'{"data":{"resource_id":"a","counter_type":"b","current_value":"1"},"status":"x"}'

        def header(self, name):
            return 'application/json; charset=utf-8'
    check(wrong_with(api, validators, operation, Answer()), 'a bad body was accepted')
    Answer.status = 302
    check(wrong_with(api, validators, operation, Answer()), 'an unknown status was accepted')


def test_admin_serves_it_too(server):
    eq(description(server, 'admin'), description(server), 'the description')
