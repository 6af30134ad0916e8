//! Programs that run beside the container's, runtime-spec `config.md`, section "POSIX-platform Hooks".

use oci_spec::runtime::Spec;

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
