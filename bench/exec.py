#!/usr/bin/env python3
"""Times `exec C true` in a container that runs, beside podman and crun, in one run; and weighs the
processes that take care of it, Carrier's monitor and podman's conmon.

The three take turns, so that whatever else the machine does meets all of them. One that does not run is
left out, and named.
"""

import glob
import json
import os
import statistics
import subprocess
import sys
import time

from host import busybox_root, facts, main, make_bundle, milliseconds, podman, quiet

ROUNDS = int(os.environ.get("ROUNDS", "50"))
IMAGE = "localhost/bench:latest"
SLEEP = ["/bin/sleep", "10000"]


class Bench:
    def __init__(self, work):
        self.work = work
        self.carrier = [os.environ["CARRIER_BIN"]]
        self.podman = podman(work)
        self.root = busybox_root(work)
        self.processes, self.ends = [], []

    def start_carrier(self):
        quiet([*self.carrier, "import", f"{self.work}/root.tar", IMAGE])
        self.start([*self.carrier, "run", "--rm", "--name", "bench", IMAGE, *SLEEP])
        self.ends.append([*self.carrier, "rm", "--force", "bench"])
        return [*self.carrier, "exec", "bench", "true"]

    def start_podman(self):
        quiet([*self.podman, "import", "-q", f"{self.work}/root.tar", IMAGE])
        quiet([*self.podman, "run", "-d", "--network", "none", "--name", "bench", IMAGE, *SLEEP])
        self.ends.append([*self.podman, "rm", "-f", "-t", "0", "bench"])
        return [*self.podman, "exec", "bench", "true"]

    def start_crun(self):
        make_bundle(self.work, self.root, SLEEP)
        crun = ["crun", "--cgroup-manager=disabled"]
        self.start([*crun, "run", "-b", f"{self.work}/bundle", "bench"])
        self.ends.append([*crun, "delete", "--force", "bench"])
        return [*crun, "exec", "bench", "/bin/true"]

    def weights(self, commands):
        """Memory of the monitors, from /proc/PID/smaps_rollup."""
        pids = {}
        if "carrier" in commands:
            [state] = glob.glob(f"{self.work}/.local/share/carrier/containers/*/state.json")
            pids["carrier"] = json.load(open(state))["monitor"]["pid"]
        if "podman" in commands:
            pids["conmon"] = int(quiet([*self.podman, "inspect", "--format", "{{.State.ConmonPid}}", "bench"]))
        return {name: weight(pid) for name, pid in pids.items()}

    def start(self, command):
        no = subprocess.DEVNULL
        self.processes.append(subprocess.Popen(command, stdin=no, stdout=no, stderr=no))

    def runs(self, command):
        """Whether a command works, soon."""
        for _ in range(100):
            try:
                quiet(command)
                return True
            except RuntimeError as error:
                failure = error
                time.sleep(0.1)
        print(f"bench: {failure}", file=sys.stderr)
        return False

    def end(self):
        for command in self.ends:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        for process in self.processes:
            process.wait()


def weight(pid):
    lines = [line.split() for line in open(f"/proc/{pid}/smaps_rollup")]
    sizes = {words[0]: int(words[1]) for words in lines[1:]}
    return sizes["Pss:"], sizes["Private_Clean:"] + sizes["Private_Dirty:"]


def measure(work):
    bench = Bench(work)
    starts = {"carrier": bench.start_carrier, "podman": bench.start_podman, "crun": bench.start_crun}
    commands = {}
    try:
        for name, start in starts.items():
            try:
                command = start()
            except (OSError, RuntimeError) as error:
                print(f"bench: {name} does not run here: {error}", file=sys.stderr)
                continue
            if bench.runs(command):
                commands[name] = command
        times = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(milliseconds(command))
        # Idle for a while, as most are most of the time.
        time.sleep(2)
        weights = bench.weights(commands)
    finally:
        bench.end()
    write_table(f"{work}/exec.md", times, weights)


def write_table(path, times, weights):
    medians = {name: statistics.median(list) for name, list in times.items()}
    with open(path, "w") as table:
        print(f"{facts()}; `exec C true`, {ROUNDS} rounds in turns\n", file=table)
        print("| what | median ms | 95 % below | of carrier |\n|---|---|---|---|", file=table)
        for name, median in sorted(medians.items(), key=lambda row: row[1]):
            high = sorted(times[name])[int(len(times[name]) * 0.95)]
            ratio = median / medians["carrier"]
            print(f"| {name} | {median:.1f} | {high:.1f} | {ratio:.1f} |", file=table)
        print("\n| process that takes care of an idle container | PSS kB | private kB |\n|---|---|---|", file=table)
        for name, (proportional, private) in weights.items():
            print(f"| {name} | {proportional} | {private} |", file=table)


if __name__ == "__main__":
    main(__file__, measure, ["ROUNDS"], ["exec.md"])
