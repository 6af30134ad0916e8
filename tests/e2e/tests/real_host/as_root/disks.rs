//! Limits of disks, on the machine's own one.

use super::machine::Machine;

const DROP_IN: &str = "/etc/systemd/system/user@.service.d/delegate.conf";

/// Writes and reads four mebibytes past every cache, and tells how many milliseconds each took.
const TRANSFER: &str = r#"
    mkdir -p files box/bin box/proc box/dev box/sys
    cp /bin/busybox box/bin; for name in sh dd rm; do ln -sf busybox box/bin/$name; done
    tar -C box -c . | carrier import - box >/dev/null
    transfer() { carrier run --rm "$@" -v $HOME/files:/files box sh -c '
        now() { read up rest </proc/uptime; echo ${up%.*}${up#*.}0; }
        begin=$(now); dd if=/dev/zero of=/files/x bs=256k count=16 oflag=direct 2>/dev/null
        written=$(now); dd if=/files/x of=/dev/null bs=256k iflag=direct 2>/dev/null
        echo $((written - begin)) $(($(now) - written)); rm /files/x'; }
"#;

#[test]
fn disks_are_as_slow_as_asked_for_once_their_controller_is_delegated() {
    let machine = Machine::new();
    machine.root(&format!("rm -f {DROP_IN}; systemctl daemon-reload"));
    machine.log_out();
    let refused = machine
        .user("carrier run --rm --device-write-bps /dev/vda:1mb hello")
        .exits_with(125)
        .complains(
            "--device-write-bps cannot be applied: the controller io is not delegated to the user",
        )
        .hints(DROP_IN);
    println!("{}", refused.errors());
    let (_, fix) = refused.errors().rsplit_once("as root: `").unwrap();
    machine
        .root(fix.trim_end().trim_end_matches('`'))
        .succeeds();
    machine.log_out();
    let outcome = machine.user(&format!(
        "{TRANSFER}
        transfer; transfer --device-write-bps /dev/vda:1mb; transfer --device-read-bps /dev/vda:1mb
        transfer --device-write-iops /dev/vda:4; transfer --device-read-iops /dev/vda:4
        carrier rmi -f box >/dev/null; rm -r files box"
    ));
    machine
        .root(&format!("rm {DROP_IN}; systemctl daemon-reload"))
        .succeeds();
    machine.log_out();
    let outcome = outcome.succeeds();
    let times: Vec<Vec<u32>> = outcome
        .text()
        .lines()
        .map(|line| line.split(' ').map(|time| time.parse().unwrap()).collect())
        .collect();
    // Four mebibytes at one a second, or sixteen requests at four a second, the first of which is free.
    const LIMITED: u32 = 3000;
    let [free, written, read, writes, reads] = times.as_slice() else {
        panic!("{outcome:?}");
    };
    for (name, times, expected) in [
        ("no limit", free, [false, false]),
        ("--device-write-bps 1mb", written, [true, false]),
        ("--device-read-bps 1mb", read, [false, true]),
        ("--device-write-iops 4", writes, [true, false]),
        ("--device-read-iops 4", reads, [false, true]),
    ] {
        println!(
            "{name}: written in {} ms, read in {} ms",
            times[0], times[1]
        );
        let limited = [times[0] >= LIMITED, times[1] >= LIMITED];
        assert_eq!(limited, expected, "{name}: {times:?}");
    }
}
