//! Volumes and those who are killed, come at the same time, or exchange names.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carrier_e2e::{Canary, Cx, Exchange, rounds, rounds_or};

/// An image with many files in `/data`.
fn image(cx: &Cx) -> String {
    let base = cx.pulled("busybox");
    let script = "mkdir /data && cd /data && for d in 0 1 2 3 4 5 6 7 8 9; do mkdir $d; \
                  for f in 0 1 2 3 4 5 6 7 8 9; do head -c 20000 /dev/urandom > $d/$f; done; done; \
                  chown 1000:1000 5/5";
    cx.carrier(["run", "--name", "maker", &base, "sh", "-c", script])
        .succeeds();
    cx.carrier(["commit", "-q", "maker", "with-data"])
        .succeeds();
    cx.carrier(["rm", "maker"]).succeeds();
    "with-data".to_owned()
}

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .map(|entry| match entry.path().is_dir() {
            true => files(&entry.path()),
            false => 1,
        })
        .sum()
}

fn names(directory: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits until nothing is worked on, and nothing is left but `data`: a child may outlive its parent for a
/// moment.
fn settle(cx: &Cx) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        cx.carrier(["volume", "ls"]).succeeds();
        let volumes = names(cx.store().join("volumes"));
        let others = volumes.iter().any(|name| name != "data");
        let staged = names(cx.store().join("staging"));
        if (staged.is_empty() && !others) || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn many_containers_fill_a_volume_once() {
    let cx = Cx::with_registry();
    let image = image(&cx);
    let runs: Vec<_> = (0..20)
        .map(|_| {
            cx.start([
                "run",
                "--rm",
                "-v",
                "new:/data",
                &image,
                "sh",
                "-c",
                "find /data -type f | wc -l",
            ])
        })
        .collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            told.trim(),
            "100",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let data = cx.store().join("volumes/new/_data");
    assert_eq!(files(&data), 100);
    assert_eq!(names(cx.store().join("volumes/new")).len(), 2);
    let events = cx.carrier([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "event=create",
        "--format",
        "{{.Type}}",
    ]);
    let made = events
        .text()
        .lines()
        .filter(|line| *line == "volume")
        .count();
    assert_eq!(made, 1);
    cx.carrier(["volume", "rm", "new"]).succeeds();
}

#[test]
fn a_volume_that_was_being_filled_is_filled_by_the_next_one() {
    let cx = Cx::with_registry();
    let image = image(&cx);
    for round in 0..rounds_or(12) {
        let mut run = cx.start([
            "run",
            "--rm",
            "--name",
            "box",
            "-v",
            "data:/data",
            "-v",
            "/data2",
            &image,
            "true",
        ]);
        std::thread::sleep(Duration::from_millis(u64::from(round % 12) * 12));
        run.kill().unwrap();
        run.wait().unwrap();
        cx.carrier(["rm", "-f", "box"]);
        settle(&cx);
        // Absent, empty, or whole.
        let data = cx.store().join("volumes/data/_data");
        let found = files(&data);
        assert!(found == 0 || found == 100, "{found} files");
        let count = [
            "run",
            "--rm",
            "-v",
            "data:/data",
            &image,
            "sh",
            "-c",
            "find /data -type f | wc -l; stat -c %u /data/5/5",
        ];
        cx.carrier(count).succeeds().prints("100\n1000");
        assert_eq!(names(cx.store().join("volumes")), ["data"]);
        cx.carrier(["volume", "rm", "data"]).succeeds();
    }
}

#[test]
fn a_volume_that_is_just_made_is_absent_or_whole() {
    let cx = Cx::new();
    cx.carrier(["volume", "ls"]).succeeds();
    for round in 0..rounds() {
        let mut create = cx.start(["volume", "create", "--label", "a=b", "data"]);
        std::thread::sleep(Duration::from_micros(u64::from(round % 40) * 200));
        create.kill().unwrap();
        create.wait().unwrap();
        let listed = cx.carrier(["volume", "ls", "-q"]).succeeds();
        if listed.text().trim() == "data" {
            cx.carrier(["volume", "inspect", "-f", "{{.Labels.a}}", "data"])
                .succeeds()
                .prints("b");
            cx.carrier(["volume", "rm", "data"]).succeeds();
        }
        assert!(names(cx.store().join("staging")).is_empty());
    }
}

#[test]
fn removing_a_volume_and_making_a_container_with_it_leave_no_half() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for _ in 0..rounds_or(15) {
        let mut remove = cx.start(["volume", "rm", "-f", "data"]);
        let run = cx.carrier([
            "run", "--name", "box", "-v", "data:/x", &image, "touch", "/x/f",
        ]);
        remove.wait().unwrap();
        run.succeeds();
        assert!(cx.store().join("volumes/data/_data/f").exists());
        cx.carrier(["rm", "box"]).succeeds();
    }
    cx.carrier(["volume", "rm", "-f", "data"]).succeeds();
}

#[test]
fn f12_copies_see_volumes_and_follow_no_link_out_of_them() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let canary = Canary::new(&cx);
    cx.script("mkdir host && echo host > host/f && echo new > new")
        .succeeds();
    cx.carrier([
        "create",
        "--name",
        "box",
        "-v",
        "data:/vol",
        "-v",
        "./host:/h:ro",
        &image,
        "true",
    ])
    .succeeds();
    // Also while it does not run.
    cx.script("carrier cp -q new box:/vol/deep && carrier cp -q box:/h/f out && cat out")
        .succeeds()
        .prints("host");
    let data = cx.store().join("volumes/data/_data");
    assert_eq!(fs::read_to_string(data.join("deep")).unwrap(), "new\n");
    let refused = cx.carrier(["cp", "new", "box:/h/g"]);
    assert!(!refused.is_success(), "{refused:?}");
    cx.carrier(["rm", "box"]).succeeds();
    // And with a link that appears meanwhile.
    cx.script(&format!(
        "mkdir {0}/x && ln -s {1} {0}/y",
        data.display(),
        canary.path().display()
    ))
    .succeeds();
    let running = cx.running("box", ["-v", "data:/vol", &image, "sleep", "300"]);
    let exchange = Exchange::of(&[(&data.join("x"), &data.join("y"))]);
    for _ in 0..rounds() {
        cx.carrier(["cp", "-q", "new", "box:/vol/x/copied"]);
        cx.carrier(["cp", "-q", "box:/vol/x/target", "stolen"]);
    }
    assert!(exchange.stop() > 0);
    canary.assert_untouched();
    assert!(!cx.home().join("../stolen").exists());
    drop(running);
    cx.carrier(["volume", "rm", "data"]).succeeds();
}

#[test]
fn f11_a_hostile_tree_in_a_volume_is_removed() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let canary = Canary::new(&cx);
    let script = format!(
        "cd /v; for i in $(seq 200); do mkdir -p d && cd d; done; cd /v; mkdir closed && touch closed/f && \
         chmod 000 closed; ln -s {} link; mkdir of && chown 1000 of && touch of/f && chown 2000 of/f; mkfifo pipe",
        canary.path().display()
    );
    cx.carrier(["run", "--rm", "-v", "data:/v", &image, "sh", "-c", &script])
        .succeeds();
    cx.carrier(["volume", "rm", "data"]).succeeds();
    canary.assert_untouched();
    assert!(names(cx.store().join("volumes")).is_empty());
}
