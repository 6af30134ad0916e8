//! What docs/storage.md promises beside durability: readers do not wait, and deleting needs no space.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{BadRegistry, Cx, Image, Layer, Mischief, Registry, Rule, Target, is_root, skip};
use serde_json::json;

fn image(size: usize) -> Image {
    let noise: Vec<u8> = (0..u32::try_from(size).unwrap())
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let layer = Layer::new().compressed_with("").file("f", noise);
    Image::new(vec![layer], json!({ "Cmd": ["/f"] }))
}

#[test]
fn readers_do_not_wait_for_a_pull_and_neither_do_other_writers() {
    let slow = Rule {
        target: Target::Layer,
        times: usize::MAX,
        mischief: Mischief::Paced(100_000),
    };
    let slow = BadRegistry::serve(&image(4_000_000), vec![slow]);
    let registry = Registry::empty();
    image(1000).push(registry.host(), "x", "latest");
    let cx = Cx::new();
    let name = registry.reference("x");
    cx.carrier(["pull", "-q", &name]).succeeds();
    let mut pulls: Vec<_> = (0..5)
        .map(|_| cx.start(["pull", "-q", &slow.image()]))
        .collect();
    while slow.requests(Target::Layer) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    for words in [
        &["ls"][..],
        &["images"],
        &["image", "inspect", &name],
        &["history", &name],
        &["system", "df"],
        &["tag", &name, "other"],
        &["rmi", "other"],
        &["run", "--rm", "hello"],
        &["rmi", "hello"],
    ] {
        cx.carrier(words.iter().copied()).succeeds();
    }
    for pull in &mut pulls {
        assert!(
            pull.try_wait().unwrap().is_none(),
            "the pull has ended: nobody waited for it"
        );
        pull.kill().unwrap();
        pull.wait().unwrap();
    }
    // Its unpacking process notices that a moment later.
    let staging = cx.store().join("staging");
    while std::fs::read_dir(&staging).unwrap().count() > 0 {
        cx.carrier(["ls"]).succeeds();
    }
}

#[test]
fn deleting_needs_no_space() {
    const NAME: &str = "deleting_needs_no_space";
    if !is_root() {
        return skip(NAME, "only root can mount a small file system");
    }
    let registry = Registry::empty();
    for repository in ["x", "y"] {
        image(1_000_000).push(registry.host(), repository, "latest");
    }
    let [x, y] = ["x", "y"].map(|name| registry.reference(name));
    let cx = Cx::new();
    let script = cx.file(
        "script",
        &format!(
            "set -e
             cd && carrier pull -q {x} && carrier tag {x} {y} && carrier run --name cc hello >/dev/null
             dd if=/dev/zero of=filler bs=64k 2>/dev/null || true
             while echo >>filler2; do :; done 2>/dev/null
             carrier ls -a >/dev/null && carrier images >/dev/null
             ! carrier pull -q {y}2 2>/dev/null
             carrier rm cc && carrier rmi hello && carrier rmi {y} {x} && carrier system prune -f >/dev/null
             test -z \"$(carrier ls -a -q)\"
             find .local/share/carrier/layers .local/share/carrier/blobs .local/share/carrier/staging -mindepth 2"
        ),
    );
    let outcome = cx.host_script(&format!(
        "mount -t tmpfs -o size=80m,mode=777 none $HOME && \
         exec setpriv --reuid carrier-test --regid carrier-test --init-groups sh {script}"
    ));
    assert!(outcome.is_success(), "{outcome:#?}");
    outcome.hides(".local/share");
}
