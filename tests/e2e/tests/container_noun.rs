//! `carrier container VERB`, `carrier container prune`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn every_verb_of_containers_is_there_under_the_noun_too() {
    let cx = Cx::new();
    for verb in [
        "attach", "commit", "cp", "create", "diff", "exec", "exists", "export", "inspect", "kill",
        "logs", "ls", "pause", "port", "prune", "ps", "rename", "restart", "rm", "run", "start",
        "stats", "stop", "top", "unpause", "update", "wait",
    ] {
        cx.carrier(["container", verb, "--help"])
            .succeeds()
            .shows("Usage: carrier ");
    }
}

#[test]
fn a_container_lives_its_life_by_the_noun() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let container =
        |words: &[&str]| cx.carrier(["container"].into_iter().chain(words.iter().copied()));
    container(&["exists", "one"]).exits_with(1).prints("");
    container(&["create", "--name", "one", &image, "sleep", "600"]).succeeds();
    container(&["exists", "one"]).succeeds().prints("");
    container(&["start", "one"]).succeeds().prints("one");
    container(&["ls", "--format", "{{.Names}}"])
        .succeeds()
        .prints("one");
    container(&["pause", "one"]).succeeds();
    container(&["unpause", "one"]).succeeds();
    container(&["restart", "-t", "0", "one"]).succeeds();
    container(&["exec", "one", "echo", "hello"])
        .succeeds()
        .prints("hello");
    container(&["kill", "one"]).succeeds();
    container(&["wait", "one"]).succeeds().prints("137");
    container(&["run", "--rm", &image, "echo", "hi"])
        .succeeds()
        .prints("hi");
    container(&["rm", "one"]).succeeds().prints("one");
    // The noun means containers: an image of the same name is safe.
    container(&["rm", &image]).exits_with(1);
    cx.carrier(["image", "exists", &image]).succeeds();
}

#[test]
fn prune_removes_what_does_not_run_and_says_what_it_was() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "up", &image, "sleep", "600"])
        .succeeds();
    let write = "head -c 1000000 /dev/zero >/big";
    cx.carrier([
        "run", "--name", "ended", "-l", "keep=no", &image, "sh", "-c", write,
    ])
    .succeeds();
    cx.carrier(["run", "--name", "kept", "-l", "keep=yes", &image, "true"])
        .succeeds();
    let id = cx
        .carrier(["inspect", "-f", "{{.Id}}", "ended"])
        .succeeds()
        .text()
        .to_owned();
    let prune = |words: &[&str], input: &str| {
        let all = ["container", "prune"]
            .into_iter()
            .chain(words.iter().copied());
        cx.carrier_with_input(all, input)
    };
    prune(&[], "n\n")
        .succeeds()
        .shows("WARNING! This will remove all stopped containers.")
        .shows("Are you sure you want to continue? [y/N]")
        .hides("Deleted");
    prune(&["-f", "--filter", "until=1h"], "")
        .succeeds()
        .hides("Deleted")
        .shows("0B");
    prune(&["--filter", "label!=keep=yes"], "y\n")
        .succeeds()
        .shows(&format!(
            "Deleted Containers:\n{id}\n\nTotal reclaimed space: 1"
        ))
        .shows("MB");
    prune(&["-f", "--filter", "status=exited"], "")
        .exits_with(1)
        .complains("invalid filter 'status'");
    prune(&["-f"], "").succeeds().shows("Deleted Containers:");
    cx.carrier(["ps", "-a", "--format", "{{.Names}}"])
        .succeeds()
        .prints("up");
    cx.carrier(["rm", "-f", "up"]).succeeds();
}

#[test]
fn the_system_knows_which_containers_run() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "up", &image, "sleep", "600"])
        .succeeds();
    cx.carrier(["run", "-d", "--name", "held", &image, "sleep", "600"])
        .succeeds();
    cx.carrier(["pause", "held"]).succeeds();
    cx.carrier(["run", "--name", "ended", &image, "true"])
        .succeeds();
    let row = "{{.Type}} {{.TotalCount}} {{.Active}}";
    cx.carrier(["system", "df", "--format", row])
        .succeeds()
        .shows("Containers 3 2");
    cx.carrier(["system", "df", "-v"])
        .succeeds()
        .shows("(Paused)")
        .shows("Exited (0)");
    cx.carrier(["system", "prune", "-f"])
        .succeeds()
        .shows("Deleted Containers:");
    cx.carrier(["ps", "-a", "--format", "{{.Names}}", "--sort", "names"])
        .succeeds()
        .prints("held\nup");
    cx.carrier(["image", "exists", &image]).succeeds();
    cx.carrier(["rm", "-c", "--force"]).succeeds();
}
