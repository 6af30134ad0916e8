#!/usr/bin/env bash
# Runs the tests that need a true login session in a virtual machine: Debian 12 with systemd, emulated
# by QEMU, so that it works where no virtualization is.
#
#   scripts/vm.sh test [FILTER]   the tests of tests/e2e/tests/real_host whose names have FILTER in them
#   scripts/vm.sh shell           a shell of the ordinary user there, with Carrier in ~/bin
#
# CARRIER_BIN names the binary under test, CARRIER_TEST_RUNTIME another runtime inside of the machine,
# such as /usr/bin/crun, to see that a test is right. The disk is made once and never written to.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VM=target/vm
readonly TEST_USER=carrier-test
readonly BOOT_LIMIT=600
readonly SUITE_LIMIT=1200
# Kernel parameters that an emulated processor is faster with.
readonly FASTER="mitigations=off no5lvl init_on_alloc=0 audit=0 nowatchdog systemd.show_status=yes"
HOST=$(rustc -vV | sed -n 's/^host: //p')
readonly BINARY=${CARRIER_BIN:-target/$HOST/release/carrier}

say() { echo "vm: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Runs a command and says how long it took.
timed() {
    local what=$1 start=$SECONDS
    shift
    "$@"
    say "$what: $((SECONDS - start)) s"
}

is_free() { ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while port=$((RANDOM % 20000 + 40000)); do
        if is_free "$port"; then
            echo "$port"
            return
        fi
    done
}

qemu=
stop() {
    [ -n "$qemu" ] || return 0
    kill "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
}

# Starts the machine; what it writes to its disk goes to a file without a name.
start() {
    port=$(free_port)
    trap stop EXIT
    trap 'exit 130' INT TERM
    TMPDIR=$PWD/$VM setpriv --pdeathsig KILL qemu-system-x86_64 \
        -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m 2G -display none -monitor none \
        -serial "file:$VM/console.log" -snapshot \
        -kernel "$VM/vmlinuz" -initrd "$VM/initrd.img" \
        -append "root=/dev/vda rootfstype=ext4 rw console=ttyS0 quiet net.ifnames=0 $FASTER" \
        -drive "file=$VM/disk.img,if=virtio,format=raw,cache=unsafe" \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" \
        -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
        </dev/null 2>"$VM/qemu.log" &
    qemu=$!
}

# Runs a command in the machine: SECONDS USER COMMAND...
inside() {
    local limit=$1 user=$2
    shift 2
    timeout --foreground "$limit" ssh -q -F /dev/null -p "$port" -i "$VM/key" \
        -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=30 \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        "${ssh_options[@]}" "$user@127.0.0.1" "$@"
}
ssh_options=()

# Ends the machine by a command of root, and waits until it has booted again.
boot_again() {
    local before
    before=$(inside 20 root cat /proc/sys/kernel/random/boot_id)
    inside 10 root "$1" || true
    until now=$(inside 20 root cat /proc/sys/kernel/random/boot_id) && [ "$now" != "$before" ]; do
        kill -0 "$qemu" 2>/dev/null || fail "the machine did not come back"
        sleep 0.5
    done
}

await_boot() {
    local deadline=$((SECONDS + BOOT_LIMIT))
    until inside 20 "$TEST_USER" true; do
        if [ "$SECONDS" -gt "$deadline" ] || ! kill -0 "$qemu" 2>/dev/null; then
            tail -n 40 "$VM/qemu.log" "$VM/console.log" >&2
            fail "the machine did not boot; $VM/console.log has all that it said"
        fi
        sleep 0.5
    done
}

# The path of the test binary.
build_tests() {
    cargo test --locked --quiet -p carrier-e2e --test real_host --no-run \
        --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*real_host[^"]*\)".*/\1/p'
}

# Gives files to the ordinary user, who keeps them when power is cut.
copy() {
    tar -c --transform "s,^$BINARY\$,carrier," --transform 's,.*/,,' -P "$@" | inside 120 "$TEST_USER" 'mkdir -p bin && tar -C bin -xm && sync'
}

# Runs the tests of one user: USER ARGUMENT...
suite() {
    local user=$1 status=0
    shift
    # shellcheck disable=SC2145 # one command line for the shell of the machine
    inside "$SUITE_LIMIT" "$user" "cd /home/$TEST_USER && CARRIER_BIN=\$PWD/bin/carrier \
        CARRIER_TEST_RUNTIME=${CARRIER_TEST_RUNTIME:-} \
        bin/${tests##*/} --test-threads=1 --show-output $*" || status=$?
    [ "$status" -eq 0 ] || failed=yes
}

# Containers that last: a logout after each test, a reboot, and a cut of power, which leaves nobody the
# time to write anything.
lasting() {
    inside 60 root loginctl enable-linger "$TEST_USER"
    suite "$TEST_USER" lasting::a
    suite "$TEST_USER" lasting::b
    timed reboot boot_again 'systemctl reboot --force'
    suite "$TEST_USER" lasting::c
    suite "$TEST_USER" lasting::d
    timed "power cut" boot_again 'echo b >/proc/sysrq-trigger'
    suite "$TEST_USER" lasting::e
}

run_tests() {
    local filter=${1:-}
    start
    tests=$(build_tests)
    timed boot await_boot
    timed copy copy "$BINARY" "$tests"
    failed=no
    timed "tests as $TEST_USER" suite "$TEST_USER" --skip as_root:: --skip lasting:: "$filter"
    timed "tests as root" suite root as_root::"$filter"
    if [[ lasting =~ $filter ]]; then
        lasting
    fi
    [ "$failed" = no ] || fail "tests have failed"
}

shell() {
    start
    timed boot await_boot
    copy "$BINARY"
    say "port $port, key $VM/key, users $TEST_USER and root"
    ssh_options=(-t)
    inside 86400 "$TEST_USER"
}

main() {
    local verb=${1:-}
    [ -x "$BINARY" ] || fail "$BINARY is missing: make build"
    timed disk scripts/vm-image.sh "$VM"
    case $verb in
        test) run_tests "${2:-}" ;;
        shell) shell ;;
        *) fail "unknown verb '$verb'" ;;
    esac
}

main "$@"
