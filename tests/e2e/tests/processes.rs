//! Which processes a start takes, by strace.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, is_root, skip};

#[test]
fn a_cached_start_takes_four_clones_and_no_thread() {
    const NAME: &str = "a_cached_start_takes_four_clones_and_no_thread";
    if !is_root() {
        return skip(
            NAME,
            "a set-user-ID helper works under strace only for root",
        );
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let trace = |calls: &str| {
        let trace = format!(
            "strace -f -q -u carrier-test -o trace -e signal=none -e trace={calls} \
             carrier run --rm --network none {image} true && cat trace"
        );
        let outcome = cx.host_script(&trace).succeeds();
        let calls = outcome.text().lines();
        let lines = calls.filter(|line| line.contains('(') && !line.contains("resumed>"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let clones = trace("clone,clone3,fork,vfork");
    // The monitor, the program, and a helper for each kind of ids.
    assert_eq!(clones.len(), 4, "{clones:#?}");
    assert!(
        clones.iter().all(|line| !line.contains("CLONE_THREAD")),
        "{clones:#?}"
    );
    let programs = trace("execve");
    let programs = programs.iter().filter_map(|line| line.split('"').nth(1));
    let mut names: Vec<&str> = programs
        .filter_map(|path| path.rsplit('/').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["carrier", "newgidmap", "newuidmap", "true"]);
}

#[test]
fn the_binary_loads_no_modules_of_the_c_library() {
    let cx = Cx::new();
    let program = std::fs::read(cx.program()).unwrap();
    for absent in ["libnss_", "/etc/nsswitch.conf"] {
        let found = program
            .windows(absent.len())
            .any(|bytes| bytes == absent.as_bytes());
        assert!(!found, "{absent} is in the binary");
    }
}
