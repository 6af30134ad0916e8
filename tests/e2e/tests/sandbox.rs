//! What a container can see and do. Names begin with the threat where there is one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::fs;

use carrier_e2e::{Cx, skip};

fn shell(cx: &Cx, options: &[&str], script: &str) -> String {
    let image = cx.pulled("busybox");
    let head = ["run", "--rm"].iter().chain(options).copied();
    let words = head.chain([image.as_str(), "sh", "-c", script]);
    cx.carrier(words).succeeds().text().to_owned()
}

#[test]
fn p03_capabilities_are_the_eleven_and_no_user_but_root_has_them() {
    let cx = Cx::with_registry();
    let script = "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status | tr '\\t\\n' ' ;'";
    let all = |inherited, permitted, bounding| {
        format!(
            "CapInh: {inherited:016x};CapPrm: {permitted:016x};CapEff: {permitted:016x};\
             CapBnd: {bounding:016x};CapAmb: {:016x};NoNewPrivs: 1;Seccomp: 2;",
            0
        )
    };
    let default = 0x8004_05fb_u64;
    assert_eq!(shell(&cx, &[], script), all(0, default, default));
    assert_eq!(shell(&cx, &["-u", "app"], script), all(0, 0, default));
    assert_eq!(shell(&cx, &["--cap-drop", "all"], script), all(0, 0, 0));
    let added = default | 1 << 12;
    assert_eq!(
        shell(&cx, &["--cap-add", "net_admin"], script),
        all(0, added, added)
    );
}

#[test]
fn n06_devices_are_the_standard_ones() {
    let cx = Cx::with_registry();
    assert_eq!(
        shell(
            &cx,
            &[],
            "ls /dev | tr '\\n' ' '; mknod /tmp/m c 1 11 2>/dev/null || echo refused"
        ),
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero refused"
    );
}

#[test]
fn n02_masked_and_read_only_paths_are_closed() {
    let cx = Cx::with_registry();
    let script = "for f in interrupts kcore keys timer_list sched_debug; do \
        [ ! -e /proc/$f ] || [ $(cat /proc/$f 2>/dev/null | wc -c) = 0 ] || echo /proc/$f; done; \
        for d in /proc/acpi /proc/scsi /proc/asound /sys/firmware; do \
        [ ! -d $d ] || [ -z \"$(ls $d)\" ] || echo $d; done; \
        for f in sys/kernel/domainname sysrq-trigger sys/vm/drop_caches; do \
        (echo x > /proc/$f) 2>/dev/null && echo wrote $f; done; \
        umount /proc/keys 2>/dev/null && echo unmasked; \
        for d in / /proc /proc/sys /sys /sys/fs/cgroup; do mount -o remount,rw $d 2>/dev/null && echo remounted $d; done; \
        find /sys -xdev -type f -writable 2>/dev/null | head -0; echo done";
    assert_eq!(shell(&cx, &[], script), "done");
}

#[test]
fn f07_the_mount_table_tells_nothing_of_the_host() {
    let cx = Cx::with_registry();
    let mounts = shell(&cx, &[], "cat /proc/self/mountinfo");
    let home = cx.home().display().to_string();
    assert!(!mounts.contains(&home), "{mounts}");
    let kinds: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    assert_eq!(kinds.first(), Some(&"/"));
    assert!(
        kinds.iter().all(|place| ["/proc", "/dev", "/sys", "/etc/"]
            .iter()
            .any(|known| place.starts_with(known))
            || *place == "/"),
        "{mounts}"
    );
}

#[test]
fn n07_no_namespaces_are_made_inside() {
    let cx = Cx::with_registry();
    let script =
        "unshare -U true 2>/dev/null || echo refused; unshare -m true 2>/dev/null || echo refused";
    assert_eq!(shell(&cx, &[], script), "refused\nrefused");
    let open = shell(
        &cx,
        &["--security-opt", "seccomp=unconfined"],
        "unshare -U true 2>&1 || true",
    );
    assert!(open.contains("No space left"), "{open}");
}

#[test]
fn each_namespace_is_the_containers_own() {
    let cx = Cx::with_registry();
    let look = "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done";
    let (inside, outside) = (shell(&cx, &[], look), cx.script(look).text().to_owned());
    for (inside, outside) in inside.lines().zip(outside.lines()) {
        assert_ne!(inside, outside);
    }
    let shared = shell(&cx, &["--network", "host"], "readlink /proc/self/ns/net");
    assert!(outside.contains(&shared));
}

#[test]
fn w_a_container_without_network_has_loopback_only() {
    let cx = Cx::with_registry();
    let script = "ls /sys/class/net; ip addr show lo | grep -o 'inet 127.0.0.1'";
    let options = ["--network", "none"];
    assert_eq!(shell(&cx, &options, script), "lo\ninet 127.0.0.1");
}

#[test]
fn p02_no_descriptor_of_the_host_leaks() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = format!("exec 7</ 8</etc 9</proc; carrier run --rm {image} ls /proc/self/fd");
    cx.script(&run).succeeds().prints("0\n1\n2\n3");
}

#[test]
fn p10_the_callers_environment_stays_outside() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = format!("CANARY=1 http_proxy=http://secret carrier run --rm {image} env");
    cx.script(&run).succeeds().hides("CANARY").hides("secret");
}

#[test]
fn the_id_map_is_the_users_own_and_his_subordinate_ids() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "ids", &image, "sleep", "2004"])
        .succeeds();
    let pid = cx.carrier(["inspect", "-f", "{{.State.Pid}}", "ids"]);
    let map = fs::read_to_string(format!("/proc/{}/uid_map", pid.succeeds().text())).unwrap();
    let mut lines = map
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let uid = cx.script("id -u").text().to_owned();
    assert_eq!(lines.next(), Some(vec!["0", uid.as_str(), "1"]));
    assert_eq!(lines.next().map(|line| line[0]), Some("1"));
    // What the ids are outside is nothing that the container learns.
    let inside = cx.carrier(["exec", "ids", "sh", "-c", "tr -s ' ' </proc/self/uid_map"]);
    inside.succeeds().shows(" 0 0 1\n 1 1 ");
    cx.carrier(["rm", "-f", "ids"]).succeeds();
}

#[test]
fn p06_p07_n08_n09_calls_with_a_history_are_refused() {
    const NAME: &str = "p06_p07_n08_n09_calls_with_a_history_are_refused";
    if cfg!(not(target_arch = "x86_64")) {
        return skip(NAME, "the program knows the numbers of x86-64 only");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-python");
    let run = [
        "run",
        "--rm",
        &image,
        "perl",
        "-e",
        include_str!("probe.pl"),
    ];
    let outcome = cx.carrier(run).succeeds();
    let mut lines = outcome.text().splitn(4, '\n').map(str::trim);
    let mut next = || lines.next().unwrap();
    assert_eq!(
        [next(), next(), next()],
        ["families 1 2 10 16", "calls", "typing"]
    );
    // A kernel without these calls ends the program that makes one.
    let refused = "getpid32 right\nsocketcall32 -1\nmount32 -1";
    let rest = next();
    assert!([refused, "no 32-bit calls"].contains(&rest), "{rest}");
}
