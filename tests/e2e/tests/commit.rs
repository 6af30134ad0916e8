//! `carrier commit`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, until};
use serde_json::Value;

/// Something of each kind that a layer has to tell.
const CHANGES: &str = "mkdir -p /new/deep && echo one > /new/file && ln /new/file /new/twin && \
    ln -s file /new/link && chown 1000:2000 /new/file && chmod 4750 /new/file && mkfifo /new/pipe && \
    rm /etc/group && rm -r /home && mkdir /home && echo own > /home/own && rm /bin/ls && \
    mkdir /bin/ls && dd if=/dev/zero of=/new/holes bs=1 count=1 seek=30M 2>/dev/null";

const LOOK: &str = "stat -c '%n %a %u:%g %h %F' /new/file /new/twin /new/link /new/pipe /home/own /bin/ls; \
    cat /new/link; ls /home; test -e /etc/group || echo gone";

fn looked(cx: &Cx, image: &str) -> String {
    let look = cx.carrier([
        "run",
        "--rm",
        image,
        "sh",
        "-c",
        &LOOK.replace("ls /home", "echo /home/*"),
    ]);
    look.succeeds().text().to_owned()
}

fn inspect(cx: &Cx, image: &str) -> Value {
    let shown = cx.carrier(["image", "inspect", image]).succeeds();
    let mut shown: Value = serde_json::from_str(shown.text()).unwrap();
    shown[0].take()
}

#[test]
fn an_image_is_made_of_what_a_container_has_become() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run", "--name", "box", "-e", "A=b", "-w", "/tmp", &image, "sh", "-c", CHANGES,
    ])
    .succeeds();
    let id = cx.carrier(["commit", "-q", "box", "made:1"]).succeeds();
    let id = id.text().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let expected = "/new/file 4750 1000:2000 2 regular file\n\
        /new/twin 4750 1000:2000 2 regular file\n\
        /new/link 777 0:0 1 symbolic link\n\
        /new/pipe 644 0:0 1 fifo\n\
        /home/own 644 0:0 1 regular file\n\
        /bin/ls 755 0:0 2 directory\n\
        one\n/home/own\ngone";
    assert_eq!(looked(&cx, "made:1"), expected);
    let shown = inspect(&cx, "made:1");
    assert_eq!(shown["Id"], id.as_str());
    assert_eq!(shown["Config"]["Cmd"][0], "sh");
    assert_eq!(shown["Config"]["WorkingDir"], "/tmp");
    let lines = shown["Config"]["Env"].as_array().unwrap();
    assert!(lines.iter().any(|line| line == "A=b"), "{lines:?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.as_str().unwrap().starts_with("HOSTNAME")),
        "{lines:?}"
    );
    // Nothing of the mounts is in it, and the holes are none.
    cx.carrier([
        "run",
        "--rm",
        "--name",
        "back",
        "made:1",
        "sh",
        "-c",
        "test -d /proc/1 && du -k /new/holes",
    ])
    .succeeds()
    .shows("/new/holes");
    // It travels as every other image.
    let reference = cx.registry().reference("made");
    cx.carrier(["tag", "made:1", &reference]).succeeds();
    cx.carrier(["push", &reference]).succeeds();
    cx.script("carrier save -o made.tar made:1").succeeds();
    cx.carrier(["rm", "box"]).succeeds();
    cx.carrier(["rmi", "--force", "made:1", &reference])
        .succeeds();
    cx.carrier(["pull", &reference]).succeeds();
    assert_eq!(looked(&cx, &reference), expected);
    cx.carrier(["rmi", &reference]).succeeds();
    cx.script("carrier load -i made.tar").succeeds();
    assert_eq!(looked(&cx, "made:1"), expected);
    cx.carrier(["system", "check"]).succeeds();
}

#[test]
fn changes_and_words_are_in_the_configuration() {
    let cx = Cx::with_registry();
    let image = cx.pulled("configured");
    cx.carrier(["run", "--name", "box", &image]).succeeds();
    cx.carrier([
        "commit",
        "-a",
        "me",
        "-m",
        "my words",
        "-c",
        "CMD [\"x\", \"y\"]",
        "-c",
        "ENV K=v",
        "-c",
        "EXPOSE 80",
        "--change",
        "LABEL l=m",
        "-c",
        "HEALTHCHECK --interval=3s CMD true",
        "-c",
        "ONBUILD RUN x",
        "-c",
        "VOLUME /data",
        "box",
        "made",
    ])
    .succeeds();
    let shown = inspect(&cx, "made");
    assert_eq!(shown["Author"], "me");
    assert_eq!(shown["Comment"], "my words");
    let config = &shown["Config"];
    assert_eq!(config["Entrypoint"][1], "entry");
    assert_eq!(config["Cmd"][1], "y");
    assert_eq!(config["User"], "app");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Labels"]["a"], "b");
    assert_eq!(config["Labels"]["l"], "m");
    assert_eq!(config["Healthcheck"]["Interval"], 3_000_000_000_u64);
    assert_eq!(config["OnBuild"][0], "RUN x");
    assert!(config["ExposedPorts"]["80/tcp"].is_object() && config["Volumes"]["/data"].is_object());
    cx.carrier(["run", "--rm", "made"])
        .succeeds()
        .prints("entry x y");
    cx.carrier(["history", "--no-trunc", "made"])
        .succeeds()
        .shows("my words");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn what_a_container_was_given_is_in_its_image() {
    let cx = Cx::with_registry();
    let image = cx.pulled("configured");
    cx.script(&format!(
        "carrier create --name box -w / --expose 81/udp -p 0:82 -v /data -v $PWD:/bound \
            --health-cmd 'test -e /x' --health-retries 4 {image} && \
         carrier commit -c 'ENV A=1' -c 'ENV B=$A' -c 'ENTRYPOINT [\"/bin/echo\"]' box made"
    ))
    .succeeds();
    let config = &inspect(&cx, "made")["Config"];
    assert_eq!(config["WorkingDir"], "/");
    let names = |of: &str| -> Vec<String> {
        let names = config[of].as_object().unwrap().keys();
        names.cloned().collect()
    };
    assert_eq!(names("ExposedPorts"), ["81/udp", "82/tcp"]);
    assert_eq!(names("Volumes"), ["/data"]);
    assert_eq!(config["Healthcheck"]["Test"][1], "test -e /x");
    assert_eq!(config["Healthcheck"]["Retries"], 4);
    assert!(config["Env"].as_array().unwrap().contains(&"B=1".into()));
    assert!(config["Cmd"].is_null());
    cx.carrier(["rm", "-v", "box"]).succeeds();
}

#[test]
fn a_container_that_changed_nothing_adds_no_layer() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "box", &image, "true"])
        .succeeds();
    cx.carrier(["commit", "box", "same"]).succeeds();
    let (before, after) = (inspect(&cx, &image), inspect(&cx, "same"));
    assert_eq!(before["RootFS"], after["RootFS"]);
    // Without a name too.
    let id = cx.carrier(["commit", "-m", "another", "box"]).succeeds();
    cx.carrier(["run", "--rm", id.text(), "echo", "runs"])
        .succeeds()
        .prints("runs");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn a_running_container_is_held_and_goes_on() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script =
        "echo first > /file; touch /ready; while :; do echo $((n += 1)) > /c; mv /c /count; done";
    cx.carrier(["run", "-d", "--name", "live", &image, "sh", "-c", script])
        .succeeds();
    cx.script("until carrier diff live | grep -q ready; do sleep 0.1; done")
        .succeeds();
    for words in [
        &["commit", "live", "held"][..],
        &["commit", "--pause=false", "live", "loose"],
    ] {
        cx.carrier(words.iter().copied()).succeeds();
    }
    for image in ["held", "loose"] {
        cx.carrier(["run", "--rm", image, "cat", "/file"])
            .succeeds()
            .prints("first");
    }
    let count = "carrier cp live:/count - | tar xOf -";
    let before = cx.script(count).succeeds().text().to_owned();
    until("a higher count", || {
        cx.script(count).succeeds().text() != before
    });
    cx.carrier(["rm", "--force", "live"]).succeeds();
}

#[test]
fn what_cannot_be_committed_is_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "box", &image, "touch", "/x"])
        .succeeds();
    for (words, reason) in [
        (vec!["commit", "nobody", "x"], "no such container: nobody"),
        (vec!["commit", "-c", "RUN x", "box", "x"], "\"RUN\""),
        (
            vec![
                "commit",
                "box",
                "x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ],
            "digest",
        ),
    ] {
        cx.carrier(words).exits_with(125).complains(reason);
    }
    cx.carrier(["rmi", "--force", &image]).succeeds();
    cx.carrier(["commit", "box", "x"])
        .exits_with(125)
        .complains("no such image");
    cx.carrier(["rm", "box"]).succeeds();
}
