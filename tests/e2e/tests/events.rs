//! `carrier events`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use serde_json::Value;

/// What happened to containers, in order.
fn actions(cx: &Cx, options: &[&str]) -> String {
    let words = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--format",
        "{{.Action}}",
    ];
    let printed = cx.carrier(words.into_iter().chain(options.iter().copied()));
    printed.succeeds().text().replace('\n', " ")
}

#[test]
fn events_are_a_verb_of_the_system_too() {
    let cx = Cx::new();
    cx.carrier(["volume", "create", "data"]).succeeds();
    let told = ["events", "--since", "1h", "--until", "0s"];
    let short = cx.carrier(told).succeeds().shows("volume create data");
    cx.carrier(["system"].into_iter().chain(told))
        .succeeds()
        .prints(short.text());
    cx.carrier(["volume", "rm", "data"]).succeeds();
    // What some events have and others do not is no mistake, and 0 is now.
    let template = "{{.Action}} {{.Actor.Attributes.exitCode}}";
    let all = [
        "events", "--since", "1h", "--until", "0", "--format", template,
    ];
    cx.carrier(all)
        .succeeds()
        .prints("create <no value>\ndestroy <no value>");
}

#[test]
fn the_life_of_a_container_is_told_in_order() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run", "-d", "--name", "one", "-l", "k=v", &image, "sleep", "600",
    ])
    .succeeds();
    cx.carrier(["pause", "one"]).succeeds();
    cx.carrier(["unpause", "one"]).succeeds();
    cx.carrier(["rename", "one", "two"]).succeeds();
    cx.carrier(["exec", "two", "sh", "-c", "exit 3"])
        .exits_with(3);
    cx.carrier(["update", "--restart", "no", "two"]).succeeds();
    cx.carrier(["stop", "-t", "0", "two"]).succeeds();
    cx.carrier(["rm", "two"]).succeeds();
    let told = actions(&cx, &["-f", "type=container"]);
    let mut rest = told.as_str();
    for action in [
        "create",
        "start",
        "pause",
        "unpause",
        "rename",
        "exec_create: sh -c exit 3",
        "exec_start",
        "exec_die",
        "update",
        "kill",
        "die",
        "stop",
        "destroy",
    ] {
        let (_, behind) = rest
            .split_once(action)
            .unwrap_or_else(|| panic!("{action} in {told}"));
        rest = behind;
    }
    assert!(actions(&cx, &["-f", "type=image"]).contains("pull"));
    assert_eq!(
        actions(&cx, &["-f", "event=destroy", "-f", "event=create"]),
        "create destroy"
    );
    assert_eq!(
        actions(&cx, &["-f", "container=two", "-f", "event=rename"]),
        "rename"
    );
    assert_eq!(
        actions(&cx, &["-f", "label=k=v", "-f", "event=start"]),
        "start"
    );
    assert_eq!(actions(&cx, &["-f", "label=k=w"]), "");
    assert_eq!(actions(&cx, &["-f", "volume=x"]), "");
}

#[test]
fn networks_are_told_of_and_who_comes_to_them() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier network create one > /dev/null; carrier network create two > /dev/null
         carrier run -d --name web --network one {image} sleep 1000 > /dev/null
         carrier network connect two web; carrier network disconnect one web
         carrier inspect -f '{{{{.NetworkSettings.Networks.two.EndpointID}}}}' web > here
         carrier network inspect -f '{{{{range .Containers}}}}{{{{.EndpointID}}}}{{{{end}}}}' two | cmp - here
         wc -c < here
         carrier rm -f web > /dev/null; carrier network rm one two > /dev/null
         carrier events --since 1h --until 0s -f type=network \
             --format '{{{{.Action}}}} {{{{.Actor.Attributes.name}}}}'
         carrier events --since 1h --until 0s -f network=two --format '{{{{.Action}}}}' | wc -l"
    );
    cx.script(&script).succeeds().prints(
        "65\ncreate one\ncreate two\nconnect one\nconnect two\ndisconnect one\n\
         disconnect two\ndestroy one\ndestroy two\n4",
    );
}

#[test]
fn volumes_are_told_of_and_who_mounts_them() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --rm -v data:/x:ro {image} true; carrier volume rm data > /dev/null
         carrier events --since 1h --until 0s -f volume=data"
    );
    let outcome = cx.script(&script).succeeds();
    let told: Vec<&str> = outcome.text().lines().collect();
    for (line, words) in told.iter().zip([
        "volume create data (driver=local)",
        "destination=/x, driver=local, propagation=, read/write=false)",
        "volume unmount data (container=",
        "volume destroy data (driver=local)",
    ]) {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn a_line_looks_as_in_docker() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let words = ["create", "--name", "one", &image, "true"];
    let id = cx.carrier(words).succeeds().text().to_owned();
    let range = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "event=create",
    ];
    let line = cx.carrier(range).succeeds().text().to_owned();
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(
        rest,
        format!("container create {id} (image={image}, name=one)")
    );
    // Nine digits behind the point, then the zone.
    let digits = time.split_once('.').unwrap().1;
    assert!(
        digits[..9].bytes().all(|byte| byte.is_ascii_digit()),
        "{time}"
    );
    assert_eq!(&time[4..5], "-");
    let json = cx
        .carrier(range.into_iter().chain(["--format", "json"]))
        .succeeds();
    let event: Value = serde_json::from_str(json.text()).unwrap();
    assert_eq!(event["Type"], "container");
    assert_eq!(event["Action"], "create");
    assert_eq!(event["Actor"]["ID"], id.as_str());
    assert_eq!(event["Actor"]["Attributes"]["name"], "one");
    assert_eq!(event["scope"], "local");
    assert_eq!(
        event["timeNano"].as_u64().unwrap() / 1_000_000_000,
        event["time"].as_u64().unwrap()
    );
    cx.carrier(["rm", "one"]).succeeds();
}

#[test]
fn who_follows_hears_at_once_and_nothing_of_before() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "before", &image, "true"])
        .succeeds();
    let script = "
        carrier events --format '{{.Action}} {{.Actor.Attributes.name}}' >told &
        follower=$!
        until ls -l /proc/$follower/fd | grep -q events; do sleep 0.05; done
        carrier create --name after IMAGE true >ids
        i=0
        until grep -q 'create after' told || [ $i = 600 ]; do sleep 0.05; i=$((i + 1)); done
        kill $follower
        cat told";
    cx.script(&script.replace("IMAGE", &image))
        .succeeds()
        .shows("create after")
        .hides("before");
    // A reader that goes away ends it.
    cx.script("carrier events --since 1h | head -n 1")
        .succeeds()
        .shows("image pull");
    cx.carrier(["rm", "before", "after"]).succeeds();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let cx = Cx::new();
    for (words, complaint) in [
        (["--since", "soon"], "soon"),
        (["--until", "later"], "later"),
        (["--filter", "nonsense=1"], "invalid filter 'nonsense'"),
        (["--filter", "type"], "bad format of filter"),
        (["--format", "{{.Nope}}"], "Nope"),
    ] {
        cx.carrier(["events"].into_iter().chain(words))
            .exits_with(1)
            .complains(complaint);
    }
}
