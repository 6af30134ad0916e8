//! `/etc/resolv.conf` of a container that runs follows the host's: another network, a VPN.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::options::DnsOptions;
use super::resolv::{self, Resolvers};

/// More than any resolv.conf has, in bytes. Whoever writes more than that has a file of their own.
const LONGEST: u64 = 1 << 16;

/// Watches the host's file, and keeps the container's up to date until somebody else writes that.
#[derive(Debug)]
pub(crate) struct Follower {
    events: OwnedFd,
    options: DnsOptions,
    resolvers: Resolvers,
    /// The container's file, and what was written to it last.
    file: PathBuf,
    written: String,
}

impl Follower {
    /// Begins to watch; nothing where the container's file does not depend on the host's.
    pub(crate) fn start(
        file: PathBuf,
        options: &DnsOptions,
        resolvers: &Resolvers,
    ) -> io::Result<Option<Self>> {
        let is_fixed = !options.servers.is_empty()
            && !options.search.is_empty()
            && !options.options.is_empty();
        if options.none || is_fixed {
            return Ok(None);
        }
        let events = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        for directory in directories() {
            // One that does not exist has nothing to tell.
            let _ = add_watch(&events, &directory, flags);
        }
        Ok(Some(Self {
            events,
            options: options.clone(),
            resolvers: resolvers.clone(),
            written: read(&mut open(&file)?, LONGEST)?,
            file,
        }))
    }

    /// Something has happened to the host's files.
    pub(crate) fn update(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        while let Ok(1..) | Err(Errno::INTR) = rustix::io::read(&self.events, &mut events) {}
        self.write(&resolv::of_host())
    }

    /// Other name servers answer.
    pub(super) fn lead_to(&mut self, resolvers: &Resolvers) -> io::Result<()> {
        self.resolvers = resolvers.clone();
        self.write(&resolv::of_host())
    }

    /// A file that the container, or somebody in it, has changed is theirs.
    fn write(&mut self, host: &str) -> io::Result<()> {
        let text = resolv::build(host, &self.options, &self.resolvers);
        if text == self.written {
            return Ok(());
        }
        let written = &self.written;
        let now = |there: &str| {
            if there == written {
                text.clone()
            } else {
                there.to_owned()
            }
        };
        if rewrite(&self.file, now)? == text {
            self.written = text;
        }
        Ok(())
    }
}

/// Makes of what is in the container's `file` what `change` makes of it; returns that. One that is longer
/// than any that this program writes, or no text, is left alone.
pub(crate) fn rewrite(file: &Path, change: impl FnOnce(&str) -> String) -> io::Result<String> {
    let mut file = open(file)?;
    if file.metadata()?.len() > LONGEST {
        return Ok(String::new());
    }
    let there = match read(&mut file, LONGEST) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(String::new()),
        there => there?,
    };
    let text = change(&there);
    if text != there {
        // In place: the container has the file mounted, not its name.
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
    }
    Ok(text)
}

impl AsFd for Follower {
    /// Readable when [`update`](Self::update) has something to look at.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// The container's file. The container decides what is in it, and how long that is.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// All of a file that has no more than `most` bytes.
fn read(file: &mut File, most: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= most => Ok(text),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// Where the host's file is, and where it leads to.
fn directories() -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut add = |path: &Path| {
        if let Some(parent) = path.parent().map(Path::to_owned)
            && !directories.contains(&parent)
        {
            directories.push(parent);
        }
    };
    add(Path::new(resolv::HOST));
    if let Ok(link) = fs::read_link(resolv::HOST) {
        add(&Path::new("/etc").join(link));
    }
    add(Path::new(resolv::UPSTREAM));
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_in_the_container_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        let options = DnsOptions::default();
        let start = Follower::start(file.clone(), &options, &Resolvers::Same);
        let mut follower = start.unwrap().unwrap();
        follower.write("nameserver 192.0.2.2\n").unwrap();
        let content = || fs::read_to_string(&file).unwrap();
        assert_eq!(content(), "nameserver 192.0.2.2\n");
        fs::write(&file, "nameserver 192.0.2.99\n").unwrap();
        follower.write("nameserver 192.0.2.3\n").unwrap();
        assert_eq!(content(), "nameserver 192.0.2.99\n");
    }

    #[test]
    fn a_file_that_the_container_has_made_huge_or_another_one_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        let start = || Follower::start(file.clone(), &DnsOptions::default(), &Resolvers::Same);
        let mut follower = start().unwrap().unwrap();
        let huge = fs::OpenOptions::new().write(true).open(&file).unwrap();
        huge.set_len(1 << 40).unwrap();
        follower.write("nameserver 192.0.2.2\n").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), 1 << 40);
        start().unwrap_err();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        follower.write("nameserver 192.0.2.2\n").unwrap_err();
    }
}
