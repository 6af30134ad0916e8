//! What needs a host with systemd and a login session: scopes, delegated cgroups, `AppArmor`. They run
//! in a virtual machine, by `make test-vm`; what is in `as_root` as root, the rest as an ordinary user.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

mod as_root;
mod bundles;
mod lasting;
mod limits;
mod out_of_memory;
mod podman;
mod podman_limits;

use std::sync::OnceLock;

use carrier_e2e::{Bundle, Cx, Outcome};

/// What 64 MiB are in a file of a cgroup.
const MEMORY: &str = "67108864";

/// Podman and Buildah in the user's login session, as they are configured when nobody did, with an
/// image `box`.
struct Session {
    cx: Cx,
}

impl Session {
    fn new() -> Self {
        static IMAGE: OnceLock<()> = OnceLock::new();
        let session = Self {
            cx: Cx::in_session(),
        };
        IMAGE.get_or_init(|| session.make_image());
        session
    }

    /// Podman's process that holds the user namespace stays, so that it is none of the test's.
    fn make_image(&self) {
        let root = Bundle::new(&self.cx, "").path().join("rootfs");
        let import = format!(
            "tar -C {} -c . | env -u CARRIER_E2E podman import -q - box",
            root.display()
        );
        self.cx.script(&import).succeeds();
    }

    /// Runs a script; `$run` is `podman run` with the runtime, `$podman` Podman with it.
    fn script(&self, script: &str) -> Outcome {
        let runtime = self.cx.runtime();
        self.cx.script(&format!(
            "podman='podman --runtime {runtime}'; run=\"$podman run --network none\"; {script}"
        ))
    }

    #[track_caller]
    fn assert_no_scope_is_left(&self) {
        assert_no_scope_is_left(&self.cx, "libpod*");
    }
}

/// Asserts that the user's systemd has no unit of these names any more, or soon.
#[track_caller]
fn assert_no_scope_is_left(cx: &Cx, names: &str) {
    let list = format!("systemctl --user list-units --all --plain --no-legend '{names}'");
    cx.script(&format!(
        "for _ in 1 2 3 4 5; do left=$({list}); test -n \"$left\" || exit 0; sleep 1; done; echo $left"
    ))
    .succeeds()
    .prints("");
}
