//! Containers that last: each of these runs in a session of its own, in this order, with a reboot before
//! `c`, and a cut of power before `e`. `scripts/vm.sh` sees to that.

use std::time::Duration;

use carrier_e2e::Cx;

use crate::limits::{Host, TOOLS};

/// Not the programs of this test, which go when it ends.
const INSTALLED: &str = "unset CARRIER_E2E; PATH=$HOME/bin:$PATH";

fn states(host: &Host) -> carrier_e2e::Outcome {
    host.script(&format!(
        "{INSTALLED}; carrier inspect -f '{{{{.State.Status}}}} {{{{.RestartCount}}}}' limited plain"
    ))
}

#[test]
fn a_containers_are_started() {
    let host = Host::new();
    let script = format!(
        "{INSTALLED}; carrier boot enable >/dev/null
         carrier run -d --name limited --restart always -m 64m box sleep 100000 >/dev/null
         carrier run -d --name plain --restart always box sleep 100000 >/dev/null"
    );
    host.script(&script).succeeds();
}

#[test]
fn b_they_are_there_after_the_logout() {
    let host = Host::new();
    states(&host).succeeds().prints("running 0\nrunning 0");
}

#[test]
fn c_they_are_back_after_the_reboot() {
    let host = Host::new();
    let script = format!(
        "{INSTALLED}; until [ \"$(carrier ps -q | wc -l)\" = 2 ]; do sleep 0.5; done
         cat $(cgroup limited)/memory.max; uptime >&2; carrier ps >&2
         carrier rm -f limited plain; carrier boot disable >/dev/null"
    );
    host.script(&script)
        .succeeds()
        .prints(&format!("{}\nlimited\nplain", crate::MEMORY));
}

/// Each writes the number of the boot where it was started, and five are to be started again.
const TWENTY: &str = "
    program='read boot < /proc/sys/kernel/random/boot_id; echo started in $boot; exec sleep 100000'
    start() { name=$1; shift; carrier run -d --name $name \"$@\" box sh -c \"$program\" >/dev/null; }
    carrier network create net >/dev/null
    for i in 1 2 3; do start always-$i --restart always; done
    start always-4 --restart always -m 64m
    start always-5 --restart always --network net
    for i in 1 2 3 4 5 6; do start plain-$i; done
    for i in 1 2 3; do start limited-$i -m 64m --pids-limit 50; done
    for i in 1 2 3; do start port-$i -p 127.0.0.1:1800$i:80; done
    for i in 1 2; do start volume-$i -v data-$i:/data; done
    start member --network net";

#[test]
fn d_twenty_containers_are_started() {
    let host = Host::new();
    host.script(&format!("{INSTALLED}\n{TWENTY}\ncarrier ps -q | wc -l"))
        .succeeds()
        .prints("20");
}

/// How long the first command may take.
const FIRST: Duration = Duration::from_secs(2);

#[test]
fn e_after_a_power_cut_the_first_command_tells_the_truth_and_policies_count_once() {
    // Nothing is done before.
    let cx = Cx::in_session();
    let script = "
        now() { read up rest </proc/uptime; echo ${up%.*}${up#*.}0; }
        begin=$(now); carrier ps -a --format '{{.Names}} {{.State}} {{.Status}}' >states; end=$(now)
        echo $((end - begin)); cut -d' ' -f2-4 states | sort | uniq -c; rm states
        carrier boot start | sort; echo and then; carrier boot start
        boot=$(cat /proc/sys/kernel/random/boot_id)
        for name in always-1 always-2 always-3 always-4 always-5; do
            until_logged $name $boot; carrier logs $name | grep -c \"started in $boot\"
            carrier inspect -f '{{.State.Status}} {{.RestartCount}}' $name
        done | sort | uniq -c
        carrier system check >/dev/null && echo sound
        carrier start $(carrier ps -a --format '{{.Names}} {{.State}}' | grep -v running | cut -d' ' -f1) >/dev/null
        carrier ps -q | wc -l; carrier rm -f $(carrier ps -aq) | wc -l
        carrier volume rm data-1 data-2; carrier network rm net
        ls $XDG_RUNTIME_DIR/carrier | grep -v -e ^events.jsonl -e ^outer-ids.json$";
    let outcome = cx.script(&format!("{INSTALLED}\n{TOOLS}\n{script}"));
    let (time, rest) = outcome.text().split_once('\n').unwrap();
    println!("the first command took {time} ms");
    let words: Vec<&str> = rest.split_whitespace().collect();
    let expected = "20 exited Exited (255) always-1 always-2 always-3 always-4 always-5 and then \
                    5 1 5 running 0 sound 20 20 data-1 data-2 net";
    assert_eq!(words.join(" "), expected, "{outcome:#?}");
    assert!(
        Duration::from_millis(time.parse().unwrap()) <= FIRST,
        "{outcome:?}"
    );
}
