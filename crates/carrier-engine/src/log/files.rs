//! The files of one container's log.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

const NEWEST: &str = "log.json";

/// Which file it is, whatever it is called at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// A file of a log, opened to be read.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) fd: OwnedFd,
    pub(super) id: FileId,
    pub(super) size: u64,
}

/// The directory of one container's log.
#[derive(Debug)]
pub(super) struct LogFiles(OwnedFd);

impl LogFiles {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(directory, flags, Mode::empty())?))
    }

    /// Opens the newest file to append to it, and tells its size. What is there and is no file of
    /// ours alone gives way: a record must not end up where a link points.
    pub(super) fn append(&self) -> io::Result<(OwnedFd, u64)> {
        // Also to be read: a half record at its end has to be found.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        for _ in 0..2 {
            match rustix::fs::openat(&self.0, NEWEST, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    let stat = rustix::fs::fstat(&file)?;
                    if is_ours(&stat) {
                        return Ok((file, stat.st_size.unsigned_abs()));
                    }
                }
                Err(Errno::LOOP | Errno::NXIO) => {}
                Err(errno) => return Err(errno.into()),
            }
            rustix::fs::unlinkat(&self.0, NEWEST, AtFlags::empty())?;
        }
        Err(Errno::LOOP.into())
    }

    /// Moves each file one number up, so that `count` stay with the new one.
    ///
    /// The highest goes first and each step is one call, so that a crash leaves at most a number
    /// without a file. The next rotation fills it and moves nothing above it. No file is renamed over
    /// another one: ext4 would bring it to the disk for that, which takes longer than to write it.
    pub(super) fn rotate(&self, count: u32) -> io::Result<()> {
        let last = count.saturating_sub(1);
        let free = (1..=last).find(|number| !self.exists(*number));
        let free = match free {
            Some(free) => free,
            None => {
                self.remove(last)?;
                last
            }
        };
        for number in (0..free).rev() {
            match rustix::fs::renameat(&self.0, name(number), &self.0, name(number + 1)) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn exists(&self, number: u32) -> bool {
        rustix::fs::statat(&self.0, name(number), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name(number), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens all files, the oldest first, as they were at one moment: a rotation meanwhile is
    /// noticed, and then it is tried again.
    pub(super) fn read(&self) -> io::Result<Vec<OpenFile>> {
        const ATTEMPTS: u32 = 100;
        let mut files = Vec::new();
        for _ in 0..ATTEMPTS {
            let numbers = self.numbers()?;
            files.clear();
            for number in &numbers {
                files.extend(self.open_number(*number)?.map(|file| (*number, file)));
            }
            let unmoved = |(number, file): &(u32, OpenFile)| self.id(*number) == Some(file.id);
            if files.iter().all(unmoved) && self.numbers()? == numbers {
                break;
            }
        }
        Ok(files.into_iter().map(|(_, file)| file).collect())
    }

    /// Which file is the newest one at the moment.
    pub(super) fn newest(&self) -> Option<FileId> {
        self.id(0)
    }

    /// The numbers that there are, the highest first.
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().to_str() else {
                continue;
            };
            match file.strip_prefix(NEWEST) {
                Some("") => numbers.push(0),
                Some(rest) => {
                    numbers.extend(
                        rest.strip_prefix('.')
                            .and_then(|text| text.parse::<u32>().ok()),
                    );
                }
                None => {}
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// Opens one file; nothing when it has gone, or is no file of ours alone.
    fn open_number(&self, number: u32) -> io::Result<Option<OpenFile>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.0, name(number), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = rustix::fs::fstat(fd.as_fd())?;
        Ok(is_ours(&stat).then(|| OpenFile {
            fd,
            id: id_of(&stat),
            size: stat.st_size.unsigned_abs(),
        }))
    }

    fn id(&self, number: u32) -> Option<FileId> {
        let stat = rustix::fs::statat(&self.0, name(number), AtFlags::SYMLINK_NOFOLLOW);
        stat.ok().as_ref().map(id_of)
    }
}

fn name(number: u32) -> String {
    match number {
        0 => NEWEST.to_owned(),
        number => format!("{NEWEST}.{number}"),
    }
}

fn is_ours(stat: &rustix::fs::Stat) -> bool {
    // A file that has gone has no name left; one of somebody else has two.
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink <= 1
}

fn id_of(stat: &rustix::fs::Stat) -> FileId {
    FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(directory: &Path) -> Vec<(String, String)> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_rotation_keeps_as_many_files_as_it_may() {
        let place = tempfile::tempdir().unwrap();
        let files = LogFiles::open(place.path()).unwrap();
        for round in 0..5 {
            fs::write(place.path().join("log.json"), round.to_string()).unwrap();
            files.rotate(3).unwrap();
        }
        let expected = [("log.json.1", "4"), ("log.json.2", "3")];
        assert_eq!(
            names(place.path()),
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn a_gap_that_a_crash_left_is_filled_and_nothing_older_is_lost() {
        let place = tempfile::tempdir().unwrap();
        let files = LogFiles::open(place.path()).unwrap();
        for (name, text) in [
            ("log.json", "new"),
            ("log.json.2", "old"),
            ("log.json.3", "oldest"),
        ] {
            fs::write(place.path().join(name), text).unwrap();
        }
        files.rotate(4).unwrap();
        let expected = [
            ("log.json.1", "new"),
            ("log.json.2", "old"),
            ("log.json.3", "oldest"),
        ];
        assert_eq!(
            names(place.path()),
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn a_link_in_place_of_the_log_is_neither_read_nor_written() {
        let place = tempfile::tempdir().unwrap();
        let canary = place.path().join("canary");
        fs::write(&canary, "canary").unwrap();
        let log = place.path().join("log.json");
        let files = LogFiles::open(place.path()).unwrap();
        for link in [
            |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to),
            |from: &Path, to: &Path| fs::hard_link(from, to),
        ] {
            link(&canary, &log).unwrap();
            assert!(files.read().unwrap().is_empty());
            let (file, size) = files.append().unwrap();
            rustix::io::write(&file, b"record").unwrap();
            assert_eq!(size, 0);
            assert_eq!(fs::read_to_string(&canary).unwrap(), "canary");
            assert_eq!(fs::read_to_string(&log).unwrap(), "record");
            fs::remove_file(&log).unwrap();
        }
    }
}
