//! What a command has promised survives a power cut that follows it at once.
//!
//! The store is on an ext4 of its own, which is shut down without a flush: exactly what a power cut
//! leaves on the disk, journal and all.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use carrier_e2e::{Cx, Image, Layer, Registry, is_root, rounds_or, skip};
use serde_json::json;

const FILES: usize = 400;

fn image(layers: usize) -> Image {
    let layers = (0..layers).map(|layer| {
        (0..FILES).fold(Layer::new(), |made, file| {
            made.file(&format!("d{layer}/f{file}"), content(layer, file))
        })
    });
    Image::new(layers.collect(), json!({ "Cmd": ["/f"] }))
}

fn content(layer: usize, file: usize) -> String {
    format!("layer {layer}, file {file}\n").repeat(1 + file % 50)
}

/// A disk whose power can be cut.
struct Disk {
    image: PathBuf,
    place: PathBuf,
}

impl Disk {
    /// A new disk, mounted on the home directory of a test's user.
    fn at_home_of(cx: &Cx) -> Self {
        let disk = Self {
            image: cx.home().with_file_name("disk"),
            place: cx.home(),
        };
        sh(&format!(
            "truncate -s 256M {0} && mke2fs -q -F -t ext4 {0}",
            disk.image.display()
        ));
        disk.mount();
        cx.give_to_user(&disk.place);
        sh("sync");
        disk
    }

    fn mount(&self) {
        let (image, place) = (self.image.display(), self.place.display());
        sh(&format!("mount -o loop {image} {place}"));
    }

    /// Stops all writing at once, and starts again as after a power cut.
    fn cut_power(&self) {
        self.stop_writing();
        self.unmount();
        self.mount();
    }

    /// The same, while a process is writing, which the power cut ends too.
    fn cut_power_of(&self, process: &mut Child) {
        self.stop_writing();
        // It may have ended.
        let _ = process.kill();
        process.wait().unwrap();
        self.unmount();
        self.mount();
    }

    /// Unmounts it, and waits until nobody has it any more: processes that unpack notice the end of
    /// their command a moment later, and mount namespaces of other tests have copies.
    fn unmount(&self) {
        let (image, place) = (self.image.display(), self.place.display());
        sh(&format!(
            "for i in $(seq 600); do
                 umount {place} 2>/dev/null
                 [ -z \"$(losetup -j {image})\" ] && exit
                 sleep 0.1
             done; exit 1"
        ));
    }

    fn stop_writing(&self) {
        // FS_IOC_SHUTDOWN with NOLOGFLUSH, include/uapi/linux/fs.h.
        let program = "import fcntl, os, struct, sys; \
                       fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        sh(&format!(
            "python3 -c \"{program}\" {}",
            self.place.display()
        ));
    }

    /// Whether the file system itself is sound.
    fn check(&self) {
        self.unmount();
        sh(&format!(
            "e2fsck -fn {} >/dev/null 2>&1",
            self.image.display()
        ));
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
    }
}

#[track_caller]
fn sh(script: &str) {
    let status = Command::new("sh").args(["-c", script]).status().unwrap();
    assert!(status.success(), "{script}: {status}");
}

/// How many files of the image's layers are not what they should be.
fn damaged(cx: &Cx, layers: usize) -> usize {
    let mut wrong = layers * FILES;
    for layer in fs::read_dir(cx.store().join("layers")).unwrap() {
        let tree = layer.unwrap().path().join("fs");
        for number in 0..layers {
            let is_right = |file: &usize| {
                let path: &Path = &tree.join(format!("d{number}/f{file}"));
                fs::read(path).is_ok_and(|found| found == content(number, *file).as_bytes())
            };
            wrong -= (0..FILES).filter(is_right).count();
        }
    }
    wrong
}

#[test]
fn a_power_cut_after_success_loses_nothing() {
    const NAME: &str = "a_power_cut_after_success_loses_nothing";
    const LAYERS: usize = 3;
    if !is_root() {
        return skip(NAME, "only root can mount a file system and shut it down");
    }
    let rounds = rounds_or(100);
    let registry = Registry::empty();
    image(LAYERS).push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    let disk = Disk::at_home_of(&cx);
    let archive = cx.file("archive.tar", "");
    cx.give_to_user(Path::new(&archive));
    let listed = || {
        let images = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        cx.carrier(images).succeeds().text().to_owned()
    };
    let mut wrong = 0;
    let mut check = |expected: &[&str]| {
        disk.cut_power();
        let mut found: Vec<String> = listed().lines().map(str::to_owned).collect();
        found.sort();
        assert_eq!(found, expected);
        if !expected.is_empty() {
            wrong += damaged(&cx, LAYERS);
            cx.carrier(["system", "check", "--deep"]).succeeds();
        }
    };
    let (whole, other) = (format!("{name}:latest"), "docker.io/other/name:1");
    cx.carrier(["pull", "-q", &name]).succeeds();
    cx.carrier(["save", "-o", &archive, &name]).succeeds();
    cx.carrier(["rmi", &name]).succeeds();
    for round in 0..rounds.div_ceil(5) {
        cx.carrier(["pull", "-q", &name]).succeeds();
        check(&[&whole]);
        cx.carrier(["tag", &name, other]).succeeds();
        check(&[&whole, "other/name:1"]);
        cx.carrier(["rmi", other]).succeeds();
        check(&[&whole]);
        cx.carrier(["rmi", &name]).succeeds();
        check(&[]);
        cx.carrier(["load", "-q", "-i", &archive]).succeeds();
        check(&[&whole]);
        cx.carrier(["rmi", &name]).succeeds();
        if round % 10 == 0 {
            disk.check();
        }
    }
    let cuts = rounds.div_ceil(5) * 5;
    println!("{cuts} power cuts after pull, tag, rmi and load: {wrong} damaged files");
    assert_eq!(wrong, 0);
}

#[test]
fn a_power_cut_in_the_middle_of_a_pull_is_repaired_by_the_next() {
    const NAME: &str = "a_power_cut_in_the_middle_of_a_pull_is_repaired_by_the_next";
    const LAYERS: usize = 3;
    if !is_root() {
        return skip(NAME, "only root can mount a file system and shut it down");
    }
    let rounds = rounds_or(20);
    let registry = Registry::empty();
    image(LAYERS).push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    let disk = Disk::at_home_of(&cx);
    let start = std::time::Instant::now();
    cx.carrier(["pull", "-q", &name]).succeeds();
    let whole = start.elapsed();
    let mut wrong = 0;
    for round in 0..rounds {
        cx.carrier(["rmi", &name]).succeeds();
        let mut pull = cx.start(["pull", "-q", &name]);
        std::thread::sleep(whole * round / rounds);
        disk.cut_power_of(&mut pull);
        cx.carrier(["pull", "-q", &name]).succeeds();
        wrong += damaged(&cx, LAYERS);
        cx.carrier(["system", "check", "--deep"]).succeeds();
    }
    disk.check();
    cx.carrier(["rmi", &name]).succeeds();
    println!("{rounds} power cuts in a pull: {wrong} damaged files after the next");
    assert_eq!(wrong, 0);
}

#[test]
fn a_power_cut_after_load_import_or_untag_loses_nothing() {
    const NAME: &str = "a_power_cut_after_load_import_or_untag_loses_nothing";
    const LAYERS: usize = 2;
    if !is_root() {
        return skip(NAME, "only root can mount a file system and shut it down");
    }
    let rounds = rounds_or(20);
    let registry = Registry::empty();
    image(LAYERS).push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    let archives = cx.home().with_file_name("run").display().to_string();
    cx.carrier(["pull", "-q", &name]).succeeds();
    cx.script(&format!("carrier save -o {archives}/x.tar {name}"))
        .succeeds();
    cx.script(&format!(
        "for fs in {}/layers/*/fs; do tar rf {archives}/fs.tar -C $fs $(ls $fs); done",
        cx.store().display()
    ))
    .succeeds();
    cx.carrier(["rmi", &name]).succeeds();
    let disk = Disk::at_home_of(&cx);
    let mut wrong = 0;
    let mut check = |command: &str, expected: &str| {
        cx.script(command).succeeds();
        disk.cut_power();
        let images = ["images", "--format", "{{.Tag}}"];
        cx.carrier(images).succeeds().prints(expected);
        if !expected.is_empty() {
            wrong += damaged(&cx, LAYERS);
        }
    };
    for _ in 0..rounds.div_ceil(4) {
        check(&format!("carrier load -i {archives}/x.tar"), "latest");
        check(&format!("carrier untag {name}"), "<none>");
        check("carrier image prune -f", "");
        check(&format!("carrier import {archives}/fs.tar y:2"), "2");
        cx.carrier(["rmi", "y:2"]).succeeds();
    }
    disk.check();
    let cuts = rounds.div_ceil(4) * 4;
    println!("{cuts} power cuts after load, untag, prune and import: {wrong} damaged files");
    assert_eq!(wrong, 0);
}

#[test]
fn a_power_cut_after_a_login_or_a_logout_changes_nothing() {
    const NAME: &str = "a_power_cut_after_a_login_or_a_logout_changes_nothing";
    if !is_root() {
        return skip(NAME, "only root can mount a file system and shut it down");
    }
    let rounds = rounds_or(10);
    let registry = Registry::with_password("ann");
    let cx = Cx::new();
    let disk = Disk::at_home_of(&cx);
    let kept = || {
        disk.cut_power();
        let bytes = fs::read(cx.home().join(".docker/config.json")).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        file["auths"].as_object().unwrap().len()
    };
    for round in 0..rounds {
        let space = format!("{}/space{round}", registry.host());
        let login = ["login", "-u", "ann", "--password-stdin", &space];
        cx.carrier_with_input(login, "secret").succeeds();
        assert_eq!(kept(), 1);
        cx.carrier(["logout", &space]).succeeds();
        assert_eq!(kept(), 0);
        if round == 0 {
            cx.script("rm -r ~/.docker; sync ~").succeeds();
        }
    }
    disk.check();
    println!(
        "{} power cuts after login and logout: nothing lost",
        2 * rounds
    );
}

#[test]
fn a_power_cut_loses_no_volume_and_leaves_none_half_filled() {
    const NAME: &str = "a_power_cut_loses_no_volume_and_leaves_none_half_filled";
    if !is_root() {
        return skip(NAME, "only root can mount a file system and shut it down");
    }
    let rounds = rounds_or(10);
    let registry = Registry::empty();
    image(1).push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    let disk = Disk::at_home_of(&cx);
    cx.carrier(["pull", "-q", &name]).succeeds();
    let data = cx.store().join("volumes/data/_data");
    let start = std::time::Instant::now();
    let create = ["create", "--name", "box", "-v", "data:/d0", &name];
    cx.carrier(create).succeeds();
    let whole = start.elapsed();
    let remove = || {
        cx.carrier(["rm", "box"]);
        cx.carrier(["volume", "rm", "-f", "data"]).succeeds();
    };
    for round in 0..rounds {
        remove();
        cx.carrier(["volume", "create", "--label", "a=b", "data"])
            .succeeds();
        disk.cut_power();
        let label = ["volume", "inspect", "-f", "{{.Labels.a}}", "data"];
        cx.carrier(label).succeeds().prints("b");
        let mut made = cx.start(create);
        std::thread::sleep(whole * round / rounds);
        disk.cut_power_of(&mut made);
        cx.carrier(["volume", "ls"]).succeeds();
        // Nothing, or all of it as it should be.
        let is_right = |file: &usize| {
            let found = fs::read(data.join(format!("f{file}")));
            found.is_ok_and(|found| found == content(0, *file).as_bytes())
        };
        if fs::read_dir(&data).unwrap().next().is_some() {
            assert_eq!((0..FILES).filter(is_right).count(), FILES);
        }
    }
    remove();
    disk.check();
    println!(
        "{} power cuts after and in the making of volumes: nothing half",
        2 * rounds
    );
}

#[test]
fn a_power_cut_loses_no_container_and_forgets_no_policy() {
    const NAME: &str = "a_power_cut_loses_no_container_and_forgets_no_policy";
    if !is_root() {
        return skip(NAME, "only root can mount a file system and shut it down");
    }
    let rounds = rounds_or(10);
    let cx = Cx::with_registry();
    let disk = Disk::at_home_of(&cx);
    let image = cx.pulled("busybox");
    let states = || {
        let format = ["ps", "-a", "--format", "{{.Names}} {{.State}}"];
        cx.carrier(format).succeeds().text().to_owned()
    };
    for round in 0..rounds {
        cx.carrier(["create", "--name", "made", &image]).succeeds();
        disk.cut_power();
        assert_eq!(states(), "made created");
        cx.carrier(["rm", "made"]).succeeds();
        for (policy, back) in [("always", "runs"), ("no", "")] {
            let run = ["run", "-d", "--name", "runs", "--restart", policy];
            cx.carrier([&run[..], &[&image, "sleep", "4715"]].concat())
                .succeeds();
            let monitor = cx.script(
                "grep -o '\"monitor\":{\"pid\":[0-9]*' ~/.local/share/carrier/containers/*/state.json | \
                 grep -o '[0-9]*$'",
            );
            disk.stop_writing();
            sh(&format!("kill -9 {}", monitor.succeeds().text()));
            disk.unmount();
            disk.mount();
            assert_eq!(states(), "runs exited");
            cx.carrier(["boot", "start"]).succeeds().prints(back);
            cx.carrier(["start", "runs"]).succeeds();
            assert_eq!(states(), "runs running");
            cx.carrier(["rm", "-f", "runs"]).succeeds();
        }
        if round == 0 {
            cx.carrier(["system", "check"]).succeeds();
        }
    }
    disk.check();
    println!(
        "{} power cuts after create and run: nothing lost",
        3 * rounds
    );
}
