#!/usr/bin/env python3
"""Times what a user waits for, beside podman, crun, runc, bubblewrap and bare system calls, in one run.

The commands of a row take turns of some rounds, so that whatever else the machine does meets all of them; figures are
medians. One that does not run here is left out, and named.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time

from host import busybox_root, facts, main, make_bundle, milliseconds, podman, quiet

ROUNDS = int(os.environ.get("ROUNDS", "40"))
# A command has so many turns at a time, and one before them that does not count.
BURST = 5
IMAGE = "localhost/bench:latest"


class Bench:
    def __init__(self, work):
        self.work, self.rows = work, []
        self.carrier = [os.environ["CARRIER_BIN"]]
        self.podman = podman(work)
        self.root = busybox_root(work)
        for engine in (self.carrier, self.podman):
            self.attempt("import", engine, [*engine, "import", f"{work}/root.tar", IMAGE])
        make_bundle(work, self.root, ["/bin/true"])
        quiet(["cc", "-O2", "-w", "-static", "-o", f"{work}/floor", f"{work}/floor.c"])

    def attempt(self, what, who, words):
        try:
            return milliseconds(words)
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"bench: {what}: {os.path.basename(who[0])} is left out: {error}", file=sys.stderr)
            return None

    def turns(self, what, commands, rounds=ROUNDS):
        """Times commands, each a name, words, and words that come before it without being timed."""
        able = []
        for name, words, *before in commands:
            if before:
                self.attempt(what, words, before[0])
            if self.attempt(what, words, words) is not None:
                able.append((name, words, before))
        times = {name: [] for name, *_ in able}
        for _ in range(-(-rounds // BURST)):
            for name, words, before in able:
                # What the one before has left to be written is none of this one's.
                os.sync()
                for number in range(BURST + 1):
                    if before:
                        quiet(before[0])
                    taken = milliseconds(words)
                    if number:
                        times[name].append(taken)
        self.add(what, {name: statistics.median(taken) for name, taken in times.items()})

    def add(self, what, medians):
        own = medians.get("carrier")
        for name, median in medians.items():
            self.rows.append({"what": what, "who": name, "ms": median, "of carrier": own and median / own})
            print(f"{what:32} {name:18} {median:8.2f}", file=sys.stderr)

    def start(self):
        def run(engine, *options):
            return [*engine, "run", "--rm", *options, IMAGE, "true"]

        bundle = ["run", "-b", f"{self.work}/bundle", "bench"]
        sandbox = ["--unshare-all", "--bind", self.root, "/", "--proc", "/proc", "--dev", "/dev", "true"]
        none = ("--network", "none")
        self.turns("run --rm --network none", [
            ("carrier", run(self.carrier, *none)),
            ("podman", run(self.podman, *none)),
            ("carrier oci, a bundle", [*self.carrier, "oci", "--cgroup-manager=disabled", *bundle]),
            ("crun, a bundle", ["crun", "--cgroup-manager=disabled", *bundle]),
            ("runc, a bundle", ["runc", "--rootless=true", *bundle]),
            ("bubblewrap", ["bwrap", *sandbox]),
            ("floor", [f"{self.work}/floor", self.root, "/bin/true"]),
        ])
        self.beside(none, run)
        self.turns("run --rm", [(name, run(engine)) for name, engine in self.engines()], 20)
        terminal = [
            (name, ["script", "-qec", " ".join(run(engine, *none, "-t")), "/dev/null"])
            for name, engine in self.engines()
        ]
        self.turns("run --rm -t --network none", terminal, 20)

    def beside(self, none, run):
        """Where a container runs already."""
        for name, engine in self.engines():
            quiet([*engine, "run", "-d", "--name", "other", *none, IMAGE, "sleep", "1000"])
        commands = [(name, run(engine, *none)) for name, engine in self.engines()]
        commands.append(("floor", [f"{self.work}/floor", self.root, "/bin/true"]))
        self.turns("the same beside a container", commands, 20)
        self.turns("exec", [(name, [*engine, "exec", "other", "true"]) for name, engine in self.engines()], 20)
        for name, _ in self.engines():
            quiet(self.remove(name, "other"))

    def remove(self, name, container):
        if name == "podman":
            return [*self.podman, "rm", "-f", "-t", "0", container]
        return [*self.carrier, "rm", "-f", container]

    def engines(self):
        return (("carrier", self.carrier), ("podman", self.podman))

    def life(self):
        def detached(engine):
            return [*engine, "run", "-d", "--name", "one", "--network", "none", IMAGE, "sleep", "1000"]

        for name, engine in self.engines():
            quiet(detached(engine))
        started = [(name, detached(engine), self.remove(name, "one")) for name, engine in self.engines()]
        self.turns("run -d --network none", started, 15)
        for name, _ in self.engines():
            quiet(self.remove(name, "one"))
        ended = [
            (name, ["sh", "-c", '"$@" stop -t 0 one && "$@" rm one', "sh", *engine], detached(engine))
            for name, engine in self.engines()
        ]
        self.turns("stop -t 0, rm", ended, 15)
        self.turns("--version", [(name, [engine[0], "--version"]) for name, engine in self.engines()])

    def parallel(self, count, each):
        """Many at once: what one start takes of the whole."""
        medians = {}
        for name, engine in self.engines():
            words = [*engine, "run", "--rm", "--network", "none", IMAGE, "true"]
            threads = [
                threading.Thread(target=lambda: [quiet(words) for _ in range(each)]) for _ in range(count)
            ]
            begin = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            medians[name] = (time.monotonic() - begin) * 1000 / count / each
        self.add(f"{count} at once, per start", medians)

    def write(self):
        json.dump({"machine": facts(), "rows": self.rows}, open(f"{self.work}/start.json", "w"), indent=1)
        with open(f"{self.work}/start.md", "w") as table:
            print(f"{facts()}; medians, the commands of a row in turns\n", file=table)
            print("| what | who | ms | of carrier |\n|---|---|---|---|", file=table)
            for row in self.rows:
                ratio = f"{row['of carrier']:.2f}" if row["of carrier"] else "–"
                print(f"| {row['what']} | {row['who']} | {row['ms']:.1f} | {ratio} |", file=table)


def measure(work):
    bench = Bench(work)
    bench.start()
    bench.life()
    for count in (4, 16):
        bench.parallel(count, 3)
    bench.write()


if __name__ == "__main__":
    main(__file__, measure, ["ROUNDS"], ["start.md", "start.json"])
