#!/usr/bin/env python3
"""Power cuts under the embedded store: nothing acknowledged is lost, nothing is there in parts.

    powerloss_test.py SHIM STORE [--points N] [--all] [--seed N]

A writer runs under tests/lib/powerloss.c and is killed. Its journal gives every
moment of the run as a crash point; for each one sampled a folder is built as a
power cut could have left it, opened and checked. --all cuts the log at every
byte from its last sync on, at every sampled point, instead of one place.

Beside the cuts, synced bytes of a log are damaged, or a synced log is taken
away: then the store may refuse to open, but never open with a loss.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import powerloss  # noqa: E402

FILLS = ("none", "zeroes", "garbage", "holes")


def run_writer(args, folder, mode, rng):
    """One run, killed at a random moment. Gives its journal."""
    state = os.path.join(folder, "state")
    root = os.path.join(folder, "disk")
    os.makedirs(os.path.join(state, "inodes"))
    os.makedirs(root)
    environment = dict(os.environ, LD_PRELOAD=args.shim, POWERLOSS_ROOT=root,
                       POWERLOSS_STATE=state)
    # The module comes before the sanitizer's own library, where there is one.
    environment["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + environment.get("ASAN_OPTIONS", "")
    journal = os.path.join(state, "journal")
    with open(journal, "ab") as out:
        child = subprocess.Popen([args.store, "write", os.path.join(root, "data"), mode, "100000"],
                                 stdout=out, env=environment)
    # Killed by progress, not by time: the same on a slow machine.
    goal = rng.randrange(200_000, 400_000)
    deadline = time.monotonic() + 60
    while os.path.getsize(journal) < goal and child.poll() is None:
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    child.kill()
    child.wait()
    return powerloss.Journal(state)


def live_log(disk):
    """The log with unsynced bytes, if there is one."""
    for path, inode in disk.entries(len(disk.changes)).items():
        if path.endswith(".log") and inode in disk.size and disk.tail(inode) > 0:
            return inode
    return None


def check(args, target):
    """(the last operation in the folder or None, what the store said on standard error)."""
    try:
        result = subprocess.run([args.store, "check", os.path.join(target, "data")],
                                capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return None, "never came back from opening"
    if result.returncode != 0:
        return None, result.stderr.strip()
    return int(result.stdout.split()[1]), result.stderr.strip()


def crash(args, disk, folder, rng, kept, fill):
    """One folder. 'kept': unsynced bytes of the log; other files keep any of theirs."""
    target = os.path.join(folder, "after")
    log = live_log(disk)

    def kept_of(_path, inode):
        tail = disk.tail(inode)
        return kept if inode == log else rng.choice((0, tail, rng.randint(0, tail)))

    undecided = rng.randint(0, len(disk.undecided_changes()))
    disk.build(target, undecided, kept_of,
               lambda path: fill if path.endswith(".log") else "none")
    last, said = check(args, target)
    return last, said, target


def logs_of(disk):
    """Paths of the logs with content, oldest first."""
    entries = disk.entries(len(disk.changes))
    return sorted(path for path, inode in entries.items()
                  if path.endswith(".log") and disk.durable.get(inode, 0) > 0)


def damage(disk, folder, rng, how):
    """A folder with all its bytes, but one synced log is damaged or gone; None if there is none.

    The bytes of the last sync are spared: damage there can't be told from a torn write."""
    target = os.path.join(folder, "after")
    logs = logs_of(disk)
    entries = disk.entries(len(disk.changes))
    # RocksDB's manifest names a log that is done with once the next one has met its first sync.
    if how == "missing" and (len(logs) < 2 or not disk.covered.get(disk.log)):
        return None
    victim = logs[rng.randrange(len(logs) - 1)] if how == "missing" else rng.choice(logs or [""])
    if how == "flipped" and not (victim and disk.covered.get(entries[victim], 0) > 0):
        return None
    disk.build(target, len(disk.changes), lambda path, inode: disk.tail(inode), lambda path: "none")
    place = os.path.join(target, victim)
    if how == "missing":
        os.unlink(place)
        return target
    with open(place, "r+b") as file:
        at = rng.randrange(disk.covered[entries[victim]])
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << rng.randrange(8))]))
    return target


def test_damage(args, disk, folder, rng, counts):
    """Refused, or nothing acknowledged is lost. Gives what is wrong."""
    failures = []
    for how in ("flipped", "missing"):
        target = damage(disk, folder, rng, how)
        if target is None:
            continue
        last, said = check(args, target)
        counts[how] = counts.get(how, 0) + 1
        counts["refused"] = counts.get("refused", 0) + (last is None)
        if last is None and target not in said:
            failures.append(f"{how}: refused without naming the folder: {said}")
        elif last is not None and last < disk.acked:
            failures.append(f"{how}: acknowledged {disk.acked}, found {last}")
        shutil.rmtree(target)
    return failures


def judge(disk, mode, last):
    """What is wrong with finding 'last', or ''."""
    if last < disk.acked:
        return f"acknowledged {disk.acked}, found {last}"
    if mode == "local" and last > disk.acked + 1:
        return f"acknowledged {disk.acked}, found {last}: two unacknowledged"
    return ""


def places(args, disk, rng):
    """(kept bytes, fill) of the log to try at one crash point."""
    log = live_log(disk)
    tail = disk.tail(log) if log else 0
    if args.all:
        return [(kept, fill) for kept in range(tail + 1) for fill in FILLS]
    return [(rng.choice((0, tail, rng.randint(0, tail))), rng.choice(FILLS))]


def test_mode(args, mode, rng):
    """All sampled points of one run. Gives (points, failures)."""
    folder = tempfile.mkdtemp(prefix="hgp-powerloss-")
    failures = []
    tried = cut = 0
    counts = {}
    try:
        journal = run_writer(args, folder, mode, rng)
        for _ in range(args.points):
            # Just behind a write is where most can be lost.
            count = rng.randrange(1, len(journal.events) + 1)
            while count < len(journal.events) and rng.random() < 0.7 and \
                    journal.events[count - 1][0] != "write":
                count += 1
            disk = journal.disk(count)
            if mode == "local":
                failures += [f"event {count}: {wrong}" for wrong in
                             test_damage(args, disk, folder, rng, counts)]
            for kept, fill in places(args, disk, rng):
                tried += 1
                last, said, target = crash(args, disk, folder, rng, kept, fill)
                wrong = said if last is None else judge(disk, mode, last)
                cut += last is not None and said != ""
                if wrong:
                    failures.append(f"event {count}, {kept} bytes kept, {fill}: {wrong}")
                    if args.keep and mode != "broken" and not os.path.exists(args.keep):
                        shutil.copytree(target, args.keep)
                shutil.rmtree(target)
    finally:
        shutil.rmtree(folder)
    print(f"{mode}: {len(journal.events)} events, {tried} folders, {cut} with a torn tail, "
          f"damaged {counts}, {len(failures)} failures")
    return tried, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shim")
    parser.add_argument("store")
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", help="copy the first folder that fails to this place")
    args = parser.parse_args()
    args.shim = os.path.abspath(args.shim)
    args.store = os.path.abspath(args.store)
    print(f"seed {args.seed}")
    bad = False
    for mode in ("local", "fast", "seldom"):
        tried, failures = test_mode(args, mode, random.Random(args.seed))
        for failure in failures[:10]:
            print(f"  {failure}")
        bad = bad or failures or tried == 0
    # The test must see losses where nothing is synced; a few points are enough for that.
    args.points = min(args.points, 10)
    _, failures = test_mode(args, "broken", random.Random(args.seed))
    if not any("acknowledged" in failure for failure in failures):
        print("  the broken writer lost nothing: this test can't fail")
        bad = True
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
