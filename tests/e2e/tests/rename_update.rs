//! `carrier rename`, `carrier update`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

fn policy(cx: &Cx, name: &str) -> String {
    let format =
        "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    let printed = cx.carrier(["inspect", "-f", format, name]).succeeds();
    printed.text().to_owned()
}

#[test]
fn a_renamed_container_is_known_by_its_new_name_only() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "old", &image, "sleep", "600"])
        .succeeds();
    cx.carrier(["create", "--name", "other", &image, "true"])
        .succeeds();
    cx.carrier(["rename", "old", "new"]).succeeds().prints("");
    cx.carrier(["ps", "--format", "{{.Names}}"])
        .succeeds()
        .prints("new");
    cx.carrier(["inspect", "old"])
        .exits_with(1)
        .complains("old");
    cx.carrier(["rename", "new", "other"])
        .exits_with(1)
        .complains("in use");
    cx.carrier(["rename", "new", "new"])
        .exits_with(1)
        .complains("same name");
    cx.carrier(["rename", "new", "not/a name"])
        .exits_with(1)
        .complains("not a container name");
    cx.carrier(["rename", "nobody", "free"])
        .exits_with(1)
        .complains("nobody");
    // The old name is free, and the container can be stopped by the new one.
    cx.carrier(["create", "--name", "old", &image, "true"])
        .succeeds();
    cx.carrier(["stop", "-t", "0", "new"]).succeeds();
    cx.carrier(["container", "rename", "new", "newest"])
        .succeeds();
    cx.carrier(["rm", "newest", "old", "other"]).succeeds();
}

#[test]
fn of_many_who_want_a_name_one_gets_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for number in 0..6 {
        cx.carrier(["create", "--name", &format!("c{number}"), &image, "true"])
            .succeeds();
    }
    let script = "for n in 0 1 2 3 4 5; do carrier rename c$n wanted 2>>errors & done; wait";
    cx.script(script).succeeds();
    let names = cx
        .carrier(["ps", "-a", "--format", "{{.Names}}"])
        .succeeds()
        .text()
        .to_owned();
    assert_eq!(
        names.lines().filter(|name| *name == "wanted").count(),
        1,
        "{names}"
    );
    assert_eq!(names.lines().count(), 6, "{names}");
    cx.carrier(["rm", "-c"]).succeeds();
}

#[test]
fn a_rename_that_is_killed_leaves_one_name() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "aa", &image, "true"])
        .succeeds();
    let script = "
        i=0
        while [ $i -lt 30 ]; do
            from=$(carrier ps -a --format '{{.Names}}')
            if [ \"$from\" = aa ]; then to=bb; else to=aa; fi
            timeout -s KILL 0.00$((i % 10))5 carrier rename $from $to
            [ $(carrier ps -a --format '{{.Names}}' | wc -l) = 1 ] || exit 1
            i=$((i + 1))
        done
        carrier rename $(carrier ps -aq) cc && carrier create --name aa $IMAGE true && carrier create --name bb $IMAGE true";
    cx.script(&script.replace("$IMAGE", &image)).succeeds();
    cx.carrier(["rm", "aa", "bb", "cc"]).succeeds();
    cx.carrier(["ls"]).succeeds();
}

#[test]
fn a_restart_policy_changes_while_the_container_runs() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "until [ -e /go ]; do sleep 0.1; done";
    cx.carrier(["run", "-d", "--name", "short", &image, "sh", "-c", script])
        .succeeds();
    assert_eq!(policy(&cx, "short"), "no:0");
    cx.carrier(["update", "--restart", "on-failure:5", "short"])
        .succeeds()
        .prints("short");
    assert_eq!(policy(&cx, "short"), "on-failure:5");
    cx.carrier(["container", "update", "--restart=always", "short"])
        .succeeds();
    cx.carrier(["exec", "short", "touch", "/go"]).succeeds();
    // The program that ran when the policy changed is started again.
    let script =
        "until [ $(carrier inspect -f '{{.RestartCount}}' short) -gt 0 ]; do sleep 0.1; done";
    cx.script(script).succeeds();
    cx.carrier(["rm", "-f", "short"]).succeeds();
}

#[test]
fn what_an_update_cannot_do_is_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "one", &image, "true"])
        .succeeds();
    cx.carrier(["update", "one"])
        .exits_with(1)
        .complains("provide one or more flags");
    cx.carrier(["update", "--restart", "sometimes", "one"])
        .exits_with(1)
        .complains("sometimes");
    cx.carrier(["update", "--restart", "always", "nobody"])
        .exits_with(1)
        .complains("nobody");
    cx.carrier(["update", "--memory", "5m", "one"])
        .exits_with(1)
        .complains("minimum memory limit allowed is 6MB");
    cx.carrier(["create", "--rm", "--name", "two", &image, "true"])
        .succeeds();
    cx.carrier(["update", "--restart", "always", "two"])
        .exits_with(1)
        .complains("removed");
    assert_eq!(policy(&cx, "one"), "no:0");
    cx.carrier(["rm", "one", "two"]).succeeds();
}
