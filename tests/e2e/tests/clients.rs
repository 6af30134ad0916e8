//! Other engines with Carrier as their runtime, rootless.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, Outcome};

/// Podman and Buildah with a store of the test's own, an image `box` in it, and Carrier as runtime.
struct Client<'a> {
    cx: &'a Cx,
}

impl<'a> Client<'a> {
    fn new(cx: &'a Cx) -> Self {
        let bundle = Bundle::new(cx, "");
        let root = bundle.path().join("rootfs").display().to_string();
        let client = Self { cx };
        cx.script("ln -s carrier bin/carrier-runtime").succeeds();
        client
            .script(&format!(
                "tar -C {root} -c . | podman $store import -q - box"
            ))
            .succeeds();
        client
    }

    /// Runs a script in which `podman` and `buildah` take their options from `$store` and `$with`.
    fn script(&self, script: &str) -> Outcome {
        let runtime = self.cx.home().join("../bin/carrier-runtime");
        let setup = format!(
            "store='--root home/store --runroot run/store'; \
             with=\"$store --cgroup-manager=cgroupfs --runtime {}\"; {script}",
            runtime.display()
        );
        self.cx.script(&setup)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // Also ends the process that holds Podman's user namespace.
        let reset = self.script("podman $store system reset -f >/dev/null 2>&1");
        if !std::thread::panicking() {
            reset.succeeds();
        }
    }
}

#[test]
fn podman_runs_enters_and_ends_containers() {
    let cx = Cx::new();
    let client = Client::new(&cx);
    client
        .script("podman $with run --rm --network none box sh -c 'echo out; exit 3'")
        .exits_with(3)
        .prints("out");
    let start = "podman $with run -d --name one --network none --health-cmd 'test -e /bin/sh' box sleep 1000";
    client.script(&format!("{start} 2>/dev/null")).succeeds();
    client
        .script("podman $with exec one sh -c 'exit 4'")
        .exits_with(4);
    client
        .script("podman $with exec one nosuch")
        .exits_with(127);
    client
        .script("podman $with exec -t one sh -c 'test -t 0 && echo terminal'")
        .succeeds()
        .prints("terminal");
    client
        .script("podman $with healthcheck run one 2>/dev/null")
        .succeeds();
    client
        .script("podman $with kill one && podman $with wait one")
        .succeeds()
        .shows("137");
    client.script("podman $with rm -f one").succeeds();
}

#[test]
fn podman_understands_what_went_wrong() {
    let cx = Cx::new();
    let client = Client::new(&cx);
    for (program, code) in [("nosuch", 127), ("/no/such", 127), ("/etc", 126)] {
        let run = format!("podman $with run --rm --network none box {program}");
        client.script(&run).exits_with(code);
    }
}

#[test]
fn podmans_ways_of_sharing_work() {
    let cx = Cx::new();
    let client = Client::new(&cx);
    for (options, command, expected) in [
        ("--userns keep-id", "id -u", "kept"),
        ("--pid host", "sh -c 'test $$ != 1 && echo host'", "host"),
        ("--network host", "sh -c 'ls /sys | grep kernel'", "kernel"),
        ("--read-only --tmpfs /x", "sh -c 'touch /x/y && ls /x'", "y"),
        ("-v ./bin:/v:ro", "ls /v/carrier", "/v/carrier"),
        ("--privileged", "id -u", "0"),
    ] {
        let network = if options.contains("network") {
            ""
        } else {
            "--network none"
        };
        let run = format!("podman $with run --rm {network} {options} box {command}");
        let outcome = client.script(&run).succeeds();
        if expected == "kept" {
            let own = cx.script("id -u").succeeds();
            outcome.prints(own.text());
        } else {
            outcome.prints(expected);
        }
    }
}

#[test]
fn buildah_runs_the_steps_of_a_build() {
    let cx = Cx::new();
    let client = Client::new(&cx);
    cx.file("Dockerfile", "FROM box\nRUN echo built > /built && id -u\n");
    let build = "buildah $with bud --isolation oci --network host -t built . 2>errors || { cat errors; false; }";
    // Buildah takes the runtime as an option of the verb.
    let build = build.replace("$with bud", "$store bud --runtime $PWD/bin/carrier-runtime");
    client.script(&build).succeeds();
    client
        .script("podman $with run --rm --network none built cat /built")
        .succeeds()
        .prints("built");
}
