//! Hosts that are broken in one way each, by fakes that are mounted in a mount namespace of the test's own:
//! what `carrier doctor` says of them, and that the command which fails for it says the same.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test explains itself by its name, and its table is to be read"
)]

use carrier_e2e::{Cx, Outcome, is_root, skip};

const USER: &str = "setpriv --reuid carrier-test --regid carrier-test --init-groups";

/// `fake FILE TEXT` lets a file say something else, `hide PROGRAM` takes one away, `sysctls` gives
/// `/proc/sys/kernel` as files that can be written, `programs` the same for `/usr/bin`, and `data OPTIONS`
/// a file system for the store.
const TOOLS: &str = r#"
set -e
W=$PWD; T=$(mktemp -d /run/carrier-doctor.XXXXXX); mount -t tmpfs -o mode=755 tmpfs $T
fake() { n=$(echo "$1" | tr / _); printf '%b' "$2" >$T/$n; chmod 644 $T/$n; mount --bind $T/$n "$1"; }
hide() { [ ! -e /usr/bin/$1 ] || mount --bind /dev/null /usr/bin/$1; }
sysctls() { mkdir $T/k; cp -r /proc/sys/kernel/. $T/k 2>/dev/null || :; mount --bind $T/k /proc/sys/kernel; }
programs() {
    mkdir $T/u $T/w $T/l; chmod 755 $T/u $T/l; mount --bind /usr/bin $T/l
    mount -t overlay overlay -o lowerdir=$T/l,upperdir=$T/u,workdir=$T/w /usr/bin
}
data() { mkdir -p $T/d; mount -t tmpfs -o "mode=777$1" none $T/d; export XDG_DATA_HOME=$T/d; }
layers() {
    mkdir $T/o $T/p $T/q $T/d; chmod 777 $T/p
    mount -t overlay overlay -o lowerdir=$T/o,upperdir=$T/p,workdir=$T/q $T/d; export XDG_DATA_HOME=$T/d
}
"#;

/// Runs a script as the ordinary user on a host that `broken` has broken as root.
fn on_a_host(cx: &Cx, broken: &str, script: &str) -> Outcome {
    cx.host_script(&format!(
        "{TOOLS}{broken}\nset +e; cd $W; {USER} sh -c '{script}'; code=$?; \
         umount -l $T; rmdir $T; exit $code"
    ))
}

/// A way to break a host.
struct Break {
    name: &'static str,
    /// How root does it.
    host: &'static str,
    /// How the user does it.
    shell: &'static str,
    /// What doctor prints begins with it, from the state on.
    line: &'static str,
    /// The command that fails for it, if one does.
    fails: &'static str,
}

const fn host(name: &'static str, host: &'static str, line: &'static str) -> Break {
    let (shell, fails) = ("", "");
    Break {
        name,
        host,
        shell,
        line,
        fails,
    }
}

const fn shell(name: &'static str, shell: &'static str, line: &'static str) -> Break {
    Break {
        shell,
        ..host(name, ":", line)
    }
}

impl Break {
    const fn and(self, fails: &'static str) -> Self {
        Self { fails, ..self }
    }
}

const HELLO: &str = "run --rm hello";
const PORT: &str = "run --rm -p 127.0.0.1:0:80 hello";

const BREAKS: [Break; 39] = [
    host("an old kernel", "sysctls; echo 5.10.0-9 >/proc/sys/kernel/osrelease",
        "failed   kernel: Linux 5.10.0-9 is older than 5.12: containers cannot be mounted; upgrade"),
    host("a clock that is behind", "touch -d 2090-01-01 bin/carrier",
        "failed   clock: it says "),
    host("no user namespaces, by Debian's switch", "sysctls; echo 0 >/proc/sys/kernel/unprivileged_userns_clone",
        "failed   user namespaces: the sysctl kernel.unprivileged_userns_clone is 0: no container can start, and no image be unpacked; as root: `echo kernel.unprivileged_userns_clone=1 >>/etc/sysctl.d/60-carrier.conf && "),
    host("AppArmor restricts them", "sysctls; echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "failed   AppArmor: the sysctl kernel.apparmor_restrict_unprivileged_userns is 1, and there is no profile for "),
    host("few namespaces of a kind", "fake /proc/sys/user/max_ipc_namespaces 9",
        "warning  namespaces: the sysctl user.max_ipc_namespaces is 9: no more than 9 containers run at once; as root: `echo user.max_ipc_namespaces=28633 >>"),
    host("no subordinate ids", "fake /etc/subuid; fake /etc/subgid",
        "failed   subordinate ids: carrier-test has none in /etc/subuid or /etc/subgid: images with files of several users cannot be pulled, and programs can only be root; as root: `usermod --add-subuids ")
        .and("run --rm -u 7 hello"),
    host("few subordinate ids", "fake /etc/subuid carrier-test:100000:1000",
        "warning  subordinate ids: carrier-test has 1000 of them, and images count on 65536: "),
    host("subordinate ids of two users", r"fake /etc/subuid 'carrier-test:100000:65536\nbob:165000:65536\n'",
        "failed   subordinate ids: subordinate user ids 100000-165535 of carrier-test overlap 165000-230535 of bob: ")
        .and(HELLO),
    host("no newuidmap", "programs; rm /usr/bin/newuidmap",
        "failed   id helpers: newuidmap is not installed: no image can be pulled and no container started; as root: `apt-get install -y uidmap`")
        .and(HELLO),
    host("newgidmap without its bit", "programs; chmod 755 /usr/bin/newgidmap",
        "failed   id helpers: /usr/bin/newgidmap has neither root's set-user-ID bit nor a capability: no image can be pulled and no container started; as root: `chown root /usr/bin/newuidmap /usr/bin/newgidmap && chmod 4755 /usr/bin/newuidmap /usr/bin/newgidmap`")
        .and(HELLO),
    host("newuidmap on a nosuid mount", "mount --bind /usr/bin /usr/bin; mount -o remount,bind,nosuid /usr/bin",
        "failed   id helpers: /usr/bin/newuidmap is on a file system that is mounted nosuid: no image can be pulled and no container started; as root: `mount -o remount,suid /usr/bin`")
        .and(HELLO),
    shell("a shell that gains no privileges", "setpriv --no-new-privs sh -c",
        "failed   id helpers: this process can gain no privileges (no_new_privs), ")
        .and(HELLO),
    host("a read-only home", "data; mount -o remount,ro $T/d",
        "failed   home: /run/carrier-doctor.").and(HELLO),
    host("a home of somebody else", "data; chmod 755 $T/d",
        "failed   home: you may not write to /run/carrier-doctor.").and(HELLO),
    shell("no home", "env -u HOME -u XDG_DATA_HOME sh -c",
        "failed   home: neither HOME nor XDG_DATA_HOME is an absolute path: there is no place for images and containers; `export HOME=")
        .and(HELLO),
    host("a noexec home", "data ,noexec",
        "warning  home: /run/carrier-doctor."),
    host("a home in memory", "data",
        "warning  home: /run/carrier-doctor."),
    host("a home where overlay cannot be mounted", "layers",
        "warning  overlay: it cannot be mounted on /run/carrier-doctor."),
    host("a home on another file system", "layers",
        "warning  home: /run/carrier-doctor."),
    host("no fuse-overlayfs either", "layers; hide fuse-overlayfs",
        "warning  FUSE: fuse-overlayfs is not installed: all layers of an image are copied for each container; as root: `apt-get install -y fuse-overlayfs`"),
    host("a closed /dev/fuse", "layers; touch $T/fuse; chmod 600 $T/fuse; mount --bind $T/fuse /dev/fuse",
        "warning  FUSE: /dev/fuse cannot be opened (Permission denied): all layers of an image are copied for each container; as root: `chmod 666 /dev/fuse`"),
    host("a full disk", "data ,size=1m; dd if=/dev/zero of=$T/d/x bs=64k 2>/dev/null || :",
        "failed   disk: 0 MiB are free on the file system of /run/carrier-doctor.").and(HELLO),
    host("a disk without inodes", "data ,nr_inodes=20",
        "failed   disk: "),
    shell("no runtime directory", "env XDG_RUNTIME_DIR=$HOME/none sh -c",
        "failed   runtime directory: XDG_RUNTIME_DIR is ").and(HELLO),
    shell("somebody else's runtime directory", "env XDG_RUNTIME_DIR=/run sh -c",
        "failed   runtime directory: XDG_RUNTIME_DIR is /run, which is user 0's: ").and(HELLO),
    shell("an open runtime directory", "chmod 755 run; sh -c",
        "warning  runtime directory: others may enter "),
    shell("no XDG_RUNTIME_DIR", "env -u XDG_RUNTIME_DIR sh -c",
        "warning  runtime directory: XDG_RUNTIME_DIR is not set, and there is no /run/user/"),
    host("a user who does not linger", "mount -t tmpfs tmpfs /run/systemd 2>/dev/null || { mkdir /run/systemd; mount -t tmpfs tmpfs /run/systemd; }; mkdir /run/systemd/system",
        "warning  lingering: carrier-test does not linger: containers come back when carrier-test logs in, and end when carrier-test logs out; `loginctl enable-linger carrier-test`"),
    host("no cgroup v2", "umount -R /sys/fs/cgroup",
        "warning  cgroups: this host has the controller memory on cgroup version 1, or not at all: ")
        .and("run --rm --memory 64m hello"),
    host("no /dev/net/tun", "mount -t tmpfs tmpfs /dev/net",
        "failed   tun: there is no /dev/net/tun: containers reach nobody, and publish no port: only --network none and host work; as root: `modprobe tun && echo tun >>/etc/modules-load.d/carrier.conf`")
        .and(PORT),
    host("a closed /dev/net/tun", "touch $T/tun; chmod 600 $T/tun; mount --bind $T/tun /dev/net/tun",
        "failed   tun: /dev/net/tun cannot be opened (Permission denied): containers reach nobody, and publish no port: only --network none and host work; as root: `chmod 666 /dev/net/tun`")
        .and(PORT),
    host("neither slirp4netns nor pasta", "hide slirp4netns; hide pasta",
        "failed   uplink: slirp4netns is not installed: containers reach nobody, and publish no port: only --network none and host work; as root: `apt-get install -y slirp4netns`")
        .and(PORT),
    host("low ports", "fake /proc/sys/net/ipv4/ip_unprivileged_port_start 1024",
        "warning  low ports: ports below 1024 are root's: `-p 80:80` is refused; ")
        .and("run --rm -p 127.0.0.1:80:80 hello"),
    host("nobody may ping", r"fake /proc/sys/net/ipv4/ping_group_range '1\t0\n'",
        "warning  ping: the sysctl net.ipv4.ping_group_range is 1 0, without your group "),
    host("no emulators", "for q in /usr/bin/qemu-aarch64* /usr/bin/qemu-x86_64*; do :; done; programs; rm -f /usr/bin/qemu-*",
        "warning  emulators: qemu-"),
    host("emulators before Linux 6.7", "sysctls; echo 6.1.0-9 >/proc/sys/kernel/osrelease",
        "warning  emulators: qemu-"),
    shell("few descriptors", "ulimit -n 256; sh -c",
        "warning  open files: this shell may have 256 open files (`ulimit -n`): "),
    host("few inotify instances", "fake /proc/sys/fs/inotify/max_user_instances 8",
        "warning  inotify: the sysctl fs.inotify.max_user_instances is 8: "),
    host("used-up keys", r#"fake /proc/key-users "$(id -u carrier-test): 200 200/200 200/200 4000/20000\n""#,
        "failed   keys: the user has 200 of 200 (sysctl kernel.keys.maxkeys): "),
];

/// What doctor says after its state, of which failing commands give the whole.
fn after_state(line: &str) -> &str {
    line.get(9..).unwrap_or_default()
}

#[test]
fn each_break_of_a_host_is_told_by_doctor_and_by_the_command_that_fails() {
    const NAME: &str = "each_break_of_a_host_is_told_by_doctor_and_by_the_command_that_fails";
    if !is_root() {
        return skip(NAME, "only root can break a host");
    }
    for broken in &BREAKS {
        let cx = Cx::new();
        let prefix = if broken.shell.is_empty() {
            "sh -c"
        } else {
            broken.shell
        };
        let command = match broken.fails {
            "" => "true".to_owned(),
            words => format!("carrier {words} 2>&1"),
        };
        let script = format!("{prefix} \"carrier doctor; echo code \\$?; {command}\"");
        let outcome = on_a_host(&cx, broken.host, &script);
        let lines: Vec<&str> = outcome.text().lines().collect();
        let found = lines.iter().find(|line| line.starts_with(broken.line));
        let found = found.unwrap_or_else(|| panic!("{}: {outcome:#?}", broken.name));
        let code = if lines.iter().any(|line| line.starts_with("failed ")) {
            1
        } else {
            0
        };
        assert!(
            lines.contains(&format!("code {code}").as_str()),
            "{}: {outcome:#?}",
            broken.name
        );
        println!(
            "| {} | `{}` |",
            broken.name,
            found.replace('`', "'").replace('|', "\\|")
        );
        if !broken.fails.is_empty() {
            let hint = format!("hint: {}", after_state(found));
            assert!(
                lines.contains(&hint.as_str()),
                "{}: {hint:?} in {outcome:#?}",
                broken.name
            );
        }
    }
}

/// A user namespace with all ids of the host, whose own limit of namespaces root sets: there the kernel
/// itself says no.
#[test]
fn a_kernel_that_makes_no_namespaces_is_told_by_run_as_by_doctor() {
    const NAME: &str = "a_kernel_that_makes_no_namespaces_is_told_by_run_as_by_doctor";
    if !is_root() {
        return skip(NAME, "only root can limit what the kernel makes");
    }
    for (limit, line) in [
        (
            "max_user_namespaces",
            "failed   user namespaces: the sysctl user.max_user_namespaces is 0: no container can start, and no image be unpacked; as root: ",
        ),
        (
            "max_net_namespaces",
            "failed   namespaces: the sysctl user.max_net_namespaces is 0: no container can start; as root: ",
        ),
    ] {
        let cx = Cx::new();
        // Root has power in the namespace only once it is mapped there.
        let outcome = cx.host_script(&format!(
            "unshare -U sleep 60 & pid=$!
             until echo 0 0 4294967295 2>/dev/null >/proc/$pid/uid_map; do sleep 0.05; done
             echo 0 0 4294967295 >/proc/$pid/gid_map
             nsenter -U -t $pid -S 0 -G 0 sh -c 'echo 0 >/proc/sys/user/{limit}; \
             {USER} sh -c \"carrier doctor; carrier {HELLO} 2>&1\"'; kill $pid"
        ));
        let lines: Vec<&str> = outcome.text().lines().collect();
        let found = lines.iter().find(|found| found.starts_with(line));
        let found = found.unwrap_or_else(|| panic!("{limit}: {outcome:#?}"));
        println!("| {limit} is 0 | `{}` |", found.replace('`', "'"));
        let hint = format!("hint: {}", after_state(found));
        assert!(lines.contains(&hint.as_str()), "{limit}: {outcome:#?}");
    }
}

#[test]
fn what_needs_no_root_is_fixed_and_what_does_is_one_script() {
    const NAME: &str = "what_needs_no_root_is_fixed_and_what_does_is_one_script";
    if !is_root() {
        return skip(NAME, "only root can break a host");
    }
    let cx = Cx::new();
    let broken = "mkdir -p /etc/sysctl.d; mount -t tmpfs tmpfs /etc/sysctl.d; \
                  fake /proc/sys/net/ipv4/ip_unprivileged_port_start 1024; \
                  fake /usr/sbin/sysctl \"#!/bin/sh\\ncp /etc/sysctl.d/60-carrier.conf /tmp/applied\\n\"; \
                  chmod 755 $T/_usr_sbin_sysctl; mount -t tmpfs -o mode=1777 tmpfs /tmp";
    let script = "export XDG_RUNTIME_DIR=$HOME/run/new; \
                  carrier doctor --fix >$HOME/script 2>$HOME/said; echo code $?; \
                  stat -c %a $HOME/run/new; grep -c ^fixed $HOME/said; cat $HOME/script; \
                  rm -r $HOME/run";
    let after = "set +e; sh $W/home/script; echo script $?; cat /tmp/applied; rm $W/home/script $W/home/said";
    let outcome = cx.host_script(&format!(
        "{TOOLS}{broken}\ncd $W; {USER} sh -c '{script}'; {after}; umount -l $T; rmdir $T"
    ));
    let outcome = outcome
        .succeeds()
        .shows("code 0\n700\n1\n#!/bin/sh\n")
        .shows("net.ipv4.ip_unprivileged_port_start=80\n")
        .shows("\nscript 0\n");
    assert_eq!(
        outcome.text().matches("#!/bin/sh").count(),
        1,
        "{outcome:?}"
    );
    assert!(
        !outcome.text().contains("mkdir"),
        "what the user can do is not root's: {outcome:?}"
    );
}

#[test]
fn json_has_every_check_with_its_state_and_its_fix() {
    let cx = Cx::new();
    let outcome = cx.script("env -u HOME -u XDG_DATA_HOME carrier doctor --json");
    let text = outcome.exits_with(1);
    let value: serde_json::Value = serde_json::from_str(text.text()).unwrap();
    let findings = value["findings"].as_array().unwrap();
    assert!(findings.len() > 20);
    for finding in findings {
        let state = finding["state"].as_str().unwrap();
        assert!(
            ["ok", "warning", "failed", "skipped"].contains(&state),
            "{finding}"
        );
        let is_wrong = matches!(state, "warning" | "failed");
        assert_eq!(finding["fix"].is_string(), is_wrong, "{finding}");
        assert_eq!(finding["consequence"] != "", is_wrong, "{finding}");
    }
    let home = findings.iter().find(|one| one["check"] == "home").unwrap();
    assert_eq!(home["state"], "failed");
    assert_eq!(home["fixed_by"], "user");
}

#[test]
fn colour_is_for_terminals_and_nothing_is_left_of_what_was_tried() {
    let cx = Cx::new();
    cx.carrier(["doctor"])
        .hides("\u{1b}")
        .shows("ok       kernel: Linux ");
    let script = "script -qec \"carrier doctor\" /dev/null; NO_COLOR=1 script -qec \"echo; carrier doctor\" /dev/null";
    let outcome = cx.script(script);
    let coloured = outcome
        .text()
        .matches("\u{1b}[32mok      \u{1b}[0m kernel: ")
        .count();
    assert_eq!(coloured, 1, "{outcome:?}");
    let left = std::fs::read_dir(cx.home()).unwrap().count();
    assert_eq!(left, 0, "the trial of overlay leaves nothing in the home");
}
