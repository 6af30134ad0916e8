//! Images of real software, made once from the distribution's packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::context::run;
use crate::image::{Image, Layer, push_index};
use crate::registry::Registry;

/// To be changed when a fixture changes.
const VERSION: &str = "4";

/// Makes the fixtures where there are none yet, which takes minutes.
pub fn make_fixtures() {
    storage();
}

/// The storage of a registry with all fixtures.
pub(crate) fn storage() -> PathBuf {
    let cache = cache();
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    let storage = cache.join(format!("registry-{VERSION}"));
    let mark = storage.join("complete");
    if !mark.exists() {
        // What an interrupted run has left is made anew.
        run(Command::new("rm").arg("-rf").arg(&storage));
        fs::create_dir_all(&storage).unwrap();
        fill(&storage, &cache);
        fs::write(mark, "").unwrap();
    }
    storage
}

fn cache() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e-fixtures");
    std::env::var_os("CARRIER_E2E_CACHE").map_or(default, PathBuf::from)
}

fn fill(storage: &Path, cache: &Path) {
    let registry = Registry::start(storage, "");
    let host = registry.host();
    let shell = json!({ "Cmd": ["sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"] });

    let native = Image::new(
        vec![busybox(&fs::read("/bin/busybox").unwrap())],
        shell.clone(),
    );
    let mut images = vec![native.clone()];
    if let Some(program) = foreign_busybox(cache) {
        let foreign = Image::new(vec![busybox(&program)], shell.clone());
        images.push(Image {
            architecture: "arm64",
            ..foreign
        });
    }
    push_index(host, "busybox", "latest", &images);

    let configured = json!({
        "User": "app", "WorkingDir": "/srv/made", "Entrypoint": ["/bin/echo", "entry"],
        "Cmd": ["default"], "Env": ["PATH=/bin", "SECRET", "SEC*"], "StopSignal": "SIGINT",
        "Labels": { "a": "b" },
    });
    Image {
        config: configured,
        ..native.clone()
    }
    .push(host, "configured", "latest");
    Image {
        docker: true,
        ..native.clone()
    }
    .push(host, "docker-schema2", "latest");
    layered(&native).push(host, "layered", "latest");
    many_layers(&native).push(host, "many-layers", "latest");

    for (name, package, command) in [
        ("debian-redis", "redis-server", json!(["redis-server"])),
        (
            "debian-nginx",
            "nginx-light",
            json!(["nginx", "-g", "daemon off;"]),
        ),
        ("debian-python", "python3-minimal", json!(["python3"])),
    ] {
        debian(cache, name, package, &command).push(host, name, "latest");
    }
}

fn busybox(program: &[u8]) -> Layer {
    let applets = Command::new("/bin/busybox")
        .arg("--list")
        .output()
        .unwrap()
        .stdout;
    let applets = String::from_utf8(applets).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
    let group = "root:x:0:\nwheel:x:10:root\napp:x:1000:\nextra:x:2000:app\n";
    let base = Layer::new()
        .directory("bin", 0o755, 0)
        .directory("tmp", 0o1777, 0)
        .directory("root", 0o700, 0)
        .directory("home/app", 0o755, 1000)
        .file("etc/passwd", passwd)
        .file("etc/group", group)
        .program("bin/busybox", program);
    applets
        .lines()
        .filter(|name| *name != "busybox")
        .fold(base, |layer, name| {
            layer.link(&format!("bin/{name}"), "busybox")
        })
}

/// Layers in each compression, with whiteouts and an opaque directory.
fn layered(base: &Image) -> Image {
    let mut image = base.clone();
    image.layers.push(
        Layer::new()
            .compressed_with("zstd")
            .file("data/removed", "1")
            .file("data/kept", "2")
            .file("hidden/below", "3"),
    );
    image.layers.push(
        Layer::new()
            .compressed_with("")
            .file("data/.wh.removed", "")
            .file("hidden/.wh..wh..opq", "")
            .file("hidden/above", "4"),
    );
    image
}

fn many_layers(base: &Image) -> Image {
    let mut image = base.clone();
    image
        .layers
        .extend((1..120).map(|n| Layer::new().file("n", n.to_string())));
    image
}

/// The arm64 program, where the host's package lists have it.
fn foreign_busybox(cache: &Path) -> Option<Vec<u8>> {
    if cfg!(not(target_arch = "x86_64")) {
        return None;
    }
    let directory = cache.join("arm64");
    fs::create_dir_all(&directory).unwrap();
    let download = "apt-get download busybox-static:arm64 && dpkg -x busybox-static_*_arm64.deb .";
    let mut command = Command::new("sh");
    command
        .args(["-c", download])
        .current_dir(&directory)
        .stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .ok()
        .filter(std::process::ExitStatus::success)?;
    ["bin/busybox", "usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(directory.join(path)).ok())
}

/// A small Debian with one package, and a second layer on top that changes it.
fn debian(cache: &Path, name: &str, package: &str, command: &Value) -> Image {
    let archive = cache.join(format!("{name}.tar"));
    if !archive.exists() {
        let partial = cache.join(format!("{name}.partial.tar"));
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--format=tar"])
            .arg(format!("--include={package}"))
            .arg("bookworm")
            .arg(&partial));
        fs::rename(partial, &archive).unwrap();
    }
    let change = Layer::new()
        .file("etc/fixture", format!("{name}\n"))
        .file("usr/share/doc/.wh.base-files", "");
    let layers = vec![Layer::of_archive(fs::read(archive).unwrap()), change];
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Image::new(layers, json!({ "Cmd": command, "Env": [path] }))
}
