//! `carrier exec`: one more program in a container that runs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn a_program_runs_in_the_container_and_its_code_is_carriers() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", ["-h", "web", &image, "sleep", "1000"]);
    cx.carrier(["exec", "web", "hostname"])
        .succeeds()
        .prints("web");
    cx.carrier(["exec", "web", "sh", "-c", "echo 1; echo 2 >&2; exit 7"])
        .exits_with(7)
        .prints("1");
    cx.carrier(["exec", "web", "sh", "-c", "kill -9 $$"])
        .exits_with(137);
    let outside = cx.carrier(["exec", "web", "ps"]).succeeds();
    assert!(outside.text().contains("sleep 1000"), "{outside:?}");
}

#[test]
fn a_program_that_cannot_run_has_dockers_codes() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    cx.carrier(["exec", "web", "no-such"])
        .exits_with(127)
        .complains("exec: \"no-such\": executable file not found in $PATH");
    cx.carrier(["exec", "web", "/no/such"])
        .exits_with(127)
        .complains("no such file or directory");
    cx.carrier(["exec", "web", "/etc/passwd"])
        .exits_with(126)
        .complains("exec: \"/etc/passwd\": Permission denied");
    cx.carrier(["exec", "-w", "/nowhere", "web", "true"])
        .exits_with(127)
        .complains("chdir to cwd (\"/nowhere\"): No such file or directory");
    cx.carrier(["exec", "-w", "/etc/passwd", "web", "true"])
        .exits_with(126)
        .complains("chdir to cwd (\"/etc/passwd\"): Not a directory");
    cx.carrier(["exec", "-w", "relative", "web", "true"])
        .exits_with(125)
        .complains("not an absolute path");
    cx.carrier(["exec", "-u", "nobody", "web", "true"])
        .exits_with(126)
        .complains("unable to find user nobody: no matching entries in passwd file");
    cx.carrier(["exec", "-u", "0:nogroup", "web", "true"])
        .exits_with(126)
        .complains("unable to find group nogroup: no matching entries in group file");
    cx.carrier(["exec", "-u", "4294967296", "web", "id"])
        .exits_with(126)
        .hides("uid=");
    cx.carrier(["exec", "-t", "web", "no-such"]).exits_with(127);
    cx.carrier(["exec", "-d", "web", "no-such"]).exits_with(127);
}

#[test]
fn only_a_container_that_runs_is_entered() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["exec", "nothing", "true"])
        .exits_with(125)
        .complains("nothing");
    cx.carrier(["run", "--name", "done", &image, "true"])
        .succeeds();
    cx.carrier(["exec", "done", "true"])
        .exits_with(125)
        .complains("container done is not running");
    cx.carrier(["exec", "done"])
        .exits_with(125)
        .complains("there is no command");
    cx.carrier(["rm", "done"]).succeeds();
}

#[test]
fn the_environment_is_the_containers_with_settings_over_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = [
        "-h",
        "web",
        "-e",
        "A=container",
        "-e",
        "B=b",
        "-e",
        "GONE=1",
        &image,
        "sleep",
        "1000",
    ];
    let _web = cx.running("web", run);
    let file = cx.file("env", "# comment\nFILE=1\nA=file\n");
    let words = [
        "exec",
        "-e",
        "A=option",
        "-e",
        "TERM",
        "-e",
        "GONE",
        "-e",
        "EMPTY=",
        "--env-file",
        &file,
        "web",
        "env",
    ];
    let environment = "PATH=/bin\nHOSTNAME=web\nFROM_IMAGE=yes\nA=option\nB=b\nFILE=1\nTERM=xterm\n\
                       EMPTY=\nHOME=/root";
    cx.carrier(words).succeeds().prints(environment);
    cx.carrier(["exec", "-u", "app", "web", "sh", "-c", "echo $HOME $A"])
        .succeeds()
        .prints("/home/app container");
    let with_home = ["exec", "-e", "HOME=/here", "web", "sh", "-c", "echo $HOME"];
    cx.carrier(with_home).succeeds().prints("/here");
}

#[test]
fn users_are_those_of_the_containers_own_files_now() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", ["-u", "app", "-w", "/tmp", &image, "sleep", "1000"]);
    let id = |user: &[&str]| {
        let words = ["exec"].iter().chain(user).chain(&["web", "id"]).copied();
        cx.carrier(words).succeeds()
    };
    id(&[]).prints("uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)");
    id(&["-u", "0"]).prints("uid=0(root) gid=0(root) groups=0(root),10(wheel)");
    id(&["-u", "1000:10"]).prints("uid=1000(app) gid=10(wheel) groups=10(wheel)");
    id(&["-u", "4242"]).prints("uid=4242 gid=0(root) groups=0(root)");
    cx.carrier(["exec", "web", "pwd"]).succeeds().prints("/tmp");
    let line = "echo late:x:77:77::/srv:/bin/sh >> /etc/passwd";
    cx.carrier(["exec", "-u", "root", "web", "sh", "-c", line])
        .succeeds();
    id(&["-u", "late"]).prints("uid=77(late) gid=77 groups=77");
}

#[test]
fn bytes_pass_both_ways_exactly_and_ends_are_heard() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let script = "head -c 30000000 /dev/urandom > in; sha256sum < in > a
        carrier exec -i web cat < in | (sleep 1; cat) | sha256sum > b; cmp a b && echo same
        carrier exec -i web sha256sum < in > c; cmp a c && echo whole
        echo unread | carrier exec web cat; echo code $?
        carrier exec web yes | head -n 1
        carrier exec -t web yes | head -n 1 | tr -d '\\r'
        carrier exec -t web sh -c 'stty -opost; cat /bin/busybox' | sha256sum > d
        carrier exec web sha256sum /bin/busybox | sed 's,/bin/busybox,-,' | cmp - d && echo exact";
    cx.script(&format!("cd ~; {script}"))
        .succeeds()
        .prints("same\nwhole\ncode 0\ny\ny\nexact");
}

#[test]
fn a_terminal_is_one_without_a_terminal_around_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let outcome = cx
        .carrier(["exec", "-t", "web", "sh", "-c", "tty; echo $TERM"])
        .succeeds();
    assert_eq!(outcome.text().replace('\r', "").trim(), "/dev/pts/0\nxterm");
    cx.carrier(["exec", "-it", "web", "true"])
        .exits_with(125)
        .complains("the input device is not a TTY");
    cx.carrier(["exec", "web", "tty"])
        .exits_with(1)
        .prints("not a tty");
}

#[test]
fn a_detached_program_prints_nothing_and_leaves_no_process_of_carrier() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let program = "echo noise; echo noise >&2; cat; echo done > /tmp/flag; sleep 1000";
    cx.carrier_with_input(["exec", "-d", "web", "sh", "-c", program], "input")
        .succeeds()
        .prints("");
    cx.carrier([
        "exec",
        "-dt",
        "web",
        "sh",
        "-c",
        "tty > /tmp/tty; yes | head -n 100000; sleep 1001",
    ])
    .succeeds()
    .prints("");
    let wait = "until grep -q done /tmp/flag && grep -q pts /tmp/tty && ps | grep -q 'sleep 1001$'; do \
                sleep 0.05; done; cat /tmp/tty";
    cx.carrier(["exec", "web", "sh", "-c", wait])
        .succeeds()
        .shows("/dev/pts/0");
    // The second one has a terminal that somebody must hold.
    let count = format!("pgrep -fc '^{} exec'", cx.program());
    cx.script(&count).succeeds().prints("1");
}

#[test]
fn the_program_dies_with_the_command() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let script = "carrier exec web sleep 2001 & pid=$!
        carrier exec -t web sleep 2002 & terminal=$!
        until [ $(carrier exec web ps | grep -c 'sleep 200[12]$') = 2 ]; do sleep 0.05; done
        kill -KILL $pid $terminal
        until [ $(carrier exec web ps | grep -c 'sleep 200[12]$') = 0 ]; do sleep 0.05; done
        echo gone";
    cx.script(script).succeeds().prints("gone");
}

#[test]
fn signals_reach_the_program() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    for option in ["", "-t"] {
        let trap = "trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.1; done";
        let script = format!(
            "rm -f out; carrier exec {option} web sh -c \"{trap}\" > out & pid=$!
             until grep -q up out; do sleep 0.05; done
             kill -TERM $pid; wait $pid; echo code $?; tr -d '\\r' < out"
        );
        cx.script(&format!("cd ~; {script}"))
            .succeeds()
            .prints("code 3\nup\ngot it");
    }
    // One that does not listen goes with the command all the same, when that has a terminal.
    let deaf =
        "rm out; carrier exec -t web sh -c 'trap \"\" TERM HUP; echo up; sleep 1003' > out & pid=$!
        until grep -q up out; do sleep 0.05; done
        kill -TERM $pid; wait $pid; echo code $?; carrier exec web ps | grep -c 'sleep 1003$'";
    cx.script(&format!("cd ~; {deaf}; true"))
        .succeeds()
        .shows("code 137");
}

#[test]
fn the_end_of_the_container_ends_its_programs() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let web = cx.running("web", [&image, "sleep", "1000"]);
    let script = "for option in '' -t; do carrier exec $option web sleep 2003 & done
        until [ $(carrier exec web ps | grep -c 'sleep 2003$') = 2 ]; do sleep 0.05; done
        carrier rm -f web > /dev/null
        wait %1; echo $?; wait %2; echo $?";
    cx.script(script).succeeds().prints("137\n137");
    drop(web);
}

#[test]
fn p02_p03_p04_an_exec_has_what_the_container_has_and_no_more() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d '\\t' | tr '\\n' ' '; \
                  ls /proc/self/fd | tr '\\n' ' '; cat /proc/self/oom_score_adj";
    let _web = cx.running("web", ["--cap-add", "SYS_PTRACE", &image, "sleep", "1000"]);
    let of = |options: &[&str]| {
        let words = ["exec"].iter().chain(options).copied();
        let words = words.chain(["web", "sh", "-c", status]);
        cx.carrier(words).succeeds().text().to_owned()
    };
    // Three streams, and the directory that is read.
    let root = "CapInh:0000000000000000 CapPrm:00000000800c05fb CapEff:00000000800c05fb \
                CapBnd:00000000800c05fb CapAmb:0000000000000000 NoNewPrivs:1 Seccomp:2 0 1 2 3 ";
    assert!(of(&[]).starts_with(root), "{}", of(&[]));
    let user = "CapInh:0000000000000000 CapPrm:0000000000000000 CapEff:0000000000000000 \
                CapBnd:00000000800c05fb CapAmb:0000000000000000 NoNewPrivs:1 Seccomp:2 0 1 2 3 ";
    assert!(
        of(&["-u", "app"]).starts_with(user),
        "{}",
        of(&["-u", "app"])
    );
    let all = of(&["--privileged"]);
    assert!(all.contains("CapEff:000001ffffffffff"), "{all}");
    assert!(all.contains("Seccomp:2"), "{all}");
    let script =
        "exec 5< /etc/passwd 9> ~/leak; carrier exec web sh -c 'ls /proc/self/fd' | tr '\\n' ' '";
    cx.script(script).succeeds().prints("0 1 2 3 ");
}

#[test]
fn every_namespace_is_the_containers() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let compare = "for n in cgroup ipc mnt net pid user uts time; do \
                   [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n; done";
    for options in [&[][..], &["-t"], &["-d"]] {
        let redirected = format!("{{ {compare}; echo end; }} > /tmp/out");
        let words = ["exec"].iter().chain(options).copied();
        cx.carrier(words.chain(["web", "sh", "-c", &redirected]))
            .succeeds();
        let read = "until grep -q end /tmp/out; do sleep 0.05; done; cat /tmp/out; rm /tmp/out";
        cx.carrier(["exec", "web", "sh", "-c", read])
            .succeeds()
            .prints("end");
    }
}

#[test]
fn who_follows_events_hears_of_programs() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    cx.carrier(["exec", "web", "sh", "-c", "exit 3"])
        .exits_with(3);
    let events = cx
        .carrier(["events", "--since", "1h", "--until", "0s"])
        .succeeds();
    let lines: Vec<&str> = events
        .text()
        .lines()
        .filter(|line| line.contains("exec_"))
        .collect();
    assert_eq!(lines.len(), 3, "{events:?}");
    for (line, parts) in lines.iter().zip([
        &["exec_create: sh -c exit 3", "execID="][..],
        &["exec_start: sh -c exit 3", "name=web"],
        &["exec_die", "exitCode=3"],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part:?} in {line:?}");
        }
    }
}

#[test]
fn a_command_that_is_killed_at_any_moment_leaves_no_program() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let rounds = carrier_e2e::rounds_or(100);
    // A third of a millisecond more each time, over and over again.
    let script = format!(
        "n=0; while [ $n -lt {rounds} ]; do n=$((n+1))
            for option in '' -t; do
                carrier exec $option web sleep 3001 > /dev/null & pid=$!
                sleep $(awk \"BEGIN {{ print ($n % 40) / 3000 }}\"); kill -KILL $pid
            done
        done 2> /dev/null
        left() {{ carrier exec web ps | grep -c 'sleep 3001$'; }}
        sleep 0.5; n=0; until [ $(left) = 0 ] || [ $n = 300 ]; do n=$((n+1)); sleep 0.1; done; left; carrier exec web true; echo $?"
    );
    cx.script(&script).succeeds().prints("0\n0");
    println!("{} commands were killed", 2 * rounds);
}

#[test]
fn h09_output_that_nobody_reads_takes_no_memory() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let script = "carrier exec -t web cat /dev/zero | sleep 200 & reader=$!
        both() { pgrep -f '^carrier exec -t web cat /dev/zero'; }
        until [ $(both | wc -l) = 2 ]; do sleep 0.1; done; sleep 3
        for pid in $(both); do grep VmRSS /proc/$pid/status; done; kill $reader; wait";
    let outcome = cx.script(script).succeeds();
    let sizes: Vec<u64> = outcome
        .text()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect();
    assert_eq!(sizes.len(), 2, "{outcome:?}");
    assert!(
        sizes.iter().all(|kibibytes| *kibibytes < 16_384),
        "{sizes:?}"
    );
}

#[test]
fn a_container_that_is_paused_is_not_entered() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    cx.carrier(["pause", "web"]).succeeds();
    for verb in ["exec", "sh", "t"] {
        cx.carrier([verb, "web", "true"])
            .exits_with(125)
            .complains("container web is paused");
    }
    cx.carrier(["unpause", "web"]).succeeds();
    cx.carrier(["exec", "-l", "echo", "back"])
        .succeeds()
        .prints("back");
}
