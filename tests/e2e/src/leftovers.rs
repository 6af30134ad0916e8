//! What a test must not leave: processes, mounts, directories.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cx::{Cx, MARKER};
use crate::running::INTERVAL;
use crate::tree;

/// How long processes that were told to end may take.
const GRACE: Duration = Duration::from_secs(3);

/// Fails when anything of the test's containers is left.
#[track_caller]
pub(crate) fn check(cx: &Cx) {
    let processes = wait_for_processes(cx.marker());
    assert!(processes.is_empty(), "processes are left: {processes:#?}");
    let mounts = mounts_of("self", cx.directory());
    assert!(mounts.is_empty(), "mounts are left: {mounts:#?}");
    let store = cx.store();
    let directories = ["containers", "names", "staging"].map(|name| store.join(name));
    for directory in directories.into_iter().chain([cx.runtime()]) {
        let entries = tree::entries(&directory);
        assert!(entries.is_empty(), "left in {}: {entries:#?}", directory.display());
    }
    let temporary = tree::entries(&cx.directory().join("tmp"));
    let temporary: Vec<_> = temporary.iter().filter(|path| !is_tmux(path)).collect();
    assert!(temporary.is_empty(), "temporary files are left: {temporary:#?}");
}

fn is_tmux(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tmux-"))
}

fn wait_for_processes(marker: &str) -> Vec<Process> {
    let deadline = Instant::now() + GRACE;
    loop {
        let found = processes(marker);
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Kills the processes of a test.
pub(crate) fn kill_all(marker: &str) {
    for process in processes(marker) {
        // Some die with the ones before them.
        let _ = kill_process(process.pid, Signal::KILL);
    }
    wait_for_processes(marker);
}

/// A process of a test.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    #[allow(dead_code, reason = "shown when a test fails")]
    command: String,
}

/// The processes of a test: those that have its marker in their environment, and those of its
/// containers, which see files of its directory in their mounts.
pub(crate) fn processes(marker: &str) -> Vec<Process> {
    let own = std::process::id();
    let numbers = tree::entries(Path::new("/proc")).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        name.parse::<u32>().ok()
    });
    numbers
        .filter(|pid| *pid != own && !is_zombie(*pid) && belongs_to(*pid, marker))
        .filter_map(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
            Some(Process { pid, command })
        })
        .collect()
}

fn belongs_to(pid: u32, marker: &str) -> bool {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let variable = format!("{MARKER}={marker}");
    let is_marked = read("environ").split(|byte| *byte == 0).any(|line| line == variable.as_bytes());
    is_marked || mounts_show(&read("mountinfo"), marker)
}

/// Whether a mount's source lies in the directory named after `marker`: a `Disk` of the test, which
/// every process of the host sees, only has its target there.
fn mounts_show(mountinfo: &[u8], marker: &str) -> bool {
    let text = String::from_utf8_lossy(mountinfo);
    text.lines().any(|line| {
        let root = line.split(' ').nth(3).unwrap_or_default();
        let options = line.split(" - ").nth(1).unwrap_or_default();
        let within = |text: &str| text.contains(&format!("/{marker}/"));
        within(root) || within(options)
    })
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    state.is_empty() || state.starts_with('Z') || state.starts_with('X')
}

/// Targets of mounts below `directory` that the process `pid` sees.
fn mounts_of(pid: &str, directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let below = directory.display().to_string();
    let targets = text.lines().filter_map(|line| line.split(' ').nth(4));
    targets.filter(|target| target.starts_with(&below)).map(str::to_owned).collect()
}
