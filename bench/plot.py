"""plot.py - lines in an SVG, both axes named, the upright one logarithmic, the other in even steps."""
import math
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 130, 36, 48
COLORS = ('#d9662b', '#2f7ed8', '#8a94a6', '#3c9d5b')


def words(x, y, what, anchor='middle', color='#333'):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" fill="{color}">'
            f'{escape(what)}</text>')


def line(x1, y1, x2, y2, color='#ddd'):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def lines_svg(title, x_name, y_name, series):
    """'series': {name: [(x, y), …]}, all y above 0."""
    xs = sorted({x for points in series.values() for x, _ in points})
    ys = [y for points in series.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)) + 1e-9)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(x):
        return LEFT + xs.index(x) / (len(xs) - 1) * (right - LEFT)

    def up(y):
        return bottom - (math.log10(y) - low) / (high - low) * (bottom - TOP)

    out = [words(LEFT, 20, title, 'start'), words((LEFT + right) / 2, HEIGHT - 10, x_name),
           words(LEFT - 8, TOP - 8, y_name, 'end')]
    for power in range(low, high + 1):
        out += [line(LEFT, up(10 ** power), right, up(10 ** power)),
                words(LEFT - 8, up(10 ** power) + 4, f'{10 ** power:g}', 'end')]
    out += [words(across(x), bottom + 18, f'{x:g}') for x in xs]
    for (name, points), color in zip(series.items(), COLORS):
        path = ' '.join(f'{across(x):.1f},{up(y):.1f}' for x, y in points)
        out += [f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>',
                words(right + 8, up(points[-1][1]) + 4, name, 'start', color)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>'
            + '\n'.join(out) + '</svg>\n')
