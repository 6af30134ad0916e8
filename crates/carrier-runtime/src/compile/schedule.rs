//! Processor time, disks, and the kernel's face: `process.scheduler`, `ioPriority`,
//! `execCPUAffinity`.

use carrier_sys::schedule::Scheduling;
use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process,
    Scheduler,
};
use rustix::thread::CpuSet;

use super::invalid;
use crate::error::Error;
use crate::plan::{InitPlan, Step};

/// `PER_LINUX32`, personality(2).
const PER_LINUX32: u32 = 8;

pub(super) fn compile(plan: &mut InitPlan, process: &Process) -> Result<(), Error> {
    if let Some(scheduler) = process.scheduler() {
        plan.push(
            "process.scheduler",
            Step::SetScheduling(scheduling(scheduler)?),
        );
    }
    if let Some(wanted) = process.io_priority() {
        const FIELD: &str = "process.ioPriority";
        let priority = u32::try_from(wanted.priority())
            .ok()
            .filter(|level| *level < 8);
        let priority = priority.ok_or_else(|| invalid(FIELD, "the priority is not 0 to 7"))?;
        let class = match wanted.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        plan.push(FIELD, Step::SetIoPriority { class, priority });
    }
    Ok(())
}

pub(super) fn compile_personality(
    plan: &mut InitPlan,
    personality: &oci_spec::runtime::LinuxPersonality,
) -> Result<(), Error> {
    const FIELD: &str = "linux.personality";
    if personality
        .flags()
        .as_ref()
        .is_some_and(|flags| !flags.is_empty())
    {
        return Err(Error::Unsupported {
            field: format!("{FIELD}.flags"),
        });
    }
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
    };
    plan.push(FIELD, Step::SetPersonality(domain));
    Ok(())
}

/// The processors of a process that joins a container.
pub(super) fn compile_affinity(plan: &mut InitPlan, process: &Process) -> Result<(), Error> {
    let Some(affinity) = process.exec_cpu_affinity() else {
        return Ok(());
    };
    let fields = [
        ("process.execCPUAffinity.initial", affinity.initial()),
        (
            "process.execCPUAffinity.final",
            affinity.cpu_affinity_final(),
        ),
    ];
    for (field, list) in fields {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            plan.push(field, Step::SetAffinity(Box::new(processors(field, list)?)));
        }
    }
    Ok(())
}

/// A list as the kernel writes them: `0-3,7`.
fn processors(field: &str, list: &str) -> Result<CpuSet, Error> {
    let wrong = || invalid(field, &format!("{list:?} is no list of processors"));
    let number = |text: &str| {
        let number = text.trim().parse::<usize>().ok();
        number
            .filter(|number| *number < CpuSet::MAX_CPU)
            .ok_or_else(wrong)
    };
    let mut set = CpuSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(wrong());
        }
        for processor in first..=last {
            set.set(processor);
        }
    }
    Ok(set)
}

fn scheduling(scheduler: &Scheduler) -> Result<Scheduling, Error> {
    use LinuxSchedulerFlag as Flag;
    use LinuxSchedulerPolicy as Policy;
    const FIELD: &str = "process.scheduler";
    let policy = match scheduler.policy() {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => return Err(invalid(FIELD, "no kernel has the policy SCHED_ISO")),
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    };
    let flag = |flag: &Flag| match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    };
    let listed = scheduler.flags().as_deref().unwrap_or_default();
    let priority = u32::try_from(scheduler.priority().unwrap_or(0));
    Ok(Scheduling {
        policy,
        flags: listed.iter().map(flag).fold(0, |flags, flag| flags | flag),
        nice: scheduler.nice().unwrap_or(0),
        priority: priority.map_err(|_| invalid(FIELD, "the priority is negative"))?,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
        ..Scheduling::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_listed_as_the_kernel_lists_them() {
        let set = processors("x", "0-2,5").unwrap();
        let present: Vec<usize> = (0..8).filter(|number| set.is_set(*number)).collect();
        assert_eq!(present, [0, 1, 2, 5]);
        for wrong in ["", "a", "3-1", "1,,2", "99999"] {
            assert!(processors("x", wrong).is_err(), "{wrong}");
        }
    }
}
