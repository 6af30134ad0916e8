//! The files of `/etc` that are made anew at each start: hosts, hostname, resolv.conf.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::net::{HostsFile, NetworkMode, hosts, resolv, rewrite};
use crate::record::ContainerRecord;

/// The generated files of one container.
#[derive(Clone, Debug)]
pub(crate) struct EtcFiles {
    directory: PathBuf,
}

/// What the files are made of, beside the record.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    /// The host's `/etc/hosts`.
    pub(crate) hosts: &'a [u8],
    /// The image's.
    pub(crate) image_hosts: &'a [u8],
    /// The host's `/etc/resolv.conf`.
    pub(crate) resolv_conf: &'a str,
    pub(crate) names: &'a hosts::Names,
    pub(crate) resolvers: &'a resolv::Resolvers,
}

impl EtcFiles {
    pub(crate) const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Source on the host and destination in the container of each file that is not the image's own.
    pub(crate) fn mounts(
        &self,
        record: &ContainerRecord,
    ) -> impl Iterator<Item = (PathBuf, String)> {
        let options = &record.networking;
        let is_generated = [
            options.hosts_file != HostsFile::Untouched,
            !options.no_hostname,
            !options.dns.none,
        ];
        Self::NAMES
            .iter()
            .zip(is_generated)
            .filter(|(_, generated)| *generated)
            .map(|(name, _)| (self.directory.join(name), format!("/etc/{name}")))
    }

    /// The container's resolv.conf.
    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.directory.join("resolv.conf")
    }

    /// Writes the files of `record`.
    pub(crate) fn write(&self, record: &ContainerRecord, content: &Content<'_>) -> io::Result<()> {
        fs::write(self.directory.join("hosts"), hosts_file(record, content)?)?;
        fs::write(
            self.directory.join("hostname"),
            format!("{}\n", record.hostname),
        )?;
        let dns = &record.networking.dns;
        let text = resolv::build(content.resolv_conf, dns, content.resolvers);
        fs::write(self.resolv_conf(), text)
    }
}

impl EtcFiles {
    /// Brings the files of a container that runs from what they were to what they shall be: what the
    /// container has written itself stays. The name servers are left out where somebody else sees to them.
    pub(crate) fn update(
        &self,
        record: &ContainerRecord,
        (before, now): (&Content<'_>, &Content<'_>),
        with_resolv_conf: bool,
    ) -> io::Result<()> {
        let old = hosts_file(record, before)?;
        let new = hosts_file(record, now)?;
        let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&new));
        rewrite(&self.directory.join("hosts"), |there| {
            exchanged(there, &old, &new)
        })?;
        if !with_resolv_conf {
            return Ok(());
        }
        let dns = &record.networking.dns;
        let old = resolv::build(before.resolv_conf, dns, before.resolvers);
        let new = resolv::build(now.resolv_conf, dns, now.resolvers);
        let change = |there: &str| if there == old { new } else { there.to_owned() };
        rewrite(&self.resolv_conf(), change).map(drop)
    }
}

/// A text without the lines that are only in `old`, and with those that are only in `new`.
fn exchanged(there: &str, old: &str, new: &str) -> String {
    if there == old {
        return new.to_owned();
    }
    let has = |text: &str, line: &str| text.lines().any(|one| one == line);
    let kept = there
        .lines()
        .filter(|line| !has(old, line) || has(new, line));
    let added = new
        .lines()
        .filter(|line| !has(old, line) && !has(there, line));
    kept.chain(added).map(|line| format!("{line}\n")).collect()
}

fn hosts_file(record: &ContainerRecord, content: &Content<'_>) -> io::Result<Vec<u8>> {
    let mut text = match &record.networking.hosts_file {
        HostsFile::Generated if record.network == NetworkMode::Host => content.hosts.to_vec(),
        HostsFile::Generated => hosts::local().into_bytes(),
        HostsFile::File(path) => fs::read(path)?,
        HostsFile::Image | HostsFile::Untouched => content.image_hosts.to_vec(),
    };
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    let domain = &record.networking.domainname;
    let own = if domain.is_empty() {
        record.hostname.clone()
    } else {
        format!("{0}.{domain} {0}", record.hostname)
    };
    let lines = hosts::lines(content.names, &record.networking.hosts, &own);
    text.extend(lines.into_bytes());
    Ok(text)
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
    fn what_a_container_has_written_into_its_hosts_stays() {
        let (old, new) = (
            "127.0.0.1 localhost\n10.0.0.2 me\n",
            "127.0.0.1 localhost\n10.0.1.2 me\n",
        );
        assert_eq!(exchanged(old, old, new), new);
        assert_eq!(
            exchanged("127.0.0.1 localhost\n10.0.0.2 me\n192.0.2.7 db", old, new),
            "127.0.0.1 localhost\n192.0.2.7 db\n10.0.1.2 me\n"
        );
        assert_eq!(exchanged("", old, new), "10.0.1.2 me\n");
    }

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
