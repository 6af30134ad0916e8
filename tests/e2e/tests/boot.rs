//! Containers that come back after a reboot.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use carrier_e2e::{Cx, Outcome, is_root, skip};

const USER: &str = "setpriv --reuid carrier-test --regid carrier-test --init-groups";

/// Runs a script as the ordinary user of a host with systemd; `before` is done there as root.
fn with_systemd(cx: &Cx, test: &str, before: &str, script: &str) -> Option<Outcome> {
    if !is_root() {
        skip(test, "only root can make a host look as if it had systemd");
        return None;
    }
    // Both directories are what systemd's own tools look at.
    let script = format!(
        "set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system; \
         mount -t tmpfs tmpfs /var/lib/systemd; mkdir /var/lib/systemd/linger; {before}; \
         set +e; {USER} sh -c '{script}'"
    );
    Some(cx.host_script(&script))
}

#[test]
fn a_unit_of_the_users_systemd_is_written_and_removed() {
    let cx = Cx::new();
    let unit = cx.home().join(".config/systemd/user/carrier-boot.service");
    let test = "a_unit_of_the_users_systemd_is_written_and_removed";
    let Some(outcome) = with_systemd(
        &cx,
        test,
        "touch /var/lib/systemd/linger/carrier-test",
        "carrier boot status; carrier boot enable && carrier boot status && cat ~/.config/systemd/user/default.target.wants/*",
    ) else {
        return;
    };
    let outcome = outcome.succeeds();
    assert_eq!(outcome.errors(), "");
    assert!(outcome.text().starts_with("disabled\nenabled by systemd, "));
    outcome.shows(&format!("ExecStart=\"{}\" boot start", cx.program()));
    assert!(unit.exists());
    // Another store has a unit of its own.
    let home = cx.home().display().to_string();
    let other = format!("carrier --root {home}/other boot");
    let enable =
        format!("{other} enable; {other} status; cat ~/.config/systemd/user/carrier-boot-*");
    with_systemd(
        &cx,
        test,
        "touch /var/lib/systemd/linger/carrier-test",
        &enable,
    )
    .unwrap()
    .succeeds()
    .shows(&format!(
        "ExecStart=\"{}\" \"--root\" \"{home}/other\" boot start",
        cx.program()
    ));
    with_systemd(
        &cx,
        test,
        "true",
        &format!("{other} disable; {other} status"),
    )
    .unwrap()
    .exits_with(1);
    assert!(unit.exists());
    let disable = "carrier boot disable; carrier boot disable; carrier boot status";
    with_systemd(&cx, test, "true", disable)
        .unwrap()
        .exits_with(1)
        .shows("\ndisabled\n");
    assert!(!unit.exists());
}

#[test]
fn a_user_who_does_not_linger_is_told_what_that_means() {
    let cx = Cx::new();
    let test = "a_user_who_does_not_linger_is_told_what_that_means";
    let Some(outcome) = with_systemd(&cx, test, "true", "carrier boot enable") else {
        return;
    };
    outcome
        .succeeds()
        .complains("carrier-test does not linger: containers come back when carrier-test logs in");
}

#[test]
fn a_line_for_cron_comes_and_goes_and_the_others_stay() {
    let cx = Cx::new();
    // What crontab(1) does with the table of one user.
    let crontab = cx.file(
        "bin/crontab",
        "#!/bin/sh\ncase $1 in -l) cat \"$HOME/table\" 2>/dev/null || exit 1 ;; \
         -) cat >\"$HOME/table\" ;; esac\n",
    );
    fs::set_permissions(crontab, fs::Permissions::from_mode(0o755)).unwrap();
    cx.carrier(["boot", "status"])
        .exits_with(1)
        .prints("disabled");
    cx.script("echo '0 4 * * * backup' | crontab -").succeeds();
    for _ in 0..2 {
        cx.carrier(["boot", "enable"])
            .succeeds()
            .shows("enabled by cron");
    }
    cx.carrier(["boot", "status"])
        .succeeds()
        .shows("enabled by cron");
    let line = format!("@reboot '{}' boot start # carrier boot", cx.program());
    cx.script("crontab -l")
        .prints(&format!("0 4 * * * backup\n{line}"));
    // Another store has a line of its own.
    let home = cx.home().display().to_string();
    let places = format!("--root {home}/other --runroot {home}/run");
    let there = |verb: &str| {
        let words = format!("{places} boot {verb}");
        cx.carrier(words.split(' '))
    };
    there("status").exits_with(1).prints("disabled");
    there("enable").succeeds().shows("enabled by cron");
    let other = format!(
        "@reboot '{}' '--root' '{home}/other' '--runroot' '{home}/run' boot start # carrier boot ",
        cx.program()
    );
    let table = cx.script("crontab -l").succeeds().shows(&other);
    assert!(
        table
            .text()
            .starts_with(&format!("0 4 * * * backup\n{line}\n"))
    );
    cx.carrier(["boot", "disable"]).succeeds();
    there("status").succeeds();
    there("disable").succeeds();
    cx.script("crontab -l").prints("0 4 * * * backup");
}

#[test]
fn a_host_where_nothing_starts_programs_is_told_so() {
    let cx = Cx::new();
    cx.carrier(["boot", "enable"])
        .exits_with(125)
        .complains("nothing here starts programs of users at boot: neither systemd nor crontab");
}

/// What a reboot leaves: no process, nothing in the runtime directory, and another boot's number in
/// what was written down.
fn reboot(cx: &Cx) {
    let containers = cx.store().join("containers");
    for container in fs::read_dir(&containers).unwrap() {
        let state = container.unwrap().path().join("state.json");
        let Ok(text) = fs::read_to_string(&state) else {
            continue;
        };
        let mut life: serde_json::Value = serde_json::from_str(&text).unwrap();
        if let Some(pid) = life["monitor"]["pid"].as_u64() {
            cx.script(&format!(
                "kill -9 {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.01; done"
            ));
        }
        for process in ["monitor", "process"] {
            if life[process].is_object() {
                life[process]["bootId"] = "an earlier boot".into();
            }
        }
        fs::write(&state, life.to_string()).unwrap();
    }
    cx.script("rm -rf $XDG_RUNTIME_DIR/carrier").succeeds();
}

#[test]
fn after_a_reboot_containers_come_back_as_their_policies_say() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = |name, policy, script| {
        let words = [
            "run",
            "-d",
            "--name",
            name,
            "--restart",
            policy,
            &image,
            "sh",
            "-c",
            script,
        ];
        cx.carrier(words).succeeds();
    };
    let forever = "trap exit TERM; sleep 600 & wait";
    for (name, policy) in [
        ("runs-no", "no"),
        ("runs-always", "always"),
        ("runs-unless", "unless-stopped"),
        ("runs-failure", "on-failure:3"),
        ("stopped-always", "always"),
        ("stopped-unless", "unless-stopped"),
    ] {
        run(name, policy, forever);
    }
    run("done-failure", "on-failure", "exit 0");
    cx.carrier([
        "create",
        "--name",
        "created",
        "--restart",
        "always",
        &image,
        "true",
    ])
    .succeeds();
    cx.carrier(["wait", "done-failure"]).prints("0");
    cx.carrier(["stop", "stopped-always", "stopped-unless"])
        .succeeds();
    reboot(&cx);
    cx.carrier(["wait", "runs-always"]).prints("255");
    let back = [
        "runs-always",
        "runs-unless",
        "runs-failure",
        "stopped-always",
    ];
    cx.carrier(["boot", "start"])
        .succeeds()
        .prints(&back.join("\n"));
    cx.carrier(["boot", "start"]).succeeds().prints("");
    let listed = cx.carrier(["ls", "-c"]);
    for name in back {
        assert!(listed.text().contains(name), "{listed:?}");
    }
    listed
        .hides("runs-no")
        .hides("stopped-unless")
        .hides("created");
    cx.carrier(["rm", "-c", "--force"]).succeeds();
}
