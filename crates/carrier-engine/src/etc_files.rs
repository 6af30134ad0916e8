//! The files of `/etc` that are made anew at each start: hosts, hostname, resolv.conf.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::net::NetworkMode;
use crate::record::ContainerRecord;

const HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    ff00::0\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// The generated files of one container.
#[derive(Clone, Debug)]
pub(crate) struct EtcFiles {
    directory: PathBuf,
}

impl EtcFiles {
    pub(crate) const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Source on the host and destination in the container of each file.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (PathBuf, String)> {
        Self::NAMES
            .iter()
            .map(|name| (self.directory.join(name), format!("/etc/{name}")))
    }

    /// Writes the files of `record`, on a host with these `hosts` and `resolv_conf`.
    pub(crate) fn write(
        &self,
        record: &ContainerRecord,
        hosts: &[u8],
        resolv_conf: &[u8],
    ) -> io::Result<()> {
        let hosts = match record.network {
            NetworkMode::Host => hosts.to_vec(),
            _ => format!("{HOSTS}127.0.0.1\t{}\n", record.hostname).into_bytes(),
        };
        fs::write(self.directory.join("hosts"), hosts)?;
        fs::write(
            self.directory.join("hostname"),
            format!("{}\n", record.hostname),
        )?;
        fs::write(self.directory.join("resolv.conf"), resolv_conf)
    }
}

/// Whether a text can be a host name: RFC 1123's letters, and no room to forge a line of a file.
pub(crate) fn is_hostname(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_cannot_forge_a_line() {
        for good in [
            "a",
            "web-1",
            "db.example.org",
            "under_score",
            &"x".repeat(64),
        ] {
            assert!(is_hostname(good), "{good:?} was refused");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a b",
            "a\n10.0.0.1 bank",
            "a\0",
            "a:b",
            &"x".repeat(65),
        ] {
            assert!(!is_hostname(bad), "{bad:?} was accepted");
        }
    }
}
