//! `carrier ps`, `carrier ls -c`, `carrier container ls`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use serde_json::Value;

/// Containers in several states: `up` runs, `held` is paused, `seven` has ended, `new` never ran.
fn world() -> (Cx, String) {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = |words: &[&str]| {
        let all: Vec<&str> = words.iter().copied().chain([image.as_str()]).collect();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let start = |words: &[&str], command: &[&str]| {
        let mut all = run(words);
        all.extend(command.iter().map(ToString::to_string));
        cx.carrier(all.iter().map(String::as_str)).succeeds();
    };
    start(&["create", "--name", "new"], &["true"]);
    let code = ["run", "--name", "seven", &image, "sh", "-c", "exit 7"];
    cx.carrier(code).exits_with(7);
    start(&["run", "-d", "--name", "held"], &["sleep", "600"]);
    cx.carrier(["pause", "held"]).succeeds();
    let labels = [
        "run",
        "-d",
        "--name",
        "up",
        "--label",
        "tier=front",
        "--label",
        "evil=\u{1b}[2J",
    ];
    start(&labels, &["sh", "-c", "sleep 600; echo a long command"]);
    (cx, image)
}

fn gone(cx: &Cx) {
    cx.carrier(["rm", "-c", "--force"]).succeeds();
}

fn names(cx: &Cx, options: &[&str]) -> String {
    let words = ["ps", "--format", "{{.Names}}"];
    let printed = cx.carrier(words.into_iter().chain(options.iter().copied()));
    printed.succeeds().text().replace('\n', " ")
}

#[test]
fn a_published_port_is_found_from_either_side() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let publish = ["run", "-d", "--name", "web", "-p", "127.0.0.1::80"];
    cx.carrier(publish.into_iter().chain([image.as_str(), "sleep", "1021"]))
        .succeeds();
    let outside = cx.script("carrier port web 80 | cut -d: -f2");
    let outside = outside.succeeds().text().to_owned();
    for (filter, shown) in [
        ("publish=80".to_owned(), "web"),
        (format!("publish={outside}"), "web"),
        (format!("publish={outside}/udp"), ""),
        ("expose=80/tcp".to_owned(), "web"),
        (format!("expose={outside}"), ""),
    ] {
        cx.carrier(["ps", "--filter", &filter, "--format", "{{.Names}}"])
            .succeeds()
            .prints(shown);
    }
    cx.carrier(["ps", "--format", "{{.Platform}} {{.Command}}"])
        .succeeds()
        .prints("linux/amd64 \"sleep 1021\"");
    cx.carrier(["rm", "-f", "web"]).succeeds();
    cx.assert_nothing_is_left();
}

#[test]
fn a_table_has_dockers_columns_and_words() {
    let (cx, image) = world();
    let table = cx.carrier(["ps", "-a"]).succeeds().text().to_owned();
    let lines: Vec<&str> = table.lines().collect();
    let header = "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES";
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[0]), header);
    assert_eq!(lines.len(), 5);
    for (line, name, status) in [
        (1, "up", "Up "),
        (2, "held", "(Paused)"),
        (3, "seven", "Exited (7) "),
        (4, "new", "Created"),
    ] {
        assert!(
            lines[line].ends_with(name) && lines[line].contains(status),
            "{table}"
        );
        assert!(lines[line].contains(&image), "{table}");
    }
    assert!(lines[1].contains(r#""sh -c 'sleep 600; e…""#), "{table}");
    assert!(lines[3].contains(" ago"), "{table}");
    // Those that run are shown without -a; paused ones do.
    assert_eq!(names(&cx, &[]), "up held");
    cx.carrier(["ps", "--noheading"])
        .succeeds()
        .hides("CONTAINER ID")
        .shows("held");
    let ids = cx.carrier(["ps", "-q"]).succeeds().text().to_owned();
    assert!(ids.lines().count() == 2 && ids.lines().all(|id| id.len() == 12));
    let whole = cx
        .carrier(["ps", "-aq", "--no-trunc"])
        .succeeds()
        .text()
        .to_owned();
    assert!(whole.lines().count() == 4 && whole.lines().all(|id| id.len() == 64));
    for spelling in [
        &["ls", "-c"][..],
        &["container", "ls"],
        &["container", "ps"],
        &["container", "list"],
    ] {
        let printed = cx.carrier(spelling.iter().copied()).succeeds();
        assert!(printed.text().starts_with("CONTAINER ID"), "{spelling:?}");
    }
    gone(&cx);
}

#[test]
fn the_last_ones_are_shown_whether_they_run_or_not() {
    let (cx, _) = world();
    assert_eq!(names(&cx, &["-l"]), "up");
    assert_eq!(names(&cx, &["-n", "3"]), "up held seven");
    assert_eq!(names(&cx, &["--last", "9"]), "up held seven new");
    assert_eq!(names(&cx, &["-a", "--sort", "names"]), "held new seven up");
    assert_eq!(
        names(&cx, &["-a", "--sort", "created"]),
        "new seven held up"
    );
    gone(&cx);
}

#[test]
fn filters_choose_as_in_docker() {
    let (cx, image) = world();
    let id = cx
        .carrier(["ps", "-q", "-f", "name=^up$"])
        .succeeds()
        .text()
        .to_owned();
    let by_id = format!("id={}", &id[..6]);
    let by_image = format!("ancestor={image}");
    for (filters, expected) in [
        (&["-a", "-f", "name=e"][..], "held seven new"),
        (&["-f", "status=exited"], "seven"),
        (&["-f", "status=created", "-f", "status=paused"], "held new"),
        (&["-a", "-f", "exited=7"], "seven"),
        (&["-a", "-f", "label=tier"], "up"),
        (&["-a", "-f", "label=tier=back"], ""),
        (&["-a", "-f", "label!=tier"], "held seven new"),
        (&["-a", "-f", "before=held"], "seven new"),
        (&["-a", "-f", "since=held"], "up"),
        (&["-f", &by_id], "up"),
        (&["-f", &by_image], "up held"),
        (&["-f", "ancestor=nothing"], ""),
        (&["-f", "network=private"], "up held"),
        (&["-f", "health=none"], "up held"),
        (&["-f", "is-task=true"], ""),
        (&["-f", "restart-policy=no"], "up held"),
        (&["-f", "command=sleep"], "held"),
    ] {
        assert_eq!(names(&cx, filters), expected, "{filters:?}");
    }
    for (filter, complaint) in [
        ("nonsense=1", "invalid filter 'nonsense'"),
        ("status=asleep", "invalid filter 'status=asleep'"),
        ("exited=soon", "invalid filter 'exited=soon'"),
        ("name", "bad format of filter"),
        ("pod=x", "pods are not available"),
        ("before=nobody", "nobody"),
    ] {
        cx.carrier(["ps", "-f", filter])
            .exits_with(1)
            .complains(complaint);
    }
    gone(&cx);
}

#[test]
fn formats_are_dockers() {
    let (cx, image) = world();
    let printed = cx.carrier(["ps", "-a", "--format", "json"]).succeeds();
    let rows: Vec<Value> = printed
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 4);
    let up = rows[0].as_object().unwrap();
    for key in [
        "ID",
        "Image",
        "Command",
        "CreatedAt",
        "RunningFor",
        "Ports",
        "State",
        "Status",
        "Size",
        "Names",
        "Labels",
        "Mounts",
        "LocalVolumes",
        "Networks",
    ] {
        assert!(up.get(key).is_some_and(Value::is_string), "{key}");
    }
    assert_eq!(rows[0]["State"], "running");
    assert_eq!(rows[1]["State"], "paused");
    assert_eq!(
        rows[2]["Status"].as_str().unwrap().split(' ').next(),
        Some("Exited")
    );
    assert_eq!(rows[0]["Image"], image.as_str());
    assert_eq!(rows[0]["Size"], "0B");
    let template = "{{.Names}}/{{.State}}/{{.Label \"tier\"}}/{{.Networks}}";
    cx.carrier(["ps", "--format", template])
        .succeeds()
        .prints("up/running/front/private\nheld/paused//private");
    cx.carrier(["ps", "--format", "table {{.Names}}\t{{.Label \"tier\"}}"])
        .succeeds()
        .shows("NAMES   tier\nup      front");
    let size = cx.carrier(["ps", "-s", "-f", "name=up"]).succeeds();
    size.shows("SIZE").shows("(virtual ");
    cx.carrier(["ps", "-q", "--format", "{{.Names}}"])
        .succeeds()
        .hides("up");
    cx.carrier(["ps", "--format", "{{.Nope}}"])
        .exits_with(1)
        .complains("Nope");
    gone(&cx);
}

#[test]
fn labels_of_strangers_have_no_power_over_the_terminal() {
    let (cx, _) = world();
    for format in ["{{.Labels}}", "table {{.Labels}}", "json"] {
        let printed = cx.carrier(["ps", "-a", "--format", format]).succeeds();
        assert!(!printed.text().contains('\u{1b}'), "{format}");
    }
    gone(&cx);
}

#[test]
fn a_list_of_many_containers_costs_few_calls_each_and_no_lock() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let calls = || -> u32 {
        let script = "strace -f -c -U calls,name -o trace carrier ps -a -q >ids && tail -n 1 trace";
        let printed = cx.script(script).succeeds();
        let mut words = printed.text().split_whitespace();
        words.next().unwrap().parse().unwrap()
    };
    let few = calls();
    for _ in 0..20 {
        cx.carrier(["create", &image, "true"]).succeeds();
    }
    let each = (calls() - few) / 20;
    println!("system calls for each container: {each}");
    assert!(each <= 15, "{each} calls a container");
    cx.script("strace -f -e trace=flock,fcntl -o trace carrier ps -a -q >ids; ! grep flock trace")
        .succeeds();
    gone(&cx);
}
