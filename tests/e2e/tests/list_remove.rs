//! `carrier ls`, `carrier rm`, `carrier rmi`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn containers_that_ended_are_listed_and_removed_by_name_and_id() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "one", &image, "sh", "-c", "exit 7"])
        .exits_with(7);
    cx.carrier(["run", "--name", "two", &image, "true"])
        .succeeds();
    cx.carrier(["ls"])
        .succeeds()
        .shows("REPOSITORY")
        .shows("CONTAINER ID")
        .hides("one");
    cx.carrier(["ls", "-c", "-a"])
        .succeeds()
        .shows("Exited (7)")
        .shows("one")
        .hides("REPOSITORY");
    cx.carrier(["run", "--name", "one", &image, "true"])
        .exits_with(125)
        .complains("in use");
    cx.carrier(["rm", "one"]).succeeds().prints("one");
    let id = cx
        .carrier(["ls", "-c", "-a", "-q"])
        .succeeds()
        .text()
        .to_owned();
    cx.carrier(["rm", &id[..5]]).succeeds();
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
}

#[test]
fn both_lists_take_what_means_the_same_in_them_and_refuse_the_rest() {
    let cx = Cx::new();
    cx.carrier(["run", "--name", "one", "hello"]).succeeds();
    let plain = cx.carrier(["ls", "-a"]).succeeds().text().to_owned();
    cx.carrier(["ls", "-a", "--format", "table"])
        .succeeds()
        .prints(&plain);
    let json = cx.carrier(["ls", "-a", "--format", "json"]).succeeds();
    let rows: Vec<serde_json::Value> = json
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0]["Repository"], "hello");
    assert_eq!(rows[1]["Names"], "one");
    let ids = cx.carrier(["ls", "-aq", "--no-trunc"]).succeeds();
    let lengths: Vec<usize> = ids.text().lines().map(str::len).collect();
    assert_eq!(lengths, ["sha256:".len() + 64, 64]);

    for (options, complaint) in [
        (
            &["--format", "{{.ID}}"][..],
            "a template is for one of the lists",
        ),
        (&["--filter", "label=a"], "--filter is for one of the lists"),
        (&["-q", "--format", "json"], "--quiet with a format is for"),
    ] {
        for all in [&[][..], &["-a"]] {
            cx.carrier([&["ls"], all, options].concat())
                .exits_with(125)
                .complains(complaint)
                .hints("add -i for images or -c for containers");
        }
    }
    cx.carrier(["ls", "-ac", "--format", "{{.Names}}"])
        .succeeds()
        .prints("one");
    cx.carrier(["ls", "-i", "--format", "{{.Repository}}"])
        .succeeds()
        .prints("hello");
    cx.carrier(["rm", "one"]).succeeds();
}

#[test]
fn an_image_in_use_is_refused_with_the_names_of_its_users() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "user", &image, "true"])
        .succeeds();
    cx.carrier(["rm", &image])
        .exits_with(1)
        .complains("used by user");
    cx.carrier(["rm", "user"]).succeeds();
    cx.carrier(["rm", &image]).succeeds();
    cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
    cx.carrier(["rm", &image])
        .exits_with(1)
        .complains("no such container or image");
}

#[test]
fn by_force_what_is_not_there_is_told_and_no_failure() {
    let cx = Cx::new();
    cx.carrier(["create", "--name", "one", "hello"]).succeeds();
    for verb in [&["rm"][..], &["container", "rm"]] {
        let gone = |words: &[&'static str]| cx.carrier([verb, words].concat());
        gone(&["nothing"])
            .exits_with(1)
            .complains("no such container");
        gone(&["-f", "nothing"])
            .succeeds()
            .complains("no such container");
    }
    cx.carrier(["rm", "-f", "nothing", "one"])
        .succeeds()
        .prints("one");
    cx.carrier(["rm", "-fv", "hello"]).succeeds();
    cx.assert_nothing_is_left();
}

#[test]
fn a_word_that_names_both_is_refused() {
    let cx = Cx::new();
    cx.carrier(["run", "--name", "hello", "hello"]).succeeds();
    cx.carrier(["rm", "hello"])
        .exits_with(1)
        .complains("a container and an image");
    cx.carrier(["rm", "-c", "hello"]).succeeds().prints("hello");
    cx.carrier(["rmi", "hello"]).succeeds();
}

#[test]
fn all_containers_go_at_once_and_running_ones_by_force() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "ended", &image, "true"])
        .succeeds();
    let mut running = cx.start(["run", "--name", "running", &image, "sleep", "60"]);
    cx.script("until carrier ls -c -q | grep -q .; do sleep 0.05; done")
        .succeeds();
    cx.carrier(["ls", "-c"])
        .succeeds()
        .shows("Up ")
        .shows("running")
        .hides("ended");
    cx.carrier(["rm", "running"])
        .exits_with(1)
        .complains("is running");
    cx.carrier(["rm", "-c", "--force"]).succeeds();
    assert_eq!(running.wait().unwrap().code(), Some(137));
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
}

#[test]
fn files_of_other_ids_are_removed_too() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "mkdir -p /a/b && touch /a/b/c && chown -R 1000 /a && chmod 700 /a";
    cx.carrier(["run", "--name", "owned", &image, "sh", "-c", script])
        .succeeds();
    cx.carrier(["rm", "owned"]).succeeds();
    cx.carrier(["run", "--rm", &image, "sh", "-c", script])
        .succeeds();
    cx.carrier(["rm", &image]).succeeds();
}

#[test]
fn of_several_who_remove_a_container_the_others_find_none() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for make in ["create", "run -d"] {
        let script = format!(
            "for round in 1 2 3 4 5 6; do
                 carrier {make} --name c {image} sleep 2009 >/dev/null
                 for n in 1 2 3 4; do
                     {{ carrier rm -f c >/dev/null || echo failed; }} 2>&1 | grep -v hint: &
                 done
                 wait
             done | sort -u"
        );
        let told = cx.script(&script).succeeds().text().to_owned();
        let is_expected =
            |line: &str| line.contains("no such object") || line.contains("no such container");
        assert!(told.lines().all(is_expected), "{told}");
    }
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
}
