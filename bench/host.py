"""Where benchmarks measure: in a directory of their own, as an ordinary user.

Started as root they measure as the user carrier-test, in a cgroup that podman and crun can use; an ordinary
user measures what his host allows.
"""

import json
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

USER = "carrier-test"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../target/bench")
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

# The runtime directory of a user is in memory. crun wants the unified hierarchy, without a controller that it
# could not use, and a group in it that belongs to the user.
AS_ROOT = f"""
mkdir -p /run/bench-hugetlb /run/bench-perf
mount -t cgroup -o hugetlb none /run/bench-hugetlb 2>/dev/null
mount -t cgroup -o perf_event none /run/bench-perf 2>/dev/null
set -e
mount -t tmpfs -o mode=700,uid=$(id -u {USER}),gid=$(id -g {USER}) run "$XDG_RUNTIME_DIR"
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/bench && chown -R {USER}: /sys/fs/cgroup/bench
echo $$ > /sys/fs/cgroup/bench/cgroup.procs
exec setpriv --reuid {USER} --regid {USER} --init-groups "$@"
"""


def main(script, measure, settings=(), results=()):
    """Calls `measure` with the directory in which it works: in a copy of `script` that has the variables
    in `settings`. The files `results` are kept, and the Markdown among them is shown."""
    if sys.argv[-1] == "measured":
        measure(os.environ["HOME"])
        return
    work = tempfile.mkdtemp(prefix="carrier-bench-", dir="/var/tmp")
    try:
        source = os.path.dirname(os.path.abspath(script))
        for file in [script, os.path.join(source, "host.py"), os.path.join(source, "floor.c")]:
            shutil.copy(file, work)
        shutil.copy(os.environ["CARRIER_BIN"], work + "/carrier")
        os.makedirs(work + "/run")
        environment = {name: os.environ[name] for name in settings if name in os.environ}
        environment |= {"PATH": PATH, "HOME": work, "XDG_RUNTIME_DIR": work + "/run"}
        environment |= {"CARRIER_BIN": work + "/carrier"}
        words = [sys.executable, f"{work}/{os.path.basename(script)}", *sys.argv[1:], "measured"]
        owned = [work, work + "/run", work + "/carrier"]
        if os.getuid() == 0:
            user = pwd.getpwnam(USER)
            for path in owned:
                os.chown(path, user.pw_uid, user.pw_gid)
            words = ["unshare", "-m", "bash", "-c", AS_ROOT, "bench", *words]
        os.chmod(work + "/run", 0o700)
        os.chmod(work, 0o755)
        subprocess.run(words, check=True, cwd=work, env=environment)
        os.makedirs(OUT, exist_ok=True)
        for name in results:
            shutil.copy(f"{work}/{name}", OUT)
            if name.endswith(".md"):
                print(open(f"{work}/{name}").read(), end="")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def quiet(words, **options):
    """Runs a command that has to succeed, and returns what it says."""
    pipe, no = subprocess.PIPE, subprocess.DEVNULL
    options = {"stdin": no, "stdout": pipe, "stderr": pipe, "text": True, "timeout": 300} | options
    ended = subprocess.run([str(word) for word in words], **options)
    if ended.returncode:
        raise RuntimeError(f"{words}: {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout


def milliseconds(words, **options):
    """How long a command takes."""
    begin = time.monotonic()
    # With a limit, Python would look for the end now and then only.
    quiet(words, timeout=None, **options)
    return (time.monotonic() - begin) * 1000


def facts():
    """What a figure depends on."""
    return f"Linux {platform.release()}, {os.cpu_count()} processors"


def busybox_root(work):
    """A root file system of one program under its own names."""
    root = f"{work}/rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        os.makedirs(f"{root}/{name}")
    shutil.copy("/bin/busybox", root + "/bin")
    for name in ("sh", "true", "sleep"):
        os.symlink("busybox", f"{root}/bin/{name}")
    quiet(["tar", "-C", root, "-cf", f"{work}/root.tar", "."])
    return root


def podman(work):
    """Podman with a store of its own."""
    words = ["podman", "--cgroup-manager=cgroupfs", "--log-level=error"]
    return [*words, "--root", f"{work}/podman", "--runroot", f"{work}/run/podman"]


def make_bundle(work, root, command):
    """A bundle for runtimes without an engine; a network namespace is part of every sandbox here."""
    os.makedirs(f"{work}/bundle")
    quiet(["crun", "spec", "--rootless"], cwd=f"{work}/bundle")
    path = f"{work}/bundle/config.json"
    spec = json.load(open(path))
    spec["root"]["path"] = root
    spec["process"].update(args=command, terminal=False)
    namespaces = spec["linux"]["namespaces"]
    if {"type": "network"} not in namespaces:
        namespaces.append({"type": "network"})
    for kind, number in (("uid", os.getuid()), ("gid", os.getgid())):
        spec["linux"][kind + "Mappings"] = [{"containerID": 0, "hostID": number, "size": 1}]
    json.dump(spec, open(path, "w"))
