//! Programs that run beside the container's, runtime-spec `config.md`, section "POSIX-platform Hooks".

use oci_spec::runtime::{Hook, Hooks, Spec};

use super::invalid;
use crate::error::Error;

/// Refuses hooks that could not be run as the specification says, while nothing was done yet.
pub(super) fn check(spec: &Spec) -> Result<(), Error> {
    for (kind, list) in spec.hooks().iter().flat_map(kinds) {
        for (index, hook) in list.iter().flatten().enumerate() {
            let field = |name: &str| format!("hooks.{kind}[{index}].{name}");
            if !hook.path().is_absolute() {
                return Err(invalid(field("path"), "the path is not absolute"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(invalid(field("timeout"), "it is not greater than zero"));
            }
        }
    }
    Ok(())
}

#[allow(
    deprecated,
    reason = "runtime-spec wants prestart hooks to run as ever"
)]
fn kinds(hooks: &Hooks) -> [(&'static str, &Option<Vec<Hook>>); 6] {
    [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ]
}

/// Whether the child has to wait for hooks before it enters its root.
#[allow(
    deprecated,
    reason = "runtime-spec wants prestart hooks to run as ever"
)]
pub(super) fn run_before_the_change_of_roots(spec: &Spec) -> bool {
    spec.hooks().as_ref().is_some_and(|hooks| {
        let kinds = [
            hooks.prestart(),
            hooks.create_runtime(),
            hooks.create_container(),
        ];
        kinds.into_iter().flatten().any(|list| !list.is_empty())
    })
}
