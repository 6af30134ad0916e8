//! Mounts of type `overlay`: directories of the host that are mounted on each other in the container.

use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use carrier_sys::mount::Change;
use oci_spec::runtime::Mount;
use rustix::fs::{Mode, OFlags};

use super::options::Options;
use super::{Directory, below_root, c_string, invalid};
use crate::error::Error;
use crate::plan::{OverlayBelow, OverlayMount, Symlinks};

/// The parts of an overlay as its options name them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    lower: Vec<String>,
    upper: Option<String>,
    work: Option<String>,
    /// All other options.
    rest: Vec<String>,
}

/// Compiles a mount. Its directories are named by descriptor, as those of a root are: any number fits.
pub(super) fn below(field: &str, mount: &Mount, options: Options) -> Result<OverlayBelow, Error> {
    let mut parts = Parts::default();
    for (key, value) in options.general.iter().chain(&options.settings) {
        let key = key.to_string_lossy();
        let value = value
            .as_ref()
            .map(|value| value.to_string_lossy().into_owned());
        parts.take(&key, value);
    }
    let (Some(upper), Some(work), false) = (&parts.upper, &parts.work, parts.lower.is_empty())
    else {
        let reason = "an overlay needs lowerdir, upperdir and workdir";
        return Err(invalid(field, reason));
    };
    let open = |path: &String| open(field, path);
    let lower = parts
        .lower
        .iter()
        .map(open)
        .collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (open(upper)?, open(work)?);
    let name = |directory: &Directory| format!("/proc/self/fd/{}", directory.handle.as_raw_fd());
    let names: Vec<String> = lower.iter().map(name).collect();
    let mut words = vec![
        format!("lowerdir={}", names.join(":")),
        format!("upperdir={}", name(&upper)),
        format!("workdir={}", name(&work)),
    ];
    words.append(&mut parts.rest);
    // Any directory would do, as long as nothing of the container is there.
    let place = c_string(field, &upper.path)?;
    let directories = lower.into_iter().chain([upper, work]);
    let directories = directories
        .map(|directory| Ok((c_string(field, directory.path)?, directory.handle)))
        .collect::<Result<_, Error>>()?;
    Ok(OverlayBelow {
        overlay: OverlayMount {
            directories,
            target: place,
            options: c_string(field, words.join(","))?,
        },
        subpath: options.subpath,
        change: Change {
            set: options.change.set | options.recursive_change.set,
            clear: options.change.clear | options.recursive_change.clear,
            propagation: options.change.propagation | options.recursive_change.propagation,
        },
        target: below_root(field, mount.destination(), Symlinks::FollowInside)?,
    })
}

impl Parts {
    fn take(&mut self, key: &str, value: Option<String>) {
        match (key, value) {
            ("lowerdir", Some(text)) => self.lower = split(&text),
            ("upperdir", Some(path)) => self.upper = Some(path),
            ("workdir", Some(path)) => self.work = Some(path),
            (key, Some(value)) => self.rest.push(format!("{key}={value}")),
            (key, None) => self.rest.push(key.to_owned()),
        }
    }
}

/// The directories of `lowerdir`, in which a backslash makes a colon a part of a path.
fn split(text: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ':' => paths.push(String::new()),
            '\\' => {
                if let (Some(path), Some(letter)) = (paths.last_mut(), letters.next()) {
                    path.push(letter);
                }
            }
            letter => {
                if let Some(path) = paths.last_mut() {
                    path.push(letter);
                }
            }
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

fn open(field: &str, path: &String) -> Result<Directory, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = PathBuf::from(path);
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(handle) => Ok(Directory { path, handle }),
        Err(errno) => {
            let reason = format!("cannot open {}: {errno}", path.display());
            Err(invalid(field, &reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_makes_a_colon_a_part_of_a_path() {
        assert_eq!(split("/a:/b"), ["/a", "/b"]);
        assert_eq!(split("/a\\:b:/c\\\\d"), ["/a:b", "/c\\d"]);
    }
}
