//! Seeing when a container is about to execute Carrier's own binary (CVE-2019-5736).
//!
//! `/proc/self/exe` means that binary until the program is executed. A program, or the interpreter of a
//! script, of that name would run it inside the container, where its file could then be opened for
//! writing by whoever owns it: the user. What is seen here can change until the kernel has opened it:
//! it makes a good error, and the trampoline makes sure.

use std::ffi::CStr;

use rustix::fs::{Mode, OFlags};

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// How often the kernel follows interpreters, `BINPRM_BUF_SIZE` and the loop in `exec_binprm`.
const MAX_INTERPRETERS: u32 = 5;

/// What the kernel reads of a file to see what it is.
const HEAD: usize = 256;

/// Whether executing `path` would execute the file `own`.
pub(super) fn leads_to(path: &CStr, own: FileIdentity) -> bool {
    let mut buffer: [u8; HEAD + 1];
    let mut interpreter: &CStr = path;
    for _ in 0..MAX_INTERPRETERS {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let Ok(stat) = rustix::fs::stat(interpreter) else {
            return false;
        };
        let found = FileIdentity {
            device: stat.st_dev,
            inode: stat.st_ino,
        };
        if found == own {
            return true;
        }
        // What cannot be read can be executed all the same, if it is no script.
        let Ok(file) = rustix::fs::open(interpreter, flags, Mode::empty()) else {
            return false;
        };
        buffer = [0; HEAD + 1];
        let [head @ .., _] = &mut buffer;
        if rustix::io::read(&file, head).is_err() {
            return false;
        }
        match interpreter_of(&mut buffer) {
            Some(next) => interpreter = next,
            None => return false,
        }
    }
    false
}

/// The path behind `#!`, as the kernel takes it.
fn interpreter_of(head: &mut [u8; HEAD + 1]) -> Option<&CStr> {
    let line = head.strip_prefix(b"#!")?;
    let blanks = line
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let start = 2 + blanks;
    let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0);
    let length = head.get(start..)?.iter().position(ends)?;
    *head.get_mut(start + length)? = 0;
    CStr::from_bytes_until_nul(head.get(start..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    fn identity(path: &Path) -> FileIdentity {
        let stat = rustix::fs::stat(path).unwrap();
        FileIdentity {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    #[test]
    fn the_binary_is_found_by_any_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("own"), "\x7fELF").unwrap();
        std::fs::write(path("other"), "\x7fELF").unwrap();
        std::os::unix::fs::symlink(path("own"), path("link")).unwrap();
        let script = |name: &str, interpreter: &str| {
            let line = format!("#! \t{} -x\n", path(interpreter).display());
            std::fs::write(path(name), line).unwrap();
        };
        script("script", "link");
        script("twice", "script");
        script("harmless", "other");
        let own = identity(&path("own"));
        let verdict = |name: &str| {
            let name = CString::new(path(name).as_os_str().as_bytes()).unwrap();
            leads_to(&name, own)
        };
        for name in ["own", "link", "script", "twice"] {
            assert!(verdict(name), "{name}");
        }
        for name in ["other", "harmless", "missing"] {
            assert!(!verdict(name), "{name}");
        }
    }
}
