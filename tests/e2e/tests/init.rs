//! `carrier run --init`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, until};

#[test]
fn the_code_of_the_program_is_the_code_of_the_container() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("kill -15 $$", 143),
    ] {
        cx.carrier(["run", "--rm", "--init", &image, "sh", "-c", script])
            .exits_with(code);
    }
    for (program, code, reason) in [
        ("/none", 127, "no such file"),
        ("none", 127, "not found"),
        ("/etc/passwd", 126, "permission denied"),
    ] {
        let failed = cx
            .carrier(["run", "--rm", "--init", &image, program])
            .exits_with(code);
        assert!(
            failed.errors().to_lowercase().contains(reason),
            "{failed:?}"
        );
    }
}

#[test]
fn the_first_process_is_not_the_program_and_shows_nothing_of_the_host() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "echo $$; tr '\\0' ' ' < /proc/1/cmdline; echo; cat /proc/1/comm; readlink /proc/1/exe; \
        ls /proc/1/fd | tr '\\n' ' '; echo; tr '\\0' '\\n' < /proc/1/environ | grep -c CARRIER";
    let shown = cx.carrier(["run", "--rm", "--init", &image, "sh", "-c", script]);
    let lines: Vec<&str> = shown.text().lines().collect();
    assert_eq!(lines[0], "2");
    assert!(
        lines[1].starts_with("/sbin/docker-init -- sh -c echo $$;"),
        "{shown:?}"
    );
    assert_eq!(lines[2], "docker-init");
    assert!(lines[3].starts_with("/memfd:trampoline"), "{shown:?}");
    assert_eq!(&lines[4..], ["0 1 2 ", "0"]);
    // Nobody can write to what it executes.
    let write = "(: > /proc/1/exe) 2>&1; (: >> /proc/1/exe) 2>&1";
    let written = cx.carrier(["run", "--rm", "--init", &image, "sh", "-c", write]);
    assert_eq!(written.text().lines().count(), 2, "{written:?}");
}

#[test]
fn orphans_are_buried() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    // Their parent ends, and the program does not care for them.
    let script = "for i in 1 2 3 4 5 6 7 8; do (sleep 0.1 &); done; exec sleep 300";
    let becomes = |zombies: u32, init: &[&str], name: &str| {
        let words = [
            &["run", "-d", "--name", name],
            init,
            &[&image, "sh", "-c", script],
        ]
        .concat();
        cx.carrier(words.iter().copied()).succeeds();
        // The program is the one that it becomes, and its children have ended.
        let settled = format!(
            "until ps=$(carrier exec {name} ps -o args) && echo \"$ps\" | grep -q '^sleep 300' &&
                 ! echo \"$ps\" | grep -q '^sleep 0.1\\|^sh '; do sleep 0.1; done"
        );
        cx.script(&settled).succeeds();
        let count = format!("carrier exec {name} ps -o stat | grep -c Z");
        until(&format!("{zombies} zombies"), || {
            cx.script(&count).text() == zombies.to_string()
        });
        cx.carrier(["rm", "--force", name]).succeeds();
    };
    becomes(0, &["--init"], "cared");
    becomes(8, &[], "left");
}

#[test]
fn signals_reach_the_program_and_a_stop_is_quick() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let trap = "trap 'echo usr' USR1; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    cx.carrier([
        "run", "-d", "--init", "--name", "trap", &image, "sh", "-c", trap,
    ])
    .succeeds();
    cx.script("until carrier logs trap | grep -q ready; do sleep 0.1; done")
        .succeeds();
    cx.carrier(["kill", "-s", "USR1", "trap"]).succeeds();
    cx.script("until carrier logs trap | grep -q usr; do sleep 0.1; done")
        .succeeds();
    cx.carrier(["stop", "trap"]).succeeds();
    cx.carrier(["wait", "trap"]).succeeds().prints("5");
    cx.carrier(["rm", "trap"]).succeeds();
    // A program that has no handler would ignore the signal as the first process.
    cx.carrier([
        "run", "-d", "--init", "--name", "plain", &image, "sleep", "300",
    ])
    .succeeds();
    let before = std::time::Instant::now();
    cx.carrier(["stop", "-t", "30", "plain"]).succeeds();
    assert!(before.elapsed().as_secs() < 25);
    cx.carrier(["wait", "plain"]).succeeds().prints("143");
    cx.carrier(["rm", "plain"]).succeeds();
}

#[test]
fn a_program_on_a_terminal_has_the_terminal() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let look = "carrier run --rm -t --init IMAGE sh -c 'read -t 1 line < /dev/tty; test $? -lt 128 && tty'";
    let look = look.replace("IMAGE", &image);
    cx.script(&format!("script -qec \"{look}\" /dev/null"))
        .succeeds()
        .shows("/dev/pts/0");
}

#[test]
fn another_init_is_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--rm", "--init-path", "/sbin/tini", &image, "true"])
        .exits_with(125)
        .complains("built in");
}
