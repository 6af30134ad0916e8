//! Giving back memory that a process needs rarely.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use rustix::event::PollFlags;

use crate::check;

/// The parts of the program's file that are in memory as they are in the file: a process that waits
/// for long does not need them, and gets them back page by page when it goes on.
#[derive(Debug)]
pub struct ProgramPages(Vec<(usize, usize)>);

impl ProgramPages {
    /// Looks for them, proc_pid_smaps(5).
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn find() -> io::Result<Self> {
        Ok(Self(unchanged(&fs::read_to_string("/proc/self/smaps")?)))
    }

    /// Waits until one of the files is ready as it should be, for `timeout` at the longest, poll(2);
    /// what the program does not need for that is given back meanwhile, and with it what the
    /// allocator has free.
    ///
    /// # Errors
    /// None that happens to mappings and files that exist.
    pub fn rest(
        &self,
        files: &[(BorrowedFd<'_>, PollFlags)],
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let interest = |(file, flags): &(BorrowedFd<'_>, PollFlags)| libc::pollfd {
            fd: file.as_raw_fd(),
            events: flags.bits().cast_signed(),
            revents: 0,
        };
        let mut files: Vec<libc::pollfd> = files.iter().map(interest).collect();
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        // Without that, more comes back with the few pages that are needed: up to a folio each.
        for function in [
            release_and_poll as *const () as usize,
            libc::syscall as *const () as usize,
        ] {
            set_apart(function)?;
        }
        // SAFETY: malloc_trim(3) gives back free memory only.
        unsafe { libc::malloc_trim(0) };
        release_and_poll(&self.0, &mut files, timeout.as_ref())
    }
}

/// Makes a mapping of its own of the two pages in which a short function is: the kernel brings pages
/// back with their neighbours, but none of another mapping. That they are left out of core dumps is
/// what makes the difference.
fn set_apart(function: usize) -> io::Result<()> {
    const PAGE: usize = 4096;
    let place = std::ptr::with_exposed_provenance_mut(function & !(PAGE - 1));
    // SAFETY: the advice changes nothing of what is in memory, madvise(2).
    match check(unsafe { libc::madvise(place, 2 * PAGE, libc::MADV_DONTDUMP) }.into()) {
        // The second page may be behind the end.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(()),
        other => other.map(drop),
    }
}

/// All that the program does while it rests: everything else would come back into memory.
#[inline(never)]
fn release_and_poll(
    ranges: &[(usize, usize)],
    files: &mut [libc::pollfd],
    timeout: Option<&libc::timespec>,
) -> io::Result<()> {
    let timeout = timeout.map_or(std::ptr::null(), std::ptr::from_ref);
    let mask: *const libc::sigset_t = std::ptr::null();
    for (start, length) in ranges {
        // SAFETY: the range is a private mapping of the program's file that cannot be written and
        // has no page that differs from the file, which nobody can write while it is executed: the
        // kernel reads every page again when it is needed, madvise(2).
        unsafe { libc::syscall(libc::SYS_madvise, *start, *length, libc::MADV_DONTNEED) };
    }
    // SAFETY: the files are as many as their number says, and outlive the call as the timeout does;
    // a null pointer leaves the signal mask alone, and asks for no limit of time.
    let ready = unsafe {
        libc::syscall(
            libc::SYS_ppoll,
            files.as_mut_ptr(),
            files.len(),
            timeout,
            mask,
            0,
        )
    };
    match check(ready) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other.map(drop),
    }
}

/// Start and length of the file mappings that are read-only and have no page of their own.
fn unchanged(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(range) = mapping(line) {
            candidate = range;
        } else if let Some(count) = line.strip_prefix("Anonymous:") {
            let is_clean = count.trim() == "0 kB";
            found.extend(candidate.take().filter(|_| is_clean));
        }
    }
    found
}

/// The range of a line that begins a mapping, if it is one of a file and read-only; nothing for other
/// lines.
fn mapping(line: &str) -> Option<Option<(usize, usize)>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let permissions = fields.next()?;
    let inode = fields.nth(2)?;
    let fits = permissions.starts_with('r') && &permissions[1..2] == "-" && inode != "0";
    Some(fits.then_some((start, end - start)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const SMAPS: &str = "\
00400000-00500000 r--p 00000000 08:01 42      /bin/carrier
Rss:                1024 kB
Anonymous:             0 kB
00500000-00900000 r-xp 00100000 08:01 42      /bin/carrier
Anonymous:             0 kB
00900000-00980000 r--p 00500000 08:01 42      /bin/carrier
Anonymous:           512 kB
00980000-00990000 rw-p 00580000 08:01 42      /bin/carrier
Anonymous:             0 kB
00a00000-00b00000 rw-p 00000000 00:00 0       [heap]
Anonymous:           100 kB
7fff0000-7fff4000 r--p 00000000 00:00 0       [vvar]
Anonymous:             0 kB
";

    #[test]
    fn only_what_the_file_can_give_back_is_given_away() {
        let expected = vec![(0x0040_0000, 0x10_0000), (0x0050_0000, 0x40_0000)];
        assert_eq!(unchanged(SMAPS), expected);
    }

    #[test]
    fn a_program_goes_on_without_its_pages() {
        let pages = ProgramPages::find().unwrap();
        for _ in 0..3 {
            let (reader, _writer) = io::pipe().unwrap();
            let files = [(reader.as_fd(), PollFlags::IN)];
            pages.rest(&files, Some(Duration::from_millis(1))).unwrap();
            assert_eq!(unchanged(SMAPS).len(), 2);
        }
    }
}
