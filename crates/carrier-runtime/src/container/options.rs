//! What the verbs of the OCI command line take.

use std::path::PathBuf;

/// How control groups are managed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupManager {
    /// By files of the hierarchy.
    #[default]
    Files,
    /// By systemd, over D-Bus.
    Systemd,
    /// Not at all.
    Disabled,
}

/// What `create` and `run` take.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// The directory of the bundle.
    pub bundle: PathBuf,
    /// The configuration, where it is not the bundle's `config.json`.
    pub config: Option<PathBuf>,
    /// The socket that gets the controlling side of the terminal.
    pub console_socket: Option<PathBuf>,
    /// The file that gets the process id.
    pub pid_file: Option<PathBuf>,
    /// How many sockets, from number 3 on, the service manager has handed over for the program.
    pub listen_fds: u32,
    /// How many descriptors after them the program gets.
    pub preserve_fds: u32,
    /// Whether the container leaves the session keyring of the caller.
    pub new_keyring: bool,
    /// The step before which the child is made to fail.
    #[cfg(feature = "fault-injection")]
    pub fail_before: Option<usize>,
}

/// What `exec` takes.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// A file with the whole process, instead of what follows.
    pub process_file: Option<PathBuf>,
    /// What differs from the container's own process.
    pub change: ProcessChange,
    /// The socket that gets the controlling side of the terminal.
    pub console_socket: Option<PathBuf>,
    /// The file that gets the process id.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors, from number 3 on, the program gets.
    pub preserve_fds: u32,
    /// Whether a container that is paused may be entered.
    pub ignore_paused: bool,
    /// A cgroup below the container's.
    pub cgroup: Option<String>,
    /// The step before which the child is made to fail.
    #[cfg(feature = "fault-injection")]
    pub fail_before: Option<usize>,
}

/// What differs from the container's own process in one that joins it.
#[derive(Clone, Debug, Default)]
pub struct ProcessChange {
    /// The command.
    pub arguments: Vec<String>,
    /// More of the environment.
    pub environment: Vec<String>,
    /// The working directory.
    pub working_directory: Option<PathBuf>,
    /// The user, and the group.
    pub user: Option<(u32, Option<u32>)>,
    /// More groups.
    pub additional_groups: Vec<u32>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// More capabilities.
    pub capabilities: Vec<String>,
    /// Whether it can gain privileges, where that is not as in the container.
    pub no_new_privileges: Option<bool>,
    /// The `AppArmor` profile.
    pub apparmor_profile: Option<String>,
    /// The `SELinux` label.
    pub selinux_label: Option<String>,
}
