//! Memory that runs out: in a container, around its monitor, on the whole host.

use crate::limits::Host;

/// For the shell: who takes care of a container with limits, what there is of it, and what is left when
/// all are removed.
const TOOLS: &str = "
    supervisor() { echo $(dirname $(cgroup $1))/supervisor; }
    state() { carrier inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' \"$@\"; }
    left() {
        carrier ps -aq; systemctl --user --failed --plain --no-legend; systemctl --failed --plain --no-legend
        ls $XDG_RUNTIME_DIR/carrier | grep -v -e ^events.jsonl -e ^outer-ids.json$ || true
    }";

fn script(host: &Host, text: &str) -> carrier_e2e::Outcome {
    host.script(&format!("{TOOLS}\n{text}\nleft"))
}

#[test]
fn fifty_programs_that_take_too_much_are_killed_and_nobody_else() {
    let host = Host::new();
    let text = "
        carrier run -d --name other -m 64m box sleep 4711 >/dev/null
        for i in $(seq 50); do
            carrier run --name greedy -m 16m --memory-swap 16m box dd if=/dev/zero of=/dev/null bs=100M count=1
            echo code $? $(state greedy); carrier rm greedy >/dev/null
        done | sort | uniq -c | sed 's/^ *//'
        state other; carrier rm -f other >/dev/null";
    script(&host, text)
        .succeeds()
        .prints("50 code 137 exited 137 true\nrunning 0 false");
    host.assert_no_cgroup_is_left();
}

/// A program that writes without an end: what its monitor does takes memory, for the log most.
const TALKER: &str = "sh -c 'i=0; while :; do i=$((i+1)); echo line $i of many; done'";

#[test]
fn a_monitor_does_its_work_in_four_mebibytes() {
    let host = Host::new();
    // Once where the container has limits, once where they are the user's for all together.
    let text = format!(
        "carrier run -d --name one -m 64m box {TALKER} >/dev/null
        echo 4M >$(supervisor one)/memory.max; echo 0 >$(supervisor one)/memory.swap.max
        systemd-run --user --scope --quiet -p MemoryMax=4M -p MemorySwapMax=0 \\
            carrier run -d --name two box {TALKER} >/dev/null
        for name in one two; do
            until [ $(carrier logs $name | wc -l) -gt 20000 ]; do again; done
            seq 20 | while read i; do carrier exec $name sh -c 'echo inside'; done | uniq -c | sed 's/^ *//'
            state $name
        done
        value $(supervisor one)/memory.events oom_kill; value $(cgroup two)/memory.events oom_kill
        [ $(value $(supervisor one)/memory.events max) -gt 0 ] && echo pressed
        carrier stop -t 0 one two; state one two; carrier rm one two >/dev/null"
    );
    script(&host, &text).succeeds().prints(
        "20 inside\nrunning 0 false\n20 inside\nrunning 0 false\n0\n0\npressed\none\ntwo\n\
         exited 137 false\nexited 137 false",
    );
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_monitor_that_is_killed_for_memory_takes_its_container_along() {
    let host = Host::new();
    let text = format!(
        "for i in $(seq 10); do
            carrier run -d --name one -m 64m box {TALKER} >/dev/null
            pid=$(pid one); around=$(supervisor one)
            echo 0 >$around/memory.swap.max; echo 64K >$around/memory.max
            until_exited one
            state one; [ ! -e /proc/$pid ] || tr '\\0' ' ' </proc/$pid/cmdline
            carrier start one >/dev/null; state one; carrier rm -f one >/dev/null
        done | sort | uniq -c | sed 's/^ *//'"
    );
    script(&host, &text)
        .succeeds()
        .prints("10 exited 137 false\n10 running 0 false");
    host.assert_no_cgroup_is_left();
}

#[test]
fn a_monitor_is_not_chosen_sooner_than_its_container() {
    let host = Host::new();
    let text = "
        scores() { for pid in $(value /proc/$(pid one)/status PPid:) $(pid one); do
            cat /proc/$pid/oom_score_adj; done | tr '\\n' ' '; carrier rm -f one; }
        for score in -500 0 500; do
            carrier run -d --name one --oom-score-adj $score box sleep 4712 >/dev/null; scores
        done
        choom -n 300 -- carrier run -d --name one box sleep 4712 >/dev/null; scores
        choom -n 300 -- carrier run -d --name one --oom-score-adj 100 box sleep 4712 >/dev/null; scores";
    script(&host, text)
        .succeeds()
        .prints("0 0 one\n0 0 one\n0 500 one\n300 300 one\n300 300 one");
}

#[test]
fn a_host_without_memory_loses_the_container_that_took_most() {
    let host = Host::new();
    let text = "
        total=$(value /proc/meminfo MemTotal:)
        take() { carrier run -d --name $1 $3 box dd if=/dev/zero of=/dev/null bs=$((total * $2 / 100))k >/dev/null; }
        run_out() {
            carrier run -d --name small -m 64m box sleep 4713 >/dev/null
            carrier run -d --name plain box sleep 4714 >/dev/null
            take most 60 \"$1\"
            until [ $(awk '/VmRSS/ { print $2 }' /proc/$(pid most)/status) -gt $((total / 2)) ]; do again; done
            take more 50 \"$1\"; until_exited most
            state most more small plain; carrier logs most
            carrier rm -f most more small plain >/dev/null
        }
        run_out '-m 64g'; carrier events --since 1h --until 0s --filter event=oom | grep -c name=most
        run_out ''";
    let others = "running 0 false\nrunning 0 false\nrunning 0 false";
    script(&host, text).succeeds().prints(&format!(
        "exited 137 true\n{others}\n1\nexited 137 false\n{others}"
    ));
    host.assert_no_cgroup_is_left();
}
