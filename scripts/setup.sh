#!/usr/bin/env bash
# Installs what Carrier needs and is missing on this host. Safe to run again: what is there stays.
#
#   scripts/setup.sh               helpers of the running engine, and a C compiler for the build
#   scripts/setup.sh --test        also what the tests use
#   scripts/setup.sh --vm          also what the virtual machine of the tests is made and run with
#   scripts/setup.sh --bench       also the engines that the benchmark compares with
#   scripts/setup.sh --test-host   also opens /dev/net/tun and /dev/fuse to everybody, and, as root,
#                                  makes the ordinary user that the end-to-end tests run as
set -euo pipefail

readonly TEST_USER=carrier-test
readonly NEXTEST_VERSION=0.9.143
readonly DENY_VERSION=0.20.2

packages=(uidmap slirp4netns passt fuse-overlayfs gcc libc6-dev make)
want_test=no
want_test_host=no

for option in "$@"; do
    case $option in
        --test)
            want_test=yes
            packages+=(docker-registry busybox-static mmdebstrap qemu-user-static tmux strace skopeo
                apache2-utils zstd perl iproute2 keyutils util-linux podman buildah crun umoci
                libarchive-tools python3 openssl e2fsprogs attr curl procps)
            # Docker brings one of its own, which the distribution's would replace.
            command -v containerd >/dev/null || packages+=(containerd)
            ;;
        --vm) packages+=(qemu-system-x86 mmdebstrap openssh-client e2fsprogs util-linux) ;;
        --bench)
            packages+=(podman crun bubblewrap hyperfine iperf3 iproute2 docker-registry busybox-static skopeo umoci python3 e2fsprogs)
            command -v containerd >/dev/null || packages+=(containerd)
            ;;
        --test-host) want_test_host=yes ;;
        *)
            echo "setup: unknown option $option" >&2
            exit 2
            ;;
    esac
done

say() { echo "setup: $*"; }

# Runs a command as root, or tells the administrator what to run.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ] && command -v sudo >/dev/null; then
        sudo "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        say "root is needed; ask an administrator to run: $*" >&2
        exit 1
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
    local missing=() package
    if ! command -v apt-get >/dev/null; then
        say "this host has no apt-get; please install what these Debian packages hold: ${packages[*]}"
        return
    fi
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    say "installing ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The tests run an arm64 program, which needs its package lists.
add_architecture() {
    command -v dpkg >/dev/null || return 0
    [ "$(dpkg --print-architecture)" = amd64 ] || return 0
    dpkg --print-foreign-architectures | grep -qx arm64 && return
    say "adding the package lists of arm64"
    as_root dpkg --add-architecture arm64
    as_root apt-get update -q
}

install_cargo_tool() {
    local name=$1 version=$2
    if cargo "${name#cargo-}" --version >/dev/null 2>&1; then
        return
    fi
    say "building $name $version"
    cargo install --locked --quiet "$name@$version"
}

prepare_test_host() {
    local device
    for device in /dev/net/tun /dev/fuse; do
        if [ -e "$device" ] && [ "$(stat -c %a "$device")" != 666 ]; then
            say "opening $device to everybody"
            as_root chmod 666 "$device"
        fi
    done
    if [ "$(id -u)" -eq 0 ] && ! id "$TEST_USER" >/dev/null 2>&1; then
        say "making user $TEST_USER"
        useradd -m "$TEST_USER"
    fi
    if [ "$(id -u)" -eq 0 ] && ! grep -q "^$TEST_USER:" /etc/subuid; then
        say "user $TEST_USER has no subordinate ids in /etc/subuid" >&2
        exit 1
    fi
}

install_packages
if [ "$want_test" = yes ]; then
    add_architecture
    install_cargo_tool cargo-nextest "$NEXTEST_VERSION"
    install_cargo_tool cargo-deny "$DENY_VERSION"
fi
if [ "$want_test_host" = yes ]; then
    prepare_test_host
fi
