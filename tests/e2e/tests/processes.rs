//! Which processes a start takes, by strace.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, is_root, skip};

/// System calls of a cached start, in all of its processes up to the execution of the program, that of
/// the helpers apart. More of them need a reason, and fewer a smaller number here.
const BUDGET: usize = 761;

/// The same beside a container that runs.
const BUDGET_BESIDE: usize = 711;

/// Lines of strace about a start, each with the process in front.
struct Trace(Vec<String>);

impl Trace {
    fn of(cx: &Cx, image: &str) -> Self {
        let trace = format!(
            "strace -f -q -u carrier-test -o trace -e signal=none \
             carrier run --rm --network none {image} true && cat trace"
        );
        let outcome = cx.host_script(&trace).succeeds();
        let calls = outcome.text().lines();
        let lines = calls.filter(|line| line.contains('(') && !line.contains("resumed>"));
        Self(lines.map(str::to_owned).collect())
    }

    fn calls<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let is_one = |line: &&str| {
            let call = line.split_whitespace().nth(1).unwrap_or_default();
            names
                .iter()
                .any(|name| call.starts_with(&format!("{name}(")))
        };
        self.0.iter().map(String::as_str).filter(is_one)
    }

    fn clones(&self) -> usize {
        let names = ["clone", "clone3", "fork", "vfork"];
        assert!(
            self.calls(&names)
                .all(|line| !line.contains("CLONE_THREAD")),
            "{:#?}",
            self.calls(&names).collect::<Vec<_>>()
        );
        self.calls(&names).count()
    }

    /// The names of the programs that were executed.
    fn programs(&self) -> Vec<&str> {
        let paths = self
            .calls(&["execve"])
            .filter_map(|line| line.split('"').nth(1));
        let mut names: Vec<&str> = paths.filter_map(|path| path.rsplit('/').next()).collect();
        names.sort_unstable();
        names
    }

    /// Calls of Carrier's own processes, up to the execution of the program.
    fn own_calls(&self) -> usize {
        let executed: Vec<(&str, &str)> = self
            .calls(&["execve"])
            .filter_map(|line| Some((line.split_whitespace().next()?, line.split('"').nth(1)?)))
            .collect();
        let is_foreign = |process: &str| {
            executed
                .iter()
                .any(|(other, path)| *other == process && path.ends_with("idmap"))
        };
        let mut is_running = false;
        let own = self.0.iter().filter(|line| {
            is_running |= line.contains("/true\"");
            let process = line.split_whitespace().next().unwrap_or_default();
            !is_running && !is_foreign(process)
        });
        own.count()
    }
}

#[test]
fn a_cached_start_takes_six_clones_three_beside_another_container_and_no_thread() {
    const NAME: &str =
        "a_cached_start_takes_six_clones_three_beside_another_container_and_no_thread";
    if !is_root() {
        return skip(
            NAME,
            "a set-user-ID helper works under strace only for root",
        );
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let alone = Trace::of(&cx, &image);
    // What holds the ids, a helper for each kind of them, the monitor, what enters the ids, and the
    // program.
    assert_eq!(alone.clones(), 6);
    assert_eq!(
        alone.programs(),
        ["carrier", "newgidmap", "newuidmap", "true"]
    );
    assert!(alone.own_calls() <= BUDGET, "{}", alone.own_calls());
    cx.carrier([
        "run",
        "-d",
        "--name",
        "other",
        "--network",
        "none",
        &image,
        "sleep",
        "2005",
    ])
    .succeeds();
    let beside = Trace::of(&cx, &image);
    assert_eq!(beside.clones(), 3);
    assert_eq!(beside.programs(), ["carrier", "true"]);
    assert!(
        beside.own_calls() <= BUDGET_BESIDE,
        "{}",
        beside.own_calls()
    );
    cx.carrier(["rm", "-f", "other"]).succeeds();
}

#[test]
fn the_binary_loads_no_modules_of_the_c_library() {
    let cx = Cx::new();
    let program = std::fs::read(cx.program()).unwrap();
    for absent in ["libnss_", "/etc/nsswitch.conf"] {
        let found = program
            .windows(absent.len())
            .any(|bytes| bytes == absent.as_bytes());
        assert!(!found, "{absent} is in the binary");
    }
}
