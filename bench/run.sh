#!/usr/bin/env bash
# Times a cached start beside podman, crun, bubblewrap and bare system calls, in one run.
#
# Started as root it prepares what crun and podman need of control groups, and measures as the user
# carrier-test; an ordinary user measures what his host allows.
set -euo pipefail

readonly USER_NAME=carrier-test
carrier=${CARRIER_BIN:?the binary to measure}
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../target/bench

if [ "${1:-}" != measure ]; then
    mkdir -p "$out"
    work=$(mktemp -d /var/tmp/carrier-bench-XXXXXX)
    trap 'rm -rf "$work"' EXIT
    install -m 755 "$carrier" "$work/carrier"
    cc -O2 -static -o "$work/floor" "$here/floor.c"
    cp "$here/run.sh" "$work/run.sh"
    chmod 755 "$work"
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$USER_NAME:" "$work"
        # crun wants the unified hierarchy, without a controller that it could not use, and a group
        # in it that belongs to the user.
        unshare -m bash -c "
            mkdir -p /run/bench-hugetlb /run/bench-perf
            mount -t cgroup -o hugetlb none /run/bench-hugetlb 2>/dev/null || true
            mount -t cgroup -o perf_event none /run/bench-perf 2>/dev/null || true
            umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
            mkdir -p /sys/fs/cgroup/bench && chown -R $USER_NAME: /sys/fs/cgroup/bench
            echo \$\$ > /sys/fs/cgroup/bench/cgroup.procs
            cd $work && exec setpriv --reuid $USER_NAME --regid $USER_NAME --init-groups \
                env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=$work CARRIER_BIN=$work/carrier \
                bash $work/run.sh measure"
    else
        (cd "$work" && HOME=$work CARRIER_BIN=$work/carrier bash "$work/run.sh" measure)
    fi
    cp "$work/table.md" "$work/times.json" "$out/"
    cat "$out/table.md"
    exit
fi

work=$HOME
export XDG_RUNTIME_DIR=$work/run XDG_DATA_HOME=$work/data
mkdir -p "$XDG_RUNTIME_DIR" "$work/rootfs"/{bin,dev,etc,proc,sys,tmp} && chmod 700 "$XDG_RUNTIME_DIR"

# The image: one program under its own names.
cp /bin/busybox "$work/rootfs/bin/"
for name in sh true; do ln -sf busybox "$work/rootfs/bin/$name"; done
port=$((20000 + RANDOM % 20000))
cat >"$work/registry.yml" <<YAML
version: 0.1
http: {addr: "127.0.0.1:$port"}
storage: {filesystem: {rootdirectory: $work/registry}}
YAML
setpriv --pdeathsig KILL docker-registry serve "$work/registry.yml" >/dev/null 2>&1 &
registry=$!
trap 'kill $registry' EXIT
image=127.0.0.1:$port/busybox
podman="podman --cgroup-manager=cgroupfs --root $work/podman --runroot $work/run/podman"
tar -C "$work/rootfs" -c . | $podman import -q - "$image" >/dev/null
until $podman push -q --tls-verify=false "$image" 2>/dev/null; do sleep 0.1; done
"$carrier" pull -q "$image" >/dev/null

# The bundle for both runtimes: podman's own defaults would not be fairer.
mkdir -p "$work/bundle" && cd "$work/bundle" && ln -sfn "$work/rootfs" rootfs
crun spec --rootless
python3 - <<'PYTHON'
import json, os
spec = json.load(open("config.json"))
spec["process"].update(args=["/bin/true"], terminal=False)
namespaces = spec["linux"]["namespaces"]
if {"type": "network"} not in namespaces:
    namespaces.append({"type": "network"})
for kind, number in (("uid", os.getuid()), ("gid", os.getgid())):
    spec["linux"][kind + "Mappings"] = [{"containerID": 0, "hostID": number, "size": 1}]
json.dump(spec, open("config.json", "w"))
PYTHON
cd "$work"

commands=(
    "carrier|$carrier run --rm --network none $image true"
    "podman|$podman run --rm --network none $image true"
    "carrier oci run|$carrier oci --cgroup-manager=disabled run -b $work/bundle bench"
    "crun run|crun --cgroup-manager=disabled run -b $work/bundle bench"
    "bubblewrap|bwrap --unshare-all --bind $work/rootfs / --proc /proc --dev /dev true"
    "floor|$work/floor $work/rootfs /bin/true"
)
arguments=()
for entry in "${commands[@]}"; do
    command=${entry#*|}
    if $command >/dev/null 2>"$work/error"; then
        arguments+=(-n "${entry%%|*}" "$command")
    else
        echo "bench: ${entry%%|*} does not run here: $(tail -1 "$work/error")" >&2
    fi
done
hyperfine -N --warmup 5 --min-runs 60 --export-json "$work/times.json" --style basic \
    "${arguments[@]}" >/dev/null 2>"$work/hyperfine.log"

python3 - "$work" <<'PYTHON'
import json, os, platform, sys
work = sys.argv[1]
rows = {r["command"]: r["median"] * 1000 for r in json.load(open(work + "/times.json"))["results"]}
with open(work + "/table.md", "w") as table:
    print(f"Linux {platform.release()}, {os.cpu_count()} processors; a cached start of `true`, medians\n", file=table)
    print("| what | ms | of carrier | of podman |\n|---|---|---|---|", file=table)
    for name, ms in sorted(rows.items(), key=lambda row: row[1]):
        ratio = lambda other: f"{ms / rows[other]:.2f}" if other in rows else "–"
        print(f"| {name} | {ms:.1f} | {ratio('carrier')} | {ratio('podman')} |", file=table)
PYTHON
