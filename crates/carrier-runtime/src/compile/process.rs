//! The program: its user, its rights, its words.

use std::borrow::Cow;
use std::ffi::CString;

use carrier_sys::exec::{Label, Program};
use carrier_sys::trampoline::Trampoline;
use oci_spec::runtime::{LinuxCapabilities, PosixRlimitType, Process, Spec};
use rustix::process::{Resource, Rlimit};
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySets, Gid, Uid};

use super::{Launch, Output, Stdin, c_string, invalid, schedule, target};
use crate::capability::Capabilities;
use crate::error::Error;
use crate::idmap::IdMaps;
use crate::init::itself::FileIdentity;
use crate::plan::{DevicePlace, Execution, Identity, InitPlan, Step, Symlinks};

/// Docker's, for an environment that has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const FIRST_AFTER_STDIO: u32 = 3;

const DEFAULT_UMASK: u32 = 0o022;

pub(super) fn compile_stdio(
    plan: &mut InitPlan,
    process: &Process,
    (stdin, output): (Stdin, Output),
    place: DevicePlace,
) {
    if process.terminal() == Some(true) {
        open_terminal(plan, process, place);
        return;
    }
    plan.push("process.terminal", Step::NewSession);
    let stdin = match stdin {
        Stdin::Inherit => None,
        Stdin::Null => Some(Step::NullStdin(place)),
        Stdin::File(file) => Some(Step::TakeStdin(file)),
    };
    let output = match output {
        Output::Inherit => None,
        Output::Null => Some(Step::NullOutput(place)),
        Output::Files { stdout, stderr } => Some(Step::TakeOutput { stdout, stderr }),
    };
    for step in stdin.into_iter().chain(output) {
        plan.push("process.terminal", step);
    }
}

fn open_terminal(plan: &mut InitPlan, process: &Process, place: DevicePlace) {
    let cells = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = process.console_size().map(|size| Winsize {
        ws_row: cells(size.height()),
        ws_col: cells(size.width()),
        ws_xpixel: 0,
        ws_ypixel: 0,
    });
    plan.push(
        "process.terminal",
        Step::OpenTerminal {
            owner: Uid::from_raw(process.user().uid()),
            size,
            place,
        },
    );
}

pub(super) fn compile_working_directory(
    plan: &mut InitPlan,
    process: &Process,
) -> Result<(), Error> {
    let directory = target("process.cwd", process.cwd(), Symlinks::FollowInside)?;
    if !directory.path.is_empty() {
        plan.push("process.cwd", Step::MakeDirectory(directory));
    }
    Ok(())
}

/// What happens inside the root, up to the program's first instruction.
pub(super) fn compile(
    plan: &mut InitPlan,
    process: &Process,
    maps: &IdMaps,
    filter: Option<Step>,
    execution: Option<Execution>,
    launch: Launch,
    traceable: bool,
) -> Result<(), Error> {
    let late_limits = compile_limits(plan, process, launch.core)?;
    schedule::compile(plan, process)?;
    let user = process.user();
    if user.uid() != 0 && process.terminal() != Some(true) {
        plan.push("process.user", Step::OwnStdio(Uid::from_raw(user.uid())));
    }
    plan.push(
        "process.user.umask",
        Step::SetUmask(user.umask().unwrap_or(DEFAULT_UMASK)),
    );
    let directory = target("process.cwd", process.cwd(), Symlinks::FollowInside)?;
    plan.push("process.cwd", Step::ChangeDirectory(directory.path));

    let confined = process.no_new_privileges() == Some(true);
    let (early, late) = if confined {
        (None, filter)
    } else {
        (filter, None)
    };
    if let Some(filter) = early {
        // Without no-new-privileges a filter needs CAP_SYS_ADMIN, which is dropped below.
        plan.push("linux.seccomp", filter);
    }
    if let Some((field, label)) = label(process)? {
        let label = label.content.to_string_lossy().into_owned();
        plan.push(field, Step::PrepareLabel { label });
    }
    compile_identity(plan, process, maps)?;
    if confined {
        plan.push("process.noNewPrivileges", Step::SetNoNewPrivileges);
    }
    if launch.dies_with_caller {
        // After the last change of ids, which would clear it.
        plan.push("process", Step::DieWithParent);
    }
    if traceable {
        plan.push("process", Step::SetTraceable(true));
    }
    if let (Some(execution), true) = (&execution, launch.gate.is_some()) {
        // Whoever starts the container may not be there to hear that it cannot be started.
        plan.push(
            "process.args",
            Step::FindProgram {
                name: execution.name.clone(),
                candidates: execution.program.candidates().to_vec(),
            },
        );
    }
    plan.push("process", Step::AwaitStart { gate: launch.gate });
    for (field, resource, limit) in late_limits {
        plan.push(field, Step::SetResourceLimit(resource, limit));
    }
    if let Some(filter) = late {
        // As late as can be: the filter need not allow what the set-up does.
        plan.push("linux.seccomp", filter);
    }
    if let Some(execution) = execution {
        plan.push("process.args", Step::Execute(execution));
    }
    Ok(())
}

/// What a security module does when the program is executed. It is for the next file that the process
/// executes, so that the trampoline says it.
fn label(process: &Process) -> Result<Option<(&'static str, Label)>, Error> {
    let modules = [
        (
            "process.apparmorProfile",
            process.apparmor_profile(),
            "/sys/module/apparmor",
            c"self/attr/apparmor/exec",
            "exec ",
        ),
        (
            "process.selinuxLabel",
            process.selinux_label(),
            "/sys/fs/selinux/enforce",
            c"self/attr/exec",
            "",
        ),
    ];
    let mut found = None;
    for (field, label, module, file, verb) in modules {
        let Some(label) = label.as_deref().filter(|label| !label.is_empty()) else {
            continue;
        };
        if !std::path::Path::new(module).exists() {
            let reason = "the kernel runs without this security module";
            return Err(invalid(field, reason));
        }
        if found.is_some() {
            return Err(invalid(
                field,
                "another security module has a label already",
            ));
        }
        let label = Label {
            file: file.to_owned(),
            content: c_string(field, format!("{verb}{label}"))?,
        };
        found = Some((field, label));
    }
    Ok(found)
}

/// crun's annotation: the process stays in the groups that its maker is in.
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// Whether the configuration asks for the groups of the caller.
pub(super) fn keeps_groups(spec: &Spec) -> bool {
    let annotations = spec.annotations().as_ref();
    let value = annotations.and_then(|annotations| annotations.get(KEEP_GROUPS));
    value.is_some_and(|value| matches!(value.as_str(), "1" | "true"))
}

/// Leaves the process in the groups of the caller, where the configuration asks for that.
pub(super) fn keep_groups(plan: &mut InitPlan, spec: &Spec) {
    if !keeps_groups(spec) {
        return;
    }
    for planned in &mut plan.steps {
        if let Step::BecomeUser(identity) = &mut planned.step {
            identity.groups = None;
        }
    }
}

fn compile_identity(plan: &mut InitPlan, process: &Process, maps: &IdMaps) -> Result<(), Error> {
    let user = process.user();
    let additional = user.additional_gids().as_deref().unwrap_or_default();
    let mut groups: Vec<Gid> = additional.iter().map(|gid| Gid::from_raw(*gid)).collect();
    groups.sort_unstable_by_key(|gid| gid.as_raw());
    groups.dedup();
    // Whoever says nothing of them gets none.
    let sets = process.capabilities().as_ref().map(Sets::of);
    let sets = sets.unwrap_or_default();
    let keep = sets.bounding.for_kernel();
    plan.push("process.capabilities.bounding", Step::DropBoundingSet(keep));
    let keep_capabilities = sets.permitted != Capabilities::NONE;
    plan.push(
        "process.user",
        Step::BecomeUser(Identity {
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(user.gid()),
            groups: (!maps.is_single()).then_some(groups),
            keep_capabilities,
        }),
    );
    plan.push(
        "process.capabilities",
        Step::SetCapabilities {
            sets: CapabilitySets {
                effective: sets.effective.for_kernel(),
                permitted: sets.permitted.for_kernel(),
                inheritable: sets.inheritable.for_kernel(),
            },
            ambient: sets.ambient.for_kernel(),
        },
    );
    Ok(())
}

/// All that a process asks for in one of its sets.
pub(crate) fn capabilities_of(process: &Process) -> Capabilities {
    let sets = process.capabilities().as_ref().map(Sets::of);
    sets.map_or(Capabilities::NONE, |sets| {
        let rest = [
            sets.effective,
            sets.permitted,
            sets.inheritable,
            sets.ambient,
        ];
        rest.into_iter().fold(sets.bounding, Capabilities::with)
    })
}

/// The five sets, as masks.
#[derive(Default)]
struct Sets {
    bounding: Capabilities,
    effective: Capabilities,
    permitted: Capabilities,
    inheritable: Capabilities,
    ambient: Capabilities,
}

impl Sets {
    fn of(sets: &LinuxCapabilities) -> Self {
        let mask = |set: &Option<oci_spec::runtime::Capabilities>| {
            let names = set.iter().flatten().map(ToString::to_string);
            // The specification's type holds known names only.
            names
                .filter_map(|name| Capabilities::named(&name).ok())
                .fold(Capabilities::NONE, Capabilities::with)
        };
        Self {
            bounding: mask(sets.bounding()),
            effective: mask(sets.effective()),
            permitted: mask(sets.permitted()),
            inheritable: mask(sets.inheritable()),
            ambient: mask(sets.ambient()),
        }
    }
}

/// Compiles the limits, and returns those that only the program is to have: what Carrier does before it is
/// not to be dumped, and may need more files than a program.
fn compile_limits(
    plan: &mut InitPlan,
    process: &Process,
    core: Option<Rlimit>,
) -> Result<Vec<(String, Resource, Rlimit)>, Error> {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    let mut late = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        let mut before = limits.iter().take(index);
        if before.any(|other| other.typ() == limit.typ()) {
            return Err(invalid(field, "there is one of this type already"));
        }
        let resource = resource(limit.typ());
        if limit.soft() > limit.hard() {
            return Err(invalid(field, "the soft limit is above the hard one"));
        }
        let value = |number: u64| (number != u64::MAX).then_some(number);
        let mut limit = Rlimit {
            current: value(limit.soft()),
            maximum: value(limit.hard()),
        };
        match resource {
            Resource::Core => {
                late.push((field.clone(), resource, limit));
                limit.current = Some(0);
            }
            // To have more takes a right that is given up on the way.
            Resource::Nofile if !is_more(limit, rustix::process::getrlimit(resource)) => {
                late.push((field, resource, limit));
                continue;
            }
            _ => {}
        }
        plan.push(field, Step::SetResourceLimit(resource, limit));
    }
    let is_said = late.iter().any(|(_, kind, _)| *kind == Resource::Core);
    let core = core.filter(|_| !is_said);
    late.extend(core.map(|limit| ("process".to_owned(), Resource::Core, limit)));
    late.retain(|(_, kind, limit)| *kind != Resource::Core || limit.current != Some(0));
    Ok(late)
}

fn is_more(wanted: Rlimit, own: Rlimit) -> bool {
    let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    number(wanted.maximum) > number(own.maximum)
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

/// The process of a container, or what stands for one that the configuration lacks: a container is made
/// without it, and cannot be started, runtime.md.
pub(super) fn of<'a>(spec: &'a Spec, launch: &Launch) -> Result<Cow<'a, Process>, Error> {
    match spec.process() {
        Some(process) => Ok(Cow::Borrowed(process)),
        None if launch.gate.is_some() => {
            let nobody = serde_json::json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
            let nobody = serde_json::from_value(nobody);
            nobody.map_err(|error| invalid("process", &error.to_string()))
        }
        None => Err(invalid("process", "it is required")),
    }
}

/// The program of a container, where it has one.
pub(super) fn execution_of(spec: &Spec, launch: &mut Launch) -> Result<Option<Execution>, Error> {
    let process = spec.process().as_ref();
    let execution = process.map(|process| execution(process, launch));
    let Some(execution) = execution.transpose()? else {
        return Ok(None);
    };
    if launch.init && execution.trampoline.is_none() {
        let reason = "memory may not be executed here: look at the sysctl vm.memfd_noexec";
        return Err(invalid("init", reason));
    }
    Ok(Some(Execution {
        init: launch.init,
        ..execution
    }))
}

pub(super) fn execution(process: &Process, launch: &mut Launch) -> Result<Execution, Error> {
    let words = process.args().as_deref().unwrap_or_default();
    let name = match words.first() {
        Some(name) if !name.is_empty() => name.clone(),
        _ => return Err(invalid("process.args", "there is no program to execute")),
    };
    let environment = process.env().as_deref().unwrap_or_default();
    let strings = |field: &str, lines: &[String]| {
        lines
            .iter()
            .map(|line| c_string(field, line))
            .collect::<Result<Vec<CString>, Error>>()
    };
    Ok(Execution {
        program: Program::new(
            candidates(&name, environment)?,
            strings("process.args", words)?,
            strings("process.env", environment)?,
            label(process)?.map(|(_, label)| label).unwrap_or_default(),
        ),
        name,
        own: own_binary(),
        // Where memory may not be executed, a look at the path has to do.
        trampoline: Trampoline::new().ok(),
        sealed: launch.sealed.take(),
        first_closed: FIRST_AFTER_STDIO + launch.preserved,
        init: false,
    })
}

/// Nothing where there is no `/proc`: then nothing in the container leads to the binary either.
fn own_binary() -> Option<FileIdentity> {
    let stat = rustix::fs::stat("/proc/self/exe").ok()?;
    Some(FileIdentity {
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

/// Where execvp(3) would look.
fn candidates(name: &str, environment: &[String]) -> Result<Vec<CString>, Error> {
    if name.contains('/') {
        return Ok(vec![c_string("process.args", name)?]);
    }
    let path = environment
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("PATH="));
    path.unwrap_or(DEFAULT_PATH)
        .split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| {
            c_string(
                "process.args",
                format!("{}/{name}", directory.trim_end_matches('/')),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates_of(name: &str, environment: &[&str]) -> Vec<String> {
        let environment: Vec<String> = environment.iter().map(ToString::to_string).collect();
        let found = candidates(name, &environment).unwrap();
        found
            .into_iter()
            .map(|path| path.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_bare_name_is_looked_for_in_the_containers_path() {
        assert_eq!(
            candidates_of("sh", &["PATH=/a:/b/:", "X=1"]),
            ["/a/sh", "/b/sh"]
        );
        assert_eq!(candidates_of("sh", &["PATH=/a", "PATH=/z"]), ["/z/sh"]);
        assert_eq!(candidates_of("sh", &[]).len(), 6);
        assert_eq!(candidates_of("./sh", &["PATH=/a"]), ["./sh"]);
    }

    #[test]
    fn directories_relative_to_nowhere_are_not_searched() {
        assert_eq!(candidates_of("sh", &["PATH=.:bin::/x"]), ["/x/sh"]);
    }
}
