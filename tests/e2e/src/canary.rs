//! A directory outside of every container that hostile images aim at.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::actor::Actor;
use crate::cx::Cx;
use crate::tree;

const CONTENT: &str = "untouched\n";

/// A directory that everybody could write, with a file `target`; unchanged, or the test fails.
#[derive(Debug)]
pub struct Canary {
    path: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// Puts one up in the test's directory, outside of the store.
    #[must_use]
    pub fn new(cx: &Cx) -> Self {
        let path = cx.directory().join("canary");
        let made = fs::DirBuilder::new().mode(0o777).create(&path);
        made.expect("cannot make the canary's directory");
        let target = path.join("target");
        fs::write(&target, CONTENT).expect("cannot write the canary");
        // The umask has its say above.
        for (path, mode) in [(&path, 0o777), (&target, 0o666)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("cannot chmod");
            Actor::get().own(path);
        }
        let before = snapshot(&path);
        Self { path, before }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory as text, for links in images.
    #[must_use]
    pub fn text(&self) -> String {
        self.path.display().to_string()
    }

    /// Expects names, modes, owners, links, times and bytes to be as they were.
    #[track_caller]
    pub fn is_untouched(&self) {
        assert_eq!(self.before, snapshot(&self.path), "the canary was touched");
    }
}

fn snapshot(path: &Path) -> Vec<String> {
    let mut lines = vec![describe(path)];
    for entry in tree::entries(path) {
        lines.push(describe(&entry));
    }
    lines
}

fn describe(path: &Path) -> String {
    let meta = fs::symlink_metadata(path).expect("the canary cannot be looked at");
    let content = meta.is_file().then(|| fs::read(path).unwrap_or_default());
    format!(
        "{} {:o} {}:{} links {} changed {}.{:09} {:?}",
        path.display(),
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.nlink(),
        meta.ctime(),
        meta.ctime_nsec(),
        content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    )
}
