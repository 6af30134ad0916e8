#!/usr/bin/env python3
"""Times `exec C true` in a container that runs, beside podman and crun, in one run; and weighs the
processes that take care of it, Carrier's monitor and podman's conmon.

The three take turns, so that whatever else the machine does meets all of them. Started as root it
prepares what crun and podman need of control groups, and measures as the user carrier-test; an ordinary
user measures what the host allows. One that does not run is left out, and named.
"""

import glob
import json
import os
import platform
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

USER = "carrier-test"
ROUNDS = int(os.environ.get("ROUNDS", "50"))
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../target/bench")

# crun wants the unified hierarchy, without a controller that it could not use, and a group in it that
# belongs to the user.
AS_ROOT = f"""
set -e
mkdir -p /run/bench-hugetlb /run/bench-perf
mount -t cgroup -o hugetlb none /run/bench-hugetlb 2>/dev/null || true
mount -t cgroup -o perf_event none /run/bench-perf 2>/dev/null || true
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/bench && chown -R {USER}: /sys/fs/cgroup/bench
echo $$ > /sys/fs/cgroup/bench/cgroup.procs
exec setpriv --reuid {USER} --regid {USER} --init-groups env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin \\
    HOME="$1" CARRIER_BIN="$1/carrier" ROUNDS={ROUNDS} python3 "$1/exec.py" measure
"""


def quiet(command, **options):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, **options)


def prepare():
    """Measures in a directory of its own, and shows the table."""
    os.makedirs(OUT, exist_ok=True)
    work = tempfile.mkdtemp(prefix="carrier-bench-", dir="/var/tmp")
    try:
        shutil.copy(os.environ["CARRIER_BIN"], work + "/carrier")
        shutil.copy(__file__, work + "/exec.py")
        os.chmod(work, 0o755)
        if os.getuid() == 0:
            user = pwd.getpwnam(USER)
            for path in [work, work + "/carrier"]:
                os.chown(path, user.pw_uid, user.pw_gid)
            words = ["unshare", "-m", "bash", "-c", AS_ROOT, "bench", work]
            subprocess.run(words, check=True, cwd=work)
        else:
            environment = dict(os.environ, HOME=work, CARRIER_BIN=work + "/carrier")
            words = [sys.executable, work + "/exec.py", "measure"]
            subprocess.run(words, check=True, cwd=work, env=environment)
        shutil.copy(work + "/exec.md", OUT)
        print(open(work + "/exec.md").read(), end="")
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Bench:
    def __init__(self):
        self.work = os.environ["HOME"]
        self.carrier = os.environ["CARRIER_BIN"]
        os.environ["XDG_RUNTIME_DIR"] = self.work + "/run"
        os.environ["XDG_DATA_HOME"] = self.work + "/data"
        os.makedirs(self.work + "/run", mode=0o700)
        self.rootfs = self.work + "/rootfs"
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"]:
            os.makedirs(f"{self.rootfs}/{name}")
        shutil.copy("/bin/busybox", self.rootfs + "/bin/busybox")
        for name in ["sh", "true", "sleep"]:
            os.symlink("busybox", f"{self.rootfs}/bin/{name}")
        self.podman = ["podman", "--cgroup-manager=cgroupfs", "--root", self.work + "/podman",
                       "--runroot", self.work + "/run/podman"]
        self.processes, self.ends = [], []

    def start_carrier(self):
        archive = self.work + "/rootfs.tar"
        quiet(["tar", "-C", self.rootfs, "-cf", archive, "."])
        quiet([self.carrier, "import", archive, "localhost/bench"])
        self.start([self.carrier, "run", "--rm", "--name", "bench", "localhost/bench", "sleep", "10000"])
        self.ends.append([self.carrier, "rm", "--force", "bench"])
        return [self.carrier, "exec", "bench", "true"]

    def start_podman(self):
        archive = self.work + "/rootfs.tar"
        quiet(self.podman + ["import", "-q", archive, "localhost/bench"])
        quiet(self.podman + ["run", "-d", "--network", "none", "--name", "bench", "localhost/bench",
                             "sleep", "10000"])
        self.ends.append(self.podman + ["rm", "-f", "-t", "0", "bench"])
        return self.podman + ["exec", "bench", "true"]

    def start_crun(self):
        os.makedirs(self.work + "/bundle")
        quiet(["crun", "spec", "--rootless"], cwd=self.work + "/bundle")
        path = self.work + "/bundle/config.json"
        spec = json.load(open(path))
        spec["root"]["path"] = self.rootfs
        spec["process"].update(args=["/bin/sleep", "10000"], terminal=False)
        if {"type": "network"} not in spec["linux"]["namespaces"]:
            spec["linux"]["namespaces"].append({"type": "network"})
        for kind, number in (("uid", os.getuid()), ("gid", os.getgid())):
            spec["linux"][kind + "Mappings"] = [{"containerID": 0, "hostID": number, "size": 1}]
        json.dump(spec, open(path, "w"))
        crun = ["crun", "--cgroup-manager=disabled"]
        self.start(crun + ["run", "-b", self.work + "/bundle", "bench"])
        self.ends.append(crun + ["delete", "--force", "bench"])
        return crun + ["exec", "bench", "/bin/true"]

    def weights(self, commands):
        """Memory of the monitors, from /proc/PID/smaps_rollup."""
        pids = {}
        if "carrier" in commands:
            [state] = glob.glob(self.work + "/data/carrier/containers/*/state.json")
            pids["carrier"] = json.load(open(state))["monitor"]["pid"]
        if "podman" in commands:
            shown = quiet(self.podman + ["inspect", "--format", "{{.State.ConmonPid}}", "bench"])
            pids["conmon"] = int(shown.stdout)
        return {name: weight(pid) for name, pid in pids.items()}

    def start(self, command):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def runs(self, command):
        """Whether a command works, soon."""
        for _ in range(100):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode == 0:
                return True
            time.sleep(0.1)
        print(f"bench: {command[0]} does not run here: {done.stderr.strip()}", file=sys.stderr)
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


def measure():
    bench = Bench()
    commands = {}
    try:
        for name, start in [("carrier", bench.start_carrier), ("podman", bench.start_podman),
                            ("crun", bench.start_crun)]:
            try:
                command = start()
            except (subprocess.CalledProcessError, OSError) as error:
                print(f"bench: {name} does not run here: {error}", file=sys.stderr)
                continue
            if bench.runs(command):
                commands[name] = command
        times = {name: [] for name in commands}
        for round in range(ROUNDS + 3):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                if round >= 3:
                    times[name].append((time.perf_counter() - began) * 1000)
        # Idle for a while, as most are most of the time.
        time.sleep(2)
        weights = bench.weights(commands)
    finally:
        bench.end()
    write_table(bench.work + "/exec.md", times, weights)


def write_table(path, times, weights):
    medians = {name: statistics.median(list) for name, list in times.items()}
    with open(path, "w") as table:
        print(f"Linux {platform.release()}, {os.cpu_count()} processors; `exec C true`, "
              f"{ROUNDS} rounds in turns\n", file=table)
        print("| what | median ms | 95 % below | of carrier |\n|---|---|---|---|", file=table)
        for name, median in sorted(medians.items(), key=lambda row: row[1]):
            high = sorted(times[name])[int(len(times[name]) * 0.95)]
            ratio = median / medians["carrier"]
            print(f"| {name} | {median:.1f} | {high:.1f} | {ratio:.1f} |", file=table)
        print("\n| process that takes care of an idle container | PSS kB | private kB |\n|---|---|---|", file=table)
        for name, (proportional, private) in weights.items():
            print(f"| {name} | {proportional} | {private} |", file=table)


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["measure"] else prepare()
