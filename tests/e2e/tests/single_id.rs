//! A user without subordinate ids: containers have one id, the caller's, who is root in them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Outcome, is_root, skip};

/// An image whose files all belong to root.
const IMAGE: &str = "mkdir -p r/bin r/etc && cp /bin/busybox r/bin && ln -s busybox r/bin/sh && \
                     echo root:x:0:0:root:/root:/bin/sh >r/etc/passwd && \
                     tar -C r --owner=0 --group=0 -c . | carrier import - mini >/dev/null && rm -r r";

/// Runs a script as an ordinary user of a host that gives him no ids; `before` is done there as root.
fn alone(cx: &Cx, test: &str, before: &str, script: &str) -> Option<Outcome> {
    if !is_root() {
        skip(test, "only root can change /etc/subuid");
        return None;
    }
    let user = "setpriv --reuid carrier-test --regid carrier-test --init-groups";
    let script = format!(
        "set -e; mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid; {before}\n\
         exec {user} sh -c '{IMAGE} && {script}'"
    );
    Some(cx.host_script(&script))
}

#[test]
fn containers_of_a_user_with_one_id_meet_on_a_network() {
    let cx = Cx::new();
    let test = "containers_of_a_user_with_one_id_meet_on_a_network";
    let script = "set -e; carrier network create lan >/dev/null
        carrier run -d --name web --network lan -p 127.0.0.1::80 mini busybox httpd -f -h /etc >/dev/null
        until carrier run --rm --network lan mini busybox wget -qO- http://web/passwd; do sleep 0.1; done
        busybox wget -qO- http://$(carrier port web 80)/passwd
        carrier exec web busybox wc -l /proc/self/uid_map
        echo new | carrier exec -i web busybox tee /etc/new
        carrier cp web:/etc/new - | tar -x -O; carrier commit -q web grown >/dev/null
        carrier run --rm --network none -v data:/etc grown busybox cat /etc/new
        carrier rm -f web; carrier volume rm data; carrier network rm lan
        carrier rmi mini grown >/dev/null";
    let Some(outcome) = alone(&cx, test, "", script) else {
        return;
    };
    let root = "root:x:0:0:root:/root:/bin/sh";
    outcome.succeeds().prints(&format!(
        "{root}\n{root}\n1 /proc/self/uid_map\nnew\nnew\nnew\nweb\ndata\nlan"
    ));
    cx.assert_nothing_is_left();
}

#[test]
fn fuse_overlayfs_serves_a_user_with_one_id() {
    let cx = Cx::new();
    let test = "fuse_overlayfs_serves_a_user_with_one_id";
    let home = cx.home();
    let home = home.display();
    let before = format!(
        "cd {home}; mkdir l u w data; mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w data; \
         chown carrier-test:carrier-test data; export XDG_DATA_HOME={home}/data"
    );
    let script = "carrier -D run -d --name box mini busybox sleep 1016 >/dev/null
        carrier exec box busybox grep -c fuse.fuse-overlayfs /proc/self/mounts
        carrier exec -u root box sh -c \"busybox id -u; echo new >/etc/new\"; carrier sh box busybox cat /etc/new
        carrier rm -f box; carrier network create lan >/dev/null
        carrier run --rm --network lan mini busybox id -u; carrier network rm lan; carrier rmi mini >/dev/null";
    let Some(outcome) = alone(&cx, test, &before, script) else {
        return;
    };
    let outcome = outcome.succeeds().prints("1\n0\nnew\nbox\n0\nlan");
    let said = outcome.errors();
    assert!(
        said.contains("debug: the root is served by fuse-overlayfs"),
        "{said}"
    );
    let copied = "fuse-overlayfs cannot serve a container on a shared network";
    assert!(said.contains(copied), "{said}");
    cx.assert_nothing_is_left();
}

#[test]
fn what_needs_another_id_is_refused_with_the_way_to_have_one() {
    let cx = Cx::new();
    let test = "what_needs_another_id_is_refused_with_the_way_to_have_one";
    for (options, complaint) in [
        (
            "--userns keep-id",
            "needs more subordinate ids than you have",
        ),
        ("--user 5", "user 5 is not mapped in the user namespace"),
    ] {
        let script = format!("carrier run --rm {options} mini sh -c :");
        let Some(outcome) = alone(&cx, test, "", &script) else {
            return;
        };
        outcome
            .exits_with(125)
            .complains(complaint)
            .hints("usermod --add-subuids");
    }
    let script = "carrier run --rm --userns keep-id:uid=0,gid=0 mini busybox id -u; carrier rmi mini >/dev/null";
    alone(&cx, test, "", script).unwrap().succeeds().prints("0");
    cx.assert_nothing_is_left();
}
