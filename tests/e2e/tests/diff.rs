//! `carrier diff`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use serde_json::Value;

/// One change of each kind.
const CHANGES: &str = "mkdir -p /new/deep && echo x > /new/deep/file && echo more >> /etc/passwd && \
    rm /etc/group && chmod 700 /tmp && touch /root/.x && rm -r /home && mkdir /home && \
    echo x > /home/own && rm /bin/ls && mkdir /bin/ls && ln -s nowhere /new/link && \
    mkdir /root/gone && rmdir /root/gone";

const SHOWN: &str = "\
C /bin
C /bin/ls
C /etc
D /etc/group
C /etc/passwd
C /home
D /home/app
A /home/own
A /new
A /new/deep
A /new/deep/file
A /new/link
C /root
A /root/.x
C /tmp";

#[test]
fn changes_are_shown_as_docker_shows_them() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "box", &image, "sh", "-c", CHANGES])
        .succeeds();
    cx.carrier(["diff", "box"]).succeeds().prints(SHOWN);
    let json = cx.carrier(["diff", "--format", "json", "box"]).succeeds();
    let json: Value = serde_json::from_str(json.text()).unwrap();
    assert_eq!(json["deleted"][0], "/etc/group");
    assert_eq!(json["added"][0], "/home/own");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn what_nobody_changed_is_not_shown() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "box", &image, "true"])
        .succeeds();
    cx.carrier(["diff", "box"]).succeeds().prints("");
    // Neither places for mounts nor copies of the image's directories.
    cx.script("find $(echo ~/.local/share/carrier/containers/*/upper) -mindepth 1")
        .succeeds()
        .prints("");
    cx.carrier(["diff", "nobody"])
        .exits_with(125)
        .complains("no such container: nobody");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn a_running_container_is_compared_without_its_mounts() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "chown 5:6 /home; echo x > /dev/shm/x; echo x > /x; sleep 300";
    let mut child = cx.start(["run", "--name", "live", &image, "sh", "-c", script]);
    cx.script("until carrier diff live 2>/dev/null | grep -q 'A /x'; do sleep 0.1; done")
        .succeeds();
    cx.carrier(["diff", "live"])
        .succeeds()
        .prints("C /home\nA /x");
    cx.carrier(["rm", "--force", "live"]).succeeds();
    child.wait().unwrap();
}
