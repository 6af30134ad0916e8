//! `carrier inspect`, `carrier container inspect`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use serde_json::{Value, json};

fn inspect(cx: &Cx, words: &[&str]) -> Value {
    let printed = cx.carrier(["inspect"].into_iter().chain(words.iter().copied()));
    let printed = printed.succeeds();
    serde_json::from_str(printed.text()).unwrap()
}

#[test]
fn a_template_may_ask_whether_there_is_a_health_check() {
    let cx = Cx::new();
    cx.carrier(["create", "--name", "plain", "hello"])
        .succeeds();
    let of = |template: &str| cx.carrier(["inspect", "-f", template, "plain"]);
    of("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}")
        .succeeds()
        .prints("none");
    of("{{.State.Health.Status}}").exits_with(1);
    of("{{json .State}}").succeeds().hides("Health");
    for (template, expected) in [
        (
            "{{.HostConfig.Tmpfs}} {{.Config.Healthcheck}}",
            "map[] <nil>",
        ),
        (
            "{{.Config.StopTimeout}} {{.SizeRw}} {{.State.Health}}",
            "<nil> <nil> <nil>",
        ),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{.HostConfig.NanoCPUs}} {{.HostConfig.CPUShares}}", "0 0"),
        (
            "{{slice .ID 0 0}}{{with $c := .Config}}{{$c.Image}}{{end}}",
            "hello",
        ),
        (
            r#"{{printf "%-6s|%03d" .Config.Image .RestartCount}}"#,
            "hello |000",
        ),
    ] {
        of(template).succeeds().prints(expected);
    }
    for misspelt in ["{{.Nope}}", "{{.Config.Label}}", "{{.HostConfig.Tmpfss}}"] {
        of(misspelt).exits_with(1).complains("does not exist");
    }
    cx.carrier(["rm", "plain"]).succeeds();
}

#[test]
fn networks_are_inspected_by_their_name_too() {
    let cx = Cx::new();
    cx.carrier(["network", "create", "lan"]).succeeds();
    for words in [&["inspect"][..], &["inspect", "--type", "network"]] {
        let words = [words, &["-f", "{{.Name}} {{.Driver}}", "lan"]].concat();
        cx.carrier(words).succeeds().prints("lan bridge");
    }
    cx.carrier(["inspect", "--type", "volume", "lan"])
        .exits_with(1)
        .complains("no such volume: lan");
    cx.carrier(["network", "rm", "lan"]).succeeds();
}

#[test]
fn a_container_is_described_in_dockers_shape() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let words = [
        "run",
        "-d",
        "--name",
        "web",
        "--restart",
        "on-failure:3",
        "-e",
        "A=1",
        "-l",
        "k=v",
        &image,
    ];
    let id = cx
        .carrier(words.into_iter().chain(["sleep", "600"]))
        .succeeds()
        .text()
        .to_owned();
    let running = inspect(&cx, &["web"])[0].clone();
    assert_eq!(running["Id"], id.as_str());
    assert_eq!(running["Name"], "/web");
    assert_eq!(
        (&running["Path"], &running["Args"]),
        (&json!("sleep"), &json!(["600"]))
    );
    assert_eq!(running["State"]["Status"], "running");
    assert_eq!(running["State"]["Running"], true);
    assert_eq!(running["Config"]["Image"], image.as_str());
    assert_eq!(running["Config"]["Labels"]["k"], "v");
    assert_eq!(
        running["HostConfig"]["RestartPolicy"],
        json!({"Name": "on-failure", "MaximumRetryCount": 3})
    );
    let environment = running["Config"]["Env"].as_array().unwrap();
    assert!(environment.contains(&json!("A=1")));
    let pid = running["State"]["Pid"].as_u64().unwrap();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, b"sleep\x00600\x00");
    let by_image = inspect(&cx, &["--type", "image", &image]);
    assert_eq!(running["Image"], by_image[0]["Id"]);
    cx.carrier(["rm", "-f", "web"]).succeeds();
}

#[test]
fn what_ended_tells_code_and_times() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "three", &image, "sh", "-c", "exit 3"])
        .exits_with(3);
    let format = "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}} {{.State.Running}}";
    cx.carrier(["inspect", "-f", format, "three"])
        .succeeds()
        .prints("exited 3 0 false");
    let state = inspect(&cx, &["three"])[0]["State"].clone();
    for time in ["StartedAt", "FinishedAt"] {
        let text = state[time].as_str().unwrap();
        assert!(text.starts_with("20") && text.ends_with('Z'), "{text}");
    }
    assert!(state["StartedAt"].as_str() < state["FinishedAt"].as_str());
    cx.carrier(["create", "--name", "new", &image, "true"])
        .succeeds();
    cx.carrier([
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.StartedAt}}",
        "new",
    ])
    .succeeds()
    .prints("created 0001-01-01T00:00:00Z");
    cx.carrier(["rm", "three", "new"]).succeeds();
}

#[test]
fn several_are_described_at_once_and_a_missing_one_is_told() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "one", &image, "true"])
        .succeeds();
    let both = inspect(&cx, &["one", &image]);
    assert_eq!(both[0]["Name"], "/one");
    assert!(both[1]["RootFS"].is_object());
    cx.carrier(["inspect", "one", "nobody"])
        .exits_with(1)
        .shows("/one")
        .complains("nobody");
    cx.carrier(["inspect", "nobody"])
        .exits_with(1)
        .prints("[]")
        .complains("nobody");
    cx.carrier(["container", "inspect", &image])
        .exits_with(1)
        .prints("[]")
        .complains("no such container");
    cx.carrier(["inspect", "--type", "image", "one"])
        .exits_with(1)
        .complains("one");
    cx.carrier(["inspect", "--type", "nonsense", "one"])
        .exits_with(1)
        .complains("--type");
    cx.carrier(["inspect", "-f", "{{.Nope}}", "one"])
        .exits_with(1)
        .complains("Nope");
    cx.carrier(["inspect", "-f", "{{join .Args \",\"}}", "one"])
        .succeeds();
    for spelling in [&["container", "inspect"][..], &["info"]] {
        cx.carrier(spelling.iter().copied().chain(["-f", "{{.Name}}", "one"]))
            .succeeds()
            .prints("/one");
    }
    cx.carrier(["rm", "one"]).succeeds();
}

#[test]
fn a_size_is_shown_when_it_is_wanted() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run",
        "--name",
        "writer",
        &image,
        "sh",
        "-c",
        "head -c 100000 /dev/zero > /big",
    ])
    .succeeds();
    assert!(inspect(&cx, &["writer"])[0].get("SizeRw").is_none());
    let sized = inspect(&cx, &["-s", "writer"])[0].clone();
    let written = sized["SizeRw"].as_u64().unwrap();
    assert!((100_000..130_000).contains(&written), "{written}");
    assert!(sized["SizeRootFs"].as_u64().unwrap() > written);
    cx.carrier(["rm", "writer"]).succeeds();
}
