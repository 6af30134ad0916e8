#!/usr/bin/env python3
"""Times the log of a container beside podman's, in one run: what two writers write, and what is read.

Started as root it measures as the user carrier-test. Both engines have their own defaults, but for the
cap of Carrier's log where all of it is to be read: podman's has none.
"""

import json
import os
import platform
import pwd
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

USER = "carrier-test"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
# Bytes of both writers together; podman is given less, since it takes its time.
OURS = int(os.environ.get("BYTES", str(1 << 30)))
THEIRS = min(OURS, 128 << 20)
READ = min(OURS, 128 << 20)
PART = 8 << 20
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../target/bench")


# Podman wants the unified hierarchy, without a controller that it could not use, and a group in it that
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
    HOME="$1" CARRIER_BIN="$1/carrier" ROUNDS={ROUNDS} BYTES={OURS} python3 "$1/logs.py" measure
"""


def as_user(work):
    """Gives the work to the ordinary user, who measures, and shows what he found."""
    user = pwd.getpwnam(USER)
    shutil.copy(os.environ["CARRIER_BIN"], work + "/carrier")
    shutil.copy(__file__, work + "/logs.py")
    for path in (work, work + "/carrier", work + "/logs.py"):
        os.chmod(path, 0o755)
        os.chown(path, user.pw_uid, user.pw_gid)
    subprocess.run(["unshare", "-m", "bash", "-c", AS_ROOT, "bench", work], check=True, cwd=work)
    os.makedirs(OUT, exist_ok=True)
    shutil.copy(work + "/logs.md", OUT)
    with open(work + "/logs.md") as table:
        print(table.read())


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


def timed(words):
    start = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def write(engine, options, size):
    text, size = script(size)
    start = time.monotonic()
    subprocess.run(
        engine + ["run", "-d", "--name", "log", "--network", "none"] + options + ["logs", "/bin/sh", "-c", text],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(engine + ["wait", "log"], check=True, stdout=subprocess.DEVNULL)
    return size / (time.monotonic() - start) / 1e6


def measure(name, engine, unlimited, size):
    writes, reads = [], []
    for _ in range(ROUNDS):
        writes.append(write(engine, [], size))
        subprocess.run(engine + ["rm", "log"], check=True, stdout=subprocess.DEVNULL)
    write(engine, unlimited, READ)
    _, read = script(READ)
    for _ in range(ROUNDS):
        reads.append(read / timed(engine + ["logs", "log"]) / 1e6)
    subprocess.run(engine + ["rm", "log"], check=True, stdout=subprocess.DEVNULL)
    return name, statistics.median(writes), statistics.median(reads)


def main():
    work = os.getcwd()
    os.makedirs(work + "/run", mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = work + "/run"
    image = make_image(work)
    carrier = [os.environ["CARRIER_BIN"]]
    podman = ["podman", "--cgroup-manager=cgroupfs", "--root", work + "/podman", "--runroot", work + "/run/podman"]
    for engine in (carrier, podman):
        subprocess.run(engine + ["import", image, "logs"], check=True, stdout=subprocess.DEVNULL)
    rows = [
        measure("carrier", carrier, ["--log-opt", "max-size=2g"], OURS),
        measure("podman", podman, [], THEIRS),
    ]
    subprocess.run(carrier + ["system", "reset", "--force"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(podman + ["system", "reset", "--force"], check=False, stdout=subprocess.DEVNULL)
    theirs = rows[-1]
    with open("logs.md", "w") as table:
        print(
            f"Linux {platform.release()}, {os.cpu_count()} processors; lines of 80 bytes by two writers, "
            f"medians of {ROUNDS} rounds: {OURS >> 20} MiB for carrier, {THEIRS >> 20} MiB for podman\n",
            file=table,
        )
        print("| what | written MB/s | of podman | read MB/s | of podman |\n|---|---|---|---|---|", file=table)
        for name, written, read in rows:
            print(
                f"| {name} | {written:.0f} | {written / theirs[1]:.1f} | {read:.0f} | {read / theirs[2]:.1f} |",
                file=table,
            )
    with open("logs.json", "w") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        main()
    else:
        place = tempfile.mkdtemp(prefix="carrier-bench-", dir="/var/tmp")
        try:
            if os.getuid() == 0:
                as_user(place)
            else:
                os.environ["HOME"] = place
                os.chdir(place)
                main()
                with open("logs.md") as found:
                    print(found.read())
        finally:
            subprocess.run(["rm", "-rf", place], check=False)
