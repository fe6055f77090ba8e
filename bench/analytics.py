#!/usr/bin/env python3
"""The recorded stream of bench/analytics.c against sqlite3 over the same events.

    bench/analytics.py BINARY [EVENTS [COUNTERS]]

Every top and series that the program answered, at every instant, is computed again from the
events alone. Exit 0: all equal. The full size is 10000000 1000000; CI runs a smaller one.
"""
import collections
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

RANGES = {'1h': (60000, 60), '24h': (3600000, 24), '7d': (3600000, 168), '30d': (86400000, 30),
          'all': (86400000, 366)}
TOP = 100
SPAN_S = 35 * 86400


def rows(path):
    with open(path) as lines:
        for line in lines:
            yield line.rstrip('\n').split('\t')


def load(db, path):
    db.execute('CREATE TABLE event (n INTEGER PRIMARY KEY, id, type, at INTEGER, delta INTEGER, '
               'increments INTEGER, value INTEGER)')
    db.executemany('INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)', rows(path))
    db.execute('CREATE INDEX by_time ON event (type, at)')
    db.execute('CREATE INDEX by_id ON event (id)')
    db.commit()


def top(db, before, end, kind, name):
    width, count = RANGES[name]
    if name == 'all':
        return db.execute(
            'SELECT id, value, n FROM (SELECT id, value, max(event.n), sum(increments) AS n '
            'FROM event WHERE type = ? AND event.n < ? GROUP BY id) WHERE value != 0 OR n != 0 '
            'ORDER BY value DESC, id LIMIT ?', (kind, before, TOP)).fetchall()
    first = (end // width - count + 1) * width
    return db.execute(
        'SELECT id, sum(delta) AS s, sum(increments) AS i FROM event WHERE type = ? AND at >= ? '
        'AND n < ? GROUP BY id HAVING s != 0 OR i != 0 ORDER BY s DESC, id LIMIT ?',
        (kind, first, before, TOP)).fetchall()


def series(db, before, end, resource_id, name):
    width, count = RANGES[name]
    found = dict(db.execute('SELECT at / ? * ?, sum(delta) FROM event WHERE id = ? AND n < ? '
                            'GROUP BY 1', (width, width, resource_id, before)).fetchall())
    last = end // width * width
    points = [(last - i * width) for i in range(count - 1, -1, -1)]
    if name == 'all':
        points = [p for p in points if found and p >= min(found)]
    return [(p, found.get(p, 0)) for p in points] if found else []


def compare(db, path):
    answers = collections.defaultdict(list)
    for kind, n, end, type_, name, resource_id, *figures in rows(path):
        key = (kind, int(n), int(end), type_ if kind == 'top' else resource_id, name)
        answers[key].append((resource_id, *map(int, figures)) if kind == 'top'
                            else tuple(map(int, figures)))
    wrong = 0
    for (kind, n, end, what, name), got in answers.items():
        want = (top if kind == 'top' else series)(db, n, end, what, name)
        if got != want:
            wrong += 1
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b),
                      min(len(got), len(want)))
            print(f'{kind} {what} {name} at {n}: {len(got)} rows, wanted {len(want)}; '
                  f'row {at}: {got[at:at + 1]}, wanted {want[at:at + 1]}')
    print(f'{len(answers)} answers compared, {wrong} wrong')
    return 0 if answers and not wrong else 1


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 64
    events, counters = (sys.argv[2:] + ['200000', '20000'][len(sys.argv) - 2:])[:2]
    with tempfile.TemporaryDirectory(prefix='hgp-analytics-') as folder:
        path = pathlib.Path(folder)
        subprocess.run([sys.argv[1], path / 'state', events, counters, str(SPAN_S),
                        path / 'events.tsv', path / 'answers.tsv'], check=True)
        db = sqlite3.connect(path / 'events.db')
        load(db, path / 'events.tsv')
        return compare(db, path / 'answers.tsv')


if __name__ == '__main__':
    sys.exit(main())
