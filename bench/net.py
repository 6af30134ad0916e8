#!/usr/bin/env python3
"""Throughput and start-up cost of each kind of network, beside podman's with the same helper."""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

from host import facts, main, milliseconds, podman

SECONDS = os.environ.get("SECONDS_EACH", "3")
ROUNDS = int(os.environ.get("ROUNDS", "15"))
# Rounds of what differs most between them.
TURNS = 5
# How long a server may take until it answers, and any command.
PATIENCE = 5
LIMIT = 30
CARRIER = os.environ.get("CARRIER_BIN", "carrier")


def run(words, **options):
    return subprocess.run(words, text=True, capture_output=True, timeout=LIMIT, **options)


def root_file_system(work):
    """An archive of busybox and iperf3 with its libraries."""
    root = work / "root"
    for name in ("bin", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for name in ("sh", "true", "sleep"):
        (root / "bin" / name).symlink_to("busybox")
    for line in run(["ldd", "/usr/bin/iperf3"]).stdout.splitlines():
        for path in re.findall(r"(/\S+) \(", line):
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.copy("/usr/bin/iperf3", root / "bin")
    run(["tar", "-C", root, "-cf", work / "root.tar", "."], check=True)
    return str(work / "root.tar")


def version(words):
    found = re.search(r"(\d+)\.(\d+)", run([*words, "--version"]).stdout)
    return tuple(map(int, found.groups())) if found else (0, 0)


class Engine:
    """Carrier or podman."""

    def __init__(self, name, words, archive):
        self.name, self.words = name, words
        run([*words, "import", archive, "localhost/bench:latest"], check=True)

    def start(self, mode, name, *command, options=()):
        words = [*self.words, "run", "-d", "--name", name, "--network", mode, *options]
        return run([*words, "localhost/bench:latest", *command], check=True)

    def knows(self, mode):
        """Podman knows pasta since 4.4."""
        return (self.name, mode) != ("podman", "pasta") or version(self.words) >= (4, 4)

    def remove(self, *names):
        run([*self.words, "rm", "-f", *names])

    def start_up(self, mode):
        words = [*self.words, "run", "--rm", "--network", mode, "localhost/bench:latest", "true"]
        milliseconds(words)
        return statistics.median(milliseconds(words) for _ in range(ROUNDS))


def gigabits(words):
    """What iperf3's client tells; it is tried until the server is there, or clearly never will be."""
    deadline = time.monotonic() + PATIENCE
    while True:
        outcome = run([*words, "-J", "-t", SECONDS])
        try:
            return json.loads(outcome.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
        except (ValueError, KeyError):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{words}: {outcome.stdout}{outcome.stderr}") from None
            time.sleep(0.1)


def inwards(engine, mode):
    engine.start(mode, "bench", "iperf3", "-s", options=("-p", "127.0.0.1:25201:5201"))
    try:
        return gigabits(["iperf3", "-c", "127.0.0.1", "-p", "25201"])
    finally:
        engine.remove("bench")


def outwards(engine, mode):
    options = ("--add-host", "host:host-gateway") if engine.name == "carrier" else ()
    own = run(["ip", "-4", "route", "get", "192.0.2.1"]).stdout
    own = re.search(r"src (\S+)", own).group(1)
    server = subprocess.Popen(["iperf3", "-s", "-p", "25202"], stdout=subprocess.DEVNULL)
    try:
        engine.start(mode, "bench", "sleep", "1000", options=options)
        return gigabits([*engine.words, "exec", "bench", "iperf3", "-c", own, "-p", "25202"])
    finally:
        server.kill()
        server.wait()
        engine.remove("bench")


def between(engine, mode):
    engine.start(mode, "bench", "iperf3", "-s")
    engine.start(mode, "bench2", "sleep", "1000")
    # By its address: Debian's podman has no name server for networks.
    shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    try:
        address = run([*engine.words, "inspect", "-f", shown, "bench"], check=True).stdout.strip()
        return gigabits([*engine.words, "exec", "bench2", "iperf3", "-c", address])
    finally:
        engine.remove("bench", "bench2")


def between_in_turns(engines, mode):
    """Medians, whatever else the machine does."""
    found = {engine.name: [] for engine in engines}
    for _ in range(TURNS):
        for engine in engines:
            found[engine.name].append(attempt(between, engine, mode))
    return {name: sorted(flows, key=gigabits_of)[TURNS // 2] for name, flows in found.items()}


def gigabits_of(cell):
    return float(cell) if cell != "–" else 0.0


def attempt(work, *arguments):
    try:
        return f"{work(*arguments):.1f}"
    except (subprocess.SubprocessError, RuntimeError, AttributeError) as error:
        words = getattr(error, "stderr", None) or str(error)
        print(f"bench: {work.__name__}: {words.strip().splitlines()[-1:]}", file=sys.stderr)
        return "–"


def measure(work):
    archive = root_file_system(pathlib.Path(work))
    engines = [Engine("carrier", [CARRIER], archive)]
    try:
        engines.append(Engine("podman", podman(work), archive))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench: podman does not run here: {error}", file=sys.stderr)
    for engine in engines:
        run([*engine.words, "network", "create", "benchnet"])
    lines = [
        f"{facts()}; Gbit/s by iperf3 for {SECONDS} s, "
        f"start-up of `true` as the median of {ROUNDS}",
        "",
        "| engine | network | host to container | container to host | between two | start-up, ms |",
        "|---|---|---|---|---|---|",
    ]
    among = between_in_turns(engines, "benchnet")
    for mode in ("none", "slirp4netns", "pasta", "benchnet"):
        for engine in engines:
            flows = ["–", "–", "–"]
            start_up = "–"
            if engine.knows(mode):
                start_up = attempt(engine.start_up, mode)
            if mode != "none" and engine.knows(mode):
                flows[0] = attempt(inwards, engine, mode)
                flows[1] = attempt(outwards, engine, mode)
            if mode == "benchnet":
                flows[2] = among[engine.name]
            shown = "bridge" if mode == "benchnet" else mode
            cells = [engine.name, shown, *flows, start_up]
            lines.append(f"| {' | '.join(cells)} |")
    for engine in engines:
        run([*engine.words, "network", "rm", "benchnet"])
        run([*engine.words, "rmi", "-f", "localhost/bench:latest"])
    pathlib.Path("net.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(__file__, measure, ["SECONDS_EACH", "ROUNDS"], ["net.md"])
