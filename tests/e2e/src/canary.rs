//! What an attack must not reach.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Cx;

/// A directory of the host that anybody can change, and nobody should.
#[derive(Debug)]
pub struct Canary {
    path: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// A canary with a file `target`, and with more files, and directories where a name ends with a
    /// slash.
    #[must_use]
    pub fn with(cx: &Cx, more: &[&str]) -> Self {
        let path = cx.home().join("canary");
        fs::create_dir(&path).unwrap();
        for name in more.iter().chain(&["target"]) {
            let place = path.join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                fs::create_dir(place).unwrap();
            } else {
                fs::write(&place, "safe\n").unwrap();
                fs::set_permissions(place, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        cx.give_to_user(&path);
        let before = look(&path);
        Self { path, before }
    }

    /// A canary with a file `target`.
    #[must_use]
    pub fn new(cx: &Cx) -> Self {
        Self::with(cx, &[])
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names, modes, owners, times, links and bytes are what they were.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(look(&self.path), self.before);
    }
}

fn look(path: &Path) -> Vec<String> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mut lines = vec![format!(
        "{} {:o} {}:{} {}.{} {} links {:?}",
        path.display(),
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.nlink(),
        metadata.is_file().then(|| fs::read(path).unwrap()),
    )];
    if metadata.is_dir() {
        let mut names: Vec<PathBuf> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        lines.extend(names.iter().flat_map(|name| look(name)));
    }
    lines
}
