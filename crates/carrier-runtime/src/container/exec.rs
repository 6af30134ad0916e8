//! `exec`: one more process in a container that runs.

use carrier_sys::process::SingleThreaded;
use oci_spec::runtime::{
    Capabilities as CapabilityNames, Capability, LinuxCapabilities, Process, Spec, User,
};

use super::create::{check_console, write_pid};
use super::{CONFIG, ExecOptions, ProcessChange, Runtime, console, home};
use crate::compile::Launch;
use crate::config;
use crate::error::Error;
use crate::launch::{Started, leave_login_keyring};
use crate::running::{Entry, Running};
use crate::state::Status;

impl Runtime {
    /// Starts a process in the namespaces, the cgroup and under the restrictions of a container.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] for a container that does not run; what the program's execution fails
    /// with.
    pub fn exec(
        &self,
        id: &str,
        options: &ExecOptions,
        detach: bool,
        proof: &SingleThreaded,
    ) -> Result<Started, Error> {
        // Not under the lock: an exec may take as long as its user likes.
        let record = self.record(id)?;
        let mut allowed = vec![Status::Created, Status::Running];
        if options.ignore_paused {
            allowed.push(Status::Paused);
        }
        record.require("exec in", &allowed)?;
        let spec = config::read(&self.directory(id)?.path(CONFIG))?;
        let mut process = match &options.process_file {
            Some(path) => inherited(&spec, config::read_process(path)?),
            None => changed(&spec, &options.change)?,
        };
        check_console(
            process.terminal(),
            options.console_socket.is_some(),
            !detach,
        )?;
        let cgroup = match &options.cgroup {
            Some(below) => Some(record.cgroup_for("exec --cgroup")?.below(below)?),
            None => record.cgroup.clone(),
        };
        let launch = Launch {
            dies_with_caller: !detach,
            preserved: options.preserve_fds,
            has_cgroup: cgroup.is_some(),
            ..Launch::default()
        };
        let running = Running::of(&record.process).map_err(Error::Prepare)?;
        let running = running.ok_or(Error::ChildDied)?;
        home::complete(&mut process, || home::users_below(running.root().ok()?));
        let prepared = running.prepare(Entry {
            spec: &spec,
            process: &process,
            filter: None,
            launch,
        })?;
        if record.new_keyring {
            leave_login_keyring()?;
        }
        #[cfg(feature = "fault-injection")]
        let prepared = prepared.fail_before(options.fail_before.unwrap_or(usize::MAX));
        let spawned = prepared.spawn_and(proof, |pid: u32| match &cgroup {
            Some(cgroup) if options.cgroup.is_some() => cgroup.add(pid),
            Some(cgroup) => running.add_to(cgroup, pid),
            None => Ok(()),
        })?;
        let mut ready = spawned.wait_ready()?;
        running.check_alive()?;
        let pid = ready.pid();
        if let Some(socket) = &options.console_socket
            && let Some(terminal) = ready.take_terminal()
        {
            console::send_terminal(socket, &terminal)?;
        }
        let mut started = ready.start()?;
        if let Some(listener) = started.take_listener() {
            record.deliver_listener(&listener, pid, Status::Running)?;
        }
        if let Some(path) = &options.pid_file {
            write_pid(path, pid)?;
        }
        Ok(started)
    }
}

/// A process with the restrictions of the container's own where it says nothing of them.
fn inherited(spec: &Spec, mut process: Process) -> Process {
    let Some(first) = spec.process() else {
        return process;
    };
    let is_empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    if process.capabilities().is_none() {
        process.set_capabilities(first.capabilities().clone());
    }
    if process.rlimits().as_deref().unwrap_or_default().is_empty() {
        process.set_rlimits(first.rlimits().clone());
    }
    if is_empty(process.apparmor_profile()) {
        process.set_apparmor_profile(first.apparmor_profile().clone());
    }
    if is_empty(process.selinux_label()) {
        process.set_selinux_label(first.selinux_label().clone());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(first.oom_score_adj());
    }
    process
}

/// The container's own process with what the command line changes of it.
fn changed(spec: &Spec, change: &ProcessChange) -> Result<Process, Error> {
    let mut process = spec.process().clone().ok_or_else(|| Error::Invalid {
        field: "process".to_owned(),
        reason: "it is missing, and so is --process".to_owned(),
    })?;
    process.set_args(Some(change.arguments.clone()));
    process.set_terminal(Some(change.terminal));
    process.set_console_size(None);
    let mut environment = process.env().clone().unwrap_or_default();
    environment.extend(change.environment.iter().cloned());
    process.set_env(Some(environment));
    if let Some(directory) = &change.working_directory {
        process.set_cwd(directory.clone());
    }
    change_user(&mut process, change);
    if let Some(confined) = change.no_new_privileges {
        process.set_no_new_privileges(Some(confined));
    }
    if let Some(profile) = &change.apparmor_profile {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &change.selinux_label {
        process.set_selinux_label(Some(label.clone()));
    }
    add_capabilities(&mut process, &change.capabilities)?;
    Ok(process)
}

fn change_user(process: &mut Process, change: &ProcessChange) {
    let was_root = process.user().uid() == 0;
    if let Some((uid, gid)) = change.user {
        let mut user = User::default();
        user.set_uid(uid).set_gid(gid.unwrap_or(0));
        user.set_umask(process.user().umask());
        process.set_user(user);
    }
    if !change.additional_groups.is_empty() {
        let mut user = process.user().clone();
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&change.additional_groups);
        user.set_additional_gids(Some(groups));
        process.set_user(user);
    }
    let becomes_other = change.user.is_some_and(|(uid, _)| uid != 0);
    if was_root
        && becomes_other
        && let Some(mut sets) = process.capabilities().clone()
    {
        // As after setuid(2) from root: the bounding set is what remains.
        sets.set_effective(None).set_permitted(None);
        sets.set_inheritable(None).set_ambient(None);
        process.set_capabilities(Some(sets));
    }
}

/// The default of the specification's type is that of a configuration to begin with.
fn no_capabilities() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(None)
        .set_effective(None)
        .set_permitted(None)
        .set_inheritable(None)
        .set_ambient(None);
    sets
}

/// What the caller adds goes into every set but the inheritable ones (CVE-2022-29162).
fn add_capabilities(process: &mut Process, names: &[String]) -> Result<(), Error> {
    for name in names {
        let plain = name.to_ascii_uppercase();
        let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
        let capability: Capability = plain.parse().map_err(|_| Error::Invalid {
            field: "--cap".to_owned(),
            reason: format!("{name:?} is not a capability"),
        })?;
        let mut sets = process
            .capabilities()
            .clone()
            .unwrap_or_else(no_capabilities);
        let with = |set: &Option<CapabilityNames>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) = (
            with(sets.bounding()),
            with(sets.effective()),
            with(sets.permitted()),
        );
        sets.set_bounding(bounding)
            .set_effective(effective)
            .set_permitted(permitted);
        process.set_capabilities(Some(sets));
    }
    Ok(())
}
