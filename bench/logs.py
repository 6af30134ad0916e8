#!/usr/bin/env python3
"""Times the log of a container beside podman's, in one run: what two writers write, and what is read.

Both engines have their own defaults, but for the cap of Carrier's log where all of it is to be read: podman's
has none.
"""

import os
import statistics
import subprocess
import tarfile
import time

from host import facts, main, milliseconds, podman, quiet

ROUNDS = int(os.environ.get("ROUNDS", "3"))
# Bytes of both writers together; podman is given less, since it takes its time.
OURS = int(os.environ.get("BYTES", str(1 << 30)))
THEIRS = min(OURS, 128 << 20)
READ = min(OURS, 128 << 20)
PART = 8 << 20


def make_image(work):
    """The archive of a file system with busybox and a file of lines of 80 bytes."""
    with open(work + "/lines", "w") as file:
        for number in range(PART // 80):
            file.write(f"{number:09d} a line of text as programs write them into their logs all day".ljust(79, ".") + "\n")
    path = work + "/image.tar"
    with tarfile.open(path, "w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
        archive.add(work + "/lines", "lines")
        for name in ("sh", "cat", "seq"):
            entry = tarfile.TarInfo("bin/" + name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return path


def script(size):
    times = max(1, size // 2 // os.path.getsize("lines"))
    loop = f"for i in $(seq {times}); do cat /lines; done"
    return f"({loop}) & ({loop}) >&2 & wait", 2 * times * os.path.getsize("lines")


def write(engine, options, size):
    """Megabytes a second."""
    text, size = script(size)
    start = time.monotonic()
    quiet([*engine, "run", "-d", "--name", "log", "--network", "none", *options, "logs", "/bin/sh", "-c", text])
    quiet([*engine, "wait", "log"])
    return size / (time.monotonic() - start) / 1e6


def throughput(name, engine, unlimited, size):
    writes, reads = [], []
    for _ in range(ROUNDS):
        writes.append(write(engine, [], size))
        quiet([*engine, "rm", "log"])
    write(engine, unlimited, READ)
    _, read = script(READ)
    no = subprocess.DEVNULL
    for _ in range(ROUNDS):
        reads.append(read / milliseconds([*engine, "logs", "log"], stdout=no, stderr=no) / 1e3)
    quiet([*engine, "rm", "log"])
    return name, statistics.median(writes), statistics.median(reads)


def measure(work):
    image = make_image(work)
    carrier, other = [os.environ["CARRIER_BIN"]], podman(work)
    for engine in (carrier, other):
        quiet([*engine, "import", image, "logs"])
    rows = [
        throughput("carrier", carrier, ["--log-opt", "max-size=2g"], OURS),
        throughput("podman", other, [], THEIRS),
    ]
    theirs = rows[-1]
    with open("logs.md", "w") as table:
        print(
            f"{facts()}; lines of 80 bytes by two writers, "
            f"medians of {ROUNDS} rounds: {OURS >> 20} MiB for carrier, {THEIRS >> 20} MiB for podman\n",
            file=table,
        )
        print("| what | written MB/s | of podman | read MB/s | of podman |\n|---|---|---|---|---|", file=table)
        for name, written, read in rows:
            print(
                f"| {name} | {written:.0f} | {written / theirs[1]:.1f} | {read:.0f} | {read / theirs[2]:.1f} |",
                file=table,
            )


if __name__ == "__main__":
    main(__file__, measure, ["ROUNDS", "BYTES"], ["logs.md"])
