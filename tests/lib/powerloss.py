"""Builds, from the journal of powerloss.c, the folders a power cut could have left.

What is durable at a moment: of each file, the bytes up to the size of its last
sync; of each directory, the changes before its last sync. What isn't may be
there or not: directory changes as a prefix of their order (a journaling file
system), bytes as a prefix, page by page, as zeroes or as garbage.
"""
import os
import random

PAGE = 4096


def rocksdb_log(path):
    """The store's own: analytics has a log, too, which acknowledges nothing."""
    return path.endswith(".log") and "/analytics/" not in path


class Journal:
    """The events of one run, and the state of the disk after any number of them."""

    def __init__(self, state, is_log=rocksdb_log):
        self.is_log = is_log
        self.inodes = os.path.join(state, "inodes")
        with open(os.path.join(state, "journal"), encoding="utf-8") as file:
            text = file.read()
        # The kill may have cut the last line.
        self.events = [line.split(" ") for line in text[: text.rfind("\n") + 1].splitlines()]

    def disk(self, count):
        """The disk as the first 'count' events left it."""
        disk = Disk(self.inodes, self.is_log)
        for event in self.events[:count]:
            disk.apply(event)
        return disk


class Disk:
    def __init__(self, inodes, is_log=rocksdb_log):
        self.inodes = inodes
        self.is_log = is_log  # path -> is this the log that what is acknowledged stands in
        self.size = {}  # inode -> bytes written
        self.durable = {}  # inode -> bytes synced
        self.covered = {}  # inode -> bytes synced by the sync before the last one
        self.names = {}  # path -> inode, of files as the program sees them
        self.changes = []  # of directories, in order: (directory, function of entries, durable)
        self.acked = 0  # the last acknowledgement
        self.acks = []  # all of them, in order
        self.log = None  # inode of the newest write-ahead log
        self.written = {}  # inode -> acknowledgements before its last write
        self.began = {}  # inode -> those when its sync began
        self.settled = 0  # those of the last completed sync of the log

    def apply(self, event):
        verb = event[0]
        if verb == "ack":
            self.acked = int(event[1])
            self.acks.append(self.acked)
        elif verb == "create":
            self.size.setdefault(event[1], 0)
            self.durable.setdefault(event[1], 0)
            self.names[event[2]] = event[1]
            self.change(event[2], ("set", event[2], event[1]))
            if self.is_log(event[2]):
                self.log = event[1]
        elif verb == "write":
            self.size[event[1]] = max(self.size.get(event[1], 0), int(event[2]))
            self.written[event[1]] = len(self.acks)
        elif verb == "syncing":
            self.began[event[1]] = self.written.get(event[1], 0)
        elif verb == "sync":
            if event[1] == self.log:
                self.settled = self.began[event[1]]
            self.size[event[1]] = max(self.size.get(event[1], 0), int(event[2]))
            self.covered[event[1]] = self.durable.get(event[1], 0)
            self.durable[event[1]] = max(self.durable.get(event[1], 0), int(event[2]))
        elif verb == "truncate":
            self.size[event[1]] = int(event[2])
            self.durable[event[1]] = min(self.durable.get(event[1], 0), int(event[2]))
            self.covered[event[1]] = min(self.covered.get(event[1], 0), int(event[2]))
        elif verb == "rename":
            if event[1] in self.names:
                inode = self.names[event[2]] = self.names.pop(event[1])
                self.change(event[2], ("rename", event[1], (event[2], inode)))
        elif verb == "unlink":
            self.names.pop(event[1], None)
            self.change(event[1], ("unlink", event[1], None))
        elif verb == "mkdir":
            self.change(event[1], ("set", event[1], None))
        elif verb == "syncdir":
            for change in self.changes[:int(event[2])]:
                if change["dir"] == event[1]:
                    change["durable"] = True
        else:
            raise ValueError(f"not an event: {event}")

    def change(self, path, what):
        parent = os.path.dirname(path) or "."
        self.changes.append({"dir": parent, "what": what, "durable": False})

    def undecided_changes(self):
        return [i for i, change in enumerate(self.changes) if not change["durable"]]

    def entries(self, undecided_kept):
        """Path -> inode (None for a directory), with that many of the unsynced changes."""
        entries = {}
        for change in self.changes:
            if not change["durable"]:
                if undecided_kept <= 0:
                    continue
                undecided_kept -= 1
            verb, path, arg = change["what"]
            if verb == "set":
                entries[path] = arg
            elif verb == "unlink":
                entries.pop(path, None)
            else:  # the file is there even if what made its first name was lost
                entries.pop(path, None)
                to, inode = arg
                entries[to] = inode
        return entries

    def tail(self, inode):
        return self.size[inode] - self.durable[inode]

    def content(self, inode, kept, fill):
        """Durable bytes, 'kept' unsynced ones, and up to the written size what 'fill' says."""
        with open(os.path.join(self.inodes, inode), "rb") as file:
            data = file.read(self.durable[inode] + kept)
        rest = self.size[inode] - len(data)
        if fill == "zeroes":
            data += bytes(rest)
        elif fill == "garbage":
            data += random.Random(rest).randbytes(rest)
        elif fill == "holes":
            data = self.with_holes(inode, kept)
        return data

    def with_holes(self, inode, seed):
        """Unsynced pages reached the disk in any order: each is there or zero."""
        rng = random.Random(seed)
        with open(os.path.join(self.inodes, inode), "rb") as file:
            data = bytearray(file.read(self.size[inode]))
        at = self.durable[inode]
        while at < len(data):
            end = min(len(data), at - at % PAGE + PAGE)
            if rng.random() < 0.5:
                data[at:end] = bytes(end - at)
            at = end
        return bytes(data)

    def build(self, target, undecided_kept, kept_of, fill_of):
        """Writes the folder; kept_of(path, inode) and fill_of(path) decide about each file."""
        entries = self.entries(undecided_kept)
        os.makedirs(target)
        for path, inode in sorted(entries.items()):
            parent = os.path.dirname(path)
            if parent and parent not in entries:
                continue  # its directory never made it
            place = os.path.join(target, path)
            if inode is None:
                os.makedirs(place, exist_ok=True)
                continue
            with open(place, "wb") as file:
                file.write(self.content(inode, kept_of(path, inode), fill_of(path)))
