//! The examples of the README, with real images: what a user's fingers know.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, until};

/// The images, by the names that the examples have.
fn with_images(cx: &Cx) {
    for (name, fixture) in [
        ("nginx", "debian-nginx"),
        ("redis", "debian-redis"),
        ("python", "debian-python"),
        ("busybox", "busybox"),
    ] {
        let image = cx.pulled(fixture);
        cx.carrier(["tag", &image, name]).succeeds();
        cx.carrier(["untag", name, &image]).succeeds();
    }
}

#[test]
fn every_example_does_what_it_says() {
    let cx = Cx::with_registry();
    with_images(&cx);
    let runs = |words: &[&str]| cx.carrier(words.iter().copied()).succeeds();
    // A web server in the background, and a look at it.
    runs(&["run", "-d", "--name", "web", "nginx"]);
    runs(&["ls"]).shows("web").shows("nginx");
    runs(&["exec", "web", "nginx", "-v"]);
    runs(&["logs", "web"]);
    // A database, and a client in it.
    runs(&[
        "run",
        "-d",
        "--name",
        "db",
        "redis",
        "redis-server",
        "--save",
        "",
    ]);
    until("the database", || {
        cx.carrier(["sh", "db", "redis-cli", "ping"]).text() == "PONG"
    });
    let failing = [
        "sh",
        "db",
        "sh",
        "-c",
        "redis-cli nonsense >/dev/null; exit 3",
    ];
    cx.carrier(failing).exits_with(3);
    // A terminal, also where standard input is none.
    runs(&["t", "db", "bash", "-c", "tty"]).shows("/dev/pts/0");
    cx.script("echo 'echo from a shell' | carrier sh db")
        .succeeds()
        .shows("from a shell");
    // Programs that end.
    runs(&["run", "--rm", "python", "python3", "-c", "print(6 * 7)"]).prints("42");
    runs(&["run", "--name", "done", "busybox", "true"]);
    // What there is.
    runs(&["ls", "-c"]).shows("web").shows("db");
    runs(&["ls", "-c", "-a"]).shows("Exited (0)").shows("done");
    runs(&["ls", "-i"])
        .shows("nginx")
        .shows("redis")
        .shows("python")
        .shows("busybox");
    // And its end.
    runs(&["stop", "web"]).prints("web");
    runs(&["rm", "web"]).prints("web");
    cx.carrier(["rm", "-c"])
        .exits_with(125)
        .complains("db is running");
    cx.carrier(["rm", "redis"])
        .exits_with(1)
        .complains("is used by db");
    runs(&["rm", "-c", "--force"]).shows("db");
    runs(&["ls", "-c", "-a", "-q"]).prints("");
    for image in ["nginx", "redis", "python", "busybox"] {
        runs(&["rm", image]).shows(image);
    }
    runs(&["ls", "-i", "-q"]).prints("");
}
