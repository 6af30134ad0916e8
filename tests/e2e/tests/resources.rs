//! What a container may use: what is refused, what its processes inherit, and its cgroup where no systemd
//! makes one. Limits themselves are tests of `real_host`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Outcome, is_root, skip};

#[test]
fn limits_that_make_no_sense_are_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for (options, words) in [
        ("-m 5m", "minimum memory limit allowed is 6MB"),
        ("-m lots", "invalid size"),
        ("-m 64m --memory-swap 32m", "cannot be less than memory"),
        ("--memory-swap 64m", "needs one of memory"),
        (
            "-m 64m --memory-reservation 65m",
            "cannot be less than the memory reservation",
        ),
        ("--cpus 0.5 --cpu-quota 50000", "conflicting options"),
        ("--cpus 0.5 --cpu-period 50000", "conflicting options"),
        ("--cpus 100000", "range of CPUs"),
        ("--cpu-quota 10", "1ms"),
        ("--cpu-period 10", "1ms"),
        ("--cpuset-cpus 8000", "available are"),
        ("--cpuset-cpus x", "invalid list"),
        ("--pids-limit -2", "--pids-limit"),
        ("--blkio-weight 5", "from 10 to 1000"),
        ("--blkio-weight-device /dev/sda:5", "invalid weight"),
        ("--device-read-bps sda:1m", "bad format"),
        ("--device-write-iops /dev/sda:1m", "invalid rate"),
        ("--cgroups disabled -m 64m", "conflicting options"),
        ("--cgroup-conf cgroup.procs=1", "invalid cgroup setting"),
        ("--cgroup-conf ../x.y=1", "invalid cgroup setting"),
        ("--ulimit files=1", "invalid ulimit type"),
        ("--ulimit nofile=2:1", "at most the hard limit"),
        ("--oom-score-adj 1001", "from -1000 to 1000"),
    ] {
        let words_of_run = ["run", "--rm"].into_iter().chain(options.split(' '));
        cx.carrier(words_of_run.chain([image.as_str(), "true"]))
            .exits_with(125)
            .complains(words);
    }
}

#[test]
fn n03_kernel_parameters_of_the_host_stay_out_of_reach() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for bad in [
        "kernel.core_pattern=|/bin/sh",
        "kernel.core_pattern=core",
        "kernel.shm_rmid_forced=1+kernel.core_pattern=|/bin/sh",
        "kernel.shm_rmid_forced=1\nkernel.core_pattern=x",
        "net.x/../../kernel/core_pattern=x",
        "kernel.hostname=x",
        "vm.swappiness=1",
        "user.max_user_namespaces=100",
        "net.core.somaxconn",
    ] {
        cx.carrier(["run", "--rm", "--sysctl", bad, &image, "true"])
            .exits_with(125)
            .complains("sysctl");
    }
    let own = ["--sysctl", "net.core.somaxconn=77"];
    let show = ["cat", "/proc/sys/net/core/somaxconn"];
    let run = |network| {
        let head = ["run", "--rm", "--network", network].into_iter();
        let words = head.chain(own).chain([image.as_str()]).chain(show);
        cx.carrier(words)
    };
    run("none").succeeds().prints("77");
    run("host")
        .exits_with(125)
        .complains("not the container's own");
}

#[test]
fn each_process_has_the_limits_that_were_asked_for() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let limits = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"];
    let show = "ulimit -Sn; ulimit -Hn; ulimit -c";
    let head = ["run", "-d", "--name", "one"].into_iter().chain(limits);
    cx.carrier(head.chain([image.as_str(), "sleep", "1000"]))
        .succeeds();
    cx.carrier(["exec", "one", "sh", "-c", show])
        .succeeds()
        .prints("100\n200\n0");
    // Fewer files than Carrier itself opens on the way to the program.
    let few = ["run", "--rm", "--ulimit", "nofile=4:5", image.as_str()];
    cx.carrier(
        few.into_iter()
            .chain(["sh", "-c", "ulimit -Sn; ulimit -Hn"]),
    )
    .succeeds()
    .prints("4\n5");
    let ulimits = "{{json .HostConfig.Ulimits}}";
    cx.carrier(["inspect", "-f", ulimits, "one"])
        .succeeds()
        .shows(r#""Name":"nofile""#)
        .shows(r#""Hard":200"#);
    cx.carrier(["rm", "-f", "one"]).succeeds();
}

#[test]
fn p11_nobody_exceeds_the_callers_limits() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = format!("ulimit -n 256; carrier run --rm --ulimit nofile=1000:2000 {image} sh -c");
    let outcome = cx
        .script(&format!("{run} 'ulimit -Sn; ulimit -Hn'"))
        .succeeds();
    assert!(
        outcome.errors().contains("the caller's hard limit is 256"),
        "{outcome:?}"
    );
    outcome.prints("256\n256");
    cx.script(&format!(
        "ulimit -n 256; carrier run --rm {image} sh -c 'ulimit -Hn'"
    ))
    .succeeds()
    .prints("256");
}

#[test]
fn p11_nothing_of_carriers_own_dumps_core_and_the_program_as_the_caller_may() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["network", "create", "lan"]).succeeds();
    let run = "ulimit -Sc 77; carrier run -d --network lan";
    // One that ends at once, and is started again by its monitor.
    let again = "--restart on-failure:1 --name again";
    for (options, program) in [
        ("--name plain", "sleep 1013"),
        ("--name asked --ulimit core=2560:5120", "sleep 1013"),
        (again, "ulimit -Sc; exit 1"),
    ] {
        cx.script(&format!("{run} {options} {image} sh -c '{program}'"))
            .succeeds();
    }
    let of_exec = |name: &str| {
        let exec = format!("ulimit -Sc 66; carrier exec {name} sh -c 'ulimit -Sc; ulimit -Hc'");
        cx.script(&exec).succeeds().text().to_owned()
    };
    assert_eq!(of_exec("plain"), "66\nunlimited");
    assert_eq!(of_exec("asked"), "5\n10");
    let limit = ["grep", "Max core", "/proc/1/limits"];
    let of_program = |name| {
        let line = cx
            .carrier(["exec", name].into_iter().chain(limit))
            .succeeds();
        let words = line.text().split_whitespace().skip(4);
        words.take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of_program("plain"), format!("{} unlimited", 77 * 512));
    assert_eq!(of_program("asked"), "2560 5120");
    cx.carrier(["wait", "again"]).succeeds();
    cx.carrier(["logs", "again"]).succeeds().prints("77\n77");

    // Two monitors and the keeper.
    let own = format!(
        "for p in /proc/[0-9]*; do [ \"$(readlink $p/exe)\" = {} ] && \
         sed -n 's/^Max core file size *\\([^ ]*\\) .*/\\1/p' $p/limits; done; true",
        cx.program()
    );
    if is_root() {
        cx.host_script(&own).succeeds().prints("0\n0\n0");
    }
    cx.carrier(["rm", "-fc"]).succeeds();
    cx.carrier(["network", "rm", "lan"]).succeeds();
    cx.assert_nothing_is_left();
}

#[test]
fn the_program_is_killed_before_who_takes_care_of_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let scores = |option: &str| {
        let script = format!(
            "carrier run -d --name one --oom-score-adj {option} {image} sleep 1000 >/dev/null
             program=$(carrier inspect -f '{{{{.State.Pid}}}}' one)
             monitor=$(awk '$1 == \"PPid:\" {{ print $2 }}' /proc/$program/status)
             cat /proc/$program/oom_score_adj /proc/$monitor/oom_score_adj
             carrier exec one cat /proc/self/oom_score_adj
             carrier rm -f one >/dev/null"
        );
        cx.script(&script).succeeds()
    };
    let caller = cx
        .script("cat /proc/self/oom_score_adj")
        .text()
        .trim()
        .to_owned();
    scores("500").prints(&format!("500\n{caller}\n500"));
    let lowered = scores("-1000").prints(&format!("{caller}\n{caller}\n{caller}"));
    assert!(
        lowered.errors().contains("nobody but root can lower"),
        "{lowered:?}"
    );
}

#[test]
fn limits_are_told_in_dockers_places() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let options = "-m 64m --cpus 0.5 --pids-limit 50 --cpu-shares 512 --oom-score-adj 10 \
                   --cgroup-parent boxes.slice --sysctl net.core.somaxconn=77";
    let head = ["create", "--name", "one"].into_iter();
    cx.carrier(
        head.chain(options.split_whitespace())
            .chain([image.as_str(), "true"]),
    )
    .succeeds();
    let config = "{{with .HostConfig}}{{.Memory}} {{.MemorySwap}} {{.NanoCpus}} {{.PidsLimit}} \
                  {{.CpuShares}} {{.OomScoreAdj}} {{.CgroupParent}} {{.CgroupnsMode}}{{end}}";
    cx.carrier(["inspect", "-f", config, "one"])
        .succeeds()
        .prints("67108864 134217728 500000000 50 512 10 boxes.slice private");
    // One that does not run can be changed on any host.
    cx.carrier(["update", "-m", "128m", "--pids-limit", "-1", "one"])
        .succeeds();
    let config = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}";
    cx.carrier(["inspect", "-f", config, "one"])
        .succeeds()
        .prints("134217728 -1 500000000");
    cx.carrier(["update", "--cpu-quota", "5000", "one"])
        .exits_with(1)
        .complains("conflicting options");
    cx.carrier(["rm", "one"]).succeeds();
}

/// Finds a disk of the host.
const DISK: &str = "disk=$(find /dev -maxdepth 1 -type b | head -1)";

/// Runs a script as the ordinary user where no systemd can be asked and the hierarchy is `before`'s.
fn with_hierarchy(cx: &Cx, test: &str, before: &str, script: &str) -> Option<Outcome> {
    if !is_root() {
        skip(
            test,
            "only root can make a host look as if it had no systemd",
        );
        return None;
    }
    let user = "setpriv --reuid carrier-test --regid carrier-test --init-groups";
    let file = cx.file("inside", script);
    Some(cx.host_script(&format!(
        "set -e; mount -t tmpfs tmpfs /run; {before}; set +e; {user} sh {file}"
    )))
}

/// A cgroup of the user's own for one test, and this shell in one below.
fn own(test: &str) -> String {
    format!(
        "mount -t cgroup2 none /sys/fs/cgroup; top=/sys/fs/cgroup/carrier-e2e-{test}-$$
         mkdir -p $top/shell; chown -R carrier-test $top; echo $$ > $top/shell/cgroup.procs"
    )
}

/// Takes it away again.
fn remove_own(cx: &Cx, test: &str) {
    let script = format!(
        "mount -t cgroup2 none /sys/fs/cgroup
         for top in /sys/fs/cgroup/carrier-e2e-{test}-*; do
            find $top -depth -type d | while read one; do rmdir $one; done
         done"
    );
    cx.host_script(&script);
}

#[test]
fn where_no_cgroup_can_be_made_only_limits_are_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let test = "where_no_cgroup_can_be_made_only_limits_are_refused";
    let script = format!(
        "{DISK}; carrier run --rm {image} echo free
         for option in '-m 64m' '--pids-limit 5' '--cgroups enabled' \\
                 '--blkio-weight 100' \"--device-read-bps $disk:1mb\"; do
            carrier run --rm $option {image} true; echo $?
         done 2>&1; carrier ps -aq"
    );
    let Some(outcome) = with_hierarchy(&cx, test, "true", &script) else {
        return;
    };
    let outcome = outcome.succeeds();
    assert!(outcome.text().starts_with("free\n"), "{outcome:?}");
    assert_eq!(outcome.text().matches("\n125").count(), 5, "{outcome:?}");
    outcome
        .shows("--memory cannot be applied: no cgroup with the controller memory can be made")
        .shows("--pids-limit cannot be applied: no cgroup with the controller pids can be made")
        .shows("a limit of disks cannot be applied: no cgroup with the controller io can be made")
        .shows("--cgroups enabled cannot be applied: no cgroup can be made")
        .shows("hint: ");
}

#[test]
fn a_cgroup_of_the_users_own_is_made_by_files() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let test = "a_cgroup_of_the_users_own_is_made_by_files";
    let script = format!(
        "{DISK}; own=/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)
         made() {{ find $(dirname $own) -name 'carrier-*' -not -name 'carrier-e2e-*' -type d; }}
         carrier run -d --name one --cgroups enabled {image} sleep 1000 >/dev/null
         made | wc -l; here=$(made)
         carrier exec -d one sleep 2000; wc -l < $here/cgroup.procs
         carrier pause one >/dev/null; grep frozen $here/cgroup.events
         carrier unpause one >/dev/null; grep frozen $here/cgroup.events
         carrier stop -t 0 one >/dev/null; made
         carrier start one >/dev/null; made | wc -l
         program=$(carrier inspect -f '{{{{.State.Pid}}}}' one)
         kill -9 $(awk '$1 == \"PPid:\" {{ print $2 }}' /proc/$program/status)
         until [ $(carrier inspect -f '{{{{.State.Status}}}}' one) = exited ]; do sleep 0.1; done
         carrier ls >/dev/null; made
         carrier run --rm -m 64m {image} true 2>&1 | head -1; made
         for option in '--blkio-weight 100' \"--device-write-iops $disk:100\"; do
            carrier run --rm $option {image} true 2>&1 | head -1; made
         done
         carrier run --rm --cgroup-conf typo.file=max {image} true 2>&1 | grep -o 'has no typo.file'; made
         carrier rm one"
    );
    let Some(outcome) = with_hierarchy(&cx, test, &own(test), &script) else {
        return;
    };
    remove_own(&cx, test);
    outcome
        .succeeds()
        .prints(
            "1\n2\nfrozen 1\nfrozen 0\n1\n\
             carrier: --memory cannot be applied: the controller memory is not delegated to the user\n\
             carrier: --blkio-weight cannot be applied: the controller io is not delegated to the user\n\
             carrier: --device-write-iops cannot be applied: the controller io is not delegated to the user\n\
             has no typo.file\none",
        );
}

#[test]
fn a_cgroup_that_cannot_be_removed_keeps_nobody_from_looking() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let test = "a_cgroup_that_cannot_be_removed_keeps_nobody_from_looking";
    // A process that nobody kills stands for one that the kernel holds.
    let script = format!(
        "own=/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)
         made() {{ find $(dirname $own) -name 'carrier-*' -not -name 'carrier-e2e-*' -type d; }}
         carrier run -d --name one --cgroups enabled {image} sleep 1000 >/dev/null
         sleep 1000 & held=$!; echo $held > $(made)/cgroup.procs
         program=$(carrier inspect -f '{{{{.State.Pid}}}}' one)
         kill -9 $(awk '$1 == \"PPid:\" {{ print $2 }}' /proc/$program/status)
         until [ $(carrier inspect -f '{{{{.State.Status}}}}' one) = exited ]; do sleep 0.1; done
         carrier ls >/dev/null && echo listed; made | wc -l
         carrier rm one 2>&1 | grep -c carrier-; carrier ps -aq | wc -l
         kill $held; wait; carrier ls >/dev/null; made
         carrier rm one"
    );
    let Some(outcome) = with_hierarchy(&cx, test, &own(test), &script) else {
        return;
    };
    remove_own(&cx, test);
    outcome.succeeds().prints("listed\n1\n1\n1\none");
}
