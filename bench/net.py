#!/usr/bin/env python3
"""Throughput and start-up cost of each kind of network, beside podman's with the same helper.

As root it measures as the user carrier-test; an ordinary user measures what his host allows.
The table goes to target/bench/net.md.
"""

import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

USER = "carrier-test"
SECONDS = os.environ.get("SECONDS_EACH", "3")
ROUNDS = int(os.environ.get("ROUNDS", "15"))
# How long a server may take until it answers, and any command.
PATIENCE = 5
LIMIT = 30
CARRIER = os.environ.get("CARRIER_BIN", "carrier")


def run(words, **options):
    return subprocess.run(words, text=True, capture_output=True, timeout=LIMIT, **options)


def as_user():
    """Starts this script again as the ordinary user, in a cgroup that podman can use."""
    work = tempfile.mkdtemp(prefix="carrier-bench-", dir="/var/tmp")
    shutil.copy(CARRIER, f"{work}/carrier")
    shutil.copy(__file__, f"{work}/net.py")
    os.chmod(work, 0o755)
    run(["chown", "-R", f"{USER}:", work])
    script = f"""
        mkdir -p /run/bench-hugetlb /run/bench-perf
        mount -t cgroup -o hugetlb none /run/bench-hugetlb 2>/dev/null
        mount -t cgroup -o perf_event none /run/bench-perf 2>/dev/null
        umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
        mkdir -p /sys/fs/cgroup/bench && chown -R {USER}: /sys/fs/cgroup/bench
        echo $$ > /sys/fs/cgroup/bench/cgroup.procs
        cd {work} && exec setpriv --reuid {USER} --regid {USER} --init-groups env -i \
            PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME={work} CARRIER_BIN={work}/carrier \
            SECONDS_EACH={SECONDS} ROUNDS={ROUNDS} python3 {work}/net.py measure"""
    subprocess.run(["unshare", "-m", "sh", "-c", script], check=True)
    out = pathlib.Path(__file__).resolve().parent.parent / "target/bench"
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(f"{work}/net.md", out)
    print((out / "net.md").read_text())
    shutil.rmtree(work)


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
        run(words, check=True)
        times = []
        for _ in range(ROUNDS):
            begin = time.monotonic()
            run(words, check=True)
            times.append((time.monotonic() - begin) * 1000)
        return statistics.median(times)


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


def attempt(work, *arguments):
    try:
        return f"{work(*arguments):.1f}"
    except (subprocess.SubprocessError, RuntimeError, AttributeError) as error:
        words = getattr(error, "stderr", None) or str(error)
        print(f"bench: {work.__name__}: {words.strip().splitlines()[-1:]}", file=sys.stderr)
        return "–"


def measure():
    work = pathlib.Path(os.environ["HOME"])
    runtime = work / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    archive = root_file_system(work)
    podman = ["podman", "--cgroup-manager=cgroupfs", "--root", f"{work}/podman"]
    podman += ["--runroot", f"{runtime}/podman", "--log-level=error"]
    engines = [Engine("carrier", [CARRIER], archive)]
    try:
        engines.append(Engine("podman", podman, archive))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench: podman does not run here: {error}", file=sys.stderr)
    for engine in engines:
        run([*engine.words, "network", "create", "benchnet"])
    lines = [
        f"Linux {platform.release()}, {os.cpu_count()} processors; Gbit/s by iperf3 for {SECONDS} s, "
        f"start-up of `true` as the median of {ROUNDS}",
        "",
        "| engine | network | host to container | container to host | between two | start-up, ms |",
        "|---|---|---|---|---|---|",
    ]
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
                flows[2] = attempt(between, engine, mode)
            shown = "bridge" if mode == "benchnet" else mode
            cells = [engine.name, shown, *flows, start_up]
            lines.append(f"| {' | '.join(cells)} |")
    for engine in engines:
        run([*engine.words, "network", "rm", "benchnet"])
        run([*engine.words, "rmi", "-f", "localhost/bench:latest"])
    (work / "net.md").write_text("\n".join(lines) + "\n")


if os.getuid() == 0 and sys.argv[1:] != ["measure"]:
    as_user()
else:
    if sys.argv[1:] != ["measure"]:
        os.environ["HOME"] = tempfile.mkdtemp(prefix="carrier-bench-", dir="/var/tmp")
    measure()
