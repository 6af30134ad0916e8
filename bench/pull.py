#!/usr/bin/env python3
"""Times a pull beside podman, skopeo with umoci, and containerd, in one run.

To be started as root: each round has a fresh ext4 file system of its own, since the time to make files
depends on what a file system has been through. Everything but containerd runs as the user
carrier-test. The registry, the images and the stores are on this machine; nothing is shared between
rounds. A round of Carrier ends when all of the image is on the disk; the others' end earlier.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

USER = pwd.getpwnam("carrier-test")
ROUNDS = int(os.environ.get("ROUNDS", "5"))
CARRIER = os.environ["CARRIER_BIN"]
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../target/bench")


def run(*words, **options):
    return subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **options)


class Image:
    """An OCI image layout, made layer by layer."""

    def __init__(self, path):
        self.path = path
        self.layers, self.diff_ids = [], []
        os.makedirs(path + "/blobs/sha256")

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{self.path}/blobs/sha256/{digest}", "wb") as file:
            file.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def add_layer(self, files):
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name, content in files:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.mtime = len(content), 0o755, 1700000000
                archive.addfile(entry, io.BytesIO(content))
        self.diff_ids.append("sha256:" + hashlib.sha256(plain.getvalue()).hexdigest())
        layer = self.blob(gzip.compress(plain.getvalue(), 6, mtime=0))
        kind = "application/vnd.oci.image.layer.v1.tar+gzip"
        self.layers.append({"mediaType": kind, **layer})

    def push(self, reference):
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/busybox"]},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        }
        kind = "application/vnd.oci.image.config.v1+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": kind, **self.blob(json.dumps(config).encode())},
            "layers": self.layers,
        }
        entry = {"mediaType": manifest["mediaType"], **self.blob(json.dumps(manifest).encode())}
        with open(self.path + "/index.json", "w") as file:
            json.dump({"schemaVersion": 2, "manifests": [entry]}, file)
        with open(self.path + "/oci-layout", "w") as file:
            file.write('{"imageLayoutVersion":"1.0.0"}')
        run("skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:" + self.path, "docker://" + reference)


def real_files(wanted):
    """Programs and libraries of this machine, as many bytes as wanted."""
    total = 0
    for directory, _, names in os.walk("/usr"):
        for name in sorted(names):
            path = os.path.join(directory, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                content = file.read()
            yield path.lstrip("/"), content
            total += len(content)
            if total >= wanted:
                return


def make_images(work, registry):
    large = Image(work + "/large")
    source, layer, size = real_files(300_000_000), [], 0
    for name, content in source:
        layer.append((name, content))
        size += len(content)
        if size >= 60_000_000:
            large.add_layer(layer)
            layer, size = [], 0
    if layer:
        large.add_layer(layer)
    large.push(registry + "/large")
    small = Image(work + "/small")
    files = ((f"d{n // 500}/f{n}", f"file {n}\n".encode() * (1 + n % 40)) for n in range(50_000))
    small.add_layer(files)
    small.push(registry + "/small")
    for path in (large.path, small.path):
        shutil.rmtree(path)
    return {
        "300 MB in five layers": registry + "/large",
        "50,000 small files": registry + "/small",
    }


def children_of(pid):
    """A process and all that descend from it."""
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    queue += [int(child) for child in file.read().split()]
        except OSError:
            pass
    return found


def memory_of(pid):
    """Bytes that a process and its descendants have for themselves, shared pages in parts."""
    total = 0
    for process in children_of(pid):
        try:
            with open(f"/proc/{process}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total * 1024


class Measured:
    """Wall time, CPU time and memory of a command, or of a daemon that works for it."""

    def __init__(self, words, daemon=None, **options):
        peak, ended = [0], threading.Event()
        watched = daemon or None
        before = cpu_of(daemon) if daemon else 0
        start = time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)

        def watch():
            while not ended.wait(0.02):
                peak[0] = max(peak[0], memory_of(watched or process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - start
        ended.set()
        watcher.join()
        if status:
            raise SystemExit(f"{words}: {errors.decode()}")
        self.cpu = usage.ru_utime + usage.ru_stime + (cpu_of(daemon) - before if daemon else 0)
        self.memory = peak[0]


def cpu_of(pid):
    ticks = 0
    for process in children_of(pid):
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


class Round:
    """A fresh file system, and one tool on it."""

    def __init__(self, work):
        self.image = work + "/disk.img"
        self.home = work + "/home"
        run("truncate", "-s", "3G", self.image)
        run("mke2fs", "-q", "-F", "-t", "ext4", self.image)
        os.makedirs(self.home, exist_ok=True)
        run("mount", "-o", "loop", self.image, self.home)
        os.makedirs(self.home + "/run")
        os.chmod(self.home + "/run", 0o700)
        run("chown", "-R", f"{USER.pw_uid}:{USER.pw_gid}", self.home)
        run("sync")

    def as_user(self, *words):
        environment = {
            "HOME": self.home,
            "XDG_RUNTIME_DIR": self.home + "/run",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        }
        switch = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--init-groups"]
        return Measured(switch + list(words), env=environment, cwd=self.home)

    def close(self):
        # Podman leaves a process behind, whose mount namespace would keep the file system for ever.
        mark = f"HOME={self.home}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        run("umount", self.home)
        os.remove(self.image)


def carrier(place, reference):
    return place.as_user(CARRIER, "pull", "-q", reference)


def podman(place, reference):
    storage = ["--root", place.home + "/podman", "--runroot", place.home + "/run/podman"]
    return place.as_user("podman", "--cgroup-manager=cgroupfs", *storage, "pull", "-q", "--tls-verify=false", reference)


def skopeo_and_umoci(place, reference):
    layout = place.home + "/layout"
    script = (
        f"skopeo copy -q --src-tls-verify=false docker://{reference} oci:{layout}:x && "
        f"umoci unpack --rootless --image {layout}:x {place.home}/bundle"
    )
    return place.as_user("sh", "-c", script)


def containerd(place, reference):
    root, state = place.home + "/containerd", place.home + "/run/containerd"
    address = state + "/containerd.sock"
    os.makedirs(state, exist_ok=True)
    configuration = place.home + "/containerd.toml"
    with open(configuration, "w") as file:
        file.write('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    words = ["containerd", "-c", configuration, "--root", root, "--state", state, "-a", address, "-l", "error"]
    daemon = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not os.path.exists(address):
            time.sleep(0.05)
        time.sleep(0.3)
        client = ["ctr", "-a", address, "image", "pull", "--plain-http", reference + ":latest"]
        return Measured(client, daemon=daemon.pid)
    finally:
        daemon.terminate()
        daemon.wait()


TOOLS = {
    "carrier pull": carrier,
    "podman pull": podman,
    "skopeo copy, umoci unpack": skopeo_and_umoci,
    "ctr image pull (root)": containerd,
}


def start_registry(work):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = work + "/registry.yml"
    with open(configuration, "w") as file:
        file.write(
            f'version: 0.1\nhttp: {{addr: "127.0.0.1:{port}"}}\n'
            f"storage: {{filesystem: {{rootdirectory: {work}/registry}}}}\nlog: {{level: error}}\n"
        )
    registry = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", configuration],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return registry, f"127.0.0.1:{port}"
        except OSError:
            time.sleep(0.05)


def measure(work, images):
    rows = {(image, tool): [] for image in images for tool in TOOLS}
    for _ in range(ROUNDS):
        for image, reference in images.items():
            for tool, pull in TOOLS.items():
                place = Round(work)
                try:
                    rows[image, tool].append(pull(place, reference))
                finally:
                    place.close()
    return rows


def table(rows):
    median = lambda runs, field: statistics.median(getattr(run, field) for run in runs)
    lines = [
        f"Linux {platform.release()}, {os.cpu_count()} processors; medians of {ROUNDS} rounds, a fresh ext4 each",
        "",
        "| image | what | wall s | of podman | CPU s | of podman | memory MB |",
        "|---|---|---|---|---|---|---|",
    ]
    records = []
    for (image, tool), runs in rows.items():
        peer = rows[image, "podman pull"]
        wall, cpu = median(runs, "wall"), median(runs, "cpu")
        record = {
            "image": image,
            "tool": tool,
            "wall": wall,
            "cpu": cpu,
            "memory": median(runs, "memory"),
            "wall_of_podman": wall / median(peer, "wall"),
            "cpu_of_podman": cpu / median(peer, "cpu"),
        }
        records.append(record)
        lines.append(
            f"| {image} | {tool} | {wall:.2f} | {record['wall_of_podman']:.2f} | {cpu:.2f} "
            f"| {record['cpu_of_podman']:.2f} | {record['memory'] / 1e6:.0f} |"
        )
    return "\n".join(lines) + "\n", records


def main():
    if os.getuid() != 0:
        raise SystemExit("bench: to be started as root, for a fresh file system each round")
    work = tempfile.mkdtemp(prefix="pull-", dir="/var/tmp")
    os.chmod(work, 0o755)
    registry = None
    try:
        program = work + "/carrier"
        shutil.copy(CARRIER, program)
        globals()["CARRIER"] = program
        registry, host = start_registry(work)
        markdown, records = table(measure(work, make_images(work, host)))
    finally:
        if registry:
            registry.kill()
            registry.wait()
        subprocess.run(["umount", "-q", work + "/home"], check=False)
        shutil.rmtree(work)
    os.makedirs(OUT, exist_ok=True)
    with open(OUT + "/pull.md", "w") as file:
        file.write(markdown)
    with open(OUT + "/pull.json", "w") as file:
        json.dump({"kernel": platform.release(), "processors": os.cpu_count(), "rows": records}, file, indent=1)
    sys.stdout.write(markdown)


if __name__ == "__main__":
    main()
