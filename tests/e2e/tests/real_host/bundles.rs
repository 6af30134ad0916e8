//! Limits in plain bundles.

use carrier_e2e::{Bundle, Cx};
use serde_json::json;

use crate::{MEMORY, assert_no_scope_is_left};

/// A bundle whose program shows its limit, and the cgroup that it is in.
fn limited<'a>(cx: &'a Cx, cgroup: &str) -> Bundle<'a> {
    let mut bundle = Bundle::new(cx, "cat /sys/fs/cgroup/memory.max");
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}});
    bundle.config["linux"]["cgroupsPath"] = cgroup.into();
    bundle.save();
    bundle
}

#[test]
fn a_bundle_has_the_limits_of_a_scope() {
    let cx = Cx::in_session();
    let mut bundle = limited(&cx, "user.slice:carrier-test:box");
    let runtime = format!("{} --systemd-cgroup", bundle.runtime());
    cx.script(&format!("{runtime} run --bundle home/bundle box"))
        .succeeds()
        .prints(MEMORY);
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.save();
    cx.script(&format!(
        "{runtime} run --detach --bundle home/bundle box </dev/null >/dev/null 2>&1
         systemctl --user is-active carrier-test-box.scope
         {runtime} kill box KILL && {runtime} delete --force box"
    ))
    .succeeds()
    .prints("active");
    assert_no_scope_is_left(&cx, "carrier-test*");
}

#[test]
fn a_bundle_has_the_limits_of_a_delegated_cgroup() {
    let cx = Cx::in_session();
    let bundle = limited(&cx, "CGROUP");
    let runtime = bundle.runtime();
    let _ = cx.file(
        "delegated",
        &format!(
            "own=$(cut -d: -f3 /proc/self/cgroup)
            mkdir /sys/fs/cgroup$own/shell; echo $$ > /sys/fs/cgroup$own/shell/cgroup.procs
            sed -i \"s,CGROUP,$own/box,\" home/bundle/config.json
            {runtime} --cgroup-manager cgroupfs run --bundle home/bundle box
            test ! -e /sys/fs/cgroup$own/box && echo gone"
        ),
    );
    cx.script("systemd-run --user --scope --quiet -p Delegate=yes sh delegated")
        .succeeds()
        .prints(&format!("{MEMORY}\ngone"));
}
