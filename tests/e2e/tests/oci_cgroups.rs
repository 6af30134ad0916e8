//! The OCI command line: the control groups of root's containers.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, Outcome, is_root, skip};

/// For the shell: the runtime, and the cgroup that [`bundle`] asks for.
const HEAD: &str = r"
    runtime='carrier oci --root run/root-oci'
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        test -e $hierarchy/cgroup.controllers && break
    done
    own=$hierarchy$(grep ^0:: /proc/self/cgroup | cut -d: -f3)
    again() { count=$((count + 1)); test $count -lt 100 && sleep 0.1; }
    create() { $runtime create -b home/bundle box </dev/null >/dev/null 2>&1 && $runtime start box; }
    stopped() { $runtime state box | grep -q '\x22status\x22: \x22stopped\x22'; }
";

/// A bundle of root's with a cgroup of its own.
fn bundle<'a>(cx: &'a Cx, script: &str) -> Bundle<'a> {
    let mut bundle = Bundle::new(cx, script);
    bundle.leave_user_namespace();
    bundle.config["linux"]["cgroupsPath"] = name().into();
    bundle.save();
    bundle
}

fn name() -> String {
    format!("carrier-e2e-{}", std::process::id())
}

fn as_root(cx: &Cx, script: &str) -> Outcome {
    let head = HEAD.replace(r"\x22", "\"");
    let tail = "rmdir run/root-oci 2>/dev/null; true";
    cx.host_script(&format!("{head}\ncgroup=$own/{}\n{script}\n{tail}", name()))
}

#[test]
fn what_outlives_the_first_process_is_killed_and_deleted() {
    const NAME: &str = "what_outlives_the_first_process_is_killed_and_deleted";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    let mut bundle = bundle(&cx, "sleep 311 & sleep 0.3; exit 0");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    bundle.save();
    let script = "
        create; until stopped; do again || break; done
        wc -l < $cgroup/cgroup.procs
        $runtime kill --all box KILL
        while grep -q . $cgroup/cgroup.procs; do again || break; done
        wc -l < $cgroup/cgroup.procs
        $runtime delete box
        create; until stopped; do again || break; done
        $runtime delete box; test -e $cgroup || echo gone";
    as_root(&cx, script).succeeds().prints("1\n0\ngone");
}

#[test]
fn who_has_the_cgroup_of_a_container_that_has_ended_is_left_alone() {
    const NAME: &str = "who_has_the_cgroup_of_a_container_that_has_ended_is_left_alone";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    let _bundle = bundle(&cx, "exit 0");
    let script = "
        create; until stopped; do again || break; done
        sleep 311 </dev/null >/dev/null 2>&1 & other=$!
        echo $other > $cgroup/cgroup.procs
        $runtime kill --all box KILL; $runtime delete box 2>/dev/null
        kill $other && echo lived; wait $other
        $runtime delete box; test -e $cgroup || echo gone";
    as_root(&cx, script).succeeds().prints("lived\ngone");
}

#[test]
fn a_cgroup_that_others_use_is_refused() {
    const NAME: &str = "a_cgroup_that_others_use_is_refused";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    let mut bundle = bundle(&cx, "echo ran");
    let script = "
        mkdir -p $cgroup/below; sleep 311 </dev/null >/dev/null 2>&1 & other=$!
        for at in $cgroup $cgroup/below; do
            echo $other > $at/cgroup.procs; $runtime run -b home/bundle box
        done
        kill $other && wait $other; rmdir $cgroup/below; $runtime run -b home/bundle box
        test -e $cgroup || echo gone";
    let outcome = as_root(&cx, script).succeeds();
    let refused = "container's cgroup is not empty: 1 process(es) found";
    assert_eq!(outcome.errors().matches(refused).count(), 2, "{outcome:?}");
    outcome.prints("ran\ngone");
    for path in ["/", "//./", "/../box", "a/../../box"] {
        bundle.config["linux"]["cgroupsPath"] = path.into();
        bundle.save();
        let outcome = as_root(&cx, "$runtime run -b home/bundle box");
        let refused = "linux.cgroupsPath is invalid";
        assert!(outcome.errors().contains(refused), "{path}: {outcome:?}");
        outcome.prints("");
    }
}

#[test]
fn an_exec_joins_the_first_process_where_controllers_keep_it_out_of_the_cgroup() {
    const NAME: &str =
        "an_exec_joins_the_first_process_where_controllers_keep_it_out_of_the_cgroup";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    let _bundle = bundle(&cx, "sleep 311");
    let script = "
        create; before=$(cat $own/cgroup.subtree_control)
        for controller in $(cat $own/cgroup.controllers); do
            echo +$controller > $own/cgroup.subtree_control 2>/dev/null && break
        done
        mkdir $cgroup/init
        while read pid; do echo $pid > $cgroup/init/cgroup.procs; done < $cgroup/cgroup.procs
        if echo +$controller > $cgroup/cgroup.subtree_control 2>/dev/null; then
            $runtime exec box cat /proc/self/cgroup | grep -o '^0::.*/init$' | grep -o 'init$'
        else
            echo no controller
        fi
        $runtime delete -f box
        test -n \"$before\" || echo -$controller > $own/cgroup.subtree_control 2>/dev/null";
    let outcome = as_root(&cx, script).succeeds();
    if outcome.text() == "no controller\n" {
        return skip(NAME, "no controller can be enabled here");
    }
    outcome.prints("init");
}
