#!/usr/bin/env python3
"""Many containers: a thousand that run at once, or the lives of many one after the other.

    scale.py thousand [COUNT]       started, listed, entered and removed; what each takes of the memory
    scale.py lives [COUNT]          run, entered, stopped and removed; what is left of them: nothing
"""

import os
import statistics
import sys
import time

from host import busybox_root, facts, main, milliseconds, quiet

IMAGE = "localhost/bench:latest"
CARRIER = os.environ.get("CARRIER_BIN", "carrier")
# What the kernel keeps for processes, namespaces and mounts.
KERNEL = ("Slab", "KernelStack", "PageTables", "Percpu")


def carrier(*words):
    return quiet([CARRIER, *words])


def meminfo():
    lines = (line.split(":") for line in open("/proc/meminfo"))
    return {name: int(value.split()[0]) for name, value in lines}


def own_processes():
    """Processes of this user but for this one, with their names; those that have ended and wait for the
    host's first process are none."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid >= os.getuid() > 0:
                name, _, fields = open(f"/proc/{entry}/stat").read().rpartition(")")
                if fields.split()[0] != "Z":
                    found[int(entry)] = name.partition("(")[2]
        except OSError:
            pass
    found.pop(os.getpid(), None)
    return found


def weight(pid):
    """The memory of a process in kB, shared pages in parts."""
    try:
        lines = open(f"/proc/{pid}/smaps_rollup").read().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)


def prepare(work):
    busybox_root(work)
    carrier("import", f"{work}/root.tar", IMAGE)


def thousand(work, count):
    before = meminfo()
    run = ("run", "-d", "--network", "none")
    starts = [milliseconds([CARRIER, *run, "--name", f"box{i}", IMAGE, "sleep", "100000"]) for i in range(count)]
    time.sleep(2)
    after = meminfo()
    weights = [weight(pid) for pid, name in own_processes().items() if name == "carrier"]
    weights = [it for it in weights if it is not None]
    kernel = sum(after[name] - before[name] for name in KERNEL) / count
    listed = statistics.median(milliseconds([CARRIER, "ls", "-c"]) for _ in range(9))
    found = len(carrier("ps", "-q").split())
    entered = statistics.median(milliseconds([CARRIER, "exec", f"box{i}", "true"]) for i in range(count))
    removed = milliseconds([CARRIER, "rm", "-c", "--force"])
    part = max(count // 10, 1)
    rows = [
        ("containers that run", f"{found}"),
        (f"start of the first {part}, median", f"{statistics.median(starts[:part]):.1f} ms"),
        (f"start of the last {part}, median", f"{statistics.median(starts[-part:]):.1f} ms"),
        ("memory of a monitor, PSS, mean", f"{statistics.mean(weights):.0f} kB" if weights else "–"),
        ("memory of the kernel for a container", f"{kernel:.0f} kB"),
        ("all that became unavailable, for a container",
         f"{(before['MemAvailable'] - after['MemAvailable']) / count:.0f} kB"),
        ("`ls -c`, median", f"{listed:.1f} ms"),
        ("`exec C true` in each, median", f"{entered:.1f} ms"),
        ("`rm -c --force` of all", f"{removed / 1000:.2f} s"),
        ("left of them", left(work)),
    ]
    show(work, f"{count} containers at once", rows)


def left(work):
    """Processes, mounts and files that are still there."""
    time.sleep(1)
    store = f"{work}/.local/share/carrier"
    places = [f"{store}/{name}" for name in ("containers", "names", "staging")]
    files = sum(len(os.listdir(place)) for place in places)
    processes = len([name for name in own_processes().values() if name in ("carrier", "sleep")])
    # The runtime directory is the benchmark's own.
    mounts = sum(work in line and f" {work}/run " not in line for line in open("/proc/self/mountinfo"))
    return f"{processes} processes, {mounts} mounts, {files} files"


def counters(work):
    time.sleep(2)
    memory = meminfo()
    return {
        "processes of the user": len(own_processes()),
        "mounts": sum(1 for _ in open("/proc/self/mountinfo")),
        "files below the store and the runtime directory": sum(
            len(files) + len(directories)
            for place in (f"{work}/.local/share/carrier", f"{work}/run")
            for _, directories, files in os.walk(place)
        ),
        "open files of the machine": int(open("/proc/sys/fs/file-nr").read().split()[0]),
        "network namespaces, kB of Percpu": memory["Percpu"],
        "Slab that cannot be reclaimed, kB": memory["SUnreclaim"],
        "MemAvailable, kB": memory["MemAvailable"],
    }


def lives(work, count):
    carrier("run", "--rm", "--network", "none", IMAGE, "true")
    before = counters(work)
    begin = time.monotonic()
    for number in range(count):
        if number % 20:
            carrier("run", "--rm", "--network", "none", IMAGE, "true")
            continue
        name = f"box{number}"
        carrier("run", "-d", "--name", name, "--network", "none", IMAGE, "sleep", "1000")
        carrier("exec", name, "true")
        carrier("stop", "-t", "0", name)
        carrier("rm", name)
    taken = time.monotonic() - begin
    after = counters(work)
    rows = [(name, f"{before[name]} | {after[name]}") for name in before]
    show(work, f"{count} lives in {taken:.0f} s", rows, "before | after")


def show(work, title, rows, heading="figure"):
    columns = heading.count("|") + 2
    with open(f"{work}/scale.md", "w") as table:
        print(f"{facts()}; {title}\n\n| what | {heading} |\n|{'---|' * columns}", file=table)
        for what, figure in rows:
            print(f"| {what} | {figure} |", file=table)


def measure(work):
    mode, *count = [word for word in sys.argv[1:] if word != "measured"] or ["thousand"]
    prepare(work)
    if mode == "thousand":
        thousand(work, int(*count or [1000]))
    else:
        lives(work, int(*count or [20000]))


if __name__ == "__main__":
    main(__file__, measure, [], ["scale.md"])
