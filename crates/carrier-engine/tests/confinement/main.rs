//! Threat U-17: what somebody can do who has taken over the process that unpacks a layer.
//!
//! A program of its own and not a test of the harness: a threaded process must not clone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on panics"
)]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carrier_engine::{LayerChannel, Unpacker};
use carrier_runtime::{IdMaps, IdRange};
use carrier_spec::Compression;
use carrier_store::{UnpackOptions, UnpackReport};
use carrier_sys::attacks;
use carrier_sys::process::{Namespaces, SingleThreaded, clone_into};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;

fn main() {
    u17_hostile_calls_are_denied();
    u17_what_unpacking_needs_is_allowed();
    u17_secrets_read_later_are_not_in_memory();
    u17_nothing_outlives_the_command();
}

struct Place {
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("layer")).unwrap();
        fs::write(home.path().join("canary"), "safe").unwrap();
        Self { home }
    }

    fn layer(&self) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.home.path().join("layer"), flags, Mode::empty()).unwrap()
    }

    /// Has `work` done by a confined process; what it reports.
    fn run(&self, work: Work) -> String {
        let unpacker = start(work);
        let channel = self.begin(&unpacker);
        drop(channel.input);
        let mut line = String::new();
        let mut control = BufReader::new(File::from(channel.control));
        control.read_line(&mut line).unwrap();
        match serde_json::from_str(&line).unwrap() {
            UnpackReport::Error(report) => report,
            UnpackReport::Ok(summary) => panic!("{summary:?}"),
        }
    }

    fn begin(&self, unpacker: &Unpacker) -> LayerChannel {
        let begun = unpacker.begin(self.layer().as_fd(), Compression::None);
        begun.unwrap()
    }
}

type Work = fn(File, Compression, BorrowedFd<'_>, &UnpackOptions) -> UnpackReport;

fn start(work: Work) -> Unpacker {
    let only = |outside| IdRange {
        inside: 0,
        outside,
        count: 1,
    };
    let maps = IdMaps {
        users: vec![only(rustix::process::geteuid().as_raw())],
        groups: vec![only(rustix::process::getegid().as_raw())],
    };
    Unpacker::start_with(&maps, work, Duration::from_millis(500)).unwrap()
}

fn u17_hostile_calls_are_denied() {
    let place = Place::new();
    let report = place.run(|_, _, root, _| UnpackReport::Error(attack(root).join("\n")));
    let (tried, got) = report.split_once('\n').unwrap_or((&report, ""));
    assert_eq!(got, "", "{tried}");
    assert_eq!(fs::read(place.home.path().join("canary")).unwrap(), b"safe");
    println!("U-17: {tried} hostile operations, all denied");
}

/// The number of attempts, then those that succeeded.
fn attack(root: BorrowedFd<'_>) -> Vec<String> {
    let read = OFlags::RDONLY | OFlags::CLOEXEC;
    let write = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let open = |path: &str, flags| rustix::fs::open(path, flags, Mode::RWXU).map(drop);
    let mut attempts: Vec<(&str, io::Result<()>)> = attacks::forbidden_calls();
    let files = [
        ("read /etc/passwd", open("/etc/passwd", read)),
        ("read /proc", open("/proc/self/environ", read)),
        ("read the canary", open("/../canary", read)),
        (
            "write the canary",
            open("../canary", write - OFlags::CREATE),
        ),
        ("write to /tmp", open("/tmp/escaped", write)),
        ("leave by ..", leave(root)),
        ("make a block device", make_device(root)),
    ];
    attempts.extend(files.map(|(name, result)| (name, result.map_err(io::Error::from))));
    attempts.push(("executable memory", attacks::executable_memory()));
    let memory = Vec::<u8>::new().try_reserve_exact(2 << 30);
    attempts.push(("2 GiB of memory", memory.map_err(io::Error::other)));
    // The layer and the socket; the input is closed by the time this is called, or is the third.
    let few = attacks::descriptors().len() <= 3;
    let kept = if few { Err(Errno::BADF.into()) } else { Ok(()) };
    attempts.push(("more descriptors", kept));
    let count = attempts.len().to_string();
    let done = attempts.into_iter().filter(|(_, result)| result.is_ok());
    std::iter::once(count)
        .chain(done.map(|(name, _)| name.to_owned()))
        .collect()
}

/// Succeeds when the parent of the root is another directory.
fn leave(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::openat(root, "..", flags, Mode::empty())?;
    let inode = |stat: rustix::fs::Stat| stat.st_ino;
    let (above, root) = (rustix::fs::fstat(above)?, rustix::fs::fstat(root)?);
    if inode(above) == inode(root) {
        return Err(Errno::ACCESS);
    }
    Ok(())
}

fn make_device(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let kind = rustix::fs::FileType::BlockDevice;
    let disk = rustix::fs::makedev(8, 0);
    rustix::fs::mknodat(root, "disk", kind, Mode::RUSR, disk)
}

fn u17_what_unpacking_needs_is_allowed() {
    let place = Place::new();
    let report = place.run(|_, _, root, _| {
        UnpackReport::Error(build(root).map_or_else(|errno| errno.to_string(), |()| "done".into()))
    });
    assert_eq!(report, "done");
    // Nobody said that it is to be kept.
    let left = fs::read_dir(place.home.path().join("layer")).unwrap();
    assert_eq!(left.count(), 0);
    println!("U-17: files, links, attributes and whiteouts are made, and a closed tree is deleted");
}

fn build(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    for name in ["d", "e", "d/closed", "d/closed/deep"] {
        rustix::fs::mkdirat(root, name, Mode::RWXU)?;
    }
    let file = rustix::fs::openat(root, "d/f", flags, Mode::RUSR)?;
    rustix::io::write(&file, b"x")?;
    rustix::fs::fsetxattr(&file, "user.x", b"1", XattrFlags::empty())?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o4755))?;
    rustix::fs::linkat(root, "d/f", root, "e/g", AtFlags::empty())?;
    rustix::fs::symlinkat("d", root, "l")?;
    rustix::fs::renameat_with(root, "e/g", root, "d/h", RenameFlags::NOREPLACE)?;
    let whiteout = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(root, "w", whiteout, Mode::RUSR, 0)?;
    for closed in ["d/closed/deep", "d/closed", "d"] {
        let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(root, closed, read, Mode::empty())?;
        rustix::fs::fchmod(&directory, Mode::empty())?;
    }
    Ok(())
}

fn u17_secrets_read_later_are_not_in_memory() {
    let place = Place::new();
    let unpacker = start(wait_for_input);
    // Built at run time: the program itself must not contain it.
    let secret: Vec<u8> = (0..24_u8).map(|n| b'A' + (n * 7) % 26).collect();
    let channel = place.begin(&unpacker);
    let others = until(|| others().len() == 2, others);
    for process in &others {
        assert!(!memory_has(process, &secret), "{}", process.display());
    }
    assert!(memory_has(Path::new("/proc/self"), &secret));
    drop(channel);
    println!(
        "U-17: the memory of {} processes was read, no secret",
        others.len()
    );
}

fn wait_for_input(
    mut input: File,
    _: Compression,
    _: BorrowedFd<'_>,
    _: &UnpackOptions,
) -> UnpackReport {
    let ended = input.read_to_end(&mut Vec::new());
    UnpackReport::Error(format!("{ended:?}"))
}

fn memory_has(process: &Path, wanted: &[u8]) -> bool {
    use std::os::unix::fs::FileExt as _;
    let memory = File::open(process.join("mem")).unwrap();
    let maps = fs::read_to_string(process.join("maps")).unwrap();
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    writable
        .filter_map(|line| {
            let (first, last) = line.split_once(' ')?.0.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            let (first, last) = (number(first)?, number(last)?);
            let mut bytes = vec![0; usize::try_from(last - first).ok()?];
            memory.read_exact_at(&mut bytes, first).ok()?;
            Some(bytes)
        })
        .any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
}

fn u17_nothing_outlives_the_command() {
    let place = Place::new();
    let single = SingleThreaded::check().unwrap();
    let command = clone_into(Namespaces::empty(), &single, |_token| {
        let unpacker = start(|_, _, _, _| {
            loop {
                std::hint::spin_loop();
            }
        });
        let _channel = place.begin(&unpacker);
        loop {
            // Until it is killed.
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let command = command.unwrap();
    until(|| others().len() == 3, others);
    command.signal(9).unwrap();
    command.wait().unwrap();
    let left = until(|| others().is_empty(), others);
    println!(
        "U-17: {} processes outlive a command that is killed",
        left.len()
    );
}

/// The other processes of this program, as directories of `/proc`.
fn others() -> Vec<PathBuf> {
    let own = fs::read_link("/proc/self/exe").unwrap();
    let processes = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let same = |path: &PathBuf| fs::read_link(path.join("exe")).is_ok_and(|exe| exe == own);
    let other = |path: &PathBuf| {
        let id = path.file_name().and_then(|name| name.to_str());
        let id = id.and_then(|name| name.parse::<u32>().ok());
        id.is_some_and(|id| id != std::process::id())
    };
    processes.filter(other).filter(same).collect()
}

fn until<T>(holds: impl Fn() -> bool, look: impl Fn() -> T) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
    look()
}
