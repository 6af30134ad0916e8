//! Carrying a container up to the last step before its program runs.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;

use carrier_runtime::seccomp::{self, Arch, DockerHost, Instruction, KernelVersion};
use carrier_runtime::{
    Bundle, Directory, Launch, Output, Overlay, Prepared, Ready, RootSource, Stdin, Subtree,
};
use carrier_store::{ContainerDir, LayerView};
use carrier_sys::process::SingleThreaded;
use oci_spec::runtime::{LinuxSeccomp, Mount, Spec};

use crate::bridge::Membership;
use crate::core_dumps;
use crate::decisions::decided;
use crate::doctor::{self, Check};
use crate::emulator;
use crate::engine::{Engine, open_directory};
use crate::error::Error;
use crate::etc_files::{Content, EtcFiles};
use crate::fallback::{self, FuseMount};
use crate::identity::{self, ResolvedUser};
use crate::log::LogDriver;
use crate::monitor::{Ends, streams};
use crate::net::{Connection, ConnectionPlan, HostsFile, NetworkMode, Publication};
use crate::own_user::{Existing, OwnUser};
use crate::record::{ContainerRecord, SeccompChoice};
use crate::resources;
use crate::spec::{self, Facts};
use crate::userns::UserMode;

/// No real image has a larger one.
pub(crate) const MAX_PASSWD: u64 = 1 << 20;

/// In a container's directory: its upper directory is a copy of all layers.
const COPIED: &str = "copied";

/// A container that waits for its start.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) ready: Ready,
    /// The program's standard streams.
    pub(crate) ends: Ends,
    /// What connects it to others.
    pub(crate) connection: Connection,
    /// What connects it to networks of the user.
    pub(crate) member: Option<Membership>,
    /// What serves the root, if it is not the kernel: it ends when this is dropped.
    pub(crate) mount: Option<FuseMount>,
}

impl Engine {
    /// Carries the container up to the last step before its program runs.
    ///
    /// # Errors
    /// Whatever fails, nothing runs.
    pub(crate) fn prepare(
        &self,
        record: &ContainerRecord,
        publication: &Publication,
        mut subtree: Option<&mut Subtree>,
        warn: &dyn Fn(&str),
    ) -> Result<Launched, Error> {
        record.resources.notes().iter().for_each(|note| warn(note));
        let container = self.store.container(&record.id);
        let maps = self.ids_of(record)?;
        self.prepare_ids(record)?;
        let user = self.user(record)?;
        self.require_network_owner(record)?;
        let mut connection = ConnectionPlan::of(record)?;
        self.plan_networks(record, &[], &mut connection)?;
        if let Some(warning) = &connection.warning {
            warn(warning);
        }
        self.write_etc_files(record, &connection)?;
        let network = (&connection, publication);
        let mounts = self.prepare_storage(record, &user)?;
        let spec = self.spec_with(record, &user, &mounts, profile(record)?)?;
        let mut overlay = self.overlay(record, &container)?;
        overlay.layers.extend(self.foundation_of(record));
        let native = RootSource::Overlay(overlay);
        let refused = match attempt(self, &spec, record, network, native, subtree.as_deref_mut()) {
            Err(Error::Runtime(error)) => match error.overlay_refused() {
                Some(errno) => errno,
                None => return Err(Error::Runtime(error)),
            },
            Err(error) => return Err(error),
            Ok(launched) => {
                decided(|| "the root is the kernel's overlay: it mounts the layers".to_owned());
                return Ok(launched);
            }
        };
        let refused = fallback::words(refused);
        decided(|| format!("the root is not the kernel's overlay: {refused}"));
        let copied = container.path().join(COPIED);
        if !copied.exists() {
            let mounted = if record.network.is_shared() {
                // Its user namespace would not be within that of the shared network.
                Err("fuse-overlayfs cannot serve a container on a shared network".to_owned())
            } else {
                FuseMount::start(
                    &maps,
                    &self.overlay(record, &container)?,
                    container.make_merged()?,
                )
            };
            match mounted {
                Ok(mount) => {
                    decided(|| "the root is served by fuse-overlayfs".to_owned());
                    let launched = attempt(self, &spec, record, network, mount.root(), subtree)?;
                    let mount = Some(mount);
                    return Ok(Launched { mount, ..launched });
                }
                Err(missing) => {
                    let overlay = self.overlay(record, &container)?;
                    let bytes = fallback::copy_layers(&maps, &overlay)?;
                    decided(|| format!("the root is not served by fuse-overlayfs: {missing}"));
                    if record.userns != UserMode::Host {
                        self.own_upper(record, Existing::Replace)?;
                    }
                    warn(&self.copy_warning(bytes, &refused, &missing));
                }
            }
            // The container's own changes are in the copy from now on.
            fs::write(&copied, "").map_err(|source| Error::Write {
                path: copied,
                source,
            })?;
        }
        decided(|| "the root is a copy of the layers".to_owned());
        let copy = RootSource::Directory(container.upper());
        attempt(self, &spec, record, network, copy, subtree)
    }

    /// Makes the container's files of `/etc`, but for one that has another container's.
    pub(crate) fn write_etc_files(
        &self,
        record: &ContainerRecord,
        connection: &ConnectionPlan,
    ) -> Result<(), Error> {
        if matches!(record.network, NetworkMode::Container(_)) {
            return Ok(());
        }
        let directory = self.etc_dir(&record.id);
        let etc = EtcFiles::in_directory(&directory);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        let image_hosts = self.image_hosts(record)?;
        let content = self.content(&image_hosts, connection);
        made.and_then(|()| etc.write(record, &content))
            .map_err(|source| Error::Write {
                path: directory,
                source,
            })
    }

    /// The same for one that runs, and was connected in another way before. Files that the container has
    /// changed keep what it has written.
    pub(crate) fn update_etc_files(
        &self,
        record: &ContainerRecord,
        (before, now): (&ConnectionPlan, &ConnectionPlan),
        with_resolv_conf: bool,
    ) -> Result<(), Error> {
        let directory = self.etc_dir(&record.id);
        let image_hosts = self.image_hosts(record)?;
        let contents = [before, now].map(|plan| self.content(&image_hosts, plan));
        let [before, now] = &contents;
        EtcFiles::in_directory(&directory)
            .update(record, (before, now), with_resolv_conf)
            .map_err(|source| Error::Write {
                path: directory,
                source,
            })
    }

    fn image_hosts(&self, record: &ContainerRecord) -> Result<Vec<u8>, Error> {
        match record.networking.hosts_file {
            HostsFile::Image => image_file(&self.view(record)?, "/etc/hosts"),
            _ => Ok(Vec::new()),
        }
    }

    fn content<'a>(&'a self, image_hosts: &'a [u8], plan: &'a ConnectionPlan) -> Content<'a> {
        Content {
            hosts: &self.host.hosts,
            image_hosts,
            resolv_conf: &self.host.resolv_conf,
            names: &plan.names,
            resolvers: &plan.resolvers,
        }
    }

    /// The configuration of a container whose program this user has, without what is mounted in it.
    pub(crate) fn spec_of(
        &self,
        record: &ContainerRecord,
        user: &ResolvedUser,
        seccomp: Option<LinuxSeccomp>,
    ) -> Result<Spec, Error> {
        self.spec_with(record, user, &[], seccomp)
    }

    pub(crate) fn spec_with(
        &self,
        record: &ContainerRecord,
        user: &ResolvedUser,
        mounts: &[Mount],
        seccomp: Option<LinuxSeccomp>,
    ) -> Result<Spec, Error> {
        let (owner, network_of) = self.network_owner(record)?;
        let facts = Facts {
            record,
            user,
            host: &self.host,
            etc: &EtcFiles::in_directory(&self.etc_dir(&owner)),
            network_of,
            maps: &self.maps_of(record),
            mounts,
        };
        spec::build(&facts, seccomp).map_err(|error| Error::Configuration(error.into()))
    }

    /// The last way is a loud one.
    fn copy_warning(&self, bytes: u64, refused: &str, missing: &str) -> String {
        let fix = doctor::explain(&[Check::Fuse]).unwrap_or_else(|| missing.to_owned());
        format!(
            "overlay cannot be mounted on {} ({refused}): all {bytes} bytes of the image were copied for \
             this container; {fix}",
            self.store.root().display(),
        )
    }

    pub(crate) fn overlay(
        &self,
        record: &ContainerRecord,
        container: &ContainerDir,
    ) -> Result<Overlay, Error> {
        let mut layers = Vec::with_capacity(record.layers.len());
        for id in record.layers.iter().rev() {
            let opened = open_directory(self.store.layer_dir(id));
            layers.push(opened.map_err(|_| Error::LayerMissing(id.clone()))?);
        }
        Ok(Overlay {
            layers,
            upper: open_directory(container.upper())?,
            work: open_directory(container.work())?,
            volatile: record.remove,
        })
    }

    /// The layer below those of the image, where all of its files are mounted over, and root's. A
    /// container goes without it where it cannot be made.
    fn foundation_of(&self, record: &ContainerRecord) -> Option<Directory> {
        let etc = EtcFiles::in_directory(&self.etc_dir(&record.id));
        let is_hidden = etc.mounts(record).count() == EtcFiles::NAMES.len();
        let is_root = record.userns == UserMode::Host;
        (is_hidden && is_root).then(|| open_directory(self.store.foundation().ok()?).ok())?
    }

    /// Looks the user up in the image, as the container will see it.
    fn user(&self, record: &ContainerRecord) -> Result<ResolvedUser, Error> {
        let view = self.view(record)?;
        let mut passwd = image_file(&view, "/etc/passwd")?;
        let group = image_file(&view, "/etc/group")?;
        if let Some(with_own) = OwnUser::of(record).and_then(|own| own.passwd(&passwd)) {
            passwd = with_own;
        }
        let mut user = identity::resolve(&record.user, &passwd, &group)?;
        user.join(&record.group_add, &group)?;
        user.on(&self.host)
    }

    /// The image of a container, to read files of it.
    fn view(&self, record: &ContainerRecord) -> Result<LayerView, Error> {
        let layers = record.layers.iter().rev();
        Ok(LayerView::open(layers.map(|id| self.store.layer_dir(id)))?)
    }
}

/// A small file of the image; nothing of one that is not there.
fn image_file(view: &LayerView, path: &'static str) -> Result<Vec<u8>, Error> {
    match view.read_file(path, MAX_PASSWD) {
        Ok(content) => Ok(content.unwrap_or_default()),
        Err(source) => Err(Error::ImageFile { path, source }),
    }
}

/// Carries a container with this root up to the last step before its program runs.
fn attempt(
    engine: &Engine,
    spec: &Spec,
    record: &ContainerRecord,
    (plan, publication): (&ConnectionPlan, &Publication),
    root: RootSource,
    subtree: Option<&mut Subtree>,
) -> Result<Launched, Error> {
    let failed = carrier_runtime::Error::Prepare;
    let (ends, (stdin, output)) = if record.streams.terminal {
        (Ends::default(), (Stdin::Inherit, Output::Inherit))
    } else if record.log.driver == LogDriver::Passthrough {
        (Ends::default(), (stdin_of_caller(record), Output::Inherit))
    } else {
        streams::pipes(record.streams.interactive).map_err(failed)?
    };
    let member = engine.enter_networks_of(record)?;
    // Otherwise the user namespace exists.
    let is_nested = !matches!(record.network, NetworkMode::Container(_))
        && !matches!(root, RootSource::Mounted(_));
    let bundle = Bundle {
        spec,
        root,
        filter: filter(record)?,
        emulator: emulator::registration(&record.platform)?,
        launch: Launch {
            stdin,
            output,
            init: record.init,
            has_cgroup: subtree.is_some(),
            is_looked_into: member.is_some() || plan.is_connected(),
            core: core_dumps::limit_of_programs(),
            ..Launch::default()
        },
    };
    let prepared = Prepared::new(bundle)?;
    let nesting = match &member {
        Some(member) => Some(member.nesting()?),
        None if is_nested => engine.outer_ids()?,
        None => None,
    };
    let prepared = match nesting {
        Some(nesting) => prepared.nested(nesting)?,
        None => prepared,
    };
    let single = SingleThreaded::check().map_err(failed)?;
    let spawned = match subtree {
        None => prepared.spawn(&single)?,
        Some(subtree) => {
            let limits = record.resources.to_oci()?;
            let spawned = prepared.spawn_in(&single, subtree, &limits);
            spawned.map_err(|error| resources::refused(&record.resources, error))?
        }
    };
    let pid = spawned.pid();
    let joined = member
        .as_ref()
        .map_or(Ok(()), |member| engine.join_networks(member, record, pid));
    let begun = joined.and_then(|()| Ok(Connection::begin(plan, publication, pid, &single)?));
    // What the container itself has failed with comes first: it has no namespaces any more.
    let mut ready = spawned.wait_ready()?;
    let mut connection = begun?;
    if let Some(member) = &member {
        let endpoints = member.endpoints()?;
        engine.write_etc_files(record, &engine.network_plan(record, &endpoints)?)?;
        connection.attach(endpoints, publication, ready.pid(), &single)?;
    }
    connection.wait_ready()?;
    let etc = EtcFiles::in_directory(&engine.etc_dir(&record.id));
    connection.follow(etc.resolv_conf(), record, plan);
    let ends = match ready.take_terminal() {
        Some(controller) => streams::terminal(controller).map_err(failed)?,
        None => ends,
    };
    Ok(Launched {
        ready,
        ends,
        connection,
        member,
        mount: None,
    })
}

/// With log driver `passthrough` the program has the streams of the command.
fn stdin_of_caller(record: &ContainerRecord) -> Stdin {
    if record.streams.interactive {
        Stdin::Inherit
    } else {
        Stdin::Null
    }
}

/// The filter of a container that asks for Carrier's own; profiles of others go into the
/// configuration, as bundles have them.
pub(crate) fn filter(
    record: &ContainerRecord,
) -> Result<Option<Cow<'static, [Instruction]>>, Error> {
    match record.security.seccomp {
        SeccompChoice::Unconfined | SeccompChoice::Profile(_) => Ok(None),
        SeccompChoice::Default => {
            let program = seccomp::program_for(record.security.capabilities());
            Ok(Some(program.map_err(carrier_runtime::Error::from)?))
        }
    }
}

/// Reads a profile of Docker or Podman, whose parts depend on the host and the capabilities.
pub(crate) fn profile(record: &ContainerRecord) -> Result<Option<LinuxSeccomp>, Error> {
    let SeccompChoice::Profile(text) = &record.security.seccomp else {
        return Ok(None);
    };
    let kernel = rustix::system::uname();
    let release = kernel.release().to_string_lossy();
    let unknown = || Error::Configuration(format!("{release:?} is no kernel release").into());
    let host = DockerHost {
        machine: Arch::NATIVE,
        capabilities: record.security.capabilities(),
        kernel: KernelVersion::from_release(&release).ok_or_else(unknown)?,
    };
    let resolved = host.resolve(text.as_bytes()).map_err(seccomp::Error::from);
    Ok(Some(resolved.map_err(carrier_runtime::Error::from)?))
}
