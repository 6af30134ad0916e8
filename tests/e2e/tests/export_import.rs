//! `carrier export` and `carrier import`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;

use carrier_e2e::{Cx, Outcome};
use serde_json::Value;

/// Makes files of every kind in a container.
const FILES: &str = "mkdir -p /made/deep /made/empty && cd /made && echo one > file && ln file second && \
    ln -s ../file deep/link && mkfifo fifo && chown 1000:2000 file && chmod 4755 deep && rm /bin/ls && \
    n=$(head -c 120 /dev/zero | tr '\\0' n) && echo long > $n && ln -s $n$n longlink && \
    touch -d 1960-01-02 old && echo \u{e9} > \u{e9}";

fn made(cx: &Cx) -> String {
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--name", "made", &image, "sh", "-c", FILES])
        .succeeds();
    cx.script("carrier export made > made.tar").succeeds();
    image
}

fn list(cx: &Cx, reader: &str) -> Outcome {
    cx.script(reader).succeeds()
}

#[test]
fn an_export_is_what_the_container_sees() {
    let cx = Cx::with_registry();
    made(&cx);
    let python = r#"python3 - <<'E'
import tarfile
for m in tarfile.open("made.tar"):
    if m.name.startswith("made") or m.name == "bin/ls":
        kind = {"0": "file", "1": "hard", "2": "link", "5": "dir", "6": "fifo"}[m.type.decode()]
        print(m.name[:12], kind, oct(m.mode & 0o7777), m.uid, m.gid, m.linkname[:12], int(m.mtime) < 0)
E"#;
    list(&cx, python).prints(
        "made dir 0o755 0 0  False\n\
         made/deep dir 0o4755 0 0  False\n\
         made/deep/li link 0o777 0 0 ../file False\n\
         made/empty dir 0o755 0 0  False\n\
         made/fifo fifo 0o644 0 0  False\n\
         made/file file 0o644 1000 2000  False\n\
         made/longlin link 0o777 0 0 nnnnnnnnnnnn False\n\
         made/nnnnnnn file 0o644 0 0  False\n\
         made/old file 0o644 0 0  True\n\
         made/second hard 0o644 1000 2000 made/file False\n\
         made/\u{e9} file 0o644 0 0  False",
    );
    cx.carrier(["rm", "made"]).succeeds();
}

#[test]
fn three_readers_agree_on_an_export() {
    let cx = Cx::with_registry();
    made(&cx);
    let names =
        "python3 -c 'import tarfile; print(*tarfile.open(\"made.tar\").getnames(), sep=\"\\n\")'";
    let sorted = |reader: &str| {
        let listed = list(&cx, &format!("export LC_ALL=C.UTF-8; {reader}"));
        let lines = listed
            .text()
            .lines()
            .map(|line| line.trim_end_matches('/').to_owned());
        lines.collect::<Vec<_>>()
    };
    let expected = sorted(names);
    assert!(expected.len() > 200, "{}", expected.len());
    assert_eq!(sorted("tar --quoting-style=literal -tf made.tar"), expected);
    assert_eq!(sorted("bsdtar -tf made.tar"), expected);
    cx.script("mkdir unpacked && tar -C unpacked -xf made.tar --no-same-owner && cat unpacked/made/second")
        .succeeds()
        .prints("one");
    cx.carrier(["rm", "made"]).succeeds();
}

#[test]
fn what_was_exported_is_imported_and_runs() {
    let cx = Cx::with_registry();
    made(&cx);
    let changes =
        "-c 'CMD [\"cat\", \"/made/second\"]' -c 'ENV PATH=/bin A=b' -c 'LABEL x=y' -m 'my words'";
    for (archive, prepare) in [
        ("made.tar", "true"),
        ("made.tar.gz", "gzip -k made.tar"),
        ("made.tar.zst", "zstd -q made.tar"),
    ] {
        cx.script(prepare).succeeds();
        let id = cx.script(&format!("carrier import {changes} {archive} back:1"));
        let id = id.succeeds().text().trim().to_owned();
        cx.carrier(["run", "--rm", "back:1"])
            .succeeds()
            .prints("one");
        cx.carrier([
            "run",
            "--rm",
            "back:1",
            "stat",
            "-c",
            "%u:%g %h %a",
            "/made/file",
            "/made/deep",
        ])
        .succeeds()
        .prints("1000:2000 2 644\n0:0 2 4755");
        let shown = cx.carrier(["inspect", "back:1"]).succeeds();
        let shown: Value = serde_json::from_str(shown.text()).unwrap();
        assert_eq!(shown[0]["Id"], id.as_str());
        assert_eq!(shown[0]["Config"]["Labels"]["x"], "y");
        assert_eq!(shown[0]["Comment"], "my words");
    }
    cx.script("carrier import - < made.tar").succeeds();
    cx.carrier(["images", "--filter", "dangling=true"])
        .succeeds()
        .shows("<none>");
    cx.carrier(["rm", "made"]).succeeds();
}

#[test]
fn a_running_container_is_exported_without_what_is_mounted_into_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let mut running = cx.start([
        "run",
        "--name",
        "live",
        &image,
        "sh",
        "-c",
        "echo now > /now; sleep 60",
    ]);
    cx.script("until carrier export live 2>/dev/null | tar xOf - now 2>/dev/null | grep -q now; do sleep 0.1; done")
        .succeeds();
    cx.script("carrier export -o live.tar live && tar tf live.tar")
        .succeeds()
        .shows("proc/")
        .hides("proc/1");
    cx.carrier(["rm", "--force", "live"]).succeeds();
    running.wait().unwrap();
}

/// Memory does not depend on how much a container holds.
#[test]
fn a_large_container_is_exported_in_little_memory() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "dd if=/dev/zero of=/big bs=1M count=300 2>/dev/null && for i in $(seq 3000); do echo > /$i; done";
    cx.carrier(["run", "--name", "big", &image, "sh", "-c", script])
        .succeeds();
    let measured = cx.script(
        "/usr/bin/env python3 - <<'E'\n\
        import subprocess, resource\n\
        n = 0\n\
        p = subprocess.Popen(['carrier', 'export', 'big'], stdout=subprocess.PIPE)\n\
        while chunk := p.stdout.read(1 << 20): n += len(chunk)\n\
        assert p.wait() == 0\n\
        print(n >> 20, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)\nE",
    );
    let measured = measured.succeeds();
    let (bytes, memory) = measured.text().trim().split_once(' ').unwrap();
    println!("exported {bytes} MiB in {memory} MiB of memory");
    assert!(bytes.parse::<u32>().unwrap() >= 300 && memory.parse::<u32>().unwrap() < 40);
    cx.carrier(["rm", "big"]).succeeds();
}

#[test]
fn what_cannot_be_imported_or_exported_is_refused() {
    let cx = Cx::new();
    let file = cx.file("junk", &"no archive".repeat(100));
    let empty = cx.file("empty", "");
    for (words, reason) in [
        (vec!["import", "https://example.com/x.tar"], "cannot fetch"),
        (vec!["import", &file, "x"], "cannot be unpacked"),
        (vec!["import", &empty, "x"], "is empty"),
        (vec!["import", "-c", "RUN x", &file, "x"], "\"RUN\""),
        (
            vec!["import", "-c", "EXPOSE x", &file, "x"],
            "bad arguments",
        ),
        (vec!["export", "nobody"], "no such container: nobody"),
    ] {
        cx.carrier(words).exits_with(125).complains(reason);
    }
    for place in ["layers", "blobs/sha256", "images", "staging"] {
        assert_eq!(fs::read_dir(cx.store().join(place)).unwrap().count(), 0);
    }
    cx.carrier(["export", "-o", "/no/such/place", "nobody"])
        .exits_with(125);
}
