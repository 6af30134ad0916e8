//! What the kernel is, and which namespaces it lets users make.

use std::fs;

use super::finding::{Check, Finding};
use super::remedy::{Package, Remedy, install, quoted, sysctl, sysctls};
use super::trial;
use super::view::View;
use crate::emulator;

/// The first one with mount_setattr(2).
const OLDEST: (u32, u32) = (5, 12);

/// The first one where each user namespace has its own `binfmt_misc`.
const OWN_BINFMT: (u32, u32) = (6, 7);

/// What distributions allow on a small machine.
const PLENTY: &str = "28633";

/// Fewer of a kind, and containers of a day's work do not run side by side.
const FEW: u64 = 100;

pub(super) fn version(view: &View) -> Finding {
    let check = Check::Kernel;
    let release = view.sysctl("kernel.osrelease").unwrap_or_default();
    match view.kernel() {
        Some(kernel) if kernel < OLDEST => Finding::failed(
            check,
            format!("Linux {release} is older than {}.{}", OLDEST.0, OLDEST.1),
            "containers cannot be mounted",
            Remedy::Advice(
                "upgrade to a release of your distribution with a younger kernel".to_owned(),
            ),
        ),
        Some(_) => Finding::ok(check, format!("Linux {release}")),
        None => Finding::skipped(
            check,
            "its version cannot be read in /proc/sys/kernel/osrelease",
        ),
    }
}

pub(super) fn user_namespaces(view: &View) -> Finding {
    let check = Check::UserNamespaces;
    const NONE: &str = "no container can start, and no image be unpacked";
    let switched_off = |name: &str, value| {
        let found = format!("the sysctl {name} is 0");
        Finding::failed(check, found, NONE, sysctl(name, value))
    };
    if view.number("user.max_user_namespaces") == Some(0) {
        return switched_off("user.max_user_namespaces", PLENTY);
    }
    // A patch of Debian and Arch; it does not hold for root.
    if !view.is_root() && view.number("kernel.unprivileged_userns_clone") == Some(0) {
        return switched_off("kernel.unprivileged_userns_clone", "1");
    }
    if fs::symlink_metadata(view.path("proc/self/ns/user")).is_err() {
        let remedy = Remedy::Advice("boot a kernel with CONFIG_USER_NS".to_owned());
        return Finding::failed(check, "the kernel has none", NONE, remedy);
    }
    match trial::user_namespace(view) {
        Err(error) => Finding::failed(
            check,
            format!("the kernel refuses to make one: {error}"),
            NONE,
            Remedy::Advice(
                "look for what confines this shell: a container's seccomp profile, SELinux's boolean \
                 `getsebool -a | grep userns`, chroot(2)"
                    .to_owned(),
            ),
        ),
        Ok(()) => match view.number("user.max_user_namespaces") {
            Some(number) => Finding::ok(check, format!("the user may make {number}")),
            None => Finding::ok(check, "the user may make them"),
        },
    }
}

/// Ubuntu since 23.10: programs without a profile of their own may make user namespaces, and then do
/// nothing in them.
pub(super) fn apparmor(view: &View) -> Finding {
    const NAME: &str = "kernel.apparmor_restrict_unprivileged_userns";
    let check = Check::Apparmor;
    match view.number(NAME) {
        None => return Finding::skipped(check, "it does not restrict user namespaces here"),
        Some(0) => return Finding::ok(check, "it lets every program use user namespaces"),
        Some(_) if view.is_root() => return Finding::ok(check, "it does not restrict root"),
        Some(_) => {}
    }
    let profile = view.read("proc/self/attr/current");
    let profile = profile.trim_matches(['\n', '\0']);
    if !profile.is_empty() && profile != "unconfined" {
        return Finding::ok(
            check,
            format!("the profile {profile} lets carrier use user namespaces"),
        );
    }
    let program = view
        .program
        .as_ref()
        .map(|(path, _)| path.display().to_string());
    let program = program.unwrap_or_else(|| "/usr/local/bin/carrier".to_owned());
    let text = format!(
        "abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile carrier \"{program}\" flags=(unconfined) {{\\n  userns,\\n}}\\n"
    );
    Finding::failed(
        check,
        format!("the sysctl {NAME} is 1, and there is no profile for {program}"),
        "containers get a user namespace in which they may do nothing",
        Remedy::Root(format!(
            "printf {} >/etc/apparmor.d/carrier && apparmor_parser -r /etc/apparmor.d/carrier",
            quoted(std::path::Path::new(&text))
        )),
    )
}

/// The kinds other than user namespaces.
pub(super) fn namespaces(view: &View) -> Finding {
    let check = Check::Namespaces;
    let kinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let found = kinds.iter().filter_map(|kind| {
        let name = format!("user.max_{kind}_namespaces");
        Some((view.number(&name)?, name))
    });
    let found: Vec<(u64, String)> = found.collect();
    let low = found.iter().filter(|(number, _)| *number < FEW);
    let remedy = sysctls(low.map(|(_, name)| (name.as_str(), PLENTY)));
    match found.iter().min() {
        None => Finding::skipped(check, "the kernel counts none of their users' namespaces"),
        Some((0, name)) => Finding::failed(
            check,
            format!("the sysctl {name} is 0"),
            "no container can start",
            remedy,
        ),
        Some((few, name)) if *few < FEW => Finding::warning(
            check,
            format!("the sysctl {name} is {few}"),
            format!("no more than {few} containers run at once"),
            remedy,
        ),
        Some((number, _)) => Finding::ok(check, format!("the user may make {number} of each kind")),
    }
}

/// The emulator of the architecture that is asked for most often.
pub(super) fn emulators(view: &View) -> Finding {
    let check = Check::Emulators;
    let foreign = if cfg!(target_arch = "aarch64") {
        "x86_64"
    } else {
        "aarch64"
    };
    let has_handler = |qemu: &str| {
        emulator::is_for_everybody(&view.read(&format!("proc/sys/fs/binfmt_misc/qemu-{qemu}")))
    };
    if has_handler(foreign) {
        return Finding::ok(
            check,
            format!("the host has registered qemu-{foreign} for everybody"),
        );
    }
    let there: Vec<String> = emulator::installed(&view.root);
    if !there.iter().any(|name| name == foreign) {
        return missing(view, &format!("qemu-{foreign}-static"));
    }
    if view.kernel().is_some_and(|kernel| kernel < OWN_BINFMT) {
        return Finding::warning(
            check,
            format!(
                "qemu-{foreign} is not registered, and before Linux {}.{} only root can register it",
                OWN_BINFMT.0, OWN_BINFMT.1
            ),
            "images of other architectures do not run",
            Remedy::Root("systemctl restart systemd-binfmt || update-binfmts --enable".to_owned()),
        );
    }
    Finding::ok(
        check,
        format!("containers register qemu for {}", there.join(", ")),
    )
}

/// What is said of an emulator that an image needs and the host does not have.
pub(crate) fn no_emulator(program: &str) -> String {
    missing(&View::of_host(), program).line()
}

fn missing(view: &View, program: &str) -> Finding {
    Finding::warning(
        Check::Emulators,
        format!("{program} is not installed"),
        "images of that architecture do not run",
        install(view, Package::Qemu),
    )
}
