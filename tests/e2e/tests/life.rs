//! Containers through their life: made, started, stopped, held, started again, removed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::time::{Duration, Instant};

use carrier_e2e::{Cx, until};

/// The status of a container, as `ps` has it.
fn status(cx: &Cx, name: &str) -> String {
    let listed = cx.script("carrier ls -c -a").succeeds();
    let mut lines = listed.text().lines();
    let line = lines.rfind(|line| line.ends_with(&format!(" {name}")));
    let words = line.unwrap_or_default();
    let known = ["Created", "Up", "Exited", "Restarting"];
    let start = known
        .iter()
        .find_map(|word| words.find(&format!(" {word}")));
    start.map_or_else(String::new, |start| words[start + 1..].to_owned())
}

#[test]
fn a_detached_run_prints_the_id_alone_and_the_container_goes_on() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = cx.carrier(["run", "-d", "--name", "web", &image, "sleep", "100"]);
    let id = run.succeeds().text().trim().to_owned();
    assert_eq!(id.len(), 64, "{id}");
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(status(&cx, "web").starts_with("Up"));
    cx.carrier(["stop", "-t", "0", &id[..12]])
        .succeeds()
        .prints(&id[..12]);
    assert!(status(&cx, "web").starts_with("Exited (137)"));
    cx.carrier(["rm", "web"]).succeeds().prints("web");
}

#[test]
fn nobody_waits_for_a_detached_container() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    // The pipe ends with the command, although a container goes on.
    let script = format!("exec 7>&1; carrier run -d --name xx {image} sleep 100 | cat; echo over");
    cx.script(&script).succeeds().shows("over");
    cx.carrier(["rm", "-f", "xx"]).succeeds();
}

#[test]
fn a_program_that_is_not_there_is_an_error_of_a_detached_run() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for (program, code) in [("nosuch", 127), ("/etc", 126)] {
        let run = cx.carrier(["run", "-d", "--name", "xx", &image, program]);
        run.exits_with(code).complains(program);
        cx.carrier(["rm", "xx"]).succeeds();
    }
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
}

#[test]
fn a_stop_asks_first_and_kills_when_the_time_is_over() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let polite = "trap 'exit 7' USR1; echo up; while :; do sleep 0.1; done";
    cx.carrier([
        "run",
        "-d",
        "--name",
        "polite",
        "--stop-signal",
        "USR1",
        "--stop-timeout",
        "60",
        &image,
        "sh",
        "-c",
        polite,
    ])
    .succeeds();
    cx.carrier([
        "run",
        "-d",
        "--name",
        "deaf",
        "--stop-timeout",
        "1",
        &image,
        "sleep",
        "100",
    ])
    .succeeds();
    until("the trap", || {
        cx.carrier(["logs", "polite"]).text().contains("up")
    });
    let start = Instant::now();
    cx.carrier(["stop", "polite", "deaf"])
        .succeeds()
        .prints("polite\ndeaf");
    let took = start.elapsed();
    assert!(
        took > Duration::from_secs(1) && took < Duration::from_secs(30),
        "{took:?}"
    );
    assert!(status(&cx, "polite").starts_with("Exited (7)"));
    assert!(status(&cx, "deaf").starts_with("Exited (137)"));
    // What does not run is left alone.
    cx.carrier(["stop", "polite"]).succeeds().prints("polite");
    cx.carrier(["rm", "polite", "deaf"]).succeeds();
}

#[test]
fn of_several_targets_each_has_its_turn_and_the_code_tells_of_failures() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "one", &image, "sleep", "100"])
        .succeeds();
    cx.carrier(["stop", "-t", "0", "none", "one"])
        .exits_with(1)
        .prints("one")
        .complains("no such container: none");
    cx.carrier(["start", "none", "one"])
        .exits_with(1)
        .prints("one");
    cx.carrier(["kill", "one"]).succeeds().prints("one");
    cx.carrier(["wait", "one", "none"])
        .exits_with(1)
        .prints("137");
    cx.carrier(["kill", "one"])
        .exits_with(1)
        .complains("is not running");
    cx.carrier(["rm", "one"]).succeeds();
}

#[test]
fn a_stopped_container_keeps_its_files_and_starts_again() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "create",
        "--name",
        "xx",
        &image,
        "sh",
        "-c",
        "echo run >> /f; cat /f",
    ])
    .succeeds();
    assert!(status(&cx, "xx").starts_with("Created"));
    cx.carrier(["start", "-a", "xx"]).succeeds().prints("run");
    cx.carrier(["start", "-a", "xx"])
        .succeeds()
        .prints("run\nrun");
    cx.carrier(["rm", "xx"]).succeeds();
}

#[test]
fn a_restart_gives_the_program_a_new_life() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run",
        "-d",
        "--name",
        "xx",
        &image,
        "sh",
        "-c",
        "echo life; sleep 100",
    ])
    .succeeds();
    for life in 1..=3 {
        until("the next life", || {
            cx.carrier(["logs", "xx"]).text().lines().count() == life
        });
        cx.carrier(["restart", "-t", "0", "xx"])
            .succeeds()
            .prints("xx");
    }
    cx.carrier(["rm", "-f", "xx"]).succeeds();
}

#[test]
fn a_paused_container_stands_still_until_it_is_let_go() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let count = "(while :; do echo x >> /n; done) & while :; do echo x >> /n; done";
    cx.carrier(["run", "-d", "--name", "xx", &image, "sh", "-c", count])
        .succeeds();
    cx.carrier(["pause", "xx"]).succeeds().prints("xx");
    assert!(status(&cx, "xx").contains("(Paused)"));
    let size = || {
        cx.script("stat -c %s ~/.local/share/carrier/containers/*/upper/n")
            .text()
            .to_owned()
    };
    let before = size();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(size(), before);
    cx.carrier(["pause", "xx"])
        .exits_with(1)
        .complains("is paused");
    cx.carrier(["unpause", "xx"]).succeeds().prints("xx");
    until("the next line", || size() != before);
    cx.carrier(["unpause", "xx"])
        .exits_with(1)
        .complains("is not paused");
    // A held container can be stopped: it is let go for that.
    cx.carrier(["pause", "xx"]).succeeds();
    cx.carrier(["stop", "-t", "1", "xx"]).succeeds();
    cx.carrier(["rm", "xx"]).succeeds();
}

#[test]
fn a_restart_policy_decides_by_the_exit_code() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let fails = "echo life; exit 4";
    cx.carrier([
        "run",
        "-d",
        "--name",
        "xx",
        "--restart",
        "on-failure:2",
        &image,
        "sh",
        "-c",
        fails,
    ])
    .succeeds();
    cx.carrier(["wait", "xx"]).succeeds().prints("4");
    cx.carrier(["logs", "xx"])
        .succeeds()
        .prints("life\nlife\nlife");
    cx.carrier([
        "run",
        "-d",
        "--name",
        "yy",
        "--restart",
        "on-failure",
        &image,
        "true",
    ])
    .succeeds();
    cx.carrier(["wait", "yy"]).succeeds().prints("0");
    cx.carrier(["rm", "xx", "yy"]).succeeds();
    cx.carrier(["run", "-d", "--rm", "--restart", "always", &image, "true"])
        .exits_with(125)
        .complains("--restart and --rm");
}

#[test]
fn a_stop_ends_a_container_that_is_restarted_for_ever() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run",
        "-d",
        "--name",
        "xx",
        "--restart",
        "always",
        &image,
        "true",
    ])
    .succeeds();
    until("a restart", || {
        status(&cx, "xx").starts_with("Restarting (0)")
    });
    cx.carrier(["stop", "xx"]).succeeds();
    std::thread::sleep(Duration::from_millis(300));
    assert!(status(&cx, "xx").starts_with("Exited (0)"));
    cx.carrier(["start", "xx"]).succeeds();
    cx.carrier(["rm", "-f", "xx"]).succeeds();
}

#[test]
fn a_container_that_was_to_be_removed_is_gone_with_its_program() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--rm", "--name", "xx", &image, "sleep", "0.2"])
        .succeeds();
    cx.carrier(["wait", "--condition", "removed", "xx"])
        .succeeds()
        .prints("0");
    cx.carrier(["run", "-d", "--rm", "--name", "xx", &image, "sleep", "100"])
        .succeeds();
    cx.carrier(["stop", "-t", "0", "xx"]).succeeds();
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
}

#[test]
fn ids_and_process_ids_are_written_where_they_are_wanted() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "cd ~; carrier run -d --cidfile id --pidfile pid --name xx {image} sleep 100 > printed
         [ \"$(cat id)\" = \"$(cat printed)\" ] && tr '\\0' ' ' < /proc/$(cat pid)/cmdline
         carrier run --cidfile id {image} true; echo; echo $?
         carrier rm -f xx"
    );
    cx.script(&script)
        .succeeds()
        .prints("sleep 100 \n0\nxx")
        .complains("container id file id exists");
}

#[test]
fn a_container_of_the_same_name_can_be_replaced() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "xx", &image, "sleep", "100"])
        .succeeds();
    cx.carrier(["run", "-d", "--name", "xx", &image, "sleep", "100"])
        .exits_with(125)
        .complains("the name xx is in use");
    cx.carrier([
        "run",
        "-d",
        "--replace",
        "--name",
        "xx",
        &image,
        "sleep",
        "100",
    ])
    .succeeds();
    assert_eq!(
        cx.carrier(["ls", "-c", "-a", "-q"]).text().lines().count(),
        1
    );
    cx.carrier(["rm", "-f", "xx"]).succeeds();
}

#[test]
fn a_program_that_runs_too_long_is_killed() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--rm", "--timeout", "1", &image, "sleep", "100"])
        .exits_with(137);
}

#[test]
fn input_goes_to_a_program_until_its_end() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!("seq 100000 | carrier run -i --rm {image} md5sum; seq 100000 | md5sum");
    let sums = cx.script(&script).succeeds();
    let mut lines = sums.text().lines();
    assert_eq!(lines.next(), lines.next());
    // A program that reads nothing does not keep signals from their way.
    let script = format!(
        "cd ~; mkfifo f; yes > f & \
         carrier run -i --rm --name xx {image} sh -c 'trap \"exit 5\" TERM; echo up; sleep 100 & wait' < f > said & \
         pid=$!; until grep -q up said; do sleep 0.05; done; \
         kill $pid; wait $pid; echo $?"
    );
    cx.script(&script).succeeds().prints("5");
}

#[test]
fn p09_a_monitor_is_reached_by_its_user_alone() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run",
        "-d",
        "--name",
        "xx",
        "--network",
        "host",
        &image,
        "sleep",
        "100",
    ])
    .succeeds();
    let script = "cd ~/.local/share/carrier; stat -c '%a %F' . containers containers/* containers/*/control.sock
        grep -c '@.*carrier' /proc/net/unix";
    cx.script(script)
        .prints("700 directory\n700 directory\n700 directory\n600 socket\n0");
    // The kernel lists it to whoever has the host's network; its path leads nowhere in there.
    let inside = "grep -o '/.*control.sock' /proc/net/unix | while read s; do ls $s; done";
    cx.carrier(["exec", "xx", "sh", "-c", inside]).shows("");
    cx.carrier(["exec", "xx", "find", "/", "-name", "control.sock"])
        .prints("");
    // What is no request ends the conversation, and nothing else.
    let nonsense = "import socket, os, glob
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.chdir(os.path.dirname(glob.glob(os.path.expanduser('~/.local/share/carrier/containers/*/control.sock'))[0]))
s.connect('control.sock')
for message in [b'?', b'S', b'R12', b'K', b'A' * 60000]:
    try: s.send(message)
    except OSError: break
try: print(len(s.recv(100)))
except OSError: print(0)";
    cx.script(&format!("python3 -c \"{nonsense}\""))
        .succeeds()
        .prints("0");
    cx.carrier(["exec", "xx", "true"]).succeeds();
    cx.carrier(["rm", "-f", "xx"]).succeeds();
}

#[test]
fn a_program_may_have_the_streams_of_the_command() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --rm -d --log-driver passthrough --name xx {image} echo from inside > ~/out
         until grep -q inside ~/out; do sleep 0.05; done; grep inside ~/out"
    );
    cx.script(&script).succeeds().prints("from inside");
}
