//! From the mounts of a record to those of a configuration; pure.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};

use super::driver::Backing;
use super::mount_point::{MountPoint, ReadOnly};

/// A mount, and where on the host its files are.
#[derive(Clone, Debug)]
pub(crate) struct Located<'a> {
    pub(crate) mount: &'a MountPoint,
    pub(crate) place: Place,
}

/// Where the files of a mount are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file or directory, with flags of its own.
    Path {
        path: PathBuf,
        recursive: bool,
        flags: Vec<String>,
    },
    /// In directories, the topmost first, and what is written in another one.
    Layers {
        lower: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
    },
    /// In memory.
    Memory {
        options: Vec<String>,
        flags: Vec<String>,
        copy: bool,
    },
}

impl Place {
    /// Where the files of a volume are.
    pub(crate) fn of_volume(backing: Backing, data: PathBuf) -> Self {
        match backing {
            Backing::Directory => Self::Path {
                path: data,
                recursive: false,
                flags: Vec::new(),
            },
            Backing::Bind {
                path,
                recursive,
                flags,
            } => Self::Path {
                path,
                recursive,
                flags,
            },
            Backing::Tmpfs { options, flags } => Self::Memory {
                options,
                flags,
                copy: false,
            },
        }
    }
}

impl Located<'_> {
    pub(crate) fn oci(&self) -> Result<Mount, OciSpecError> {
        let mount = self.mount;
        let (kind, source, mut words) = match &self.place {
            Place::Path {
                path,
                recursive,
                flags,
            } => (
                "bind",
                path.clone(),
                self.bind_words(path, *recursive, flags),
            ),
            Place::Layers { lower, upper, work } => (
                "overlay",
                PathBuf::from("overlay"),
                layer_words(lower, upper, work),
            ),
            Place::Memory {
                options,
                flags,
                copy,
            } => {
                let own = ["nosuid", "nodev", "noexec"].map(str::to_owned);
                let mut words: Vec<String> = own.into_iter().chain(flags.clone()).collect();
                words.extend(options.clone());
                if !options.iter().any(|word| word.starts_with("mode=")) {
                    // Docker's, whatever the image has there.
                    words.push("mode=1777".to_owned());
                }
                if *copy {
                    words.push("tmpcopyup".to_owned());
                }
                ("tmpfs", PathBuf::from("tmpfs"), words)
            }
        };
        words.extend(mount.flags.clone());
        match mount.read_only {
            ReadOnly::No => {}
            ReadOnly::Top => words.extend(["ro".to_owned(), "rrw".to_owned()]),
            ReadOnly::All => words.push("ro".to_owned()),
        }
        if let Some(subpath) = &mount.subpath {
            words.push(format!("X-mount.subdir={subpath}"));
        }
        MountBuilder::default()
            .destination(&mount.target)
            .typ(kind)
            .source(source)
            .options(words)
            .build()
    }

    fn bind_words(&self, path: &Path, recursive: bool, flags: &[String]) -> Vec<String> {
        let bind = if recursive { "rbind" } else { "bind" };
        let propagation = self.mount.propagation.as_deref().unwrap_or("rprivate");
        let mut words = vec![bind.to_owned(), propagation.to_owned()];
        // Devices are what was asked for by name; who mounts a part of /dev has done that.
        if !path.starts_with("/dev") {
            words.push("nodev".to_owned());
        }
        words.extend(flags.to_vec());
        words
    }
}

fn layer_words(lower: &[PathBuf], upper: &Path, work: &Path) -> Vec<String> {
    let escape = |path: &PathBuf| {
        let text = path.display().to_string();
        text.replace('\\', "\\\\").replace(':', "\\:")
    };
    let lower: Vec<String> = lower.iter().map(escape).collect();
    vec![
        format!("lowerdir={}", lower.join(":")),
        format!("upperdir={}", upper.display()),
        format!("workdir={}", work.display()),
        "userxattr".to_owned(),
        "nodev".to_owned(),
    ]
}
