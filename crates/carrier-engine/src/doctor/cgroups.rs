//! Whether containers of the caller can be limited.

use std::path::Path;

use carrier_runtime::{Place, Subtree, controllers, has_controller};

use super::finding::{Check, Finding};
use super::remedy::{Remedy, quoted};
use super::session::has_systemd;
use super::view::View;

/// What options of `run` need most.
const WANTED: [&str; 3] = ["memory", "cpu", "pids"];
/// What distributions do not hand down.
const MORE: [&str; 2] = ["cpuset", "io"];

const NO_LIMITS: &str =
    "containers run without limits, and --memory, --cpus and --pids-limit are refused";

pub(super) fn cgroups(view: &View) -> Finding {
    let check = Check::Cgroups;
    if !view.is_host {
        return Finding::skipped(check, "it was not tried");
    }
    let lacking = |names: &[&'static str]| -> Vec<&'static str> {
        let names = names.iter().copied();
        names.filter(|name| !has_controller(name)).collect()
    };
    let old = lacking(&WANTED);
    if let Err(error) = Subtree::open("doctor", &Place::Anywhere) {
        let reason = match error {
            carrier_runtime::Error::NoCgroup { reason } => reason,
            other => other.to_string(),
        };
        return if old.is_empty() {
            no_manager(&reason)
        } else {
            old_hierarchy(old[0])
        };
    }
    if let Some(first) = old.first() {
        return old_hierarchy(first);
    }
    let mine = controllers();
    let missing = |names: &[&'static str]| -> Vec<&'static str> {
        let names = names.iter().copied();
        names
            .filter(|name| !mine.iter().any(|one| one == name) && has_controller(name))
            .collect()
    };
    match missing(&WANTED).first().or(missing(&MORE).first()) {
        Some(controller) => not_delegated(controller),
        None => Finding::ok(
            check,
            format!("containers can be limited by {}", mine.join(", ")),
        ),
    }
}

/// Nobody makes cgroups for the caller.
pub(crate) fn no_manager(reason: &str) -> Finding {
    let view = View::of_host();
    let user = view.user();
    let remedy = if has_systemd(&view) {
        Remedy::Root(format!(
            "loginctl enable-linger {}",
            quoted(Path::new(&user))
        ))
    } else {
        Remedy::Advice(
            "start carrier where the user owns a cgroup: below a systemd of the user, or in a unit with \
             Delegate=yes"
                .to_owned(),
        )
    };
    let consequence =
        format!("{NO_LIMITS} until you log in anew (ssh, `machinectl shell {user}@`)");
    Finding::warning(Check::Cgroups, reason, consequence, remedy)
}

/// A controller that a hierarchy of version 1 has.
pub(crate) fn old_hierarchy(controller: &str) -> Finding {
    Finding::warning(
        Check::Cgroups,
        format!("this host has the controller {controller} on cgroup version 1, or not at all"),
        NO_LIMITS,
        Remedy::Advice(
            "boot with the kernel parameter systemd.unified_cgroup_hierarchy=1".to_owned(),
        ),
    )
}

/// A controller that the host keeps for itself.
pub(crate) fn not_delegated(controller: &str) -> Finding {
    let options = match controller {
        "memory" => "--memory",
        "cpu" => "--cpus and --cpu-shares",
        "pids" => "--pids-limit",
        "cpuset" => "--cpuset-cpus and --cpuset-mems",
        "io" => "limits of disks",
        _ => "its limits",
    };
    let verb = if options.contains(" and ") || options.contains("limits") {
        "are"
    } else {
        "is"
    };
    Finding::warning(
        Check::Cgroups,
        format!("the controller {controller} is not delegated to the user"),
        format!("{options} {verb} refused until you have logged in again after the fix"),
        Remedy::Root(
            "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' \
             >/etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload"
                .to_owned(),
        ),
    )
}
