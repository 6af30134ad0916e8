//! What Podman and Buildah do with containers, in their default configuration on a host of systemd.

use crate::Session;

#[test]
fn podman_keeps_a_container_in_the_background() {
    let session = Session::new();
    let start =
        "$run -d --name one -m 64m --health-cmd 'test -e /bin/sh' box sleep 1000 >/dev/null";
    session.script(start).succeeds();
    session
        .script(
            "systemctl --user list-units --plain --no-legend 'libpod-*.scope' | grep -vc conmon",
        )
        .succeeds()
        .prints("1");
    session
        .script("$podman exec one sh -c 'cat /sys/fs/cgroup/memory.max; exit 4'")
        .exits_with(4)
        .prints(crate::MEMORY);
    session.script("$podman healthcheck run one").succeeds();
    session
        .script("$podman stats --no-stream --format '{{.MemUsage}}' one")
        .succeeds()
        .shows("/ 67.11MB");
    session
        .script("$podman kill one >/dev/null && podman wait one")
        .succeeds()
        .prints("137");
    session.script("$podman rm one").succeeds();
    session.assert_no_scope_is_left();
}

#[test]
fn podman_pauses_and_resumes() {
    let session = Session::new();
    session
        .script("$run -d --name two box sh -c 'while :; do sleep 1; done' >/dev/null")
        .succeeds();
    let state = "podman inspect -f '{{.State.Status}}' two";
    session
        .script(&format!("$podman pause two >/dev/null && {state}"))
        .succeeds()
        .prints("paused");
    session
        .script(&format!("$podman unpause two >/dev/null && {state}"))
        .succeeds()
        .prints("running");
    // A shell that is the first process of its namespace ignores the signal of the first attempt.
    session.script("$podman stop -t 1 two").succeeds();
    session.script("$podman rm -f two").succeeds();
    session.assert_no_scope_is_left();
}

#[test]
fn podman_gives_a_terminal() {
    let session = Session::new();
    session
        .script("$run --rm -t box sh -c 'test -t 1 && stty size && echo terminal'")
        .succeeds()
        .shows("terminal");
    session.assert_no_scope_is_left();
}

#[test]
fn buildah_runs_the_steps_of_a_build() {
    let session = Session::new();
    let _ = session.cx.file(
        "Dockerfile",
        "FROM box\nRUN cat /proc/self/cgroup && echo built > /built\n",
    );
    let runtime = session.cx.runtime();
    let build =
        format!("buildah bud --runtime {runtime} --isolation oci --network none -t built .");
    session.script(&build).succeeds();
    session
        .script("$run --rm built cat /built")
        .succeeds()
        .prints("built");
}
