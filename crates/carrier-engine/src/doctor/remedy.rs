//! What helps.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::view::View;
use crate::helper;

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Something that needs no root.
    Own(OwnFix),
    /// A command for root's `sh`.
    Root(String),
    /// What nobody can do for the user.
    Advice(String),
}

/// Something that needs no root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnFix {
    /// Make a directory that only the user can enter, and those above it.
    MakeDirectory(PathBuf),
    /// Let only the user enter a directory.
    Close(PathBuf),
    /// Let the user's programs live without a login: polkit may allow it.
    Linger(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(fix) => write!(f, "`{}`", fix.command()),
            Self::Root(command) => write!(f, "as root: `{command}`"),
            Self::Advice(words) => f.write_str(words),
        }
    }
}

impl OwnFix {
    /// The same for a shell.
    #[must_use]
    pub fn command(&self) -> String {
        match self {
            Self::MakeDirectory(path) => format!("mkdir -p -m 700 {}", quoted(path)),
            Self::Close(path) => format!("chmod 700 {}", quoted(path)),
            Self::Linger(user) => format!("loginctl enable-linger {}", quoted(Path::new(user))),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn apply(&self) -> io::Result<()> {
        match self {
            Self::MakeDirectory(path) => fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path),
            Self::Close(path) => fs::set_permissions(path, fs::Permissions::from_mode(0o700)),
            Self::Linger(user) => {
                let program = helper::find("loginctl").map_err(io::Error::other)?;
                // Nobody is asked for a password: whoever has one can use the script for root.
                let output = Command::new(program)
                    .args(["--no-ask-password", "enable-linger", user])
                    .stdin(Stdio::null())
                    .output()?;
                if output.status.success() {
                    return Ok(());
                }
                let said = String::from_utf8_lossy(&output.stderr);
                Err(io::Error::other(said.trim().to_owned()))
            }
        }
    }
}

/// A kernel parameter, now and after each boot.
pub(super) fn sysctl(name: &str, value: &str) -> Remedy {
    sysctls([(name, value)].into_iter())
}

/// Several of them.
pub(super) fn sysctls<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Remedy {
    const FILE: &str = "/etc/sysctl.d/60-carrier.conf";
    let mut command = String::new();
    for (name, value) in settings {
        let setting = quoted(Path::new(&format!("{name}={value}")));
        command.push_str(&format!("echo {setting} >>{FILE} && "));
    }
    Remedy::Root(format!("{command}sysctl -q -p {FILE}"))
}

/// What a distribution packs differently.
#[derive(Clone, Copy, Debug)]
pub(super) enum Package {
    Uidmap,
    Same(&'static str),
    Qemu,
}

impl Package {
    fn name(self, family: &str) -> &'static str {
        match (self, family) {
            (Self::Uidmap, "fedora") => "shadow-utils",
            (Self::Uidmap, "arch" | "suse") => "shadow",
            (Self::Uidmap, "alpine") => "shadow-subids",
            (Self::Uidmap, _) => "uidmap",
            (Self::Qemu, "suse") => "qemu-linux-user",
            (Self::Qemu, "alpine") => "qemu-aarch64",
            (Self::Qemu, _) => "qemu-user-static",
            (Self::Same(name), _) => name,
        }
    }
}

/// Installs a package, as the distribution does.
pub(super) fn install(view: &View, package: Package) -> Remedy {
    let family = family(&view.read("etc/os-release"));
    let name = package.name(family);
    let command = match family {
        "debian" => "apt-get install -y",
        "fedora" => "dnf install -y",
        "arch" => "pacman -S --noconfirm",
        "suse" => "zypper install -y",
        "alpine" => "apk add",
        _ => return Remedy::Advice(format!("install the package {name}")),
    };
    Remedy::Root(format!("{command} {name}"))
}

/// The distribution that this one is like, os-release(5).
fn family(os_release: &str) -> &'static str {
    let words = os_release.lines().filter_map(|line| {
        line.strip_prefix("ID=")
            .or_else(|| line.strip_prefix("ID_LIKE="))
    });
    let mut words = words.flat_map(|value| value.trim_matches('"').split_ascii_whitespace());
    let known = |word: &str| {
        Some(match word {
            "debian" | "ubuntu" => "debian",
            "fedora" | "rhel" | "centos" => "fedora",
            "arch" => "arch",
            "suse" | "opensuse" | "sles" => "suse",
            "alpine" => "alpine",
            _ => return None,
        })
    };
    words.find_map(known).unwrap_or_default()
}

/// A word of a shell's command line.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_what_it_is_like() {
        for (text, expected) in [
            ("NAME=x\nID=debian\n", "debian"),
            ("ID=pop\nID_LIKE=\"ubuntu debian\"\n", "debian"),
            ("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n", "fedora"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "suse"),
            ("ID=nixos\n", ""),
            ("", ""),
        ] {
            assert_eq!(family(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_word_of_a_shell_is_one_word() {
        for (text, expected) in [
            ("/run/user/1000", "/run/user/1000"),
            ("/a b", "'/a b'"),
            ("$(id)", "'$(id)'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(text)), expected);
        }
    }
}
