//! Why a layer cannot be unpacked.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// A member's name as the archive spells it, shown in a form that is safe for terminals.
#[derive(Clone, PartialEq, Eq)]
pub struct MemberName(Box<[u8]>);

/// Hostile names may be as long as the limit on extension headers.
const SHOWN: usize = 256;

impl MemberName {
    pub(super) fn new(name: &[u8]) -> Self {
        Self(name.into())
    }

    /// The bytes, unescaped.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "{}", String::from_utf8_lossy(shown).escape_debug())?;
        if shown.len() < self.0.len() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a layer cannot be unpacked. Each names the member or the place in the archive.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The source failed, or the compressed stream is damaged or cut short.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// The bytes are no tar archive, or an ambiguous one.
    #[error("the layer is malformed at byte {offset}: {problem}")]
    Malformed {
        /// Where the offending header or record starts in the uncompressed stream.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The stream is larger than the caller allows.
    #[error("the layer holds more than {limit} bytes")]
    TooManyBytes {
        /// [`Limits::bytes`](super::Limits::bytes).
        limit: u64,
    },
    /// The archive has more members than the caller allows.
    #[error("the layer has more than {limit} entries")]
    TooManyEntries {
        /// [`Limits::entries`](super::Limits::entries).
        limit: u64,
    },
    /// A name that no layer may contain, or a member that contradicts itself.
    #[error("refused to unpack {name}: {problem}")]
    Refused {
        /// The member.
        name: MemberName,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The member's owner does not exist in the current user namespace.
    #[error("id {id} of {name} is not mapped")]
    IdNotMapped {
        /// The user or group id.
        id: i64,
        /// The member.
        name: MemberName,
    },
    /// The kernel refused to make the member.
    #[error("cannot {action} {name}")]
    Member {
        /// What was tried.
        action: &'static str,
        /// The member.
        name: MemberName,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A deletion cannot be recorded: overlayfs's mark is a device, which needs a user namespace.
    #[error("cannot mark {name} as deleted: that needs a user namespace, or root")]
    Whiteout {
        /// The deleted name.
        name: MemberName,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl UnpackError {
    pub(super) fn malformed(offset: u64, problem: &'static str) -> Self {
        Self::Malformed { offset, problem }
    }

    pub(super) fn refused(name: &[u8], problem: &'static str) -> Self {
        Self::Refused {
            name: MemberName::new(name),
            problem,
        }
    }

    /// For `map_err` behind a system call on the member `name`.
    pub(super) fn member(action: &'static str, name: &[u8]) -> impl Fn(Errno) -> Self {
        move |errno| Self::Member {
            action,
            name: MemberName::new(name),
            source: errno.into(),
        }
    }
}
