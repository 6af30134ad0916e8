//! Checks on directories that stand for hosts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::finding::{Check, Finding, State};
use super::remedy::{OwnFix, Remedy};
use super::view::View;
use super::{CHECKS, Examine, kernel, limits, network, session, storage};
use crate::subordinate::Caller;

/// A host on which nothing is wrong.
struct Fake {
    root: tempfile::TempDir,
    view: View,
}

impl Fake {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let uid = fs::metadata(root.path()).unwrap().uid();
        // Checks say nothing to root that an ordinary user would have to know.
        let caller = Caller {
            uid: if uid == 0 { 1000 } else { uid },
            gid: 1000,
            name: Some("ann".to_owned()),
        };
        let view = View {
            root: root.path().to_owned(),
            is_host: false,
            caller,
            data: Some(root.path().join("home/ann/.local/share/carrier")),
            runtime: None,
            now: SystemTime::now() + Duration::from_secs(1 << 30),
            program: Some(("/usr/bin/carrier".into(), SystemTime::now())),
            allows_shared_ids: false,
        };
        let fake = Self { root, view };
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.12.1-amd64\n"),
            ("proc/sys/user/max_user_namespaces", "50000\n"),
            ("proc/sys/user/max_mnt_namespaces", "50000\n"),
            ("proc/sys/user/max_net_namespaces", "50000\n"),
            ("proc/self/ns/user", ""),
            ("proc/self/status", "Name:\tx\nNoNewPrivs:\t0\n"),
            (
                "proc/self/limits",
                "Limit   Soft  Hard  Units\nMax processes  9999 9999 processes\nMax open files  1024 524288 files\n",
            ),
            ("proc/sys/kernel/pid_max", "4194304\n"),
            ("proc/sys/fs/inotify/max_user_instances", "128\n"),
            ("proc/sys/fs/inotify/max_user_watches", "65536\n"),
            ("proc/sys/vm/overcommit_memory", "0\n"),
            ("proc/sys/kernel/keys/maxkeys", "200\n"),
            ("proc/key-users", "    0:     9 8/8 3/1000000 40/25000000\n"),
            ("proc/sys/net/ipv4/ip_unprivileged_port_start", "80\n"),
            ("proc/sys/net/ipv4/ping_group_range", "0\t2147483647\n"),
            ("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
            ("etc/group", "root:x:0:\n"),
            ("etc/subuid", "ann:100000:65536\n"),
            ("etc/subgid", "ann:100000:65536\n"),
            ("etc/os-release", "ID=debian\n"),
            ("dev/net/tun", ""),
            ("dev/fuse", ""),
        ] {
            fake.write(path, text);
        }
        let programs = [
            "slirp4netns",
            "fuse-overlayfs",
            "qemu-aarch64-static",
            "qemu-x86_64-static",
        ];
        for program in programs {
            fake.program(program, 0o755);
        }
        fake.program("newuidmap", 0o4755);
        fake.program("newgidmap", 0o4755);
        fs::create_dir_all(fake.path("home/ann")).unwrap();
        let login = format!("run/user/{}", fake.view.caller.uid);
        fs::create_dir_all(fake.path(&login)).unwrap();
        fs::set_permissions(fake.path(&login), fs::Permissions::from_mode(0o700)).unwrap();
        fake
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, mode: u32) {
        let path = format!("usr/bin/{name}");
        self.write(&path, "");
        fs::set_permissions(self.path(&path), fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(self.path("usr/bin"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn finding(&self, wanted: Check) -> Finding {
        let (_, examine) = CHECKS.iter().find(|(check, _)| *check == wanted).unwrap();
        let finding = examine(&self.view);
        assert_eq!(finding.check, wanted);
        finding
    }

    /// What is wrong, without what the machine of the test has to do with it.
    fn wrong(&self) -> Vec<Finding> {
        let of_machine = [Check::Home, Check::Disk, Check::RuntimeDirectory];
        let all = CHECKS
            .iter()
            .filter(|(check, _)| !of_machine.contains(check));
        let all = all.map(|(_, examine): &(Check, Examine)| examine(&self.view));
        all.filter(Finding::is_wrong).collect()
    }
}

#[test]
fn nothing_is_said_of_a_host_that_is_well() {
    let fake = Fake::new();
    assert_eq!(fake.wrong(), []);
}

/// A file, what is in it, and what is said then: the check, its state, and parts of what is found and of
/// the fix.
type Break = (
    &'static str,
    &'static str,
    Check,
    State,
    &'static str,
    &'static str,
);

const BREAKS: [Break; 17] = [
    (
        "proc/sys/user/max_user_namespaces",
        "0",
        Check::UserNamespaces,
        State::Failed,
        "user.max_user_namespaces is 0",
        "echo user.max_user_namespaces=28633 >>",
    ),
    (
        "proc/sys/kernel/unprivileged_userns_clone",
        "0",
        Check::UserNamespaces,
        State::Failed,
        "kernel.unprivileged_userns_clone is 0",
        "kernel.unprivileged_userns_clone=1",
    ),
    (
        "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        Check::Apparmor,
        State::Failed,
        "no profile for /usr/bin/carrier",
        "apparmor_parser -r",
    ),
    (
        "proc/sys/user/max_net_namespaces",
        "0",
        Check::Namespaces,
        State::Failed,
        "user.max_net_namespaces is 0",
        "user.max_net_namespaces=28633",
    ),
    (
        "proc/sys/user/max_mnt_namespaces",
        "7",
        Check::Namespaces,
        State::Warning,
        "user.max_mnt_namespaces is 7",
        "user.max_mnt_namespaces=28633",
    ),
    (
        "etc/subuid",
        "bob:100000:65536",
        Check::SubordinateIds,
        State::Failed,
        "ann has none",
        "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ann",
    ),
    (
        "etc/subuid",
        "ann:100000:65536\nbob:130000:9",
        Check::SubordinateIds,
        State::Failed,
        "overlap 130000-130008 of bob",
        "sed -i 's/^ann:100000:65536$/ann:165536:65536/' /etc/subuid",
    ),
    (
        "etc/subgid",
        "ann:100000:1000",
        Check::SubordinateIds,
        State::Warning,
        "ann has 1000 of them",
        "--add-subgids",
    ),
    (
        "proc/self/status",
        "NoNewPrivs:\t1\n",
        Check::IdHelpers,
        State::Failed,
        "no_new_privs",
        "another shell",
    ),
    (
        "proc/sys/net/ipv4/ip_unprivileged_port_start",
        "1024",
        Check::LowPorts,
        State::Warning,
        "ports below 1024",
        "ip_unprivileged_port_start=80",
    ),
    (
        "proc/sys/net/ipv4/ping_group_range",
        "1\t0",
        Check::Ping,
        State::Warning,
        "ping_group_range is 1 0",
        "'net.ipv4.ping_group_range=0 2147483647'",
    ),
    (
        "proc/self/limits",
        "Max open files  256  256  files\n",
        Check::OpenFiles,
        State::Warning,
        "256 open files",
        "ann - nofile 65536",
    ),
    (
        "proc/self/limits",
        "Max open files  256  4096  files\n",
        Check::OpenFiles,
        State::Warning,
        "256 open files",
        "`ulimit -Sn 4096`",
    ),
    (
        "proc/self/limits",
        "Max processes  50  unlimited  processes\n",
        Check::Processes,
        State::Warning,
        "50 processes",
        "`ulimit -Su 65536`",
    ),
    (
        "proc/sys/kernel/pid_max",
        "1000",
        Check::Processes,
        State::Warning,
        "kernel.pid_max is 1000",
        "kernel.pid_max=4194304",
    ),
    (
        "proc/sys/fs/inotify/max_user_instances",
        "8",
        Check::Inotify,
        State::Warning,
        "max_user_instances is 8",
        "max_user_instances=1024",
    ),
    (
        "proc/sys/vm/overcommit_memory",
        "2",
        Check::Memory,
        State::Warning,
        "vm.overcommit_memory is 2",
        "vm.overcommit_memory=0",
    ),
];

/// Each break of a host, by files with other contents, and what is said then. What is found names the
/// file or program, and the fix is for exactly that.
#[test]
fn each_thing_that_is_wrong_is_found_alone_and_has_a_fix() {
    for (path, text, check, state, found, fix) in BREAKS {
        let fake = Fake::new();
        fake.write(path, text);
        let wrong = fake.wrong();
        let [finding] = wrong.as_slice() else {
            panic!("{path}: {wrong:#?}");
        };
        assert_eq!((finding.check, finding.state), (check, state), "{path}");
        assert!(finding.found.contains(found), "{path}: {finding:?}");
        let remedy = finding.remedy.as_ref().unwrap().to_string();
        assert!(remedy.contains(fix), "{path}: {remedy}");
        assert!(!finding.consequence.is_empty() && finding.line().ends_with(&remedy));
    }
}

#[test]
fn a_program_that_is_missing_is_named_with_the_distributions_package() {
    for (program, os, check, fix) in [
        (
            "newuidmap",
            "ID=debian",
            Check::IdHelpers,
            "apt-get install -y uidmap",
        ),
        (
            "newgidmap",
            "ID=fedora",
            Check::IdHelpers,
            "dnf install -y shadow-utils",
        ),
        (
            "slirp4netns",
            "ID=arch",
            Check::Uplink,
            "pacman -S --noconfirm slirp4netns",
        ),
        (
            "fuse-overlayfs",
            "ID=alpine",
            Check::Fuse,
            "apk add fuse-overlayfs",
        ),
    ] {
        let fake = Fake::new();
        fake.write("etc/os-release", os);
        fake.remove(&format!("usr/bin/{program}"));
        let wrong = fake.wrong();
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert_eq!(wrong[0].check, check);
        assert_eq!(wrong[0].found, format!("{program} is not installed"));
        assert_eq!(wrong[0].remedy, Some(Remedy::Root(fix.to_owned())));
    }
    let fake = Fake::new();
    fake.write("etc/os-release", "ID=nixos");
    fake.remove("usr/bin/slirp4netns");
    let remedy = fake.finding(Check::Uplink).remedy;
    assert_eq!(
        remedy,
        Some(Remedy::Advice("install the package slirp4netns".to_owned()))
    );
    fake.program("pasta", 0o755);
    assert!(!fake.finding(Check::Uplink).is_wrong());
}

#[test]
fn a_helper_without_its_bit_is_told_with_the_other_one() {
    let fake = Fake::new();
    fake.program("newuidmap", 0o755);
    let finding = fake.finding(Check::IdHelpers);
    assert_eq!(finding.state, State::Failed);
    let both = "/usr/bin/newuidmap /usr/bin/newgidmap";
    let command = format!("chown root {both} && chmod 4755 {both}");
    assert_eq!(finding.remedy, Some(Remedy::Root(command)));
    // Who has no ids needs no helper.
    fake.write("etc/subuid", "");
    assert_eq!(fake.finding(Check::IdHelpers).state, State::Skipped);
}

#[test]
fn a_kernel_that_is_too_old_is_told_so() {
    let fake = Fake::new();
    for (release, state) in [
        ("5.10.0-1", State::Failed),
        ("5.12.0", State::Ok),
        ("10.0.0", State::Ok),
        ("odd", State::Skipped),
    ] {
        fake.write("proc/sys/kernel/osrelease", release);
        assert_eq!(fake.finding(Check::Kernel).state, state, "{release}");
    }
}

#[test]
fn a_kernel_without_user_namespaces_is_told_so() {
    let fake = Fake::new();
    fake.remove("proc/self/ns/user");
    let finding = kernel::user_namespaces(&fake.view);
    assert_eq!(finding.state, State::Failed);
    assert_eq!(finding.found, "the kernel has none");
}

#[test]
fn a_profile_of_its_own_frees_carrier_from_apparmor() {
    let fake = Fake::new();
    fake.write("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1");
    fake.write("proc/self/attr/current", "unconfined\n");
    assert_eq!(kernel::apparmor(&fake.view).state, State::Failed);
    fake.write("proc/self/attr/current", "carrier (unconfined)\n");
    assert_eq!(kernel::apparmor(&fake.view).state, State::Ok);
}

#[test]
fn a_clock_that_was_never_set_is_told_by_the_age_of_the_program() {
    let mut fake = Fake::new();
    let installed = SystemTime::now();
    for (now, state) in [
        (SystemTime::UNIX_EPOCH, State::Failed),
        (
            installed - Duration::from_secs(3 * 24 * 60 * 60),
            State::Failed,
        ),
        (installed - Duration::from_secs(60), State::Ok),
        (installed + Duration::from_secs(60), State::Ok),
    ] {
        fake.view.now = now;
        assert_eq!(fake.finding(Check::Clock).state, state, "{now:?}");
    }
}

#[test]
fn devices_that_are_missing_are_told_from_closed_ones() {
    for (path, check, module) in [
        (
            "dev/net/tun",
            Check::Tun,
            "modprobe tun && echo tun >>/etc/modules-load.d/carrier.conf",
        ),
        ("dev/fuse", Check::Fuse, "modprobe fuse"),
    ] {
        let fake = Fake::new();
        fake.remove(path);
        assert_eq!(
            fake.finding(check).remedy,
            Some(Remedy::Root(module.to_owned()))
        );
        // Opening a directory for writing fails for everybody, also for root.
        fs::create_dir(fake.path(path)).unwrap();
        let finding = fake.finding(check);
        assert_eq!(
            finding.found,
            format!("/{path} cannot be opened (Is a directory)")
        );
        assert_eq!(
            finding.remedy,
            Some(Remedy::Root(format!("chmod 666 /{path}")))
        );
    }
}

#[test]
fn emulators_are_needed_until_the_host_has_registered_them() {
    let foreign = if cfg!(target_arch = "aarch64") {
        "x86_64"
    } else {
        "aarch64"
    };
    let fake = Fake::new();
    fake.write("proc/sys/kernel/osrelease", "6.1.0");
    let finding = fake.finding(Check::Emulators);
    assert!(
        finding.found.contains("only root can register it"),
        "{finding:?}"
    );
    fake.remove(&format!("usr/bin/qemu-{foreign}-static"));
    let finding = fake.finding(Check::Emulators);
    assert_eq!(
        finding.found,
        format!("qemu-{foreign}-static is not installed")
    );
    let entry =
        |flags: &str| format!("enabled\ninterpreter /usr/bin/qemu\nflags: {flags}\noffset 0\n");
    let path = format!("proc/sys/fs/binfmt_misc/qemu-{foreign}");
    fake.write(&path, &entry("OC"));
    assert!(fake.finding(Check::Emulators).is_wrong());
    fake.write(&path, &entry("OCF"));
    assert_eq!(fake.finding(Check::Emulators).state, State::Ok);
}

#[test]
fn a_user_whose_keys_are_used_up_is_told_the_limit() {
    let fake = Fake::new();
    let uid = fake.view.caller.uid;
    assert_eq!(limits::keys(&fake.view).found, "the user has 0 of 200");
    for (used, state) in [(199, State::Ok), (200, State::Failed)] {
        fake.write(
            "proc/key-users",
            &format!("{uid:5}:   200 200/200 {used}/200 4000/20000\n"),
        );
        assert_eq!(limits::keys(&fake.view).state, state);
    }
}

#[test]
fn the_runtime_directory_is_the_users_alone() {
    let mut fake = Fake::new();
    fake.view.caller.uid = fs::metadata(fake.root.path()).unwrap().uid();
    let path = fake.path("runtime");
    fake.view.runtime = Some(("XDG_RUNTIME_DIR", path.clone()));
    let finding = session::runtime_directory(&fake.view);
    assert_eq!(finding.state, State::Failed);
    let make = OwnFix::MakeDirectory(path.clone());
    assert_eq!(finding.remedy, Some(Remedy::Own(make.clone())));
    make.apply().unwrap();
    assert_eq!(session::runtime_directory(&fake.view).state, State::Ok);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let finding = session::runtime_directory(&fake.view);
    let Some(Remedy::Own(close)) = &finding.remedy else {
        panic!("{finding:?}");
    };
    assert_eq!(
        (finding.state, close),
        (State::Warning, &OwnFix::Close(path))
    );
    close.apply().unwrap();
    assert_eq!(session::runtime_directory(&fake.view).state, State::Ok);
    fake.view.caller.uid += 1;
    let finding = session::runtime_directory(&fake.view);
    assert!(finding.found.contains("which is user"), "{finding:?}");
}

#[test]
fn who_does_not_linger_can_do_so_himself() {
    let fake = Fake::new();
    assert_eq!(session::lingering(&fake.view).state, State::Skipped);
    fs::create_dir_all(fake.path("run/systemd/system")).unwrap();
    let finding = session::lingering(&fake.view);
    assert_eq!(finding.state, State::Warning);
    assert_eq!(
        finding.remedy,
        Some(Remedy::Own(OwnFix::Linger("ann".to_owned())))
    );
    fake.write("var/lib/systemd/linger/ann", "");
    assert_eq!(session::lingering(&fake.view).state, State::Ok);
}

#[test]
fn a_disk_is_full_of_bytes_or_of_files() {
    let mut space = rustix::fs::statvfs("/").unwrap();
    space.f_frsize = 1 << 20;
    for (blocks, files, favail, state, found) in [
        (100_000, 1 << 20, 1 << 20, State::Ok, "100000 MiB"),
        (100_000, 0, 0, State::Ok, "100000 MiB"),
        (500, 1 << 20, 1 << 20, State::Warning, "500 MiB"),
        (3, 1 << 20, 1 << 20, State::Failed, "3 MiB"),
        (
            100_000,
            1 << 20,
            10_000,
            State::Warning,
            "10000 more files (inodes)",
        ),
        (
            100_000,
            1 << 20,
            10,
            State::Failed,
            "10 more files (inodes)",
        ),
    ] {
        (space.f_bavail, space.f_files, space.f_favail) = (blocks, files, favail);
        let finding = storage::room(Path::new("/x"), &space);
        assert_eq!(finding.state, state, "{finding:?}");
        assert!(finding.found.starts_with(found), "{finding:?}");
    }
}

#[test]
fn a_host_without_a_home_has_no_place_for_the_store() {
    let mut fake = Fake::new();
    fake.view.data = None;
    assert_eq!(fake.finding(Check::Home).state, State::Failed);
    for check in [Check::Disk, Check::Overlay] {
        assert_eq!(fake.finding(check).state, State::Skipped);
    }
}

#[test]
fn a_check_is_listed_once_and_tells_its_own_name() {
    let fake = Fake::new();
    for (place, (check, examine)) in CHECKS.iter().enumerate() {
        assert_eq!(examine(&fake.view).check, *check);
        assert!(!CHECKS[..place].iter().any(|(other, _)| other == check));
    }
    assert!(network::tun(&fake.view).line().starts_with("tun: "));
}
