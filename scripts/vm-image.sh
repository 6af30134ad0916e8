#!/usr/bin/env bash
# Makes the disk of the virtual machine that scripts/vm.sh boots: Debian 12 with systemd, an ordinary
# user, and the engines that run their containers with Carrier there.
#
#   scripts/vm-image.sh DIRECTORY   makes disk.img, vmlinuz, initrd.img and the ssh key `key` there
#
# A disk that this script made as it is now stays. Works as root, and as a user with subordinate ids.
set -euo pipefail

readonly DIRECTORY=${1:?the directory to make the disk in}
readonly TEST_USER=carrier-test
readonly DISK_SIZE=3G

readonly PACKAGES=(
    # a host where a login makes a session
    systemd systemd-sysv dbus dbus-user-session libpam-systemd udev openssh-server apparmor
    linux-image-cloud-amd64 initramfs-tools zstd
    # what Carrier asks a host for, and what its tests use
    uidmap slirp4netns passt fuse-overlayfs busybox-static iproute2 procps util-linux-extra
    # engines, and a runtime to check the tests with
    podman buildah conmon catatonit containerd crun
)

# What a test removes and root then installs, as on any host, but without a network.
readonly OFFERED=(uidmap slirp4netns passt fuse-overlayfs)

# What a machine that lives for minutes has no use for, and emulation makes slow.
readonly MASKED=(
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
    fstrim.timer systemd-tmpfiles-clean.timer systemd-timesyncd.service podman-auto-update.timer
    podman-auto-update.service podman-restart.service podman.service podman.socket
    getty@tty1.service serial-getty@ttyS0.service systemd-hwdb-update.service systemd-pstore.service
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-journal-flush.service
    systemd-sysusers.service systemd-random-seed.service ldconfig.service apparmor.service
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service
    modprobe@loop.service sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    dev-hugepages.mount
)

# Anything below may change the disk, and so may the tools of another release of this script.
made_by() { sha256sum <"${BASH_SOURCE[0]}"; }

# Runs a command that owns what it makes as root, also for who is not root.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        unshare --user --map-root-user --map-auto "$@"
    fi
}

# The addresses that QEMU's user network expects.
network_unit() {
    cat <<'END'
[Unit]
BindsTo=sys-subsystem-net-devices-eth0.device
After=sys-subsystem-net-devices-eth0.device
[Service]
Type=oneshot
ExecStart=ip address add 10.0.2.15/24 dev eth0
ExecStart=ip link set eth0 up
END
}

# The files of the machine that are not in any package.
write_files() {
    local files=$1 unit
    mkdir -p "$files"/etc/{systemd/system/multi-user.target.wants,initramfs-tools/conf.d,ssh/sshd_config.d}
    echo carrier-vm >"$files/etc/hostname"
    printf '127.0.0.1 localhost carrier-vm\n' >"$files/etc/hosts"
    printf 'virtio_pci\nvirtio_blk\next4\n' >"$files/etc/initramfs-tools/modules"
    echo MODULES=list >"$files/etc/initramfs-tools/conf.d/small"
    network_unit >"$files/etc/systemd/system/vm-network.service"
    ln -s ../vm-network.service "$files/etc/systemd/system/multi-user.target.wants"
    printf 'AuthorizedKeysFile /etc/ssh/vm_keys\nUseDNS no\n' >"$files/etc/ssh/sshd_config.d/vm.conf"
    cp "$DIRECTORY/key.pub" "$files/etc/ssh/vm_keys"
    for unit in "${MASKED[@]}"; do
        ln -s /dev/null "$files/etc/systemd/system/$unit"
    done
    chmod -R u=rwX,go=rX "$files"
}

# A hook of mmdebstrap: packages in a directory of the machine, as the only ones that it knows of.
offer_packages() {
    cat <<'END'
set -eu
place=$1/srv/packages
mkdir "$place" && cd "$place"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root download OFFERED
for package in *.deb; do
    dpkg-deb --field "$package"
    printf 'Filename: ./%s\nSize: %s\n' "$package" "$(stat -c %s "$package")"
    printf 'SHA256: %s\n\n' "$(sha256sum "$package" | cut -d' ' -f1)"
done >Packages
rm -f "$1"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/packages ./' >"$1/etc/apt/sources.list"
END
}

# A tree of Debian's packages, as an archive.
make_tree() {
    local files=$1 packages
    packages=$(IFS=, && echo "${PACKAGES[*]}")
    tar -C "$files" --owner=0 --group=0 -cf "$files.tar" .
    offer_packages | sed "s/OFFERED/${OFFERED[*]}/" >"$files.sh"
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook="tar-in $files.tar /" \
        --customize-hook="useradd --root \"\$1\" --create-home --shell /bin/bash $TEST_USER" \
        --customize-hook="systemctl --root \"\$1\" --quiet disable containerd" \
        --customize-hook="sh $files.sh \"\$1\"" \
        bookworm "$files-tree.tar"
}

# With a journal, as distributions make them: power that is cut must not break what was synced.
make_disk() {
    local archive=$1
    tar -xOf "$archive" --wildcards './boot/vmlinuz-*' >"$DIRECTORY/vmlinuz"
    tar -xOf "$archive" --wildcards './boot/initrd.img-*' >"$DIRECTORY/initrd.img"
    # shellcheck disable=SC2016 # the inner shell's own arguments
    as_owner sh -euc '
        mkdir "$1"
        tar -C "$1" --xattrs --xattrs-include="*" --exclude="./dev/*" -xpf "$2"
        mke2fs -q -F -t ext4 -m 0 -d "$1" "$3" "$4"
        rm -rf "$1"
    ' sh "$archive.d" "$archive" "$DIRECTORY/disk.img" "$DISK_SIZE"
}

main() {
    if [ "$(cat "$DIRECTORY/made-by" 2>/dev/null)" = "$(made_by)" ]; then
        return
    fi
    mkdir -p "$DIRECTORY"
    rm -f "$DIRECTORY"/{made-by,disk.img,vmlinuz,initrd.img}
    [ -e "$DIRECTORY/key" ] || ssh-keygen -q -t ed25519 -N '' -C carrier-vm -f "$DIRECTORY/key"
    scratch=$(mktemp -d "$DIRECTORY/scratch.XXXXXX")
    trap 'as_owner rm -rf "$scratch"' EXIT
    write_files "$scratch/files"
    make_tree "$scratch/files"
    make_disk "$scratch/files-tree.tar"
    made_by >"$DIRECTORY/made-by"
}

main
