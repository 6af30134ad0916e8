//! `carrier cp`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Child;

use carrier_e2e::{Canary, Cx, Exchange, rounds};

/// Files of every kind.
const FILES: &str = "mkdir -p /d/sub /e && echo one > /d/f && ln /d/f /d/twin && ln -s f /d/link && \
    ln -s d /dl && mkfifo /d/fifo && echo x > /d/sub/x && chmod 640 /d/sub/x && chmod 2711 /d/sub && \
    chown 1000:2000 /d/f && touch -d 1999-01-02 /d/sub/x && \
    dd if=/dev/zero of=/d/holes bs=1 count=1 seek=20M 2>/dev/null";

fn made(cx: &Cx) -> String {
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "box", &image, "sh", "-c", FILES])
        .succeeds();
    image
}

/// A container that runs, after it has done what `script` says.
fn running(cx: &Cx, name: &str, script: &str) -> Child {
    let image = cx.pulled("busybox");
    let script = format!("{script}; touch /ready; sleep 300");
    let child = cx.start(["run", "--name", name, &image, "sh", "-c", &script]);
    cx.script(&format!(
        "until carrier cp {name}:/ready - 2>/dev/null | grep -q ready; do sleep 0.1; done"
    ))
    .succeeds();
    child
}

fn end(cx: &Cx, name: &str, mut child: Child) {
    cx.carrier(["rm", "--force", name]).succeeds();
    child.wait().unwrap();
}

/// What the container has at a path, as `tar` shows it.
fn shown(cx: &Cx, path: &str) -> String {
    let list =
        format!("carrier cp {path} - | tar -tv --numeric-owner -f - | awk '{{print $1, $2, $6}}'");
    cx.script(&list).succeeds().text().to_owned()
}

#[test]
fn copies_out_go_where_docker_puts_them() {
    let cx = Cx::with_registry();
    made(&cx);
    cx.script(
        "mkdir have haveslash havedot; echo old > file; ln -s have to-have; ln -s gone dangling",
    )
    .succeeds();
    for (source, destination, made) in [
        ("box:/d", "have", "have/d/sub/x"),
        ("box:d", "have/again", "have/again/sub/x"),
        ("box:/d/", "haveslash", "haveslash/d/sub/x"),
        ("box:/d/.", "havedot", "havedot/sub/x"),
        ("box:/d", "new", "new/sub/x"),
        ("box:/d/.", "newer", "newer/sub/x"),
        ("box:/d/f", "have", "have/f"),
        ("box:/d/f", "file", "file"),
        ("box:/d/f", "fresh", "fresh"),
        ("box:/d/sub/../f", "to-have/g", "have/g"),
        ("box:/d/f", "to-have", "have/f"),
        ("box:/d/f", "dangling", "gone"),
        ("box:/dl/", "slash", "slash/sub/x"),
        ("box:/dl/.", "dot", "dot/sub/x"),
        ("box:/dl/f", "through", "through"),
    ] {
        cx.carrier(["cp", "-q", source, destination])
            .succeeds()
            .prints("");
        cx.script(&format!("test -f {made}")).succeeds();
    }
    cx.script("cat file && readlink dangling")
        .succeeds()
        .prints("one\ngone");
    // A link is copied as it is, unless it is to be followed.
    cx.script("carrier cp -q box:/dl have && readlink have/dl")
        .succeeds()
        .prints("d");
    cx.script("carrier cp -qL box:/dl followed && cat followed/f")
        .succeeds()
        .prints("one");
    cx.script("carrier cp -qL box:/d/link have && test ! -L have/link && cat have/link")
        .succeeds()
        .prints("one");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn copies_in_go_where_docker_puts_them() {
    let cx = Cx::with_registry();
    made(&cx);
    cx.script(
        "mkdir -p t/sub && echo two > t/n && echo y > t/sub/y && ln -s t tl && ln -s n t/link",
    )
    .succeeds();
    for (source, destination, made) in [
        ("t", "box:/e", "/e/t/sub/y"),
        ("t/", "box:/e/slash", "/e/slash/sub/y"),
        ("t/.", "box:/e", "/e/sub/y"),
        ("t", "box:e/new", "/e/new/sub/y"),
        ("./t/n", "box:/e", "/e/n"),
        ("t/n", "box:/e/m", "/e/m"),
        ("t/n", "box:/d/f", "/d/f"),
        ("t/n", "box:/dl/k", "/d/k"),
        ("t/n", "box:/dl", "/d/n"),
        ("t/n", "box:/d/link", "/d/f"),
        ("tl/", "box:/e/through", "/e/through/n"),
        ("tl/.", "box:/e/content", "/e/content/n"),
    ] {
        cx.carrier(["cp", "-q", source, destination])
            .succeeds()
            .prints("");
        let made = format!("box:{made}");
        cx.carrier(["cp", &made, "-"]).succeeds();
    }
    assert!(shown(&cx, "box:/d/link").contains("lrwxrwxrwx"));
    cx.script("carrier cp -q tl box:/e/l && carrier cp box:/e/l - | tar tvf -")
        .succeeds()
        .shows("l -> t");
    cx.script("carrier cp -qL tl box:/e/L && carrier cp box:/e/L/n - | tar xOf -")
        .succeeds()
        .prints("two");
    cx.script("carrier cp t box:/e 2>&1")
        .succeeds()
        .shows("Successfully copied")
        .shows(" to box:/e");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn what_docker_refuses_is_refused() {
    let cx = Cx::with_registry();
    made(&cx);
    cx.script("mkdir -p t/holes && echo x > file && mkdir d && echo x > d/sub")
        .succeeds();
    for (words, reason) in [
        (
            ["box:/none", "."],
            "could not find the file /none in container box: no such file or directory",
        ),
        (["box:/d/f/", "."], "box:/d/f/ is not a directory"),
        (["box:/d/f", "none/"], "no such directory"),
        (["box:/d/f", "none/x"], "invalid output path: directory"),
        (["box:/d", "file"], "cannot copy directory"),
        (
            ["box:/d", "."],
            "cannot overwrite non-directory \"d/sub\" with directory",
        ),
        (
            ["box:/d/holes", "t"],
            "cannot overwrite directory \"holes\" with non-directory",
        ),
        (["file", "box:/none/"], "no such directory"),
        (
            ["file", "box:/none/x"],
            "could not find the file /none in container box",
        ),
        (["t", "box:/d/f"], "cannot copy directory"),
        (["none", "box:/"], "lstat"),
        (
            ["box:/d", "box:/e"],
            "copying between containers is not supported",
        ),
        (
            ["file", "file2"],
            "must specify at least one container source",
        ),
        (["nobody:/d", "x"], "no such container: nobody"),
        (["", "box:/"], "source can not be empty"),
    ] {
        cx.carrier(["cp", words[0], words[1]])
            .exits_with(125)
            .complains(reason);
    }
    cx.script("tar c file | carrier cp - box:/d/f")
        .exits_with(125)
        .complains("must be a directory");
    cx.script("echo junk | carrier cp - box:/d").exits_with(125);
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn files_keep_what_makes_them_special() {
    let cx = Cx::with_registry();
    made(&cx);
    cx.carrier(["cp", "box:/d", "out"]).succeeds();
    let look = |name: &str| fs::symlink_metadata(cx.home().join("../out").join(name)).unwrap();
    assert_eq!(look("sub/x").mode() & 0o7777, 0o640);
    assert_eq!(look("sub").mode() & 0o7777, 0o2711);
    assert_eq!(look("sub/x").mtime() / 86400, 10593);
    assert_eq!(look("f").ino(), look("twin").ino());
    assert!(look("link").is_symlink() && look("fifo").mode() & 0o170_000 == 0o010_000);
    assert_eq!(look("holes").len(), (20 << 20) + 1);
    assert!(look("holes").blocks() < 64, "{}", look("holes").blocks());
    // Back again: into the container, and out of it.
    cx.script(
        "setfattr -n user.note -v kept out/f && carrier cp out/. box:/e && carrier cp box:/e back",
    )
    .succeeds();
    cx.script("diff -r --no-dereference --exclude fifo out back && getfattr -n user.note --only-values back/f")
        .succeeds()
        .prints("kept");
    let blocks = fs::metadata(cx.home().join("../back/holes"))
        .unwrap()
        .blocks();
    assert!(blocks < 64, "{blocks}");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn copies_belong_to_root_inside_and_to_the_caller_outside() {
    let cx = Cx::with_registry();
    made(&cx);
    cx.script("carrier cp box:/d/f plain && carrier cp -a box:/d/f kept && echo x > own")
        .succeeds();
    let owner = |name: &str| fs::metadata(cx.home().join("..").join(name)).unwrap().uid();
    assert_eq!(owner("plain"), owner("own"));
    assert_ne!(owner("kept"), owner("own"));
    cx.script("carrier cp own box:/e/plain && carrier cp -a own box:/e/kept")
        .succeeds();
    assert!(shown(&cx, "box:/e/plain").contains(" 0/0 "));
    let kept = format!(" {0}/", owner("own"));
    assert!(
        shown(&cx, "box:/e/kept").contains(&kept),
        "{}",
        shown(&cx, "box:/e/kept")
    );
    // An archive says itself whose its files are.
    cx.script("tar c --owner=7 --group=8 --numeric-owner own | carrier cp - box:/e")
        .succeeds();
    assert!(shown(&cx, "box:/e/own").contains(" 7/8 "));
    cx.script("tar c --owner=4000000000 --numeric-owner own | carrier cp - box:/e")
        .exits_with(125)
        .complains("which is not mapped");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn a_running_container_is_copied_as_it_sees_itself() {
    let cx = Cx::with_registry();
    let child = running(&cx, "live", "echo memory > /dev/shm/x");
    cx.script("carrier cp live:/dev/shm/x x && cat x")
        .succeeds()
        .prints("memory");
    cx.script(
        "echo back > x && carrier cp x live:/dev/shm/y && carrier cp live:/dev/shm/y - | tar xOf -",
    )
    .succeeds()
    .prints("back");
    // A file that is mounted into the container stays the one that it is.
    cx.script("echo 10.0.0.1 host > hosts && carrier cp hosts live:/etc/hosts")
        .succeeds();
    cx.script("carrier cp live:/etc/hosts - | tar xOf -")
        .succeeds()
        .prints("10.0.0.1 host");
    cx.script("carrier cp live:/dev devices 2>&1")
        .succeeds()
        .shows("device nodes were left out");
    cx.script("carrier export live | tar -tf -")
        .succeeds()
        .shows("dev/")
        .hides("dev/shm");
    end(&cx, "live", child);
}

#[test]
fn links_in_proc_lead_nowhere() {
    let cx = Cx::with_registry();
    let child = running(
        &cx,
        "live",
        "ln -s /proc/1/root /out; ln -s /proc/self/cwd /here",
    );
    for path in [
        "/proc/1/root/etc",
        "/out/etc",
        "/out/",
        "/here/x",
        "/proc/self/exe",
        "/proc/1/exe",
    ] {
        let source = format!("live:{path}");
        let copied = cx.carrier(["cp", "-L", &source, "copied"]);
        assert!(!copied.is_success(), "{path} was copied: {copied:?}");
    }
    end(&cx, "live", child);
}

/// Names that an honest archive has no reason to have.
#[test]
fn an_archive_leads_nowhere_else() {
    let cx = Cx::with_registry();
    made(&cx);
    let canary = Canary::new(&cx);
    let place = canary.path().display().to_string();
    let script = format!(
        r#"python3 - > evil.tar <<'E'
import tarfile, io, sys
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w")
def link(name, to, kind=tarfile.SYMTYPE):
    i = tarfile.TarInfo(name); i.type = kind; i.linkname = to; t.addfile(i)
def file(name):
    i = tarfile.TarInfo(name); i.size = 4; t.addfile(i, io.BytesIO(b"evil"))
link("to", "{place}"); link("up", "../../../../../../../../../..{place}")
file("made/target"); link("made/hard", "made/target", tarfile.LNKTYPE)
t.close()
E
python3 - > worse.tar <<'E'
import tarfile, io, sys
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w")
i = tarfile.TarInfo("a/../../../up"); i.size = 4; t.addfile(i, io.BytesIO(b"evil"))
t.close()
E
carrier cp - box:/d < evil.tar && carrier cp plain.txt box:/d/to/target; carrier cp plain.txt box:/d/up/target; true"#
    );
    let _ = cx.file("plain.txt", "evil\n");
    cx.script(&script).succeeds();
    cx.script("carrier cp - box:/d < worse.tar")
        .exits_with(125)
        .complains("bad entry");
    // The same links, brought out, and then in the way of the next copy.
    cx.script("carrier cp box:/d/. out && carrier cp box:/d/. out && readlink out/to")
        .succeeds()
        .prints(&place);
    cx.script("carrier cp -L box:/d/to/target got")
        .exits_with(125)
        .complains("could not find");
    cx.script("mkdir -p in/to && echo evil > in/to/target && carrier cp in/. box:/d")
        .exits_with(125)
        .complains("cannot overwrite non-directory");
    canary.assert_untouched();
    cx.carrier(["rm", "box"]).succeeds();
}

/// The root of a container that runs, as this host sees it.
fn root_of(cx: &Cx, name: &str) -> PathBuf {
    let wanted = cx.script(&format!("carrier cp {name}:/etc/hostname - | tar xOf -"));
    let wanted = wanted.succeeds().text().to_owned();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut roots = processes.map(|entry| entry.path().join("root"));
    roots
        .find(|root| {
            let name = fs::read_to_string(root.join("etc/hostname"));
            name.is_ok_and(|name| name.trim() == wanted) && root.join("ready").exists()
        })
        .unwrap()
}

/// Threat F-12, CVE-2018-15664: a directory of the container becomes a link while it is copied.
#[test]
fn a_link_that_appears_meanwhile_leads_nowhere() {
    let cx = Cx::with_registry();
    let canary = Canary::with(&cx, &["deep/target"]);
    let script = format!(
        "mkdir -p /d/x/deep; echo inside > /d/x/target; echo inside > /d/x/deep/target; \
         ln -s {} /d/y",
        canary.path().display()
    );
    let child = running(&cx, "race", &script);
    let root = root_of(&cx, "race");
    let (one, other) = (root.join("d/x"), root.join("d/y"));
    let exchange = Exchange::of(&[(&one, &other)]);
    let _ = cx.file("mine", "evil\n");
    cx.script("mkdir -p tree/x/deep && echo evil > tree/x/new && echo evil > tree/x/deep/new")
        .succeeds();
    let (mut out, mut into) = (0, 0);
    for _ in 0..rounds() {
        let copied =
            cx.script("rm -rf got; carrier cp -q race:/d/x/target got; cat got 2>/dev/null");
        assert!(!copied.text().contains("safe"), "{copied:?}");
        out += u32::from(copied.text() == "inside");
        let tree = cx.script(
            "rm -rf all; carrier cp -q race:/d/. all; test -L all/x || cat all/x/target; \
             test -L all/y || cat all/y/target",
        );
        assert!(!tree.text().contains("safe"), "{tree:?}");
        into += u32::from(
            cx.carrier(["cp", "-q", "mine", "race:/d/x/new"])
                .is_success(),
        );
        cx.carrier(["cp", "-q", "tree/.", "race:/d"]);
        cx.script("tar -C tree -c x | carrier cp -q - race:/d; true")
            .succeeds();
        cx.script("carrier export race | grep -c safe")
            .exits_with(1)
            .prints("0");
    }
    let exchanges = exchange.stop();
    println!("{exchanges} exchanges; {out} files copied out and {into} in, none of the host's");
    assert!(exchanges > 1000 && out > 0 && into > 0);
    canary.assert_untouched();
    end(&cx, "race", child);
}

/// Threat F-12, CVE-2019-14271: nothing of the container is executed or loaded.
#[test]
fn no_program_of_the_container_helps() {
    let cx = Cx::with_registry();
    let plant = "for n in tar xz gzip unpigz zstd; do for d in /usr/bin /usr/local/bin; do mkdir -p $d; \
        rm -f $d/$n; printf '#!/bin/sh\\ntouch /executed\\n' > $d/$n; chmod 755 $d/$n; done; done; \
        mkdir -p /lib; for l in libnss_files.so.2 libc.so.6; do echo junk > /lib/$l; done; echo x > /x";
    let child = running(&cx, "trap", plant);
    cx.script("carrier cp trap:/x x && tar cz x | carrier cp - trap:/tmp && carrier cp trap:/tmp - > /dev/null")
        .succeeds();
    cx.carrier(["cp", "trap:/executed", "executed"])
        .exits_with(125)
        .complains("could not find");
    end(&cx, "trap", child);
}
