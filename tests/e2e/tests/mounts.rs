//! Mounts of the host's files and of memory: Docker's table of what happens, and threats F-05, F-06,
//! F-08, F-09, F-10.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use carrier_e2e::{Canary, Cx, Exchange, Outcome, is_root, rounds, skip};

fn sh(cx: &Cx, options: &[&str], image: &str, script: &str) -> Outcome {
    let head = ["run", "--rm"].iter().chain(options).copied();
    cx.carrier(head.chain([image, "sh", "-c", script]))
}

/// The directory that commands start in.
fn here(cx: &Cx) -> String {
    cx.script("pwd").succeeds().text().trim().to_owned()
}

#[test]
fn a_directory_of_the_host_is_mounted_by_any_of_its_names() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script("mkdir -p d/sub && echo host > d/f").succeeds();
    let here = here(&cx);
    for source in [
        format!("{here}/d"),
        "./d".to_owned(),
        "./d/sub/..".to_owned(),
    ] {
        let volume = format!("{source}:/x");
        sh(&cx, &["-v", &volume], &image, "cat /x/f")
            .succeeds()
            .prints("host");
        let mount = format!("type=bind,src={source},dst=/x");
        sh(&cx, &["--mount", &mount], &image, "cat /x/f")
            .succeeds()
            .prints("host");
    }
    sh(&cx, &["-v", ".:/x"], &image, "cat /x/d/f")
        .succeeds()
        .prints("host");
    // What is written is the caller's.
    sh(&cx, &["-v", "./d:/x"], &image, "echo new > /x/g").succeeds();
    let owner = |path: &str| fs::metadata(format!("{here}/{path}")).unwrap().uid();
    assert_eq!(owner("d/g"), owner("d"));
    // A word without a slash or dot in front is a volume.
    sh(&cx, &["-v", "dd:/x"], &image, "ls /x")
        .succeeds()
        .prints("");
    cx.carrier(["volume", "rm", "dd"]).succeeds();
}

#[test]
fn a_missing_directory_is_made_for_v_and_refused_for_mount() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let here = here(&cx);
    sh(&cx, &["-v", "./new/deep:/x"], &image, "touch /x/f").succeeds();
    assert!(fs::metadata(format!("{here}/new/deep/f")).is_ok());
    let mount = format!("type=bind,src={here}/other,dst=/x");
    let refused = sh(&cx, &["--mount", &mount], &image, "true").exits_with(125);
    assert!(
        refused.errors().contains("bind source path does not exist"),
        "{refused:?}"
    );
    sh(
        &cx,
        &["--mount", &format!("{mount},bind-create-src")],
        &image,
        "true",
    )
    .succeeds();
    sh(&cx, &["-v", "./third:/x:nocreate"], &image, "true").exits_with(125);
    let refused = sh(&cx, &["-v", "/proc/none:/x"], &image, "true").exits_with(125);
    assert!(
        refused
            .errors()
            .contains("error while creating mount source path"),
        "{refused:?}"
    );
}

#[test]
fn a_file_goes_on_a_file_and_a_directory_on_a_directory() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script("mkdir d && echo host > f").succeeds();
    sh(
        &cx,
        &["-v", "./f:/etc/passwd:ro"],
        &image,
        "cat /etc/passwd",
    )
    .succeeds()
    .prints("host");
    sh(&cx, &["-v", "./f:/new/place"], &image, "cat /new/place")
        .succeeds()
        .prints("host");
    for (source, target) in [("./f", "/etc"), ("./d", "/etc/passwd")] {
        let volume = format!("{source}:{target}");
        let refused = sh(&cx, &["-v", &volume], &image, "true").exits_with(125);
        let told = refused.errors();
        assert!(
            told.contains("Not a directory") && told.contains("a file on a file"),
            "{told}"
        );
    }
}

#[test]
fn memory_is_for_everybody_unless_its_mode_is_said() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for (tmpfs, expected) in [("/etc", "drwxrwxrwt"), ("/etc:mode=711", "drwx--x--x")] {
        sh(
            &cx,
            &["--tmpfs", tmpfs],
            &image,
            "ls -ld /etc | cut -d' ' -f1",
        )
        .succeeds()
        .prints(expected);
    }
}

#[test]
fn options_that_make_no_sense_are_errors_of_the_command() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for options in [
        ["-v", "/a:/b:frob"],
        ["-v", "/a:b"],
        ["-v", "a/b:/x"],
        ["-v", "/a:/"],
        ["-v", "/tmp:/proc"],
        ["-v", "/tmp:/proc/self/attr"],
        ["--tmpfs", "/proc/self/attr"],
        ["--tmpfs", "/x:frob"],
        ["--mount", "type=bind,src=/tmp,dst=/x,frob=1"],
        ["--mount", "type=volume,src=vv,dst=/x,volume-driver=nfs"],
        ["--shm-size", "much"],
        ["--tmpfs", "/x:size=much"],
        ["--tmpfs", "/x:mode=9"],
        ["--mount", "type=tmpfs,dst=/x,tmpfs-size=-1"],
        ["--mount", "type=tmpfs,dst=/x,tmpfs-mode=8"],
        ["--volumes-from", "x:frob"],
    ] {
        let refused = sh(&cx, &options, &image, "true").exits_with(125);
        assert!(refused.errors().contains("hint: "), "{refused:?}");
    }
    let twice = ["-v", "/tmp:/x", "--tmpfs", "/x"];
    let refused = sh(&cx, &twice, &image, "true").exits_with(125);
    assert!(
        refused.errors().contains("duplicate mount point: /x"),
        "{refused:?}"
    );
}

#[test]
fn memory_is_mounted_as_docker_mounts_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let look = "grep -o ' /t [^ ]*' /proc/self/mountinfo; stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'";
    let shown = sh(&cx, &["--tmpfs", "/t:size=1m,mode=700"], &image, look).succeeds();
    let text = shown.text();
    assert!(text.trim().ends_with("700\n1024"), "{text}");
    for word in ["rw", "nosuid", "nodev", "noexec"] {
        assert!(
            text.lines().next().unwrap().contains(word),
            "{word}: {text}"
        );
    }
    let shown = sh(
        &cx,
        &["--tmpfs", "/t:exec"],
        &image,
        "cp /bin/busybox /t/true && /t/true && stat -c %a /t",
    );
    shown.succeeds().prints("1777");
    let mount = "type=tmpfs,dst=/etc,tmpfs-size=64k,tmpcopyup";
    sh(
        &cx,
        &["--mount", mount],
        &image,
        "grep -c root /etc/passwd; df -k /etc | tail -1 | awk '{print $2}'",
    )
    .succeeds()
    .prints("1\n64");
    sh(&cx, &["--tmpfs", "/etc/x"], &image, "ls /etc/x")
        .succeeds()
        .prints("");
    sh(
        &cx,
        &["--shm-size", "1m"],
        &image,
        "df -k /dev/shm | tail -1 | awk '{print $2}'",
    )
    .succeeds()
    .prints("1024");
}

#[test]
fn a_read_only_root_is_read_only_but_for_what_is_mounted() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "touch /x/f && ! touch /f 2>/dev/null && ! touch /tmp/f 2>/dev/null && echo good";
    sh(&cx, &["--read-only", "--tmpfs", "/x"], &image, script)
        .succeeds()
        .prints("good");
    let script = "touch /tmp/f /run/f /var/tmp/f && ! touch /f 2>/dev/null && stat -c %a /tmp";
    sh(&cx, &["--read-only", "--read-only-tmpfs"], &image, script)
        .succeeds()
        .prints("1777");
    sh(
        &cx,
        &["--read-only-tmpfs"],
        &image,
        "touch /f && ! grep ' /run ' /proc/self/mountinfo",
    )
    .succeeds();
}

#[test]
fn what_is_mounted_deeper_is_mounted_later() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script("mkdir -p a b e && echo a > a/f && echo b > b/f && echo own > e/passwd")
        .succeeds();
    let options = ["-v", "./b:/x/y/z", "-v", "./a:/x", "-v", "./e:/etc"];
    sh(
        &cx,
        &options,
        &image,
        "cat /x/f /x/y/z/f /etc/passwd; test -s /etc/hosts",
    )
    .succeeds()
    .prints("a\nb\nown");
    // The host has only the places that had to be made.
    cx.script("ls a a/y e").succeeds();
}

#[test]
fn an_overlay_throws_away_what_is_written() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script("mkdir d && echo host > d/f").succeeds();
    sh(
        &cx,
        &["-v", "./d:/x:O"],
        &image,
        "cat /x/f; echo new > /x/g; rm /x/f; ls /x",
    )
    .succeeds()
    .prints("host\ng");
    cx.script("ls d").prints("f");
    cx.carrier([
        "run",
        "--name",
        "box",
        "-v",
        "./d:/x:O",
        &image,
        "sh",
        "-c",
        "ls /x; touch /x/h",
    ])
    .succeeds();
    cx.carrier(["start", "-a", "box"]).succeeds().prints("f");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn an_image_is_mounted_in_a_container_of_another_one() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let other = cx.pulled("debian-redis");
    let mount = format!("type=image,source={other},target=/x");
    let look = "grep ^ID= /x/etc/os-release; ls /x/usr/share/doc | grep base-files; touch /x/new && ls /x/new";
    sh(&cx, &["--mount", &mount], &image, look)
        .succeeds()
        .prints("ID=debian\n/x/new");
    sh(
        &cx,
        &["--mount", &format!("{mount},readonly")],
        &image,
        "touch /x/new 2>/dev/null || ls /x/new",
    )
    .exits_with(1);
    let part = format!("{mount},image-subpath=etc/apt");
    sh(&cx, &["--mount", &part], &image, "ls /x | grep auth")
        .succeeds()
        .prints("auth.conf.d");
    let unknown = "type=image,source=no/such:image,target=/x";
    let refused = sh(&cx, &["--mount", unknown], &image, "true").exits_with(125);
    assert!(refused.errors().contains("no such image"), "{refused:?}");
    // The image loses its name under the container, and not its files.
    let look = [
        "create",
        "--name",
        "box",
        "--mount",
        &mount,
        &image,
        "cat",
        "/x/etc/fixture",
    ];
    cx.carrier(look).succeeds();
    cx.carrier(["rmi", &other]).succeeds();
    cx.carrier(["image", "prune", "-af"]).succeeds();
    cx.carrier([
        "create", "--name", "other", "--mount", &mount, &image, "true",
    ])
    .exits_with(125);
    cx.carrier(["start", "-a", "box"])
        .succeeds()
        .prints("debian-redis");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn u_gives_files_to_the_containers_user_and_follows_no_link() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let canary = Canary::new(&cx);
    let target = canary.path().join("target").display().to_string();
    cx.script(&format!(
        "mkdir -p d/sub && touch d/f d/sub/g && ln -s {target} d/link && ln -s {} d/dir",
        canary.path().display()
    ))
    .succeeds();
    let look = "stat -c %u:%g /x /x/f /x/sub/g /x/link";
    sh(&cx, &["-u", "1000:1000", "-v", "./d:/x:U"], &image, look)
        .succeeds()
        .prints("1000:1000\n1000:1000\n1000:1000\n1000:1000");
    canary.assert_untouched();
    sh(
        &cx,
        &["-u", "7:8", "-v", "data:/x:U"],
        &image,
        "touch /x/f && stat -c %u:%g /x /x/f",
    )
    .succeeds()
    .prints("7:8\n7:8");
    cx.carrier(["volume", "rm", "data"]).succeeds();
    // Who gives away his home directory is locked out of it.
    let home = format!("{}:/x:U", cx.home().display());
    let refused = sh(&cx, &["-u", "7:8", "-v", &home], &image, "true").exits_with(125);
    assert!(
        refused.errors().contains("your home directory is in it"),
        "{refused:?}"
    );
    sh(&cx, &["-v", "./d:/x:U"], &image, "true").succeeds();
}

/// A script of root's, in a mount namespace of its own, that runs Carrier as the ordinary user.
fn host_script(cx: &Cx, before: &str, run: &str) -> Outcome {
    let user = "setpriv --reuid carrier-test --regid carrier-test --init-groups";
    cx.host_script(&format!("{before} && {user} carrier run --rm {run}"))
}

#[test]
fn f09_read_only_means_all_that_is_mounted_below() {
    const NAME: &str = "f09_read_only_means_all_that_is_mounted_below";
    if !is_root() {
        return skip(NAME, "only root mounts something below");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let before = "mkdir -p d/below && mount -t tmpfs none d/below && chmod 777 d d/below";
    let script = "sh -c 'touch /x/f; touch /x/below/f; ls /x /x/below'";
    let run = |options: &str| {
        let outcome = host_script(&cx, before, &format!("{options} {image} {script}"));
        outcome.succeeds().text().trim().to_owned()
    };
    let fields = "--mount type=bind,src=./d,dst=/x,readonly";
    for options in [
        "-v ./d:/x:ro",
        fields,
        &format!("{fields},bind-recursive=readonly"),
    ] {
        assert_eq!(run(options), "/x:\nbelow\n\n/x/below:", "{options}");
    }
    assert_eq!(
        run(&format!("{fields},bind-recursive=writable")),
        "/x:\nbelow\n\n/x/below:\nf"
    );
    // The kernel lets no ordinary user look below a mount.
    let alone = format!("{fields},bind-recursive=disabled {image} true");
    let refused = host_script(&cx, before, &alone).exits_with(125);
    assert!(refused.errors().contains("with rbind"), "{refused:?}");
    assert_eq!(run("-v ./d:/x"), "/x:\nbelow\nf\n\n/x/below:\nf");
}

#[test]
fn f10_what_the_host_forbids_stays_forbidden() {
    const NAME: &str = "f10_what_the_host_forbids_stays_forbidden";
    if !is_root() {
        return skip(NAME, "only root mounts something");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let before = "mkdir -p d && mount -t tmpfs -o nosuid,nodev,noexec none d && chmod 777 d";
    let flags = "sh -c 'grep -o \" /x [^ ]*\" /proc/self/mountinfo'";
    let shown = host_script(&cx, before, &format!("-v ./d:/x {image} {flags}")).succeeds();
    for word in ["nosuid", "nodev", "noexec"] {
        assert!(shown.text().contains(word), "{shown:?}");
    }
    for word in ["exec", "suid", "dev"] {
        let refused = host_script(&cx, before, &format!("-v ./d:/x:{word} {image} true"));
        let refused = refused.exits_with(125);
        assert!(refused.errors().contains("cannot be undone"), "{refused:?}");
    }
    // Nor by the container itself, with all the power that it can get.
    let remount = "--cap-add ALL --security-opt seccomp=unconfined";
    let script =
        "sh -c 'mount -o remount,bind,suid,exec /x; grep -o \" /x [^ ]*\" /proc/self/mountinfo'";
    let shown = host_script(
        &cx,
        before,
        &format!("-v ./d:/x {remount} {image} {script}"),
    );
    assert!(
        shown.text().contains("nosuid") && shown.text().contains("noexec"),
        "{shown:?}"
    );
}

#[test]
fn f08_mounts_stay_on_their_side_unless_they_are_asked_in() {
    const NAME: &str = "f08_mounts_stay_on_their_side_unless_they_are_asked_in";
    if !is_root() {
        return skip(NAME, "only root mounts something");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let user = "setpriv --reuid carrier-test --regid carrier-test --init-groups";
    let arrives = |mode: &str| {
        let script = format!(
            "mkdir -p d/sub && mount --bind d d && mount --make-rshared d && chmod 777 d && rm -f d/go && \
             {user} carrier run -d --name box -v ./d:/x{mode} {image} \
               sh -c 'touch /x/ready; until test -e /x/go; do sleep 0.05; done; ls /x/sub > /x/seen; touch /x/done' && \
             until test -e d/ready; do sleep 0.05; done && \
             mount -t tmpfs none d/sub && touch d/sub/late d/go && \
             until test -e d/done; do sleep 0.05; done; cat d/seen; {user} carrier rm -f box >/dev/null; rm -f d/*"
        );
        cx.host_script(&script)
            .text()
            .lines()
            .last()
            .unwrap_or("")
            .to_owned()
    };
    assert_eq!(arrives(":rslave"), "late");
    assert_ne!(arrives(""), "late");
    // What is mounted inside is not seen on the host, whatever the word.
    for mode in ["", ":rslave", ":rshared"] {
        let script = format!(
            "mkdir -p d/sub && mount --bind d d && mount --make-rshared d && chmod 777 d && \
             {user} carrier run --rm --cap-add ALL --security-opt seccomp=unconfined -v ./d:/x{mode} {image} \
               sh -c 'mount -t tmpfs none /x/sub && touch /x/sub/inside && ls /x/sub'; ls d/sub | wc -l"
        );
        cx.host_script(&script).succeeds().prints("inside\n0");
    }
}

#[test]
fn f05_a_link_of_an_image_leads_no_mount_into_proc() {
    let cx = Cx::with_registry();
    let base = cx.pulled("busybox");
    cx.carrier([
        "run",
        "--name",
        "maker",
        &base,
        "sh",
        "-c",
        "ln -s /proc /p; ln -s /proc/self/attr /a",
    ])
    .succeeds();
    cx.carrier(["commit", "-q", "maker", "links"]).succeeds();
    cx.carrier(["rm", "maker"]).succeeds();
    cx.script("mkdir d && touch f").succeeds();
    for options in [
        ["-v", "./d:/p"],
        ["-v", "./d:/p/self/attr"],
        ["-v", "./f:/p/sys/kernel/core_pattern"],
        ["--tmpfs", "/a"],
        ["-v", "data:/p/sys"],
    ] {
        sh(&cx, &options, "links", "true").exits_with(125);
    }
    cx.carrier(["volume", "rm", "-f", "data"]).succeeds();
    sh(
        &cx,
        &[],
        "links",
        "test -e /p/self/status && cat /proc/self/attr/current >/dev/null; true",
    )
    .succeeds();
}

#[test]
fn f06_a_directory_that_becomes_a_link_takes_no_mount_out_of_the_volume() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let canary = Canary::new(&cx);
    cx.carrier(["volume", "create", "shared"]).succeeds();
    cx.carrier(["volume", "create", "other"]).succeeds();
    let data = cx.store().join("volumes/shared/_data");
    cx.script(&format!(
        "mkdir {0}/x && ln -s {1} {0}/y",
        data.display(),
        canary.path().display()
    ))
    .succeeds();
    let exchange = Exchange::of(&[(&data.join("x"), &data.join("y"))]);
    for _ in 0..rounds() {
        // Either is right: a mount on the directory, or inside of the container.
        sh(
            &cx,
            &["-v", "shared:/vol", "-v", "other:/vol/x/deep"],
            &image,
            "true",
        );
    }
    assert!(exchange.stop() > 0);
    canary.assert_untouched();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("volumes/other"), "{mounts}");
    cx.carrier(["volume", "prune", "-af"]).succeeds();
}
