//! What profiles may ask for, for `features`.

use oci_spec::runtime::{
    Arch as OciArch, LinuxSeccompAction as Action, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator as Operator,
};

use super::arch::Arch;
use super::oci::arch;

pub(crate) const ACTIONS: [Action; 9] = [
    Action::ScmpActAllow,
    Action::ScmpActErrno,
    Action::ScmpActKill,
    Action::ScmpActKillProcess,
    Action::ScmpActKillThread,
    Action::ScmpActLog,
    Action::ScmpActNotify,
    Action::ScmpActTrace,
    Action::ScmpActTrap,
];

pub(crate) const OPERATORS: [Operator; 7] = [
    Operator::ScmpCmpEq,
    Operator::ScmpCmpGe,
    Operator::ScmpCmpGt,
    Operator::ScmpCmpLe,
    Operator::ScmpCmpLt,
    Operator::ScmpCmpMaskedEq,
    Operator::ScmpCmpNe,
];

pub(crate) const FLAGS: [Flag; 4] = [
    Flag::SeccompFilterFlagLog,
    Flag::SeccompFilterFlagSpecAllow,
    Flag::SeccompFilterFlagTsync,
    Flag::SeccompFilterFlagWaitKillableRecv,
];

/// The architectures whose calls can come from a program on `machine`.
pub(crate) fn architectures(machine: Arch) -> Vec<OciArch> {
    const KNOWN: [OciArch; 5] = [
        OciArch::ScmpArchX86_64,
        OciArch::ScmpArchX86,
        OciArch::ScmpArchX32,
        OciArch::ScmpArchAarch64,
        OciArch::ScmpArchArm,
    ];
    let siblings = machine.with_siblings();
    KNOWN
        .into_iter()
        .filter(|known| arch(*known).is_some_and(|known| siblings.contains(&known)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::Profile;
    use oci_spec::runtime::{LinuxSeccompBuilder, LinuxSyscallBuilder};

    #[test]
    fn every_action_that_is_promised_is_understood() {
        for action in ACTIONS {
            let rule = LinuxSyscallBuilder::default()
                .names(["getpid".to_owned()])
                .action(action);
            let profile = LinuxSeccompBuilder::default()
                .default_action(Action::ScmpActAllow)
                .syscalls([rule.build().unwrap()]);
            Profile::from_oci(&profile.build().unwrap(), Arch::X86_64).unwrap();
        }
    }

    #[test]
    fn a_machine_answers_for_its_siblings() {
        assert_eq!(architectures(Arch::X86_64).len(), 3);
        assert_eq!(architectures(Arch::Aarch64).len(), 2);
    }
}
