//! Capabilities by name, capabilities(7).

use rustix::thread::CapabilitySet;

/// Names in the order of their numbers, `CAP_CHOWN` being 0.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities: bit n stands for capability number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

/// A word that names no capability.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a capability")]
pub struct UnknownCapability(String);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All that have a name.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
    /// The eleven that a container gets unless told otherwise: chown, `dac_override`, fowner,
    /// fsetid, kill, `net_bind_service`, setfcap, setgid, setpcap, setuid, `sys_chroot`.
    pub const DEFAULT: Self = Self(0x8004_05fb);

    /// The set with one capability, `NET_ADMIN` or `CAP_NET_ADMIN`, in any case.
    ///
    /// # Errors
    /// [`UnknownCapability`].
    pub fn named(name: &str) -> Result<Self, UnknownCapability> {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = NAMES.iter().position(|known| *known == plain);
        number
            .map(|number| Self(1 << number))
            .ok_or_else(|| UnknownCapability(name.to_owned()))
    }

    /// The set as a mask.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The set of a mask, such as `/proc/self/status` shows.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// What is in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is only in `self`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The names, `CAP_…`, in the order of their numbers.
    pub fn names(self) -> impl Iterator<Item = String> {
        let present = move |(number, _): &(usize, &&str)| self.0 & (1 << number) != 0;
        NAMES
            .iter()
            .enumerate()
            .filter(present)
            .map(|(_, name)| format!("CAP_{name}"))
    }

    pub(crate) fn for_kernel(self) -> CapabilitySet {
        CapabilitySet::from_bits_retain(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_podmans_eleven() {
        let expected = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "NET_BIND_SERVICE",
            "SETFCAP",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYS_CHROOT",
        ];
        let set = expected
            .iter()
            .map(|name| Capabilities::named(name).unwrap())
            .fold(Capabilities::NONE, Capabilities::with);
        assert_eq!(set, Capabilities::DEFAULT);
        assert_eq!(Capabilities::DEFAULT.names().count(), 11);
    }

    #[test]
    fn names_are_taken_in_any_spelling() {
        let admin = Capabilities::named("CAP_NET_ADMIN").unwrap();
        assert_eq!(Capabilities::named("net_admin").unwrap(), admin);
        assert_eq!(admin.bits(), 1 << 12);
        assert!(Capabilities::named("CAP_").is_err());
        assert!(Capabilities::named("ROOT").is_err());
    }
}
