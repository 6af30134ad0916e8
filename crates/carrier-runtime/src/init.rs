//! The child's side: interprets an [`InitPlan`] with system calls on prepared data.
//!
//! Nothing in this module and below it allocates, formats, logs or unwinds: between clone and exec
//! a child reports what failed as the number of the step and of the error, and leaves.

mod copy;
mod execution;
mod identity;
pub(crate) mod itself;
mod mounts;
mod path;
mod process;
mod terminal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::ChildToken;
pub(crate) use mounts::clone_tree;
use rustix::io::Errno;

use crate::channel::ChildEnd;
use crate::plan::{InitPlan, Step};

/// The exit code of a child that reported why it could not become the container's process.
const SETUP_FAILED: u8 = 125;

/// What earlier steps leave for later ones.
struct Machine<'a> {
    token: &'a ChildToken,
    channel: &'a ChildEnd,
    /// The number of the step.
    step: usize,
    /// Who came to the gate; hears the rest instead of `channel`.
    starter: Option<ChildEnd>,
    /// The container's root, as a mount of this namespace.
    root: Option<OwnedFd>,
    /// The filesystem that was mounted on `/dev` just now.
    devices: Option<OwnedFd>,
    /// An empty read-only directory, mounted at the first masked directory.
    empty: Option<OwnedFd>,
    /// A proc filesystem that no one else can reach, for writing sysctls.
    proc: Option<OwnedFd>,
    /// Another one for the label of the program, and the step that it is set for.
    label: Option<(OwnedFd, usize)>,
}

/// Carries the plan out. Returns only on failure, which it has then reported.
pub(crate) fn run(plan: &InitPlan, channel: &ChildEnd, token: &ChildToken) -> u8 {
    let mut machine = Machine {
        token,
        channel,
        step: 0,
        starter: None,
        root: None,
        devices: None,
        empty: None,
        proc: None,
        label: None,
    };
    for (index, planned) in plan.steps.iter().enumerate() {
        machine.step = index;
        if let Err(errno) = machine.take(&planned.step) {
            machine.listener().report_failure(index, errno);
            break;
        }
    }
    SETUP_FAILED
}

impl Machine<'_> {
    fn take(&mut self, step: &Step) -> Result<(), Errno> {
        match step {
            Step::AwaitParent => self.channel.await_go(),
            Step::BecomeRoot { keep_groups } => identity::become_root(*keep_groups),
            Step::SeparateCgroups => process::separate_cgroups(self.token),
            Step::SetClocks(offsets) => process::set_clocks(offsets, self.token),
            Step::SetTraceable(traceable) => process::set_traceable(*traceable),
            Step::SetPropagation(flags) => rustix::mount::mount_change(c"/", *flags),
            Step::MountOverlay(overlay) => self.mount_overlay(overlay),
            Step::BindRoot { source } => self.bind_root(source),
            Step::MountFilesystem(filesystem) => self.mount_filesystem(filesystem),
            Step::Bind(bind) => self.bind(bind),
            Step::MountOverlayBelow(below) => self.mount_overlay_below(below),
            Step::PopulateDevices(devices) => self.populate_devices(devices),
            Step::AddDevice { node, directory } => self.add_device(node, directory),
            Step::ProtectDevices(change) => self.protect_devices(*change),
            Step::Mask(target) => self.mask(target),
            Step::ProtectPath(target) => self.protect_path(target),
            Step::MakeDirectory(target) => self.make_directory(target),
            Step::WriteFile { target, content } => self.write_file(target, content),
            Step::SetSysctl { path, value } => self.set_sysctl(path, value),
            Step::OpenTerminal { owner, size, place } => self.open_terminal(*owner, *size, *place),
            Step::TakeStdin(file) => rustix::stdio::dup2_stdin(file),
            Step::NullStdin(place) => self.null_stdin(*place),
            Step::NullOutput(place) => self.null_output(*place),
            Step::TakeOutput { stdout, stderr } => {
                rustix::stdio::dup2_stdout(stdout)?;
                rustix::stdio::dup2_stderr(stderr)
            }
            Step::ProtectRoot => self.protect_root(),
            Step::AwaitHooks => {
                self.channel.report_hooks()?;
                self.channel.await_go()
            }
            Step::EnterRoot => self.enter_root(),
            Step::NewSession => rustix::process::setsid().map(drop),
            Step::SetHostname(name) => rustix::system::sethostname(name.to_bytes()),
            Step::SetDomainname(name) => rustix::system::setdomainname(name.to_bytes()),
            Step::BringLoopbackUp => process::bring_loopback_up(),
            Step::ChangeDirectory(path) => process::change_directory(path),
            Step::SetResourceLimit(resource, limit) => {
                process::set_resource_limit(*resource, *limit)
            }
            Step::OwnStdio(owner) => identity::own_stdio(*owner),
            Step::SetUmask(mask) => {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(*mask));
                Ok(())
            }
            Step::SetPersonality(domain) => process::set_personality(*domain),
            Step::SetScheduling(wanted) => process::set_scheduling(wanted),
            Step::SetIoPriority { class, priority } => process::set_io_priority(*class, *priority),
            Step::SetAffinity(set) => rustix::thread::sched_setaffinity(None, set),
            Step::PrepareLabel { .. } => {
                self.label = Some((mounts::private_proc()?, self.step));
                Ok(())
            }
            Step::DropBoundingSet(keep) => identity::drop_bounding_set(*keep),
            Step::BecomeUser(user) => identity::become_user(user),
            Step::SetCapabilities { sets, ambient } => identity::set_capabilities(*sets, *ambient),
            Step::SetNoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Step::DieWithParent => process::die_with_parent(),
            Step::LoadFilter { filter, flags } => match process::load_filter(filter, *flags)? {
                Some(notifications) => self.listener().send_listener(notifications.as_fd()),
                None => Ok(()),
            },
            Step::FindProgram { candidates, .. } => process::find_program(candidates),
            Step::AwaitStart { gate } => self.await_start(gate.as_ref()),
            Step::Execute(execution) => self.execute(execution),
            #[cfg(feature = "fault-injection")]
            Step::Fail => Err(Errno::IO),
        }
    }

    fn await_start(&mut self, gate: Option<&OwnedFd>) -> Result<(), Errno> {
        self.channel.report_ready()?;
        match gate {
            None => self.channel.await_go(),
            Some(gate) => {
                self.starter = Some(ChildEnd::accept(gate)?);
                Ok(())
            }
        }
    }

    /// Who is told what happens.
    fn listener(&self) -> &ChildEnd {
        self.starter.as_ref().unwrap_or(self.channel)
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }
}

/// The number behind an error of carrier-sys.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}
