//! What commands and the monitor of a container tell each other, also when one of them is slow, is killed,
//! or changes its mind.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, until};

fn status(cx: &Cx, name: &str) -> String {
    let template = "{{.State.Status}}";
    let told = cx.carrier(["inspect", "-f", template, name]).succeeds();
    told.text().trim().to_owned()
}

/// Says something to the monitor of the only container, in Python.
fn say(cx: &Cx, words: &str) {
    let script = format!(
        "import socket, os, glob, subprocess
os.chdir(os.path.dirname(glob.glob(os.path.expanduser('~/.local/share/carrier/containers/*/control.sock'))[0]))
def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect('control.sock')
    return s
def ask(s, word):
    s.send(word)
    assert s.recv(9) == b'd'
def carrier(*words): subprocess.run(['carrier', *words], check=True)
def status(): return subprocess.check_output(['carrier', 'inspect', '-f', '{{{{.State.Status}}}}', 'it'], text=True).strip()
{words}"
    );
    let file = cx.file("say.py", &script);
    cx.script(&format!("python3 {file}")).succeeds();
}

#[test]
fn whoever_types_and_reads_slowly_gets_all_that_was_written() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    // The program takes what was typed when there is no room to say so.
    let program =
        "sleep 1; (yes | head -c 1000000)& sleep 1; head -c 150000 >/dev/null; wait; exit 3";
    let script = format!(
        "head -c 200k /dev/zero | (carrier run -i --rm {image} sh -c '{program}'; echo $? >code) | (sleep 4; wc -c); cat code; rm code"
    );
    cx.script(&script).prints("1000000\n3");
}

#[test]
fn the_code_gets_through_when_there_was_no_room_for_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for size in [216, 256, 288] {
        let script = format!(
            "(carrier run --rm {image} sh -c 'head -c {size}k /dev/zero; exit 3'; echo $? >code) | (sleep 1; wc -c); cat code; rm code"
        );
        cx.script(&script).prints(&format!("{}\n3", size * 1024));
    }
}

#[test]
fn the_input_ends_with_whoever_types_however_that_ends() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let program = "yes 1234567 & cat >/dev/null; kill $!";
    for _ in 0..8 {
        let script = format!(
            "mkfifo input; sleep 1000 >input & holder=$!
             carrier run -i --name it {image} sh -c '{program}' <input >/dev/null & command=$!
             until carrier ps -q | grep -q .; do :; done; sleep 0.3
             kill -9 $command; kill $holder; rm input; timeout 30 carrier wait it; carrier rm it"
        );
        cx.script(&script).shows("it");
    }
}

#[test]
fn nobody_waits_for_a_reader_that_does_not_read() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for end in [
        "carrier stop -t -1 -s KILL it; carrier wait it; carrier rm it",
        "carrier rm -f it",
    ] {
        let script = format!(
            "mkfifo output; sleep 1000 <output & reader=$!
             carrier run --name it {image} yes >output & command=$!
             until carrier ps -q | grep -q .; do :; done; sleep 0.3
             timeout 30 sh -c '{end}' >/dev/null; echo $?
             kill $reader; wait $command; echo $?; rm output"
        );
        cx.script(&script).prints("0\n137");
    }
}

#[test]
fn a_container_that_is_removed_at_its_end_outlives_a_restart() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = ["run", "-d", "--rm", "--name", "it", "-v", "/data", &image];
    cx.carrier(run.into_iter().chain(["sleep", "1003"]))
        .succeeds();
    cx.carrier(["exec", "it", "touch", "/data/here"]).succeeds();
    // Everybody who looks removes what was to be removed.
    let script = "(for i in $(seq 200); do carrier ps -aq >/dev/null; done) & \
                  for i in 1 2 3; do carrier restart -t 0 it; done; wait; carrier exec it ls /data";
    cx.script(script).prints("it\nit\nit\nhere");
    cx.carrier(["stop", "-t", "0", "it"]).succeeds();
    cx.script("carrier ps -aq; carrier volume ls -q").prints("");
}

#[test]
fn a_run_whose_container_was_started_by_another_command_leaves_it_alone() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "(while [ ! -e over ]; do carrier start it 2>/dev/null; done) & \
         for i in $(seq 30); do carrier run --rm --name it {image} true; done 2>/dev/null; touch over; wait; rm over"
    );
    cx.script(&script).succeeds();
    until("the end of all containers", || {
        cx.carrier(["ps", "-aq"]).succeeds().text().is_empty()
    });
}

#[test]
fn a_container_that_is_about_to_be_started_again_can_be_ended() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for end in ["stop", "kill"] {
        let run = [
            "run",
            "-d",
            "--restart",
            "unless-stopped",
            "--name",
            "it",
            &image,
        ];
        cx.carrier(run.into_iter().chain(["false"])).succeeds();
        until("the pause between two starts", || {
            status(&cx, "it") == "restarting"
        });
        cx.carrier([end, "it"]).succeeds();
        until("its end", || status(&cx, "it") == "exited");
        // It was the user who has ended it.
        let state = "grep -o '\"stopped\":[a-z]*' ~/.local/share/carrier/containers/*/state.json";
        cx.script(state).prints("\"stopped\":true");
        cx.carrier(["rm", "it"]).succeeds();
    }
}

#[test]
fn a_command_that_is_asked_to_end_does_not_leave_a_container_that_comes_back() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let program = r#"trap "exit 9" INT TERM; echo up; while :; do sleep 0.1; done"#;
    for signal in ["TERM", "INT"] {
        let script = format!(
            "carrier run --restart always --name it {image} sh -c '{program}' >out & command=$!
             until grep -q up out; do sleep 0.05; done
             kill -{signal} $command; wait $command; echo $?; sleep 1
             carrier ps -q; carrier rm it; rm out"
        );
        cx.script(&script).prints("9\nit");
    }
}

#[test]
fn many_stops_at_once_leave_the_code_of_the_program() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let program = r#"trap "exit 5" TERM; echo up; while :; do sleep 0.1; done"#;
    for round in 0..5 {
        let script = format!(
            "carrier run --name it {image} sh -c '{program}' >out & command=$!
             until grep -q up out; do sleep 0.05; done
             for i in 1 2 3 4 5 6; do carrier stop it >/dev/null & stops=\"$stops $!\"; done; wait $stops
             wait $command; echo $?; carrier rm it; rm out"
        );
        let outcome = cx.script(&script);
        assert_eq!(outcome.text(), "5\nit", "round {round}: {outcome:?}");
    }
}

#[test]
fn who_holds_a_container_lets_go_of_what_it_holds_and_of_nothing_else() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "it", &image, "sleep", "1003"])
        .succeeds();
    say(
        &cx,
        "one, other = connect(), connect()
ask(one, b'H')
ask(other, b'H')
assert status() == 'paused'
ask(one, b'G')
assert status() == 'paused'
ask(other, b'G')
assert status() == 'running'
ask(one, b'H')
carrier('unpause', 'it')
carrier('pause', 'it')
ask(one, b'G')
assert status() == 'paused'",
    );
    assert_eq!(status(&cx, "it"), "paused");
    cx.carrier(["rm", "-f", "it"]).succeeds();
}

#[test]
fn a_monitor_that_is_asked_to_end_lets_a_held_program_go_for_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let program = r#"trap "exit 5" TERM; echo up; while :; do sleep 0.1; done"#;
    let run = ["run", "-d", "--name", "it", &image, "sh", "-c", program];
    cx.carrier(run).succeeds();
    until("the program", || {
        cx.carrier(["logs", "it"]).text().contains("up")
    });
    let script = "carrier pause it; first=$(carrier inspect -f '{{.State.Pid}}' it)
         kill -TERM $(awk '/^PPid/ {print $2}' /proc/$first/status); carrier wait it; carrier rm it";
    cx.script(script).prints("it\n5\nit");
}
