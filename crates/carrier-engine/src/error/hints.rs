//! What the user can do about an error.

use std::io;

use rustix::io::Errno;

use super::Error;
use crate::doctor::{self, Check};

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchContainer(_) | Self::NoSuchObject(_) => {
                "`carrier ls -a` lists what there is".to_owned()
            }
            Self::NoSuchImage(reference) => {
                format!("`carrier pull {}` fetches it", reference.familiar())
            }
            Self::AmbiguousId { .. } => "type more digits of the id".to_owned(),
            Self::ContainerAndImage(name) => {
                format!(
                    "`carrier rm -c {name}` removes the container, `carrier rmi {name}` the image"
                )
            }
            Self::Refused(refusal) => return refusal.hint.clone(),
            Self::Network(error) => return error.hint(),
            Self::CopyRoot(_) => {
                "set XDG_DATA_HOME to a directory on a local disk with enough space".to_owned()
            }
            Self::ContainersRun(_) => {
                "end their programs first, or `carrier system reset --force` kills them".to_owned()
            }
            Self::ContainerRuns(name) => {
                format!("end its program first, or `carrier rm --force {name}` kills it")
            }
            Self::ContainerBusy(_) => {
                "try again when it has ended: perhaps a `carrier sh --stopped`".to_owned()
            }
            Self::NotRunning(name) => format!(
                "`carrier start {name}` starts it, `carrier sh --stopped {name}` looks at its files"
            ),
            Self::NotStopped(name) => format!("`carrier sh {name}` enters it"),
            Self::Paused(name) => format!("`carrier unpause {name}` lets it go on"),
            Self::Limit { hint, .. } => return hint.clone(),
            Self::BadResource(error) => error.hint().to_owned(),
            Self::NoDisk(_) => "name a whole disk: `lsblk` lists them".to_owned(),
            Self::RunsWithoutCgroup(name) => format!(
                "stop it first, update it, and `carrier start {name}`; containers that are made with \
                 --cgroups enabled can be changed at any time"
            ),
            Self::NotPaused(name) => format!("`carrier pause {name}` holds it"),
            Self::CannotExec(error) => return error.hint(),
            Self::Bridge(error) => return error.hint(),
            Self::NoContainers => "`carrier run` makes one".to_owned(),
            Self::NoShell(name) => {
                format!("`carrier exec {name} PROGRAM` runs a program that is there")
            }
            Self::NoCommand(image) => {
                format!("name a program: `carrier run {image} PROGRAM [ARGUMENT...]`")
            }
            Self::UnknownUser { .. } | Self::UnknownGroup { .. } => {
                "use a number, which needs no entry".to_owned()
            }
            Self::UnmappedId { .. } => doctor::explain(&[Check::SubordinateIds])
                .unwrap_or_else(|| SUBORDINATE_IDS.to_owned()),
            Self::SharedIds(shared) => doctor::shared_ids(shared).line(),
            Self::LayerMissing(_) => "`carrier pull` of the image brings it back".to_owned(),
            Self::NoEmulator {
                program: Some(program),
                ..
            } => doctor::no_emulator(program),
            Self::ForeignRuntimeDirectory { path } => {
                format!(
                    "remove {} or set XDG_RUNTIME_DIR to a directory of your own",
                    path.display()
                )
            }
            Self::RuntimeDirectory { .. } => doctor::explain(&[Check::RuntimeDirectory])
                .unwrap_or_else(|| {
                    "set XDG_RUNTIME_DIR to a directory of your own that can be written".to_owned()
                }),
            Self::NoHome => return doctor::explain(&[Check::Home]),
            Self::Write { source, .. } | Self::Unpacker { source, .. } => return io_hint(source),
            Self::Terminal { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                return io_hint(source);
            }
            Self::Store(error) => return store_hint(error),
            Self::Runtime(error) => return runtime_hint(error),
            Self::Volume(error) => return error.hint(),
            other => return other.image_hint(),
        })
    }

    /// [`Self::hint`], for errors about images.
    fn image_hint(&self) -> Option<String> {
        Some(match self {
            Self::NoImageOfThatName(_) => "`carrier images` lists what there is".to_owned(),
            Self::NoSuchPlatform { image, wanted, .. } => {
                format!("`carrier pull --platform {wanted} {image}` fetches it")
            }
            Self::NotATag { image, .. } => {
                format!("`carrier image inspect {image}` lists its names")
            }
            Self::TagWithDigest(_) => "name it NAME[:TAG]".to_owned(),
            Self::SeveralRepositories { .. } => {
                "remove it by a name, or --force removes all names".to_owned()
            }
            Self::BadArchive(error) => error.hint(),
            Self::Copy(error) => return error.hint(),
            Self::Files { .. } => {
                "try again if it has just ended; `carrier system check` looks for damage".to_owned()
            }
            Self::BadChange(_) => {
                "changes are instructions of a Dockerfile: CMD, ENTRYPOINT, ENV, \
                                   EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, \
                                   WORKDIR"
                    .to_owned()
            }
            Self::ImageDamaged { image, .. } => format!("`carrier pull {image}` repairs it"),
            Self::Filter(_) => "containers have id, name, label, label!, status, exited, ancestor, \
                                before, since, until, network, volume, expose, publish, health, \
                                restart-policy and command; images dangling, label, before, since, \
                                until and reference; events type, event, container, image and label; \
                                `prune` knows until, label and label!"
                .to_owned(),
            Self::SameName(_) => "choose another name".to_owned(),
            Self::RestartAndRemove => "make a container without --rm".to_owned(),
            _ => return self.log_and_health_hint(),
        })
    }

    /// [`Self::hint`], for errors about logs and health.
    fn log_and_health_hint(&self) -> Option<String> {
        Some(match self {
            Self::LogNotReadable {
                driver: "journald",
                container,
            } => {
                format!("`journalctl CONTAINER_NAME={container}` shows it")
            }
            Self::LogNotReadable { .. } => {
                "a log is kept of containers that are made with --log-driver json-file".to_owned()
            }
            Self::BadLogOption(error) => error.hint().to_owned(),
            Self::BadHealthOption(_) => {
                "look at the --health options of `carrier run --help`".to_owned()
            }
            Self::NotReady { container, .. } => {
                format!("`carrier logs {container}` and `carrier inspect {container}` tell more")
            }
            Self::NoHealthCheck(_) => {
                "an image brings one with HEALTHCHECK, `carrier run --health-cmd` sets one"
                    .to_owned()
            }
            Self::NoJournal { .. } => "use --log-driver json-file".to_owned(),
            _ => return None,
        })
    }
}

/// Where no check tells the reason.
const DOCTOR: &str = "`carrier doctor` tells what is wrong with this host";

const UNFIT_HOME: &str = "the file system of the store may not be able to hold images (NFS, FUSE, \
    overlay): set XDG_DATA_HOME to a directory on a local disk";

const SUBORDINATE_IDS: &str = "each id above 0 needs a subordinate one: `sudo usermod \
    --add-subuids 100000-165535 --add-subgids 100000-165535 $USER` adds 65536";

fn store_hint(error: &carrier_store::Error) -> Option<String> {
    use carrier_store::Error as Store;
    Some(match error {
        Store::ImageInUse { .. } => {
            "remove the containers first with `carrier rm`; --force forgets the image, and the \
             containers keep what they need of it"
                .to_owned()
        }
        Store::NewerRecord { .. } => {
            "use the newer version of carrier, or remove that file and pull the image again"
                .to_owned()
        }
        Store::NameTaken { name, .. } => {
            format!("choose another name, or remove that container: `carrier rm {name}`")
        }
        Store::Damaged { .. } => {
            "`carrier system check` tells what is damaged, and --repair removes it".to_owned()
        }
        error => return io_hint_of(error),
    })
}

fn runtime_hint(error: &carrier_runtime::Error) -> Option<String> {
    use carrier_runtime::Error as Runtime;
    Some(match error {
        Runtime::IdMap(_) => doctor::explain(&[
            Check::IdHelpers,
            Check::SubordinateIds,
            Check::UserNamespaces,
            Check::Apparmor,
        ])
        .unwrap_or_else(|| DOCTOR.to_owned()),
        Runtime::Clone(_) => doctor::explain(&[
            Check::UserNamespaces,
            Check::Apparmor,
            Check::Namespaces,
            Check::Processes,
        ])
        .unwrap_or_else(|| DOCTOR.to_owned()),
        Runtime::Keyring(_) => {
            doctor::explain(&[Check::Keys]).unwrap_or_else(|| DOCTOR.to_owned())
        }
        Runtime::ProgramNotFound { .. } => {
            "arguments behind the image or the container are the command: check its spelling and the \
             image's PATH"
                .to_owned()
        }
        Runtime::WorkingDirectory { .. } => {
            "name a directory that the container has and the user may enter".to_owned()
        }
        Runtime::ProgramNotExecutable { .. } => {
            "check that the file is executable and made for this architecture (`--platform`)"
                .to_owned()
        }
        Runtime::Step { action, .. } if action.contains("binfmt_misc") => {
            return doctor::explain(&[Check::Emulators]);
        }
        Runtime::Step { source: Errno::ACCESS | Errno::PERM, .. }
            if doctor::explain(&[Check::Apparmor]).is_some() =>
        {
            return doctor::explain(&[Check::Apparmor]);
        }
        Runtime::Step { action, source, .. } if action.starts_with("mount ") => {
            return mount_hint(*source);
        }
        Runtime::Step { source, .. } => return io_hint(&io::Error::from(*source)),
        _ => return None,
    })
}

/// What to do about a mount that the kernel refused.
fn mount_hint(errno: Errno) -> Option<String> {
    Some(match errno {
        Errno::NOTDIR => {
            "a directory can be mounted on a directory only, and a file on a file: look at what is there \
             on the host and in the image"
        }
        Errno::NOENT => "look whether the source, and the directory in it, is there",
        Errno::ACCESS => {
            "your user must be able to read the source, and no link may lead the target into /proc"
        }
        Errno::PERM => "the host's own options of that mount, such as noexec or ro, cannot be undone",
        Errno::INVAL => {
            "with rbind, the default, it is mounted with what is mounted below; without that the kernel \
             lets only root look below a mount"
        }
        Errno::LOOP => "links of the image lead to each other: choose another target",
        other => return io_hint(&io::Error::from(other)),
    }
    .to_owned())
}

/// What to do about an error of the file system that stands anywhere behind `error`.
pub(crate) fn io_hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(hint) = error.downcast_ref().and_then(io_hint) {
            return Some(hint);
        }
        next = error.source();
    }
    None
}

fn io_hint(error: &io::Error) -> Option<String> {
    let (check, words) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            Check::Disk,
            "free some space: `carrier rm` removes containers and images",
        ),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => (
            Check::Home,
            "set XDG_DATA_HOME to a directory that you can write",
        ),
        io::ErrorKind::Unsupported | io::ErrorKind::StaleNetworkFileHandle => {
            (Check::Home, UNFIT_HOME)
        }
        _ => return None,
    };
    Some(doctor::explain(&[check]).unwrap_or_else(|| words.to_owned()))
}
