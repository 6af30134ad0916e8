//! Carrier's own containers with limits, in a login session: scopes of systemd.

use carrier_e2e::{Bundle, Cx, Outcome};

use crate::{MEMORY, assert_no_scope_is_left};

/// Containers of an image `box`, in the user's session.
pub(crate) struct Host {
    cx: Cx,
}

/// For the shell: where the cgroup of a container is, and what a file of it says.
pub(crate) const TOOLS: &str = "
    pid() { carrier inspect -f '{{.State.Pid}}' $1; }
    cgroup() { echo /sys/fs/cgroup$(cut -d: -f3 /proc/$(pid $1)/cgroup); }
    value() { awk -v key=$2 '$1 == key { print $2 }' $1; }
    until_logged() { until carrier logs $1 2>&1 | grep -q \"$2\"; do again; done; }
    until_exited() { until [ \"$(carrier inspect -f '{{.State.Status}}' $1)\" = exited ]; do again; done; }
    again() { tries=$((tries + 1)); [ $tries -lt 300 ] || exit 99; sleep 0.2; }";

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self {
            cx: Cx::in_session(),
        };
        // Anew: the images of an ordinary user are removed at the end of each test.
        let root = Bundle::new(&host.cx, "").path().join("rootfs");
        let import = format!("tar -C {} -c . | carrier import - box", root.display());
        host.script(&import).succeeds();
        host
    }

    pub(crate) fn script(&self, script: &str) -> Outcome {
        self.cx.script(&format!("{TOOLS}\n{script}"))
    }

    #[track_caller]
    pub(crate) fn assert_no_cgroup_is_left(&self) {
        assert_no_scope_is_left(&self.cx, "carrier-*.scope");
        self.script("find /sys/fs/cgroup -name 'carrier-*.scope'")
            .prints("");
    }
}

#[test]
fn d02_who_takes_too_much_memory_is_killed_and_nobody_else() {
    let host = Host::new();
    let script = "
        carrier run -d --name other -m 64m box sleep 1000 >/dev/null
        carrier run -d --name greedy -m 64m --memory-swap 64m box sh -c \\
            'dd if=/dev/zero of=/dev/null bs=100M count=1; echo code $?; exec sleep 1000' >/dev/null
        until_logged greedy 'code 137'
        until carrier events --since 1h --until 0s --filter event=oom | grep -q name=greedy; do again; done
        carrier inspect -f '{{.State.Status}} {{.State.OOMKilled}} {{.HostConfig.Memory}}' greedy other
        carrier rm -f greedy other >/dev/null
        carrier run --name first -m 64m box dd if=/dev/zero of=/dev/null bs=200M count=1; echo code $?
        carrier inspect -f '{{.State.ExitCode}} {{.State.OOMKilled}}' first; carrier rm first >/dev/null";
    host.script(script).succeeds().prints(&format!(
        "running true {MEMORY}\nrunning false {MEMORY}\ncode 137\n137 true"
    ));
    host.assert_no_cgroup_is_left();
}

#[test]
fn d01_processes_beyond_the_limit_fail_inside_and_the_host_is_well() {
    let host = Host::new();
    let forks = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo all";
    host.script(&format!(
        "carrier run --rm --pids-limit 50 box sh -c '{forks}' 2>&1"
    ))
    .exits_with(2)
    .shows("can't fork")
    .hides("all");
    // A fork bomb is no match for a kill. The first process has no need to fork: it would end where it cannot.
    let script = "
        carrier run -d --name bomb --pids-limit 256 box sh -c '{ b() { b | b & b; }; b; } & exec sleep 1000' >/dev/null
        until [ $(cat $(cgroup bomb)/pids.current) -gt 200 ]; do again; done
        sh -c 'true; echo well'; carrier kill bomb; carrier wait bomb; carrier rm bomb";
    host.script(script)
        .succeeds()
        .prints("well\nbomb\n137\nbomb");
    host.assert_no_cgroup_is_left();
}

#[test]
fn d03_half_a_processor_is_half_a_processor() {
    let host = Host::new();
    // In thousandths of a processor, until it was held back many times. What it really gets depends on who
    // else wants to: only more than its share would be wrong.
    let script = "
        carrier run -d --name busy --cpus 0.5 box sh -c 'while :; do :; done' >/dev/null
        cat $(cgroup busy)/cpu.max
        stat=$(cgroup busy)/cpu.stat
        now() { read up rest < /proc/uptime; echo ${up%.*}${up#*.}0000; }
        until_throttled() { until [ $(value $stat nr_throttled) -gt $1 ]; do again; done; }
        until_throttled 0
        begin=$(now); from=$(value $stat usage_usec)
        until_throttled $(( $(value $stat nr_throttled) + 50 ))
        to=$(value $stat usage_usec); end=$(now)
        echo $(( (to - from) * 1000 / (end - begin) )) thousandths
        carrier rm -f busy >/dev/null";
    let outcome = host.script(script).succeeds();
    let text = outcome.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("50000 100000"));
    let share = lines.next().and_then(|line| line.split(' ').next());
    let share: u32 = share.unwrap().parse().unwrap();
    println!("{share} thousandths of a processor");
    assert!(share <= 575, "{share} thousandths");
    host.assert_no_cgroup_is_left();
}

#[test]
fn stats_are_those_of_the_cgroup() {
    let host = Host::new();
    let script = "
        carrier run -d --name one -m 64m --pids-limit 40 box sh -c \\
            'sleep 1000 & exec dd if=/dev/zero of=/dev/null bs=20M' >/dev/null
        until [ $(cat $(cgroup one)/memory.current) -gt 20000000 ]; do again; done
        carrier pause one >/dev/null
        here=$(cgroup one)
        shown=$(carrier stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' one)
        current=$(cat $here/memory.current); cache=$(value $here/memory.stat inactive_file)
        used=$(( (current - cache) >> 20 ))
        echo \"$shown\"; echo \"$used\"; cat $here/pids.current
        carrier rm -f one >/dev/null";
    let outcome = host.script(script).succeeds();
    let lines: Vec<&str> = outcome.text().lines().collect();
    let [shown, used, pids] = lines.as_slice() else {
        panic!("{outcome:?}");
    };
    let (memory, rest) = shown.split_once("MiB / 64MiB ").unwrap();
    let (memory, used): (f64, f64) = (memory.parse().unwrap(), used.parse().unwrap());
    assert!((memory - used).abs() <= 1.0, "{outcome:?}");
    assert_eq!(rest, *pids, "{outcome:?}");
    host.assert_no_cgroup_is_left();
}

#[test]
fn limits_change_while_the_program_runs_and_stay_for_the_next() {
    let host = Host::new();
    let script = "
        carrier run -d --name one -m 64m box sleep 1000 >/dev/null
        carrier update -m 128m --cpus 0.25 --pids-limit 30 one >/dev/null
        cd $(cgroup one); cat memory.max memory.swap.max cpu.max pids.max; cd /
        carrier inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' one
        carrier restart -t 0 one >/dev/null
        cat $(cgroup one)/memory.max
        carrier update -m 5m one 2>&1 | head -1
        carrier rm -f one >/dev/null";
    host.script(script).succeeds().prints(
        "134217728\n134217728\n25000 100000\n30\n134217728 30\n134217728\n\
         carrier: minimum memory limit allowed is 6MB",
    );
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_program_that_joins_is_limited_too() {
    let host = Host::new();
    let script = "
        carrier run -d --name one -m 64m --memory-swap 64m box sleep 1000 >/dev/null
        carrier exec -d one sleep 2000
        for pid in $(cat $(cgroup one)/cgroup.procs); do tr '\\0' ' ' < /proc/$pid/cmdline; echo; done
        carrier exec one dd if=/dev/zero of=/dev/null bs=100M count=1; echo code $?
        carrier exec one cat /proc/self/cgroup
        carrier rm -f one >/dev/null";
    host.script(script)
        .succeeds()
        .prints("sleep 1000 \nsleep 2000 \ncode 137\n0::/");
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_pause_is_the_freezers() {
    let host = Host::new();
    let script = "
        carrier run -d --name one --cgroups enabled box sleep 1000 >/dev/null
        frozen() { value $(cgroup one)/cgroup.events frozen; }
        carrier pause one; frozen; carrier inspect -f '{{.State.Status}}' one
        carrier unpause one; frozen
        carrier pause one; carrier stop -t 0 one; carrier rm one >/dev/null";
    host.script(script)
        .succeeds()
        .prints("one\n1\npaused\none\n0\none\none");
    host.assert_no_cgroup_is_left();
}

#[test]
fn nothing_is_left_when_the_monitor_is_killed() {
    let host = Host::new();
    let script = "
        carrier run -d --name one -m 64m box sleep 1000 >/dev/null
        kill -9 $(cat $(dirname $(cgroup one))/supervisor/cgroup.procs)
        until_exited one
        carrier rm one";
    host.script(script).succeeds().prints("one");
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_container_that_is_started_again_has_its_limits_again() {
    let host = Host::new();
    let script = "
        carrier run -d --name one --restart on-failure:2 -m 64m box \\
            sh -c 'cat /sys/fs/cgroup/memory.max; exit 3' >/dev/null
        until_exited one
        carrier logs one; carrier rm one >/dev/null";
    host.script(script)
        .succeeds()
        .prints(&format!("{MEMORY}\n{MEMORY}\n{MEMORY}"));
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_container_without_limits_waits_for_no_systemd() {
    let host = Host::new();
    let script = "
        carrier run -d --name one box sleep 1000 >/dev/null
        test $(cgroup one) = /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && echo the same
        carrier update -m 64m one 2>&1 | head -1
        carrier rm -f one >/dev/null";
    host.script(script).succeeds().prints(
        "the same\ncarrier: container one runs without a cgroup: its limits cannot change while it runs",
    );
    host.assert_no_cgroup_is_left();
}

#[test]
fn what_is_not_delegated_is_an_error_that_tells_how_it_would_be() {
    let host = Host::new();
    let outcome = host
        .script("carrier run --rm --cpuset-cpus 0 box true")
        .exits_with(125)
        .complains("--cpuset-cpus cannot be applied: the controller cpuset is not delegated");
    assert!(
        outcome
            .errors()
            .contains("/etc/systemd/system/user@.service.d/delegate.conf"),
        "{outcome:?}"
    );
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_cgroup_is_where_the_user_wants_it() {
    let host = Host::new();
    let script = "
        carrier run --rm --cgroupns host --cgroup-parent boxes.slice box cat /proc/self/cgroup |
            grep -c /boxes.slice/carrier-";
    host.script(script).succeeds().prints("1");
    let _ = host.cx.file(
        "delegated",
        "own=$(cut -d: -f3 /proc/self/cgroup)
         mkdir /sys/fs/cgroup$own/shell; echo $$ > /sys/fs/cgroup$own/shell/cgroup.procs
         carrier run --rm -m 64m --cgroup-parent $own/pod box cat /sys/fs/cgroup/memory.max
         find /sys/fs/cgroup$own/pod -name 'carrier-*'",
    );
    host.script("systemd-run --user --scope --quiet -p Delegate=yes sh delegated")
        .succeeds()
        .prints(MEMORY);
    host.assert_no_cgroup_is_left();
}

#[test]
fn n04_nothing_is_written_to_the_hierarchy_from_inside() {
    let host = Host::new();
    let write = "find /sys/fs/cgroup -type f | while read file; do \
                 echo 1 2>/dev/null > $file && echo $file; done; true";
    for namespace in ["private", "host"] {
        host.script(&format!(
            "carrier run --rm -m 64m --cgroupns {namespace} box sh -c '{write}' 2>/dev/null"
        ))
        .succeeds()
        .prints("");
    }
    host.assert_no_cgroup_is_left();
}

#[test]
fn containers_run_where_apparmor_does() {
    let host = Host::new();
    host.script("cat /sys/module/apparmor/parameters/enabled; carrier run --rm box cat /proc/self/attr/current")
        .succeeds()
        .prints("Y\nunconfined");
}
