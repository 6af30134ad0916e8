//! The modes of new files, umask(2): what Carrier makes is for containers, whose users are others, and
//! what its user names is for him.

use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

const OWN: Mode = Mode::from_raw_mode(0o022);

/// The mask of whoever has called.
static USERS: OnceLock<Mode> = OnceLock::new();

/// Sets Carrier's own mask, and remembers that of the user.
pub fn leave_users() {
    let users = umask(OWN);
    // The first one is the user's.
    let _ = USERS.set(users);
}

/// Makes what the user has named, under his mask. No other thread may make files meanwhile: the mask is
/// the process's.
pub fn with_users<T>(make: impl FnOnce() -> T) -> T {
    let Some(users) = USERS.get() else {
        return make();
    };
    umask(*users);
    let made = make();
    umask(OWN);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_the_user_names_has_his_modes() {
        let path = std::env::temp_dir().join(format!("umask-{}", std::process::id()));
        let make = || File::create_new(&path).unwrap();
        let mode_of = |file: File| {
            fs::remove_file(&path).unwrap();
            file.metadata().unwrap().permissions().mode() & 0o777
        };
        let before = umask(Mode::from_raw_mode(0o077));
        leave_users();
        let own = mode_of(make());
        let users = mode_of(with_users(make));
        let again = mode_of(make());
        umask(before);
        assert_eq!([own, users, again], [0o644, 0o600, 0o644]);
    }
}
