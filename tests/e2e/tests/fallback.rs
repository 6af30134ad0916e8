//! Hosts where the kernel cannot mount an image's layers on each other.
//!
//! The home of these tests is on an overlay, which overlay cannot write to: what the kernel says then
//! is what it says of NFS.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Outcome, is_root, skip};

/// Runs a script as the ordinary user in a mount namespace where the user's data is on an overlay;
/// `before` is done there as root.
fn on_an_overlay(cx: &Cx, test: &str, before: &str, script: &str) -> Option<Outcome> {
    if !is_root() {
        skip(test, "only root can put a home on an overlay");
        return None;
    }
    let home = cx.home();
    let home = home.display();
    let user = "setpriv --reuid carrier-test --regid carrier-test --init-groups";
    let script = format!(
        "set -e; cd {home}; mkdir -p l u w data; \
         mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w data; \
         chown carrier-test:carrier-test data; {before}\n\
         export XDG_DATA_HOME={home}/data; set +e; {user} sh -c '{script}'; code=$?; \
         umount data; rm -rf l u w data; exit $code"
    );
    Some(cx.host_script(&script))
}

/// What the root of a container must be able to do, whatever it is made of.
const WORK: &str = "cat /etc/passwd | head -1; echo new > /etc/new && cat /etc/new; \
                    rm /etc/group && ls /etc | grep -c group; chown 1000 /etc/new && stat -c %u /etc/new; \
                    ln /etc/new /twin && stat -c %h /twin";
const RESULT: &str = "root:x:0:0:root:/root:/bin/sh\nnew\n0\n1000\n2";

#[test]
fn fuse_overlayfs_serves_the_root_where_the_kernel_cannot() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let script = format!(
        "carrier pull -q {image} >/dev/null && carrier run --rm {image} sh -c \"{WORK}\" && \
         carrier -D run --rm {image} sh -c \"grep -c fuse.fuse-overlayfs /proc/self/mounts; exit 7\"; \
         code=$?; carrier rmi {image} >/dev/null; exit $code"
    );
    let Some(outcome) = on_an_overlay(
        &cx,
        "fuse_overlayfs_serves_the_root_where_the_kernel_cannot",
        "",
        &script,
    ) else {
        return;
    };
    let outcome = outcome.exits_with(7).prints(&format!("{RESULT}\n1"));
    let said = outcome.errors();
    assert!(
        said.contains("debug: the root is not the kernel's overlay: "),
        "{said}"
    );
    assert!(
        said.contains("debug: the root is served by fuse-overlayfs"),
        "{said}"
    );
}

#[test]
fn programs_enter_a_container_whose_root_is_served() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let test = "programs_enter_a_container_whose_root_is_served";
    let script = format!(
        "carrier pull -q {image} >/dev/null
        carrier run -d --name box --health-cmd \"id -un\" --health-interval 1h {image} sleep 1017 >/dev/null
        carrier exec box grep -c fuse.fuse-overlayfs /proc/self/mounts
        carrier exec -u app box id -un; carrier sh box id -un; echo id -gn | carrier sh -u app box
        carrier healthcheck run box; carrier exec box nothing; echo $?
        carrier exec -u nobody box id; carrier rm -f box; carrier rmi {image} >/dev/null"
    );
    let Some(outcome) = on_an_overlay(&cx, test, "", &script) else {
        return;
    };
    let outcome = outcome
        .succeeds()
        .prints("1\napp\nroot\napp\nroot\n127\nbox");
    let said = outcome.errors();
    assert!(said.contains("unable to find user nobody"), "{said}");
}

#[test]
fn a_copy_is_the_last_way_and_a_loud_one() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let script = format!(
        "carrier pull -q {image} >/dev/null && carrier -D run --rm {image} sh -c \"{WORK}\"; \
         code=$?; carrier rmi {image} >/dev/null; exit $code"
    );
    // Nobody has the program in this namespace.
    let hide = "mount --bind /dev/null /usr/bin/fuse-overlayfs;";
    let Some(outcome) = on_an_overlay(&cx, "a_copy_is_the_last_way_and_a_loud_one", hide, &script)
    else {
        return;
    };
    let outcome = outcome.exits_with(0).prints(RESULT);
    let warning = outcome.errors();
    assert!(
        warning.contains("warning: overlay cannot be mounted on"),
        "{warning}"
    );
    assert!(
        warning.contains("fuse-overlayfs is not installed"),
        "{warning}"
    );
    assert!(!warning.contains("os error"), "{warning}");
    assert!(
        warning.contains("were copied for this container"),
        "{warning}"
    );
    assert!(
        warning.contains("debug: the root is a copy of the layers"),
        "{warning}"
    );
    println!("{warning}");
}

#[test]
fn a_home_that_cannot_hold_an_image_is_named() {
    let cx = Cx::with_registry();
    // Its whiteouts are device nodes, which an overlay keeps for itself.
    let image = cx.image("layered");
    let script = format!("carrier pull -q {image}");
    let test = "a_home_that_cannot_hold_an_image_is_named";
    let Some(outcome) = on_an_overlay(&cx, test, "", &script) else {
        return;
    };
    let outcome = outcome.exits_with(125).complains("Operation not permitted");
    assert!(
        outcome
            .errors()
            .contains("`export XDG_DATA_HOME=DIRECTORY`, with a directory on a local disk")
    );
}

#[test]
fn the_program_that_serves_the_root_ends_with_the_monitor() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let script = format!(
        "carrier pull -q {image} >/dev/null; \
         carrier run --name one {image} sleep 60 & \
         until carrier ls -c -q | grep -q .; do sleep 0.05; done; \
         pgrep -u carrier-test -f \"^/usr/bin/fuse-overlayfs.*$PWD\" >/dev/null && echo serves; \
         program=$(carrier inspect -f {{{{.State.Pid}}}} one); \
         kill -9 $(grep ^PPid: /proc/$program/status | cut -f 2); wait; carrier rm one; carrier rmi {image} >/dev/null"
    );
    let Some(outcome) = on_an_overlay(
        &cx,
        "the_program_that_serves_the_root_ends_with_the_monitor",
        "",
        &script,
    ) else {
        return;
    };
    // That no process is left is looked at by the harness.
    outcome.shows("serves").shows("one");
}

/// What `cp`, `diff` and `export` must be able to do, whatever the root is made of.
const FILES: &str = "carrier run -d --name box IMAGE sh -c \"echo x > /new; rm /etc/group; mkdir /in; sleep 300\" >/dev/null; \
    until carrier diff box | grep -q /in; do sleep 0.1; done; \
    look() { carrier diff box; carrier export box | tar -tf - | grep -c \"^new\\|^etc/group\"; \
    echo back > file; carrier cp -q file box:/in; carrier cp box:/in/file - | tar -xOf -; }; \
    cd $HOME/../run; look; carrier stop -t 0 box >/dev/null; look; \
    carrier rm -f box >/dev/null; carrier rmi -f IMAGE >/dev/null";

const FOUND: &str = "1\nback";

#[test]
fn files_are_reached_wherever_the_root_comes_from() {
    let test = "files_are_reached_wherever_the_root_comes_from";
    for hide in ["", "mount --bind /dev/null /usr/bin/fuse-overlayfs;"] {
        let cx = Cx::with_registry();
        let image = cx.image("busybox");
        let script = format!(
            "carrier pull -q {image} >/dev/null; {}",
            FILES.replace("IMAGE", &image)
        );
        let Some(outcome) = on_an_overlay(&cx, test, hide, &script) else {
            return;
        };
        let text = outcome.text().to_owned();
        assert_eq!(text.matches(FOUND).count(), 2, "{outcome:?}");
        assert_eq!(text.matches("D /etc/group").count(), 2, "{outcome:?}");
        assert_eq!(text.matches("A /new").count(), 2, "{outcome:?}");
    }
}
