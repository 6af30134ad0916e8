//! What a failed start could leave.

use std::fs;
use std::path::Path;

/// All that a failed start could leave.
#[derive(Debug, PartialEq)]
pub(crate) struct World {
    children: String,
    mounts: String,
    descriptors: usize,
    states: usize,
    cgroups: Vec<String>,
}

impl World {
    pub(crate) fn look(directory: &Path) -> Self {
        let count = |path: &Path| fs::read_dir(path).into_iter().flatten().count();
        let cgroups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let below = cgroups
            .iter()
            .flat_map(|root| fs::read_dir(root).into_iter().flatten());
        let names = below.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        Self {
            children: fs::read_to_string("/proc/thread-self/children").unwrap_or_default(),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            descriptors: count(Path::new("/proc/self/fd")),
            states: count(&directory.join("state")),
            cgroups: names.filter(|name| name.contains("box")).collect(),
        }
    }
}
