#!/usr/bin/env python3
"""performance_chart.py - the figures of performance_test.sh as a picture.

    scripts/performance_chart.py FIGURES OUT.svg [OF]

OF says of what they are, under the title. FIGURES has a line for each row of the table, separated by tabs: call, requests, connections,
requests a second, p50 and p99 in microseconds, errors.
"""
import math
import sys
from html import escape

WIDTH, LEFT, RIGHT = 900, 70, 20
PANEL, GAP, TOP = 260, 70, 94
COLORS = {'health': '#8a94a6', 'read': '#2f7ed8', 'write': '#d9662b'}


def read(path):
    rows = []
    with open(path, encoding='utf-8') as file:
        for line in file:
            call, requests, connections, *numbers, errors = line.rstrip('\n').split('\t')
            qps, p50, p99 = map(float, numbers)
            rows.append({'call': call, 'level': (int(requests), int(connections)), 'qps': qps,
                         'p50': p50 / 1000, 'p99': p99 / 1000, 'errors': int(errors)})
    return rows


def short(number):
    return f'{number / 1000:g}k' if number >= 1000 else f'{number:g}'


def nice_top(value):
    """The next of 1, 2, 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(max(value, 1)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def text(x, y, words, size=12, anchor='middle', color='#333', extra=''):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{color}" {extra}>{escape(words)}</text>')


class Panel:
    """A frame with a vertical scale; y() maps a value into it."""

    def __init__(self, top, title, ticks, scale):
        self.bottom = top + PANEL
        low, high = scale(ticks[0]), scale(ticks[-1])
        self.y = lambda value: self.bottom - (max(scale(value), low) - low) / (high - low) * PANEL
        self.out = [text(LEFT, top - 14, title, 14, 'start', extra='font-weight="bold"')]
        for tick in ticks:
            y = self.y(tick)
            self.out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                            f'stroke="#ddd"/>')
            self.out.append(text(LEFT - 8, y + 4, short(tick), anchor='end'))


def center(levels, level):
    step = (WIDTH - LEFT - RIGHT) / len(levels)
    return LEFT + (levels.index(level) + 0.5) * step, step


def bars(rows, levels, calls):
    top = nice_top(max(row['qps'] for row in rows))
    panel = Panel(TOP, 'requests a second', [top * n / 5 for n in range(6)], lambda v: v)
    for row in rows:
        x, step = center(levels, row['level'])
        width = step * 0.8 / len(calls)
        x += (calls.index(row['call']) - len(calls) / 2) * width
        y = panel.y(row['qps'])
        panel.out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width * 0.92:.1f}" '
                         f'height="{panel.bottom - y:.1f}" fill="{COLORS[row["call"]]}"/>')
        panel.out.append(text(x + width / 2, y - 4, f'{row["qps"] / 1000:.1f}k', 10))
        if row['errors']:
            panel.out.append(text(x + width / 2, y - 17, f'{row["errors"]} errors', 10,
                                  color='#c00'))
    return panel


def lines(rows, levels, calls):
    found = [row[key] for row in rows for key in ('p50', 'p99') if row[key] > 0] or [1]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    ticks = [10.0 ** n for n in range(low, max(high, low + 1) + 1)]
    panel = Panel(TOP + PANEL + GAP, 'milliseconds to the answer: p99 solid, p50 dashed', ticks,
                  lambda v: math.log10(max(v, 1e-9)))
    for call in calls:
        for key, dash in (('p99', ''), ('p50', 'stroke-dasharray="5 4"')):
            points = [(center(levels, row['level'])[0], panel.y(row[key]))
                      for row in rows if row['call'] == call and row[key] > 0]
            path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
            panel.out.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[call]}" '
                             f'stroke-width="2" {dash}/>')
            panel.out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLORS[call]}"/>'
                          for x, y in points]
    return panel


def draw(rows, of):
    levels = list(dict.fromkeys(row['level'] for row in rows))
    calls = list(dict.fromkeys(row['call'] for row in rows))
    panels = bars(rows, levels, calls), lines(rows, levels, calls)
    height = panels[1].bottom + 50
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans, sans-serif">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           text(LEFT, 28, 'HighGoPress', 18, 'start', extra='font-weight="bold"'),
           text(LEFT, 48, of, 11, 'start', '#777')]
    for n, call in enumerate(calls):
        x = WIDTH - RIGHT - 90 * (len(calls) - n)
        out.append(f'<rect x="{x}" y="16" width="14" height="14" fill="{COLORS[call]}"/>')
        out.append(text(x + 20, 28, call, 13, 'start'))
    for panel in panels:
        out += panel.out
        for level in levels:
            out.append(text(center(levels, level)[0], panel.bottom + 20,
                            f'{short(level[0])} on {level[1]} connections', 11))
    return '\n'.join([*out, '</svg>', ''])


def main():
    rows = read(sys.argv[1])
    if not rows:
        sys.exit('performance_chart: no figures')
    with open(sys.argv[2], 'w', encoding='utf-8') as file:
        file.write(draw(rows, sys.argv[3] if len(sys.argv) > 3 else ''))


main()
