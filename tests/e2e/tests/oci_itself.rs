//! Carrier's own binary stays out of containers (threat P-01), also where no look at a path helps.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::os::unix::fs::{PermissionsExt as _, symlink};

use carrier_e2e::{Bundle, Cx, Exchange, rounds};
use serde_json::json;

/// What the little program between Carrier and the container's says to everybody else.
const NOT_FOR_YOU: i32 = 126;

/// Puts a script that only the kernel can read into the bundle: its interpreter is what executes it.
fn add_unreadable_script(bundle: &Bundle<'_>) {
    let path = bundle.path().join("rootfs/bin/unreadable");
    std::fs::write(&path, "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o111)).unwrap();
}

#[test]
fn p01_an_interpreter_that_nobody_can_see_beforehand_is_not_carrier() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "");
    add_unreadable_script(&bundle);
    let before = std::fs::read(cx.program()).unwrap();
    bundle.config["process"]["args"] = json!(["unreadable", "--version"]);
    bundle.run().exits_with(NOT_FOR_YOU).prints("");
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    let exec = bundle.oci(&["exec", "box", "unreadable", "--version"]);
    exec.exits_with(NOT_FOR_YOU).prints("");
    bundle.oci(&["delete", "-f", "box"]).succeeds();
    assert_eq!(std::fs::read(cx.program()).unwrap(), before);
}

#[test]
fn p01_a_program_that_changes_while_it_is_executed_never_becomes_carrier() {
    let cx = Cx::new();
    // Whatever executes in the container is looked at and written to.
    let watch = "while :; do for p in /proc/[0-9]*; do \
                     case $(readlink $p/exe) in \
                         /*/bin/carrier) echo $p >> /tmp/seen; echo x >> $p/exe ;; \
                     esac; \
                 done; done 2>/dev/null";
    let bundle = Bundle::new(&cx, watch);
    let temporary = bundle.path().join("rootfs/tmp");
    let (program, trap) = (temporary.join("program"), temporary.join("trap"));
    symlink("/bin/true", &program).unwrap();
    symlink("/proc/self/exe", &trap).unwrap();
    let before = std::fs::read(cx.program()).unwrap();
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    let exchange = Exchange::of(&[(&program, &trap)]);
    for _ in 0..rounds() {
        // It is the one or the other.
        let _ = bundle.oci(&["exec", "box", "/tmp/program", "--version"]);
    }
    assert!(exchange.stop() > 0);
    assert!(!temporary.join("seen").exists());
    bundle.oci(&["delete", "-f", "box"]).succeeds();
    assert_eq!(std::fs::read(cx.program()).unwrap(), before);
}
