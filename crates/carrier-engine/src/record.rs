//! What a container shall be: the engine's desired facts, kept in `container.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use carrier_runtime::Capabilities;
use carrier_spec::{ContainerId, ContainerName, DiffId, ImageConfig, ImageId, Platform, Reference};
use carrier_store::Durability;
use serde::{Deserialize, Serialize};

use crate::health::{HealthCheck, HealthOptions};
use crate::log::LogConfig;
use crate::moment::Moment;
use crate::net::{NetworkMode, NetworkOptions};
use crate::resources::Resources;
use crate::restart::RestartPolicy;
use crate::userns::UserMode;
use crate::volumes::{MountSource, Storage, StorageOptions};

/// The version of [`ContainerRecord`] that this program writes.
pub(crate) const RECORD_VERSION: u32 = 1;

/// What a user asks for with `run`.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// How the user calls the image.
    pub image_word: Option<String>,
    /// Words behind the image: the command.
    pub command: Vec<String>,
    /// The container's name, else a random one.
    pub name: Option<ContainerName>,
    /// Remove the container when it ends.
    pub remove: bool,
    /// What the program reads and writes.
    pub streams: Streams,
    /// Environment settings, in order: later ones win.
    pub environment: Vec<EnvironmentSetting>,
    /// Where the program starts.
    pub working_directory: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// What is run instead of the image's entry point; no words clear it.
    pub entrypoint: Option<Vec<String>>,
    /// The host name, else the short id.
    pub hostname: Option<String>,
    /// Nothing in the root can be written.
    pub read_only: bool,
    /// What is mounted in it.
    pub storage: StorageOptions,
    /// Which id the caller has in it; none is root, or as in the container whose network it has.
    pub userns: Option<UserMode>,
    /// It is started at once: what is its own need not outlive a power cut before that.
    pub starts: bool,
    /// More groups of the program, names or numbers, or `keep-groups`.
    pub group_add: Vec<String>,
    /// What the program can reach.
    pub network: NetworkMode,
    /// Its ports and names.
    pub networking: NetworkOptions,
    /// What confines the program.
    pub security: SecurityOptions,
    /// What the user says about the container.
    pub labels: BTreeMap<String, String>,
    /// What the user says about the container to other tools.
    pub annotations: BTreeMap<String, String>,
    /// The signal that asks the program to end.
    pub stop_signal: Option<String>,
    /// How many seconds the program then has.
    pub stop_timeout: Option<i64>,
    /// How many seconds the program may run.
    pub timeout: Option<u64>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Carrier's own first process takes care of orphans and signals.
    pub init: bool,
    /// Where what the program writes is kept.
    pub log: LogConfig,
    /// Whether it is well: over what the image says.
    pub health: HealthOptions,
    /// Where the program's process id goes.
    pub pid_file: Option<PathBuf>,
    /// The container goes on when the command has ended.
    pub detach: bool,
    /// What it may use.
    pub resources: Resources,
}

/// What a program's standard streams are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// The program reads what the caller reads.
    pub interactive: bool,
    /// The program gets a terminal.
    pub terminal: bool,
}

/// One `-e` or one line of an environment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentSetting {
    /// `NAME=VALUE`
    Set(String, String),
    /// `NAME`, whose value the caller did not have.
    Unset(String),
}

/// What confines a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityOptions {
    /// Capability numbers as a mask.
    capabilities: u64,
    /// Set-user-ID programs gain nothing.
    pub no_new_privileges: bool,
    /// System calls.
    pub seccomp: SeccompChoice,
}

impl SecurityOptions {
    /// What root has in the container, and what no program in it can exceed.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::from_bits(self.capabilities)
    }

    /// Replaces the capabilities.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self {
            capabilities: capabilities.bits(),
            ..self
        }
    }
}

impl Default for SecurityOptions {
    fn default() -> Self {
        Self {
            capabilities: Capabilities::DEFAULT.bits(),
            no_new_privileges: true,
            seccomp: SeccompChoice::Default,
        }
    }
}

/// Which system calls a container may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompChoice {
    /// Carrier's profile.
    Default,
    /// All.
    Unconfined,
    /// Those of a profile in Docker's format: the document's text.
    Profile(String),
}

/// The desired facts of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// The version of this type.
    pub version: u32,
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// When it was made.
    pub created: Moment,
    /// The name of the image; none where it had none.
    pub image: Option<Reference>,
    /// How the user called it.
    #[serde(default)]
    pub image_word: Option<String>,
    /// The image, as it was when the container was made.
    pub image_id: ImageId,
    /// What the image runs on.
    pub platform: Platform,
    /// The image's layers, lowest first.
    pub layers: Vec<DiffId>,
    /// Words of the command, the entry point's first.
    pub arguments: Vec<String>,
    /// How many of them are the entry point's.
    #[serde(default)]
    pub entrypoint_words: usize,
    /// `NAME=VALUE`, complete.
    pub environment: Vec<String>,
    /// Where the program starts.
    pub working_directory: String,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// The host name.
    pub hostname: String,
    /// Nothing in the root can be written.
    pub read_only: bool,
    /// Remove the container when it ends.
    pub remove: bool,
    /// What the program reads and writes.
    pub streams: Streams,
    /// What it can reach.
    pub network: NetworkMode,
    /// Its ports and names.
    #[serde(default)]
    pub networking: NetworkOptions,
    /// What confines it.
    pub security: SecurityOptions,
    /// The image's labels and the user's.
    pub labels: BTreeMap<String, String>,
    /// What the user says about the container to other tools.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The signal that asks the program to end.
    pub stop_signal: String,
    /// How many seconds the program then has; negative numbers are for ever, none means ten.
    #[serde(default)]
    pub stop_timeout: Option<i64>,
    /// How many seconds the program may run.
    #[serde(default)]
    pub timeout: Option<u64>,
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Carrier's own first process takes care of orphans and signals.
    #[serde(default)]
    pub init: bool,
    /// Where what the program writes is kept.
    #[serde(default)]
    pub log: LogConfig,
    /// How it is found out whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// What is mounted in it.
    #[serde(default)]
    pub storage: Storage,
    /// Which id the caller has in it.
    #[serde(default)]
    pub userns: UserMode,
    /// More groups of the program, names or numbers, or `keep-groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// Where the program's process id goes.
    #[serde(default)]
    pub pid_file: Option<PathBuf>,
    /// Whether nobody was attached when it was made.
    #[serde(default)]
    pub detached: bool,
    /// What it may use.
    #[serde(default)]
    pub resources: Resources,
}

impl ContainerRecord {
    /// How long the program has between the signal that asks it to end and the one that kills it:
    /// `asked` seconds, else the container's; for ever where there is no answer.
    pub(crate) fn patience(&self, asked: Option<i64>) -> Option<Duration> {
        const DEFAULT: i64 = 10;
        let seconds = asked.or(self.stop_timeout).unwrap_or(DEFAULT);
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }

    /// What is removed at its end need not outlive a power cut.
    pub(crate) fn durability(&self) -> Durability {
        if self.remove {
            Durability::Cached
        } else {
            Durability::Synced
        }
    }

    /// The layers of the container and of the images that it mounts.
    pub(crate) fn needed_layers(&self) -> Vec<DiffId> {
        let mounted = self.storage.mounts.iter();
        let mounted = mounted.flat_map(|mount| match &mount.source {
            MountSource::Image { layers, .. } => layers.as_slice(),
            _ => &[],
        });
        self.layers.iter().chain(mounted).cloned().collect()
    }

    /// The name of the image as the user wrote it, else its own or the beginning of its id.
    #[must_use]
    pub fn image_name(&self) -> String {
        image_name(
            self.image_word.as_deref(),
            self.image.as_ref(),
            &self.image_id,
        )
    }
}

/// [`ContainerRecord::image_name`], of its parts.
pub(crate) fn image_name(word: Option<&str>, image: Option<&Reference>, id: &ImageId) -> String {
    let word = word.map(ToOwned::to_owned);
    word.or_else(|| image.map(Reference::familiar))
        .unwrap_or_else(|| id.0.short().to_owned())
}

/// The words that a container executes, and how many of them are the entry point's: Docker's rule of
/// entry point and command.
pub(crate) fn arguments(image: &ImageConfig, options: &RunOptions) -> (Vec<String>, usize) {
    let from_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (mut entrypoint, default_command) = match &options.entrypoint {
        // Another entry point takes the image's command with it.
        Some(words) => (words.clone(), Vec::new()),
        None => (
            from_image(&image.config.entrypoint),
            from_image(&image.config.cmd),
        ),
    };
    let command = if options.command.is_empty() {
        default_command
    } else {
        options.command.clone()
    };
    let count = entrypoint.len();
    entrypoint.extend(command);
    (entrypoint, count)
}

/// The environment: defaults, the image's, the user's, each over those before.
pub(crate) fn environment(
    image: &ImageConfig,
    options: &RunOptions,
    hostname: &str,
) -> Vec<String> {
    let mut lines: Vec<(String, String)> = vec![
        (
            "PATH".into(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        ),
        ("HOSTNAME".into(), hostname.into()),
    ];
    if options.streams.terminal {
        lines.push(("TERM".into(), "xterm".into()));
    }
    let mut set = |name: &str, value: &str| match lines.iter_mut().find(|(known, _)| known == name)
    {
        Some((_, old)) => value.clone_into(old),
        None => lines.push((name.to_owned(), value.to_owned())),
    };
    // An image's line without `=` means nothing: it must not fetch a variable of the host
    // (CVE-2026-57231).
    for (name, value) in image
        .config
        .env
        .iter()
        .filter_map(|line| line.split_once('='))
    {
        set(name, value);
    }
    for setting in &options.environment {
        if let EnvironmentSetting::Set(name, value) = setting {
            set(name, value);
        }
    }
    let unset = |name: &str| {
        options
            .environment
            .iter()
            .rev()
            .find_map(|setting| match setting {
                EnvironmentSetting::Unset(unset) if unset == name => Some(true),
                EnvironmentSetting::Set(set, _) if set == name => Some(false),
                _ => None,
            })
    };
    lines.retain(|(name, _)| unset(name) != Some(true));
    lines
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], command: &[&str], env: &[&str]) -> ImageConfig {
        let words =
            |words: &[&str]| -> Vec<String> { words.iter().map(ToString::to_string).collect() };
        let mut image = ImageConfig::default();
        image.config.entrypoint = (!entrypoint.is_empty()).then(|| words(entrypoint));
        image.config.cmd = (!command.is_empty()).then(|| words(command));
        image.config.env = words(env);
        image
    }

    fn options(entrypoint: Option<&[&str]>, command: &[&str]) -> RunOptions {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        RunOptions {
            entrypoint: entrypoint.map(words),
            command: words(command),
            ..Default::default()
        }
    }

    #[test]
    fn entry_point_and_command_join_as_in_docker() {
        let image = image(&["/entry"], &["default"], &[]);
        for (asked, expected) in [
            (options(None, &[]), "/entry default"),
            (options(None, &["a", "b"]), "/entry a b"),
            (options(Some(&["sh"]), &[]), "sh"),
            (options(Some(&["sh", "-c"]), &["x"]), "sh -c x"),
            (options(Some(&[]), &["x"]), "x"),
            (options(Some(&[]), &[]), ""),
        ] {
            assert_eq!(arguments(&image, &asked).0.join(" "), expected);
        }
    }

    #[test]
    fn the_users_environment_wins_over_the_images() {
        let image = image(&[], &[], &["PATH=/image", "A=1", "B=2", "SECRET", "SEC*"]);
        let asked = RunOptions {
            environment: vec![
                EnvironmentSetting::Set("A".into(), "x=y".into()),
                EnvironmentSetting::Unset("B".into()),
                EnvironmentSetting::Set("C".into(), String::new()),
            ],
            ..Default::default()
        };
        let lines = environment(&image, &asked, "host");
        assert_eq!(lines, ["PATH=/image", "HOSTNAME=host", "A=x=y", "C="]);
    }
}
