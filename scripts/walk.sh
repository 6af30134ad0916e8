#!/usr/bin/env bash
# The newcomer's walk: makes a Debian 12 that has what the README asks for and nothing else, and types the
# commands of the README's quick start there, as an ordinary user who may use sudo.
#
#   scripts/walk.sh              what the README says, which takes as long as it takes a newcomer
#   scripts/walk.sh COMMAND...   these commands instead, each in a login shell, in the checkout
#
# The transcript is target/walk.txt; the exit code is that of the first command that failed. What was
# committed is what is walked. Works as root; the Rust toolchain, the certificates and the name servers are
# those of the host.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly WALK=$PWD/target/walk
readonly TRANSCRIPT=$PWD/target/walk.txt
readonly NEWCOMER=newcomer

fail() {
    echo "walk: $*" >&2
    exit 1
}

# The blocks of the README that build and install, without what is said about them.
commands_of_the_readme() {
    awk '/^```sh no-run it /{inside=1; next} /^```/{inside=0} inside{sub(/ +#.*/, ""); print}' README.md
}

# A Debian with git, make and cargo, and a user who may use sudo.
make_root() {
    local root=$1
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,git,make,sudo bookworm "$root"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    cp --dereference /etc/resolv.conf "$root/etc/"
    printf '127.0.0.1 localhost debian\n::1 localhost\n' >"$root/etc/hosts"
    useradd --root "$root" --create-home --shell /bin/bash "$NEWCOMER"
    echo "$NEWCOMER ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$NEWCOMER"
    mkdir -p "$root/opt/rust" "$root/home/$NEWCOMER/.cargo"
    # shellcheck disable=SC2016 # for the newcomer's shell
    echo 'PATH=/opt/rust/bin:$PATH' >>"$root/home/$NEWCOMER/.profile"
    git bundle create --quiet "$root/home/$NEWCOMER/carrier.bundle" HEAD --branches
    chroot "$root" chown -R "$NEWCOMER:" "/home/$NEWCOMER"
}

# In namespaces of its own: makes the tree the root. A chroot would not do: the kernel makes no user
# namespaces for whoever is in one.
enter() {
    local root=$1 node
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    mkdir "$root"/dev/{pts,shm,net}
    for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229 net/tun:10:200; do
        IFS=: read -r name major minor <<<"$node"
        mknod -m 666 "$root/dev/$name" c "$major" "$minor"
    done
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for node in stdin:0 stdout:1 stderr:2; do
        ln -s "/proc/self/fd/${node#*:}" "$root/dev/${node%:*}"
    done
    mount --bind -o ro "$(rustc --print sysroot)" "$root/opt/rust"
    hostname debian
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
}

# Types a command, and shows it as it stands on a terminal.
type_in() {
    local where=$1 command=$2 start=$SECONDS code=0 # the directory, below the home
    printf '%s@debian:~%s$ %s\n' "$NEWCOMER" "$where" "$command"
    env -i TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        runuser -l "$NEWCOMER" -c "cd .$where && $command" </dev/null 2>&1 || code=$?
    printf '[exit code %s, %s s]\n\n' "$code" "$((SECONDS - start))"
    return "$code"
}

# The second half of this script, where it is the first process of its namespaces.
walk() {
    local root=$1 command
    shift
    enter "$root"
    type_in '' 'git clone --quiet carrier.bundle carrier' || return
    for command in "$@"; do
        type_in /carrier "$command" || return
    done
}

main() {
    local commands=("$@") root
    [ "$(id -u)" -eq 0 ] || fail "root makes a machine for the newcomer; please run it as root"
    [ "${#commands[@]}" -gt 0 ] || mapfile -t commands < <(commands_of_the_readme)
    [ "${#commands[@]}" -gt 0 ] || fail "no commands in README.md"
    mkdir -p "$WALK"
    root=$(mktemp -d "$WALK/root.XXXXXX")
    chmod 755 "$root"
    # shellcheck disable=SC2064 # now is when the name is known
    trap "rm -rf --one-file-system '$root'" EXIT
    make_root "$root"
    unshare --mount --pid --uts --ipc --fork --kill-child -- "$0" --inside "$root" "${commands[@]}" | tee "$TRANSCRIPT"
}

if [ "${1-}" = --inside ]; then
    shift
    walk "$@"
else
    main "$@"
fi
