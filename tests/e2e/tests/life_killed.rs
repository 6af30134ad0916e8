//! Commands, monitors and programs that are killed at any moment, and hosts that boot: the next command
//! shows what is, and nothing is left.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carrier_e2e::{Cx, is_root, rounds_or, skip, until};
use serde_json::{Value, json};

/// What is known of the containers, by their directories.
fn states(cx: &Cx) -> Vec<Value> {
    let entries = fs::read_dir(cx.store().join("containers")).unwrap();
    let read = |path| {
        fs::read(path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
    };
    entries
        .filter_map(|entry| read(entry.ok()?.path().join("state.json")))
        .collect()
}

fn pid(state: &Value, who: &str) -> Option<String> {
    Some(state[who]["pid"].as_u64()?.to_string())
}

fn kill(pid: &str) {
    // It may have ended.
    let _ = Command::new("kill")
        .args(["-KILL", pid])
        .stderr(Stdio::null())
        .status();
}

/// Kills a container's monitor, with which its program ends.
fn kill_with_program(state: &Value) {
    kill(&pid(state, "monitor").unwrap());
    for who in ["monitor", "process"] {
        let process = format!("/proc/{}", pid(state, who).unwrap());
        until("its end", || !fs::exists(&process).unwrap());
    }
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// Runs `verb` once in peace, to know how long it takes.
fn duration_of(cx: &Cx, verb: &str) -> Duration {
    let start = Instant::now();
    cx.script(verb);
    let took = start.elapsed();
    cx.carrier(["rm", "-c", "--force"]).succeeds();
    took
}

/// What is listed as running runs, and what is not has no process: at the latest when what was on its
/// way has arrived.
fn assert_true_lists(cx: &Cx, round: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let listed = cx.carrier(["ls", "-c"]).succeeds().text().to_owned();
        let up = listed.lines().filter(|line| line.contains("  Up ")).count();
        let states = states(cx);
        let running = states.iter().filter(|state| runs(state)).count();
        if up == running {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "round {round}: {listed}, but {states:?}"
        );
    }
}

/// Whether the program that a state names is there.
fn runs(state: &Value) -> bool {
    let is_up = matches!(state["status"].as_str(), Some("running" | "paused"));
    let stat = pid(state, "process").map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")));
    let stat = stat.and_then(Result::ok).unwrap_or_default();
    is_up && stat.contains("(sleep)") && !stat.contains(") Z")
}

#[test]
fn whoever_is_killed_no_orphan_no_ghost_and_no_leftover_stays() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let running = format!("carrier run -d --name it {image} sleep 1003 >/dev/null");
    let verbs = [
        ("", format!("carrier run -d --name it {image} sleep 1003")),
        (
            "",
            format!("carrier run -d --rm --name it {image} sleep 1003"),
        ),
        (&*running, "carrier exec it sleep 0.02".to_owned()),
        (&*running, "carrier stop -t 0 it".to_owned()),
        (&*running, "carrier restart -t 0 it".to_owned()),
        (&*running, "carrier rm -f it".to_owned()),
    ];
    let kills = rounds_or(300);
    let mut dice = Dice(42);
    let mut killed = [0; 3];
    let mut each = verbs.iter().cycle();
    let times: Vec<Duration> = verbs
        .iter()
        .map(|(before, verb)| duration_of(&cx, &format!("{before}; {verb}")))
        .collect();
    let mut round = 0;
    while killed.iter().sum::<u32>() < kills {
        round += 1;
        let (before, verb) = each.next().unwrap();
        let whole = times[(round as usize - 1) % verbs.len()];
        cx.script(before).succeeds();
        let words: Vec<&str> = verb.split(' ').skip(1).collect();
        let mut command = cx.start(words);
        let percent = u32::try_from(dice.roll(100)).unwrap();
        std::thread::sleep(whole * percent / 100);
        let state = states(&cx).first().cloned().unwrap_or_default();
        let waits = command.try_wait().unwrap().is_none();
        let targets = [
            waits.then(|| command.id().to_string()),
            pid(&state, "monitor"),
            pid(&state, "process"),
        ];
        let start = usize::try_from(dice.roll(3)).unwrap();
        let victim = (start..start + 3)
            .map(|place| place % 3)
            .find(|place| targets[*place].is_some());
        if let Some(victim) = victim {
            kill(targets[victim].as_deref().unwrap());
            killed[victim] += 1;
        }
        command.wait().unwrap();
        assert_true_lists(&cx, round);
        cx.carrier(["rm", "-c", "--force"]).succeeds();
        cx.assert_nothing_is_left();
    }
    let [commands, monitors, programs] = killed;
    println!(
        "{round} rounds: {commands} commands, {monitors} monitors and {programs} programs killed, \
         nothing left"
    );
}

#[test]
fn a_stranger_with_a_recycled_pid_survives_stop_kill_and_rm() {
    const NAME: &str = "a_stranger_with_a_recycled_pid_survives_stop_kill_and_rm";
    if !is_root() {
        return skip(NAME, "the stranger belongs to another user than the test");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let mut stranger = cx.command(&["sleep", "60"]).spawn().unwrap();
    // The kernel tells the start of a process in hundredths of a second.
    std::thread::sleep(Duration::from_millis(50));
    for verb in ["stop", "kill", "rm -f", "restart -t 0"] {
        cx.carrier(["run", "-d", "--name", "it", &image, "sleep", "1004"])
            .succeeds();
        let mut state = states(&cx).remove(0);
        kill_with_program(&state);
        // The processes have gone, and somebody else has got their numbers.
        for who in ["monitor", "process"] {
            state[who]["pid"] = json!(stranger.id());
        }
        let written = state.to_string();
        let path = "~/.local/share/carrier/containers/*/state.json";
        cx.script(&format!("echo '{written}' > $(echo {path})"))
            .succeeds();
        cx.script(&format!("carrier {verb} it"));
        assert!(
            stranger.try_wait().unwrap().is_none(),
            "{verb} has ended a stranger"
        );
        cx.carrier(["rm", "-c", "--force"]).succeeds();
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn after_a_boot_nothing_runs_and_everything_can_be_started() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "it", &image, "sleep", "1005"])
        .succeeds();
    cx.carrier([
        "run", "-d", "--rm", "--name", "scratch", &image, "sleep", "1005",
    ])
    .succeeds();
    // A boot ends all processes, changes the boot's id and empties the runtime directory.
    states(&cx).iter().for_each(kill_with_program);
    cx.script(
        "rm -rf $XDG_RUNTIME_DIR/carrier
         sed -i 's/\"bootId\":\"[^\"]*\"/\"bootId\":\"another\"/g' \
             ~/.local/share/carrier/containers/*/state.json",
    )
    .succeeds();
    let listed = cx.carrier(["ls", "-c", "-a"]).succeeds();
    listed.shows("Exited (255)");
    cx.carrier(["ls", "-c", "-a", "-q"])
        .text()
        .lines()
        .for_each(|id| {
            cx.carrier(["start", id]).succeeds();
        });
    cx.carrier(["exec", "it", "true"]).succeeds();
    cx.carrier(["ls", "-c", "-a"]).succeeds().shows("  it");
    assert_eq!(states(&cx).len(), 1);
    cx.carrier(["rm", "-f", "it"]).succeeds();
}

#[test]
fn a_runtime_directory_that_is_deleted_changes_nothing() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "it", &image, "sleep", "1006"])
        .succeeds();
    // As at the end of a login session, and in one that has another.
    cx.script(
        "rm -rf $XDG_RUNTIME_DIR/*; unset XDG_RUNTIME_DIR; carrier exec it true; carrier ls -c",
    )
    .succeeds()
    .shows("Up");
    cx.carrier(["stop", "-t", "0", "it"]).succeeds();
    cx.carrier(["rm", "it"]).succeeds();
    cx.script("rm -rf /tmp/carrier-$(id -u)");
}

#[test]
fn a_commit_or_a_copy_that_is_killed_leaves_a_container_that_runs_and_nothing_else() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null; touch /ready; sleep 1003";
    cx.carrier(["run", "-d", "--name", "it", &image, "sh", "-c", script])
        .succeeds();
    cx.script("until carrier exec it test -e /ready; do sleep 0.05; done")
        .succeeds();
    let before = ids(&cx);
    let verbs = [
        "commit it made:1",
        "cp it:/big copied",
        "cp copied it:/again",
        "export -o exported.tar it",
    ];
    let whole: Vec<Duration> = verbs
        .iter()
        .map(|verb| {
            let start = Instant::now();
            cx.script(&format!("carrier {verb}")).succeeds();
            start.elapsed()
        })
        .collect();
    cx.carrier(["rmi", "made:1"]).succeeds();
    let rounds = rounds_or(40);
    let mut dice = Dice(7);
    for round in 0..rounds {
        let verb = verbs[round as usize % verbs.len()];
        let moment = whole[round as usize % verbs.len()].mul_f64(dice.roll(100) as f64 / 100.0);
        let mut command = cx.start(verb.split(' '));
        std::thread::sleep(moment);
        kill(&command.id().to_string());
        command.wait().unwrap();
        assert_true_lists(&cx, round);
        let deadline = Instant::now() + Duration::from_secs(30);
        while cx
            .carrier(["inspect", "-f", "{{.State.Status}}", "it"])
            .succeeds()
            .text()
            .trim()
            != "running"
        {
            assert!(Instant::now() < deadline, "round {round}: {verb} holds it");
        }
        if cx
            .script("carrier rmi -f made:1 2>/dev/null")
            .text()
            .contains("Untagged")
        {
            assert!(verb.starts_with("commit"), "round {round}: {verb}");
        }
        cx.until_swept();
        assert_eq!(ids(&cx), before, "round {round}: {verb}");
    }
    for verb in verbs {
        cx.script(&format!("carrier {verb}")).succeeds();
    }
    println!("{rounds} commits, copies and exports killed");
    cx.script(
        "carrier rmi made:1; rm -f copied exported.tar .copied* .exported*; carrier rm -f it",
    )
    .succeeds();
}

/// What a commit says to a monitor before it copies, by one that is gone before it is answered.
const HOLDS_AND_LEAVES: &str = "import socket, os, glob
os.chdir(os.path.dirname(glob.glob(os.path.expanduser('~/.local/share/carrier/containers/*/control.sock'))[0]))
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('control.sock')
s.send(b'H')";

#[test]
fn whoever_holds_a_container_and_is_killed_before_the_answer_lets_it_go() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "it", &image, "sleep", "1003"])
        .succeeds();
    for _ in 0..20 {
        cx.script(&format!("python3 -c \"{HOLDS_AND_LEAVES}\""))
            .succeeds();
    }
    let until_it_runs =
        "until carrier inspect -f '{{.State.Status}}' it | grep -q running; do :; done";
    cx.script(&format!("sleep 0.5; timeout 30 sh -c \"{until_it_runs}\""))
        .succeeds();
    cx.carrier(["rm", "-f", "it"]).succeeds();
}

/// The ids of all images, and whatever is in the making.
fn ids(cx: &Cx) -> String {
    let script =
        "carrier images -aq; carrier system check --quick; ls ~/.local/share/carrier/staging";
    cx.script(script).succeeds().text().to_owned()
}

#[test]
fn how_a_container_ended_is_known_on_a_full_disk() {
    const NAME: &str = "how_a_container_ended_is_known_on_a_full_disk";
    if !is_root() {
        return skip(NAME, "only root can mount a small file system");
    }
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let home = cx.home().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=24m,mode=0777 small {home} && exec setpriv --reuid carrier-test \
         --regid carrier-test --init-groups sh -c '
            carrier pull -q {image}
            carrier run -d --name it {image} sh -c \"trap \\\"exit 3\\\" TERM; sleep 1003 & wait\"
            cat /dev/zero > {home}/filler 2>/dev/null
            carrier ps -q | wc -l
            carrier stop it
            carrier inspect -f \"{{{{.State.Status}}}} {{{{.State.ExitCode}}}}\" it
            carrier ps -a
            carrier rm it; echo removed $?'"
    );
    let outcome = cx.host_script(&script);
    for part in ["exited 3", "Exited (3)", "removed 0"] {
        assert!(outcome.text().contains(part), "{part}: {outcome:?}");
    }
}
