//! Volumes: Docker's table of what happens, as sentences.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;

use carrier_e2e::{Cx, Image, Layer, Outcome, Registry};
use serde_json::json;

/// The image's name, with content in `/data`, and an empty directory of user 999.
fn image(cx: &Cx) -> String {
    let base = cx.pulled("busybox");
    let script = "mkdir -p /data/sub /own && echo image > /data/file && ln -s /etc/passwd /data/link && \
                  echo x > /data/sub/theirs && chown 1000:2000 /data/sub/theirs && \
                  chmod 2750 /data/sub && chown 999:998 /own && chmod 700 /own";
    cx.carrier(["run", "--name", "maker", &base, "sh", "-c", script])
        .succeeds();
    let changes = [
        "commit",
        "-q",
        "-c",
        "VOLUME /data",
        "-c",
        "VOLUME /own",
        "maker",
        "with-data",
    ];
    cx.carrier(changes).succeeds();
    cx.carrier(["rm", "maker"]).succeeds();
    "with-data".to_owned()
}

fn volumes(cx: &Cx) -> usize {
    let listed = cx.carrier(["volume", "ls", "-q"]).succeeds();
    listed.text().lines().count()
}

fn sh(cx: &Cx, options: &[&str], image: &str, script: &str) -> Outcome {
    let head = ["run", "--rm"].iter().chain(options).copied();
    cx.carrier(head.chain([image, "sh", "-c", script]))
}

fn clean(cx: &Cx) {
    cx.carrier(["volume", "prune", "-af"]).succeeds();
    assert_eq!(volumes(cx), 0);
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["volume", "create", "data"])
        .succeeds()
        .prints("data");
    sh(&cx, &["-v", "data:/x"], &image, "echo kept > /x/file").succeeds();
    sh(
        &cx,
        &["--mount", "source=data,target=/y"],
        &image,
        "cat /y/file",
    )
    .succeeds()
    .prints("kept");
    // One that does not exist is made.
    sh(&cx, &["-v", "fresh:/x"], &image, "echo 1 > /x/file").succeeds();
    cx.carrier(["volume", "ls", "-q"])
        .succeeds()
        .prints("data\nfresh");
    cx.carrier(["volume", "rm", "data", "fresh"])
        .succeeds()
        .prints("data\nfresh");
    assert_eq!(volumes(&cx), 0);
}

#[test]
fn making_a_volume_twice_is_no_error_unless_it_would_be_another_one() {
    let cx = Cx::new();
    cx.carrier(["volume", "create", "--label", "a=b", "data"])
        .succeeds();
    cx.carrier(["volume", "create", "data"])
        .succeeds()
        .prints("data");
    cx.carrier(["volume", "create", "--name", "data"])
        .succeeds()
        .prints("data");
    let differs = cx
        .carrier(["volume", "create", "--label", "a=c", "data"])
        .exits_with(1);
    assert!(
        differs
            .errors()
            .contains("exists with other options or labels"),
        "{differs:?}"
    );
    for (name, expected) in [("a", "too short"), ("../x", "invalid characters")] {
        let refused = cx.carrier(["volume", "create", name]);
        assert!(
            !refused.is_success() && refused.errors().contains(expected),
            "{refused:?}"
        );
    }
    let nfs = [
        "volume",
        "create",
        "--opt",
        "type=nfs",
        "--opt",
        "device=:/x",
        "nfs",
    ];
    let refused = cx.carrier(nfs).exits_with(1);
    assert!(refused.errors().contains("only root mount"), "{refused:?}");
    let anonymous = cx.carrier(["volume", "create"]).succeeds();
    assert_eq!(anonymous.text().trim().len(), 64);
    cx.carrier(["volume", "prune", "-f"])
        .succeeds()
        .shows(anonymous.text().trim());
    cx.carrier(["volume", "ls", "-q"]).prints("data");
    clean(&cx);
}

#[test]
fn an_empty_volume_begins_with_what_the_image_has_there() {
    let cx = Cx::with_registry();
    let image = image(&cx);
    let look = "cat /data/file; readlink /data/link; stat -c '%u:%g' /data/sub/theirs; \
                stat -c %a /data/sub; stat -c '%u:%g %a' /own";
    sh(&cx, &["-v", "data:/data", "-v", "own:/own"], &image, look)
        .succeeds()
        .prints("image\n/etc/passwd\n1000:2000\n2750\n999:998 700");
    // What is there stays.
    sh(
        &cx,
        &["-v", "data:/data"],
        &image,
        "rm /data/file; echo own > /data/new",
    )
    .succeeds();
    sh(&cx, &["-v", "data:/data"], &image, "ls /data")
        .succeeds()
        .prints("link\nnew\nsub");
    // And nothing is copied where nobody wants it.
    sh(&cx, &["-v", "bare:/data:nocopy"], &image, "ls /data")
        .succeeds()
        .prints("");
    let bare = "type=volume,source=bare2,target=/data,volume-nocopy";
    sh(&cx, &["--mount", bare], &image, "ls /data")
        .succeeds()
        .prints("");
    clean(&cx);
}

#[test]
fn an_images_volumes_are_anonymous_and_go_where_that_is_asked_for() {
    let cx = Cx::with_registry();
    let image = image(&cx);
    sh(
        &cx,
        &[],
        &image,
        "cat /data/file; grep -c ' /data ' /proc/self/mountinfo",
    )
    .succeeds()
    .prints("image\n1");
    assert_eq!(volumes(&cx), 0, "--rm takes them along");
    cx.carrier(["run", "--name", "box", &image, "touch", "/data/mine"])
        .succeeds();
    assert_eq!(volumes(&cx), 2);
    cx.carrier(["start", "-a", "box"]).succeeds();
    cx.carrier(["rm", "box"]).succeeds();
    assert_eq!(volumes(&cx), 2, "rm alone leaves them");
    clean(&cx);
    cx.carrier(["create", "--name", "box", "-v", "named:/own", &image])
        .succeeds();
    assert_eq!(volumes(&cx), 2);
    cx.carrier(["rm", "-v", "box"]).succeeds();
    cx.carrier(["volume", "ls", "-q"]).prints("named");
    // Other fates.
    let fate = |word| {
        let mounts = "grep -o ' /data .* - [a-z]*' /proc/self/mountinfo | grep -o '[a-z]*$'";
        let shown = sh(
            &cx,
            &["--image-volume", word],
            &image,
            &format!("{mounts}; cat /data/file"),
        );
        shown.succeeds().text().to_owned()
    };
    assert_eq!(fate("tmpfs").trim(), "tmpfs\nimage");
    assert_eq!(fate("ignore").trim(), "image");
    clean(&cx);
}

#[test]
fn a_container_that_cannot_be_made_or_started_leaves_no_volume() {
    let cx = Cx::with_registry();
    let image = image(&cx);
    cx.carrier(["run", "--rm", &image, "/no/such/program"])
        .exits_with(127);
    cx.carrier(["create", "--name", "box", &image, "true"])
        .succeeds();
    assert_eq!(volumes(&cx), 2);
    cx.carrier(["create", "--name", "box", &image, "true"])
        .exits_with(125);
    assert_eq!(volumes(&cx), 2);
    cx.carrier(["rm", "-v", "box"]).succeeds();
    assert_eq!(volumes(&cx), 0);
}

#[test]
fn a_volume_that_somebody_has_is_not_removed() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "box", "-v", "data:/x", &image, "true"])
        .succeeds();
    let refused = cx.carrier(["volume", "rm", "data"]).exits_with(1);
    assert!(
        refused.errors().contains("volume data is in use by box"),
        "{refused:?}"
    );
    cx.carrier(["volume", "rm", "-f", "data"]).exits_with(1);
    cx.carrier(["volume", "prune", "-af"]).succeeds();
    cx.carrier(["volume", "ls", "-q", "-f", "dangling=false"])
        .prints("data");
    cx.carrier(["volume", "ls", "-q", "-f", "dangling=true"])
        .prints("");
    cx.carrier([
        "ps",
        "-a",
        "--no-trunc",
        "-f",
        "volume=data",
        "--format",
        "{{.Names}} {{.Mounts}}",
    ])
    .succeeds()
    .prints("box data");
    cx.carrier(["ps", "-a", "-f", "volume=/x", "--format", "{{.Names}}"])
        .prints("box");
    cx.carrier(["ps", "-a", "-f", "volume=other", "--format", "{{.Names}}"])
        .prints("");
    cx.carrier(["rm", "box"]).succeeds();
    cx.carrier(["volume", "rm", "data"]).succeeds();
    cx.carrier(["volume", "rm", "data"]).exits_with(1);
    cx.carrier(["volume", "rm", "-f", "data"]).succeeds();
}

#[test]
fn another_containers_volumes_are_shared() {
    let cx = Cx::with_registry();
    let image = image(&cx);
    cx.script("mkdir host && echo host > host/f").succeeds();
    let create = [
        "create",
        "--name",
        "first",
        "-v",
        "./host:/h",
        "-v",
        "named:/n",
        &image,
        "true",
    ];
    cx.carrier(create).succeeds();
    let script = "cat /h/f /data/file; touch /n/new && rm /data/file";
    sh(&cx, &["--volumes-from", "first"], &image, script)
        .succeeds()
        .prints("host\nimage");
    // The others are not this one's to take along.
    sh(
        &cx,
        &["--volumes-from", "first:ro"],
        &image,
        "ls /n; touch /n/x",
    )
    .exits_with(1)
    .shows("new");
    let unknown = cx.carrier(["run", "--rm", "--volumes-from", "nobody", &image, "true"]);
    assert!(
        unknown
            .exits_with(125)
            .errors()
            .contains("no such container: nobody")
    );
    cx.carrier(["rm", "-v", "first"]).succeeds();
    cx.carrier(["volume", "ls", "-q"]).prints("named");
    clean(&cx);
}

#[test]
fn volumes_are_described_as_docker_describes_them() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["volume", "create", "--label", "a=b", "data"])
        .succeeds();
    let place = cx.store().join("volumes/data/_data").display().to_string();
    let format = "{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{index .Labels \"a\"}}";
    cx.carrier(["volume", "inspect", "-f", format, "data"])
        .succeeds()
        .prints(&format!("data local local {place} b"));
    cx.carrier(["volume", "ls"])
        .succeeds()
        .prints("DRIVER   VOLUME NAME\nlocal    data");
    cx.carrier([
        "volume",
        "ls",
        "-f",
        "label=a=b",
        "--format",
        "{{.Name}} {{.Labels}} {{.Label \"a\"}} {{.Label \"no\"}}|",
    ])
    .prints("data a=b b |");
    cx.carrier(["volume", "ls", "-q", "-f", "name=at", "-f", "label=none"])
        .prints("");
    cx.carrier(["inspect", "-f", "{{.Driver}}", "data"])
        .succeeds()
        .prints("local");
    cx.carrier(["inspect", "--type", "volume", "nobody"])
        .exits_with(1);
    cx.carrier(["volume", "inspect", "nobody"]).exits_with(1);
    let events = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "volume=data",
        "--format",
        "{{.Action}}",
    ];
    cx.carrier(events).succeeds().prints("create");
    cx.script("mkdir d").succeeds();
    let run = [
        "create",
        "--name",
        "box",
        "-v",
        "data:/x:ro",
        "-v",
        "./d:/d",
        "-v",
        "/anonymous",
        "--tmpfs",
        "/t:size=1m",
        "--shm-size",
        "32m",
        "--mount",
        "type=tmpfs,target=/m",
        &image,
        "true",
    ];
    cx.carrier(run).succeeds();
    let mounts =
        "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}} {{.Mode}} {{.Propagation}}\n{{end}}";
    cx.carrier(["inspect", "-f", mounts, "box"])
        .succeeds()
        .prints(
            "volume /anonymous true  \nbind /d true  rprivate\ntmpfs /m true  \nvolume /x false ro",
        );
    let host = cx.script("pwd").text().trim().to_owned();
    let config = "{{json .HostConfig.Binds}} {{json .HostConfig.Tmpfs}} {{.HostConfig.ShmSize}} \
                  {{json .Config.Volumes}} {{len .HostConfig.Mounts}}";
    cx.carrier(["inspect", "-f", config, "box"]).succeeds().prints(&format!(
        "[\"{host}/d:/d\",\"data:/x:ro\"] {{\"/t\":\"size=1m\"}} 33554432 {{\"/anonymous\":{{}}}} 1"
    ));
    cx.carrier(["rm", "-v", "box"]).succeeds();
    clean(&cx);
}

#[test]
fn volumes_of_the_local_driver_can_be_elsewhere() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script("mkdir real && echo host > real/f").succeeds();
    let real = cx.script("realpath real").text().trim().to_owned();
    let device = format!("device={real}");
    let bind = [
        "volume",
        "create",
        "-o",
        "type=none",
        "-o",
        "o=bind",
        "-o",
        &device,
        "real",
    ];
    cx.carrier(bind).succeeds();
    sh(&cx, &["-v", "real:/x"], &image, "cat /x/f; echo new > /x/g")
        .succeeds()
        .prints("host");
    assert_eq!(fs::read_to_string(format!("{real}/g")).unwrap(), "new\n");
    let memory = [
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m",
        "mem",
    ];
    cx.carrier(memory).succeeds();
    sh(
        &cx,
        &["-v", "mem:/x"],
        &image,
        "df -k /x | tail -1 | awk '{print $2}'",
    )
    .succeeds()
    .prints("1024");
    cx.script("rm -r real").succeeds();
    let gone = sh(&cx, &["-v", "real:/x"], &image, "true").exits_with(125);
    assert!(gone.errors().contains("does not exist"), "{gone:?}");
    clean(&cx);
}

#[test]
fn a_part_of_a_volume_is_mounted_and_no_link_leads_out_of_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let fill = "mkdir -p /v/a/b; echo in > /v/a/b/f; ln -s /etc /v/out; ln -s ../../../../etc /v/up; \
                mkdir -p /v/etc; echo inside > /v/etc/hostname; ln -s a/b /v/within";
    sh(&cx, &["-v", "data:/v"], &image, fill).succeeds();
    let part = |subpath: &str, script: &str| {
        let mount = format!("type=volume,source=data,target=/x,volume-subpath={subpath}");
        sh(&cx, &["--mount", &mount], &image, script)
    };
    part("a/b", "cat /x/f").succeeds().prints("in");
    part("a/b/f", "cat /x").succeeds().prints("in");
    part("within", "cat /x/f").succeeds().prints("in");
    for link in ["out", "up"] {
        part(link, "cat /x/hostname; ls /x")
            .succeeds()
            .prints("inside\nhostname");
    }
    part("none", "true").exits_with(125);
    clean(&cx);
}

#[test]
fn the_system_knows_volumes() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    sh(
        &cx,
        &["-v", "data:/x"],
        &image,
        "head -c 5000 /dev/zero > /x/f",
    )
    .succeeds();
    cx.carrier(["volume", "create"]).succeeds();
    cx.carrier([
        "system",
        "df",
        "--format",
        "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}",
    ])
    .succeeds()
    .shows("Local Volumes 2 0 5kB");
    cx.carrier(["system", "df", "-v"]).succeeds().shows("data");
    cx.carrier(["system", "check"]).succeeds();
    cx.carrier(["system", "prune", "-f"]).succeeds();
    assert_eq!(volumes(&cx), 2);
    cx.carrier(["system", "prune", "-f", "--volumes"])
        .succeeds()
        .shows("Deleted Volumes:");
    cx.carrier(["volume", "ls", "-q"]).prints("data");
    // A record that is damaged is written anew; the files stay.
    fs::write(cx.store().join("volumes/data/volume.json"), "{").unwrap();
    cx.carrier(["system", "check"])
        .exits_with(1)
        .shows("volume.json");
    cx.carrier(["system", "check", "--repair"]);
    cx.carrier(["system", "check"]).succeeds();
    sh(&cx, &["-v", "data:/x"], &image, "stat -c %s /x/f")
        .succeeds()
        .prints("5000");
    cx.carrier(["system", "reset", "-f"]).succeeds();
}

#[test]
fn an_image_cannot_have_volumes_where_the_kernel_is() {
    let cx = Cx::with_registry();
    for (at, place) in ["/proc", "/proc/self/attr", "/"].into_iter().enumerate() {
        let name = format!("hostile{at}");
        let base = cx.pulled("busybox");
        cx.carrier(["run", "--name", "maker", &base, "true"])
            .succeeds();
        let change = format!("VOLUME {place}");
        cx.carrier(["commit", "-q", "-c", &change, "maker", &name])
            .succeeds();
        cx.carrier(["rm", "maker"]).succeeds();
        cx.carrier(["run", "--rm", &name, "true"]).exits_with(125);
        assert_eq!(volumes(&cx), 0);
    }
}

#[test]
fn hostile_layers_fill_volumes_with_nothing_of_the_host() {
    let cx = Cx::with_registry();
    let registry = Registry::empty();
    let layer = Layer::new()
        .directory("real", 0o755, 0)
        .file("real/f", "inside")
        .link("out", "/../../../../etc")
        .link("loop", "loop")
        .link("through", "/real");
    let base = cx.pulled("busybox");
    Image::new(vec![layer], json!({})).push(registry.host(), "evil", "latest");
    let reference = &registry.reference("evil");
    cx.carrier(["pull", "-q", reference]).succeeds();
    let create = |place: &str| {
        let volume = format!("data:{place}");
        cx.carrier(["create", "--name", "box", "-v", &volume, reference, "/x"]);
        cx.carrier(["rm", "box"]);
        let seen = sh(&cx, &["-v", "data:/v"], &base, "ls /v")
            .text()
            .trim()
            .to_owned();
        cx.carrier(["volume", "rm", "-f", "data"]).succeeds();
        seen
    };
    assert_eq!(create("/real"), "f");
    assert_eq!(create("/through"), "f");
    // A link is the image's own affair, and the image has no /etc.
    assert_eq!(create("/out"), "");
    assert_eq!(create("/loop"), "");
    clean(&cx);
}
