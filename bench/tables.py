"""tables.py - measured samples as rows, and as ratios."""
import math
import statistics

from bench import load_of, medians


def talk(name):
    """How clients talk to it."""
    return {'tls', 'h2'} & set(name.split('+'))


def first_like(targets, this):
    """The first server to which clients talk as to this one."""
    return next(target for target in targets if talk(target.name) == talk(this.name))


def row(name, load, cell, got, base):
    parts = ', '.join(f'{part} {us:.1f}' for part, us in got['cpu_by'].items()) \
        if len(got['cpu_by']) > 1 else '-'
    return (f'| {name} | {load} | t{cell[0]} c{cell[1]} | {got["rps"] / max(base["rps"], 1):.2f}x '
            f'| {got["cpu_us"] / max(base["cpu_us"], 0.01):.2f}x | {got["cpu_us"]:.1f} | {parts} '
            f'| {got["p50_us"] / 1000:.2f} | {got["p99_us"] / 1000:.2f} '
            f'| {got["rps"]:,.0f} | {got["spread"] * 100:.0f} % | {got["errors"]} |')


def print_table(targets, loads, where, samples, file=None):
    found = {key: medians(got) for key, got in samples.items()}
    print('| server | load | wrk | rate / first | CPU / first | CPU us/req | of it | p50 ms '
          '| p99 ms | req/s | spread | errors |\n' + '|---' * 12 + '|', file=file)
    for cell in where:
        for target, load in dict.fromkeys((target, load_of(target, load))
                                          for load in loads for target in targets):
            first = first_like(targets, target)
            base = found[first.name, load_of(first, load), cell]
            print(row(target.name, load, cell, found[target.name, load, cell], base), file=file)


def ratio(samples, this, other, of=lambda sample: sample['rps']):
    """(median, lowest, highest) of this by other, round by round: both had the same minute."""
    found = sorted(of(a) / of(b) if of(b) else math.inf
                   for a, b in zip(samples[this], samples[other]))
    return statistics.median(found), found[0], found[-1]
