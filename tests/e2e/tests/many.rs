//! Many containers at once.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use carrier_e2e::{Cx, rounds_or};

const PROCESSES: u32 = 8;

#[test]
fn many_start_at_once_while_others_look() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let each = rounds_or(200).div_ceil(PROCESSES);
    let done = AtomicBool::new(false);
    let (started, mut times) = std::thread::scope(|scope| {
        let start = |worker| {
            let script = format!(
                "for i in $(seq {each}); do
                     carrier run -d --name w{worker}-$i {image} sleep 1007 > /dev/null || exit 1
                 done"
            );
            cx.script(&script).succeeds();
        };
        let workers: Vec<_> = (0..PROCESSES)
            .map(|worker| scope.spawn(move || start(worker)))
            .collect();
        let looker = scope.spawn(|| {
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                cx.carrier(["ls", "-c", "-q"]).succeeds();
                times.push(start.elapsed());
            }
            times
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let listed = cx.carrier(["ls", "-c", "-q"]).succeeds();
        (listed.text().lines().count(), looker.join().unwrap())
    });
    assert_eq!(started, (each * PROCESSES) as usize);
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    let start = Instant::now();
    cx.carrier(["rm", "-c", "--force"]).succeeds();
    let removal = start.elapsed();
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
    println!(
        "{started} containers started by {PROCESSES} processes; ps {} times, 99 of 100 within \
         {p99:?}; all removed in {removal:?}",
        times.len()
    );
    // A lock that somebody holds for long would show.
    assert!(p99 < Duration::from_secs(10), "{p99:?}");
}

#[test]
fn of_many_that_want_a_name_one_gets_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let won = std::thread::scope(|scope| {
        let run = || {
            cx.script(&format!(
                "carrier run -d --name it {image} sleep 1008 && echo won"
            ))
        };
        let runs: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(run)).collect();
        let outcomes = runs.into_iter().map(|run| run.join().unwrap());
        outcomes
            .filter(|outcome| outcome.text().contains("won"))
            .count()
    });
    assert_eq!(won, 1);
    cx.carrier(["rm", "-f", "it"]).succeeds();
}

#[test]
fn of_lives_one_after_the_other_nothing_is_left() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let mounts = || {
        std::fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .count()
    };
    let before = mounts();
    let lives = rounds_or(100);
    cx.script(&format!(
        "for i in $(seq {lives}); do
             carrier run --rm --network none {image} true || exit 1
             test $((i % 20)) = 0 || continue
             carrier run -d --name life {image} sleep 2006 && carrier exec life true &&
                 carrier stop -t 0 life && carrier rm life || exit 2
         done",
    ))
    .succeeds();
    // Of processes and files, `Cx` makes sure at the end of each test.
    assert_eq!(mounts(), before);
}
