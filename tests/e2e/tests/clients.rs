//! Other engines with Carrier as their runtime, rootless; the same with crun, to test the tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, Outcome, is_root, skip};

/// Who runs the clients' containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runtime {
    Carrier,
    /// Another one, which shows that a test asks for nothing that only Carrier does.
    Crun,
}

/// Podman and Buildah with a store of the test's own, and an image `box` in it.
struct Client<'a> {
    cx: &'a Cx,
    runtime: Runtime,
}

/// What crun needs: it refuses where there is another hierarchy of control groups than the unified one.
const UNIFIED: &str = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec setpriv \
                       --reuid carrier-test --regid carrier-test --init-groups sh client.sh";

/// Does the same with each runtime.
fn with_each_runtime(test: &str, check: impl Fn(&Client<'_>)) {
    check(&Client::new(&Cx::new(), Runtime::Carrier));
    if is_root() {
        check(&Client::new(&Cx::new(), Runtime::Crun));
    } else {
        skip(
            test,
            "with crun: only root can mount control groups as it wants them",
        );
    }
}

impl<'a> Client<'a> {
    fn new(cx: &'a Cx, runtime: Runtime) -> Self {
        let bundle = Bundle::new(cx, "");
        let root = bundle.path().join("rootfs").display().to_string();
        let client = Self { cx, runtime };
        client
            .script(&format!(
                "tar -C {root} -c . | podman $store import -q - box 2>/dev/null"
            ))
            .succeeds();
        client
    }

    /// Runs a script in which `podman` and `buildah` take their options from `$store` and `$with`.
    fn script(&self, script: &str) -> Outcome {
        let runtime = match self.runtime {
            Runtime::Carrier => self.cx.runtime(),
            Runtime::Crun => "/usr/bin/crun".to_owned(),
        };
        let whole = format!(
            "runtime={runtime}; store='--root home/store --runroot run/store'; \
             with=\"$store --cgroup-manager=cgroupfs --runtime $runtime\"; {script}"
        );
        match self.runtime {
            Runtime::Carrier => self.cx.script(&whole),
            Runtime::Crun => {
                let _ = self.cx.file("client.sh", &whole);
                self.cx.host_script(UNIFIED)
            }
        }
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // Also ends the process that holds Podman's user namespace. Whoever removes a container that could
        // not be started may be at it still.
        let reset = self.script(
            "for n in 1 2 3; do podman $store system reset -f && exit; sleep 1; done; exit 1",
        );
        if !std::thread::panicking() {
            reset.succeeds();
        }
    }
}

#[test]
fn podman_runs_enters_and_ends_containers() {
    with_each_runtime("podman_runs_enters_and_ends_containers", |client| {
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
    });
}

#[test]
fn podman_understands_what_went_wrong() {
    with_each_runtime("podman_understands_what_went_wrong", |client| {
        for (program, code) in [("nosuch", 127), ("/no/such", 127), ("/etc", 126)] {
            let run = format!("podman $with run --rm --network none box {program}");
            client.script(&run).exits_with(code);
        }
    });
}

#[test]
fn podmans_ways_of_sharing_work() {
    with_each_runtime("podmans_ways_of_sharing_work", |client| {
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
                let own = client.cx.script("id -u").succeeds();
                outcome.prints(own.text());
            } else {
                outcome.prints(expected);
            }
        }
    });
}

#[test]
fn buildah_runs_the_steps_of_a_build() {
    with_each_runtime("buildah_runs_the_steps_of_a_build", |client| {
        let _ = client
            .cx
            .file("Dockerfile", "FROM box\nRUN echo built > /built && id -u\n");
        let build = "buildah $with bud --isolation oci --network host -t built . 2>errors || { cat errors; false; }";
        // Buildah takes the runtime as an option of the verb.
        let build = build.replace("$with bud", "$store bud --runtime $runtime");
        client.script(&build).succeeds();
        client
            .script("podman $with run --rm --network none built cat /built")
            .succeeds()
            .prints("built");
    });
}

/// Starts containerd in a mount namespace whose cgroups are those of version 2 alone, and runs `$ctr`
/// commands; what each prints goes to the test.
const CONTAINERD: &str = r#"
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
here=$PWD; mkdir containerd; cd containerd
printf 'version = 2\nroot = "%s/root"\nstate = "%s/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s/sock"\n' \
    "$PWD" "$PWD" "$PWD" > config.toml
containerd -c config.toml > log 2>&1 & daemon=$!
while ! test -S sock; do sleep 0.1; done
ctr="ctr -a $PWD/sock"
run="$ctr run --snapshotter native --runc-binary $here/bin/carrier-runtime"
$ctr images import "$here/image.tar" >/dev/null
"#;

const AFTERWARDS: &str = r"
kill $daemon; wait $daemon
cd $here; rm -rf containerd; rmdir /sys/fs/cgroup/default
";

#[test]
fn containerd_runs_enters_pauses_and_ends_containers() {
    const NAME: &str = "containerd_runs_enters_pauses_and_ends_containers";
    if !is_root() {
        return skip(NAME, "containerd runs as root");
    }
    let cx = Cx::new();
    let client = Client::new(&cx, Runtime::Carrier);
    client
        .script("podman $store tag box localhost/box:latest && podman $store save -q -o image.tar localhost/box:latest")
        .succeeds();
    let script = r"
        $run --rm localhost/box:latest one sh -c 'echo out; exit 3'; echo code $?
        $run -d localhost/box:latest two sleep 1000
        $ctr task exec --exec-id x two sh -c 'exit 4'; echo code $?
        $ctr task pause two; $ctr task ls | grep -c PAUSED
        $ctr task resume two; $ctr task ls | grep -c RUNNING
        $ctr task kill -s KILL two; while $ctr task ls | grep -q RUNNING; do sleep 0.1; done
        $ctr task delete two 2>&1 | grep -c 'exit code 137'; $ctr container delete two
        $run --rm localhost/box:latest three nosuch 2>&1 | grep -c 'executable file not found'";
    let script = format!("{CONTAINERD}{script}{AFTERWARDS}");
    cx.host_script(&script)
        .succeeds()
        .prints("out\ncode 3\ncode 4\n1\n1\n1\n1");
}
