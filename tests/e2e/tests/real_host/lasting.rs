//! Containers that last: each of these runs in a session of its own, in this order, with a reboot before
//! the last one. `scripts/vm.sh` sees to that.

use crate::limits::Host;

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
