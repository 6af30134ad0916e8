//! Attacks of the catalogue on mounts and their flags.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, is_root, skip};
use serde_json::{Value, json};

/// Whose container a script of the host makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The ordinary user's, in a user namespace.
    Users,
    /// Root's, without one: nothing but the runtime separates its mounts.
    Roots,
}

impl Whose {
    /// The runtime for `Cx::host_script`, where root arranges the host.
    fn runtime(self) -> &'static str {
        match self {
            Self::Users => {
                "setpriv --reuid carrier-test --regid carrier-test --init-groups \
                 carrier oci --root run/oci"
            }
            Self::Roots => "carrier oci --root run/root-oci --cgroup-manager disabled",
        }
    }

    /// A bundle whose root may mount.
    fn bundle<'a>(self, cx: &'a Cx, script: &str) -> Bundle<'a> {
        let mut bundle = Bundle::new(cx, script);
        if self == Self::Roots {
            bundle.leave_user_namespace();
        }
        for set in ["bounding", "effective", "permitted"] {
            let set = &mut bundle.config["process"]["capabilities"][set];
            set.as_array_mut().unwrap().push("CAP_SYS_ADMIN".into());
        }
        bundle
    }
}

fn bind(destination: &str, source: &str, more: &[&str]) -> Value {
    let options = [&["bind"], more].concat();
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn add_mount(bundle: &mut Bundle<'_>, mount: Value) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(mount);
}

#[test]
fn f08_mounts_go_neither_in_nor_out() {
    const NAME: &str = "f08_mounts_go_neither_in_nor_out";
    if !is_root() {
        return skip(NAME, "only root can mount something on the host");
    }
    for whose in [Whose::Users, Whose::Roots] {
        let cx = Cx::new();
        let mut bundle = whose.bundle(&cx, "sleep 1000");
        let source = cx.home().join("source").display().to_string();
        for (name, options) in [
            ("default", &[][..]),
            ("slave", &["rslave"]),
            ("shared", &["rshared"]),
        ] {
            add_mount(&mut bundle, bind(&format!("/tmp/{name}"), &source, options));
        }
        bundle.save();
        let runtime = whose.runtime();
        // The host's mounts are shared, as systemd leaves them.
        let script = format!(
            "mount --make-rshared / && mkdir -p {source}/outside {source}/inside && chown -R carrier-test {source}
             mount --bind {source} {source} || exit 1
             {runtime} create -b home/bundle box </dev/null >/dev/null && {runtime} start box || exit 1
             mount -t tmpfs host {source}/outside && touch {source}/outside/seen
             for name in default slave shared; do
                 echo $name: $({runtime} exec box ls /tmp/$name/outside)
                 {runtime} exec box mount -t tmpfs container-$name /tmp/$name/inside || echo not mounted
             done
             grep container- /proc/self/mountinfo
             {runtime} delete -f box; umount -R {source}; rm -rf {source} run/root-oci"
        );
        let outcome = cx.host_script(&script);
        assert_eq!(outcome.errors(), "", "{whose:?}");
        outcome.prints("default:\nslave: seen\nshared: seen");
    }
}

#[test]
fn f10_flags_of_a_source_are_kept() {
    const NAME: &str = "f10_flags_of_a_source_are_kept";
    const FLAGS: &str = "nosuid,nodev,noexec";
    if !is_root() {
        return skip(NAME, "only root can mount something on the host");
    }
    let locked = |whose: Whose, options: &[&str]| {
        let cx = Cx::new();
        let look = "mount -o remount,bind,suid,dev,exec /tmp/locked 2>/dev/null && echo remounted; \
                    grep -o ' /tmp/locked [^ ]*' /proc/self/mountinfo";
        let mut bundle = whose.bundle(&cx, look);
        let source = cx.home().join("locked").display().to_string();
        add_mount(&mut bundle, bind("/tmp/locked", &source, options));
        bundle.save();
        cx.host_script(&format!(
            "mkdir {source} && mount -t tmpfs -o mode=777,{FLAGS} tmpfs {source}
             {} run -b home/bundle box; echo code $?
             umount {source}; rm -rf run/root-oci",
            whose.runtime()
        ))
    };
    let kept = format!("/tmp/locked rw,{FLAGS},relatime\ncode 0");
    for options in [&[][..], &["ro", "rw"], &["relatime"]] {
        locked(Whose::Users, options).prints(&kept);
    }
    for option in ["suid", "dev", "exec", "rsuid", "rdev", "rexec"] {
        let outcome = locked(Whose::Users, &[option]).prints("code 1");
        let error = "on /tmp/locked (mounts[7]): Operation not permitted";
        assert!(outcome.errors().contains(error), "{outcome:?}");
    }
    // What keeps them is the user namespace: without one they can be changed.
    locked(Whose::Roots, &[]).prints("remounted\n /tmp/locked rw,relatime\ncode 0");
}

/// Opens each file below `/sys` for writing, and a new one in each directory; shows what could be, and
/// which mounts would not prevent it.
const WRITABLE: &str = r#"for name in $(busybox find /sys 2>/dev/null); do
    if true >> "$name" || true >> "$name/new"; then echo "$name"; fi; done 2>/dev/null
    busybox grep -E ' /sys[^ ]* rw' /proc/self/mountinfo; echo looked"#;

#[test]
fn n05_nothing_below_sys_can_be_written() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for network in ["none", "host"] {
        let run = ["run", "--rm", "--network", network, &image, "sh", "-c"];
        cx.carrier(run.into_iter().chain([WRITABLE]))
            .succeeds()
            .prints("looked");
    }
    for whose in [Whose::Users, Whose::Roots] {
        if whose == Whose::Roots && !is_root() {
            continue;
        }
        let cx = Cx::new();
        let mut bundle = whose.bundle(&cx, WRITABLE);
        let run = format!(
            "{} run -b home/bundle box; rm -rf run/root-oci",
            whose.runtime()
        );
        for share in [false, true] {
            if share {
                let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "network");
            }
            bundle.save();
            let outcome = match whose {
                Whose::Users => bundle.run(),
                Whose::Roots => cx.host_script(&run),
            };
            outcome.succeeds().prints("looked");
        }
    }
}
