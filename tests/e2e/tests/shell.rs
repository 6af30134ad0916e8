//! `carrier sh` and `carrier terminal` without a terminal around them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn words_behind_the_container_are_a_command() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", ["-h", "web", &image, "sleep", "1000"]);
    cx.carrier(["sh", "web", "hostname"])
        .succeeds()
        .prints("web");
    cx.carrier(["shell", "web", "sh", "-c", "exit 9"])
        .exits_with(9);
    cx.carrier_with_input(["sh", "web", "wc", "-c"], "12345")
        .succeeds()
        .prints("5");
    let words = [
        "sh",
        "-u",
        "app",
        "-w",
        "/tmp",
        "-e",
        "A=b",
        "web",
        "sh",
        "-c",
        "id -un; pwd; echo $A",
    ];
    cx.carrier(words).succeeds().prints("app\n/tmp\nb");
    cx.carrier(["sh", "web", "no-such"])
        .exits_with(127)
        .complains("no-such");
}

#[test]
fn without_words_a_shell_reads_what_comes() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", ["-h", "web", &image, "sleep", "1000"]);
    let lines = "echo $0 on $(hostname)\nexit 3\n";
    cx.carrier_with_input(["sh", "web"], lines)
        .exits_with(3)
        .prints("/bin/sh on web");
    cx.carrier_with_input(["sh", "web"], "")
        .succeeds()
        .prints("");
}

#[test]
fn the_users_own_shell_comes_first_then_the_most_comfortable_one() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let zero = |user: &str| {
        let outcome = cx.carrier_with_input(["sh", "-u", user, "web"], "echo $0\n");
        outcome.succeeds().text().to_owned()
    };
    let change = |script: &str| {
        cx.carrier(["exec", "web", "sh", "-c", script]).succeeds();
    };
    change(
        "printf '#!/bin/sh\\necho mine' > /bin/mine; chmod 755 /bin/mine; echo 'own:x:9:9::/:/bin/mine' >> /etc/passwd",
    );
    assert_eq!(zero("root"), "/bin/sh");
    assert_eq!(zero("4242"), "/bin/ash");
    // A shell that is not there, one that is none, and one that leads out of the container.
    assert_eq!(zero("own"), "mine");
    change("echo 'no:x:10:10::/:/bin/not-there' >> /etc/passwd");
    assert_eq!(zero("no"), "/bin/ash");
    change(
        "mkdir -p /sbin; cp /bin/busybox /sbin/nologin; echo 'nl:x:11:11::/:/sbin/nologin' >> /etc/passwd",
    );
    assert_eq!(zero("nl"), "/bin/ash");
    change(
        "ln -s /../../../../usr/bin/bash /bin/out; echo 'out:x:12:12::/:/bin/out' >> /etc/passwd",
    );
    assert_eq!(zero("out"), "/bin/ash");
}

#[test]
fn a_terminal_is_there_also_when_standard_input_is_none() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    for name in ["t", "term", "terminal"] {
        let outcome = cx.carrier([name, "web", "tty"]).succeeds();
        assert_eq!(outcome.text(), "/dev/pts/0");
    }
    let outcome = cx
        .carrier_with_input(["t", "web"], "tty; exit 4\n")
        .exits_with(4);
    assert!(outcome.text().contains("/dev/pts/0"), "{outcome:?}");
    // The end of the input is one for the program, also in the middle of a line.
    for input in ["typed\n", "typed"] {
        let outcome = cx.carrier_with_input(["t", "web", "cat"], input).succeeds();
        assert!(outcome.text().contains("typed"), "{outcome:?}");
    }
}

#[test]
fn h06_files_of_a_hostile_container_are_looked_at_with_care() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let change = |script: &str| {
        cx.carrier(["exec", "-u", "0:0", "web", "sh", "-c", script])
            .succeeds();
    };
    // A link out of the container, to the host's own users.
    change("rm /etc/passwd; ln -s ../../../../../../etc/passwd /etc/passwd");
    let daemon = ["exec", "-u", "daemon", "web", "id"];
    cx.carrier(daemon)
        .exits_with(126)
        .complains("unable to find user daemon");
    // Something that would never end, or never begin.
    for trap in [
        "mkfifo /etc/passwd",
        "ln -s /dev/zero /etc/passwd",
        "mkdir /etc/passwd",
        "ln -s passwd /etc/passwd",
        "ln -s /proc/self/fd/0 /etc/passwd",
    ] {
        change(&format!("rm -rf /etc/passwd; {trap}"));
        cx.carrier(daemon)
            .exits_with(126)
            .complains("unable to find user daemon");
        cx.carrier(["exec", "web", "echo", "fine"])
            .succeeds()
            .prints("fine");
    }
    change("rm -rf /etc/passwd; head -c 3000000 /dev/zero > /etc/passwd");
    cx.carrier(daemon).exits_with(126);
    // The streams of a program come from nowhere else.
    change("rm -f /etc/passwd; mv /dev/null /dev/gone 2>/dev/null || true");
    cx.carrier(["exec", "web", "cat"]).succeeds().prints("");
}

/// A container of an image that holds one program and nothing else.
fn bare(cx: &Cx) -> carrier_e2e::Running<'_> {
    let make = "cd ~; mkdir -p bare/etc; cp /bin/busybox bare/sleep
        echo kept > bare/etc/file; tar -C bare -cf bare.tar .; carrier import bare.tar localhost/bare";
    cx.script(make).succeeds();
    cx.running("bare", ["-h", "bare", "localhost/bare", "/sleep", "1000"])
}

#[test]
fn an_image_without_a_shell_gets_a_small_one() {
    let cx = Cx::new();
    let _bare = bare(&cx);
    let shell = |lines: &str| cx.carrier_with_input(["sh", "bare"], lines);
    shell("hostname\nexit 4\n").exits_with(4).prints("bare");
    shell("cat /etc/file | grep -c kept; ls /etc; X=1; echo $X'2' > /etc/new && cat /etc/n*; rm /etc/new")
        .succeeds()
        .prints("1\nfile\nhostname\nhosts\nresolv.conf\n12");
    shell("no-such; echo $?; false || echo or; cd /etc; pwd\nif")
        .exits_with(2)
        .prints("127\nor\n/etc");
    cx.carrier(["sh", "bare", "ps"])
        .succeeds()
        .shows("/sleep 1000");
    cx.carrier(["sh", "bare", "sh", "-c", "echo $1 $0", "zero", "one"])
        .succeeds()
        .prints("one zero");
    cx.carrier(["sh", "-u", "5:6", "-w", "/etc", "bare", "id"])
        .succeeds()
        .prints("uid=5 gid=6 groups=6");
    cx.carrier(["sh", "bare", "/sleep", "0"]).succeeds();
    cx.carrier(["exec", "bare", "sh"]).exits_with(127);
    let outcome = cx.carrier_with_input(["t", "bare"], "tty\n").succeeds();
    assert!(outcome.text().contains("/dev/pts/0"), "{outcome:?}");
}

#[test]
fn p01_the_small_shell_leaves_no_trace_and_leads_nowhere() {
    let cx = Cx::new();
    let _bare = bare(&cx);
    let before = "find $(echo ~/.local/share/carrier/containers/*/upper) | sort";
    let trees = |when: &str| cx.script(&format!("{before} > ~/{when}"));
    trees("before").succeeds();
    let sum = || {
        let program = cx.program();
        cx.script(&format!("sha256sum < {program}; stat -c %Y {program}"))
            .succeeds()
            .text()
            .to_owned()
    };
    let unchanged = sum();
    // Carrier's binary is there, in memory that cannot be written, for the process alone.
    let script =
        "readlink /proc/self/exe; echo x > /proc/self/exe; echo $?; mount | grep -c carrier";
    cx.carrier(["sh", "bare", "sh", "-c", script])
        .exits_with(1)
        .prints("/memfd:carrier (deleted)\n1\n0");
    cx.carrier(["sh", "bare", "readlink", "/proc/1/exe"])
        .succeeds()
        .prints("/sleep");
    let status = "grep -E '^(CapEff|NoNewPrivs|Seccomp:)' /proc/self/status";
    cx.carrier(["sh", "bare", "sh", "-c", status])
        .succeeds()
        .prints("CapEff:\t00000000800405fb\nNoNewPrivs:\t1\nSeccomp:\t2");
    assert_eq!(sum(), unchanged);
    trees("after").succeeds();
    cx.script("cmp ~/before ~/after").succeeds();
}

#[test]
fn a_container_that_does_not_run_is_looked_at_and_stays_as_it_is() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let change = "echo written > /srv-file; rm -r /tmp; rm /bin/vi; echo own:x:9:9::/:/bin/sh >> /etc/passwd";
    let run = [
        "run", "--name", "done", "-h", "web", "-e", "A=b", &image, "sh", "-c", change,
    ];
    cx.carrier(run).succeeds();
    cx.carrier(["sh", "done"])
        .exits_with(125)
        .complains("container done is not running");
    let outcome = cx.carrier(["sh", "done", "true"]).exits_with(125);
    assert!(
        outcome.errors().contains("carrier sh --stopped done"),
        "{outcome:?}"
    );
    let look = "cat /srv-file; test -e /tmp || echo gone; test -e /bin/vi || echo gone too; hostname; echo $A";
    cx.carrier(["sh", "--stopped", "done", "sh", "-c", look])
        .succeeds()
        .prints("written\ngone\ngone too\nweb\nb");
    let scratch =
        "echo lost > /srv-file; mkdir /tmp; touch /lost; chown 5:5 /lost; rm /etc/passwd; exit 6";
    cx.carrier_with_input(["sh", "--stopped", "done"], scratch)
        .exits_with(6);
    cx.carrier([
        "sh",
        "--stopped",
        "-u",
        "own",
        "done",
        "sh",
        "-c",
        "id -un; cat /srv-file; ls -d /tmp /lost",
    ])
    .exits_with(1)
    .prints("own\nwritten");
    let outcome = cx
        .carrier_with_input(["t", "--stopped", "done"], "tty\n")
        .succeeds();
    assert!(outcome.text().contains("/dev/pts/0"), "{outcome:?}");
    cx.carrier(["sh", "--stopped", "done", "no-such"])
        .exits_with(127);
    // Nobody removes the files below it.
    let held = "carrier sh --stopped done sh -c 'echo up; sleep 2' > ~/out & pid=$!
        until grep -q up ~/out; do sleep 0.05; done
        carrier rm done; echo $?; wait $pid; echo $?; carrier ls -c -a -q | wc -l";
    cx.script(held).succeeds().prints("1\n0\n1");
    cx.carrier(["rm", "done"]).succeeds();
}

#[test]
fn a_stopped_containers_volumes_are_seen_and_not_changed() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script("mkdir d gone; echo host > d/f; touch one")
        .succeeds();
    let mounts = "-v data:/data -v ./d:/d:U -v ./one:/one -v ./gone:/gone --tmpfs /t";
    let fill = "echo kept > /data/f";
    cx.script(&format!(
        "carrier run --name done {mounts} {image} sh -c '{fill}'; rmdir gone"
    ))
    .succeeds();
    let look = "cat /data/f /d/f; for f in /data/f /d/f /one; do echo no > $f || echo refused; done
        touch /t/f && ls -A /t /gone";
    cx.script(&format!(
        "carrier sh --stopped done sh -c '{look}' 2> /dev/null
         cat d/f; stat -c %s one; carrier rm -v done > /dev/null
         carrier run --rm -v data:/data {image} cat /data/f; carrier volume rm data > /dev/null"
    ))
    .succeeds()
    .prints("kept\nhost\nrefused\nrefused\nrefused\n/gone:\n\n/t:\nf\nhost\n0\nkept");
}

#[test]
fn what_a_killed_command_leaves_of_a_scratch_the_next_one_removes() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "done", &image, "true"])
        .succeeds();
    let script = "carrier sh --stopped done sh -c 'touch /x; chown 7:7 /x; echo up; sleep 1000' > ~/out & pid=$!
        until grep -q up ~/out; do sleep 0.05; done
        kill -KILL $pid; sleep 0.5; carrier rm done > /dev/null; echo $?";
    cx.script(script).succeeds().prints("0");
    let running = cx.running("web", [&image, "sleep", "1000"]);
    cx.carrier(["sh", "--stopped", "web"])
        .exits_with(125)
        .complains("container web is running");
    drop(running);
}

#[test]
fn a_stopped_container_without_a_shell_gets_the_small_one() {
    let cx = Cx::new();
    let _bare = bare(&cx);
    cx.carrier(["create", "--name", "still", "localhost/bare", "/sleep", "1"])
        .succeeds();
    cx.carrier_with_input(
        ["sh", "--stopped", "still"],
        "cat /etc/file; rm /etc/file; ls / | head -n 1",
    )
    .succeeds()
    .prints("kept\ndev");
    cx.carrier(["sh", "--stopped", "still", "cat", "/etc/file"])
        .succeeds()
        .prints("kept");
    cx.carrier(["rm", "still"]).succeeds();
}
