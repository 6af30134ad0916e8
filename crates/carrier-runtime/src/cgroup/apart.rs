//! Processes that outlive the container in whose scope they begin.

use std::path::Path;

use super::limits::Limit;
use super::of_process;
use super::scope::Scope;
use super::subtree::SUPERVISOR;
use crate::error::Error;

/// Takes the caller out of the scope of a container, if whoever takes care of one has made it, and into
/// a scope of its own, `carrier-NAME-PID.scope`: the container's shall end with the container, and what
/// ends it shall not end the caller.
///
/// # Errors
/// [`Error::NoCgroup`], [`Error::Scope`]; the caller stays where it is then.
pub fn leave_supervisor(name: &str) -> Result<(), Error> {
    if !of_process("self").is_some_and(|own| is_supervisor(&own)) {
        return Ok(());
    }
    let pid = std::process::id();
    let wanted = format!(":carrier:{name}-{pid}");
    let scope = Scope::new(name, Some(Path::new(&wanted)))?;
    let scope = scope.map_err(|reason| Error::NoCgroup { reason })?;
    scope.start(pid, &[Limit::any_processes()]).map(drop)
}

/// Whether those are in it who take care of one container; `supervisor` of a unit that the user
/// divides is everybody's.
fn is_supervisor(path: &Path) -> bool {
    let scope = path.parent().and_then(Path::file_name);
    let scope = scope.map(|name| name.to_string_lossy()).unwrap_or_default();
    path.ends_with(SUPERVISOR) && scope.starts_with("carrier-") && scope.ends_with(".scope")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_supervisor_of_one_container_is_left() {
        for (path, expected) in [
            ("/x/user.slice/carrier-1a-7.scope/supervisor", true),
            ("/x/user.slice/carrier-1a-7.scope/container", false),
            ("/x/user.slice/my.service/supervisor", false),
            ("/x/user.slice/session-1.scope", false),
            ("/", false),
        ] {
            assert_eq!(is_supervisor(Path::new(path)), expected, "{path}");
        }
    }
}
