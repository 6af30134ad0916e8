//! The process that carries the packets of one container.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use carrier_sys::process::{Child, ChildToken, ExitStatus, SingleThreaded, die_with, fork};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::FdFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::DumpableBehavior;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    set_capabilities,
};

use super::super::error::NetworkError;
use super::super::namespaces::NetworkNamespace;
use super::super::netlink::Netlink;
use super::super::own;
use super::command::{Numbers, words};
use super::{UplinkPlan, tap};
use crate::foreground::wait;

/// How long the program may take until it carries packets.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the program may say in its life, in bytes. Writing more fails, and the programs do not mind.
const WORDS: u16 = 1 << 15;

/// The running program. It ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Uplink {
    program: &'static str,
    child: Child,
    /// Read once; its end without a byte is a failure.
    ready: Option<OwnedFd>,
    /// What the program says.
    said: File,
    _exit: OwnedFd,
}

impl Uplink {
    /// Starts the program for the container with this namespace, and returns at once.
    ///
    /// # Errors
    /// When no process can be made.
    pub(crate) fn start(
        plan: &UplinkPlan,
        namespace: &NetworkNamespace,
        proof: &SingleThreaded,
    ) -> Result<Self, NetworkError> {
        let program = plan.program.name();
        let failed = |source: io::Error| NetworkError::StartHelper { program, source };
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()));
        let (ready, ready_end) = pipe()?;
        let (exit_end, exit) = pipe()?;
        let said = words_of(program).map_err(failed)?;
        let caller = rustix::process::getpid();
        let child = fork(proof, |token| {
            let child = Starting {
                plan,
                namespace,
                ready: &ready_end,
                exit: &exit_end,
                said: &said,
                caller,
            };
            let error = child.become_program(&token);
            // Whoever waits for the network reads that instead.
            let _ = (&said).write_all(error.to_string().as_bytes());
            1
        })
        .map_err(failed)?;
        Ok(Self {
            program,
            child,
            ready: Some(ready),
            said,
            _exit: exit,
        })
    }

    /// The program's name.
    pub(crate) fn program(&self) -> &'static str {
        self.program
    }

    /// Waits until the program carries packets.
    ///
    /// # Errors
    /// [`NetworkError::Helper`] with what the program said.
    pub(crate) fn wait_ready(&mut self) -> Result<(), NetworkError> {
        let Some(ready) = self.ready.take() else {
            return Ok(());
        };
        let deadline = Instant::now() + PATIENCE;
        let mut fds = [PollFd::new(&ready, PollFlags::IN)];
        let waited = wait(&mut fds, Some(deadline));
        let is_over = fds.iter().any(|fd| !fd.revents().is_empty());
        let mut byte = [0];
        if waited.is_ok() && is_over && rustix::io::read(&ready, &mut byte) == Ok(1) {
            return Ok(());
        }
        let reason = if is_over {
            self.last_words()
        } else {
            format!("it was not ready in {} s", PATIENCE.as_secs())
        };
        Err(NetworkError::Helper {
            program: self.program,
            reason,
        })
    }

    /// Whether the program has ended.
    pub(crate) fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..))
    }

    /// Why the program has ended.
    pub(crate) fn describe_end(&self) -> String {
        format!("{} has ended: {}", self.program, self.last_words())
    }

    fn last_words(&self) -> String {
        let mut bytes = vec![0; WORDS.into()];
        // What cannot be read was not said. Where the program would go on writing stays as it is.
        let _ = self.said.read_exact_at(&mut bytes, 0);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.trim_end_matches('\0').lines().map(str::trim);
        let telling = |line: &&str| {
            !line.is_empty() && !line.contains("syslog") && !line.starts_with(['*', 'W'])
        };
        let last = lines.rfind(telling);
        last.unwrap_or("it gave no reason")
            .escape_debug()
            .to_string()
    }
}

/// A file in memory for what the program says, that cannot grow.
fn words_of(program: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create(program, flags)?);
    file.set_len(WORDS.into())?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

impl AsFd for Uplink {
    /// Readable once the program has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.as_fd()
    }
}

/// The process before it is the program.
struct Starting<'a> {
    plan: &'a UplinkPlan,
    namespace: &'a NetworkNamespace,
    ready: &'a OwnedFd,
    exit: &'a OwnedFd,
    said: &'a File,
    caller: rustix::process::Pid,
}

impl Starting<'_> {
    /// Returns only when that fails.
    fn become_program(&self, token: &ChildToken) -> io::Error {
        match self.prepare(token) {
            Ok(mut command) => command.exec(),
            Err(error) => error,
        }
    }

    fn prepare(&self, token: &ChildToken) -> io::Result<Command> {
        rustix::process::setsid()?;
        let kept = [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
            self.namespace.users.as_fd(),
            self.namespace.network.as_fd(),
            self.ready.as_fd(),
            self.exit.as_fd(),
            self.said.as_fd(),
        ];
        carrier_sys::fd::close_all_but(&kept, token)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::open(c"/dev/null", flags, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(self.said)?;
        rustix::stdio::dup2_stderr(self.said)?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        self.namespace.join_users()?;
        // Joining has undone that, prctl(2).
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        die_with(self.caller)?;
        self.make_device(token)?;
        keep_power()?;
        rustix::thread::set_no_new_privs(true)?;
        // Kernels before 6.12 do not know how; the program's own sandbox has to do.
        let _ = carrier_sys::landlock::leave_others_alone();
        for handed in [
            self.namespace.network.as_fd(),
            self.ready.as_fd(),
            self.exit.as_fd(),
        ] {
            rustix::io::fcntl_setfd(handed, FdFlags::empty())?;
        }
        let numbers = Numbers {
            namespace: self.namespace.network.as_raw_fd(),
            ready: self.ready.as_raw_fd(),
            exit: self.exit.as_raw_fd(),
        };
        let mut command = Command::new(&self.plan.path);
        command.env_clear().args(words(self.plan, numbers));
        Ok(command)
    }

    /// In a process of its own: this one has to stay in the host's network.
    fn make_device(&self, _token: &ChildToken) -> io::Result<()> {
        let proof = SingleThreaded::check()?;
        let maker = fork(&proof, |_token| {
            let made = Netlink::open().and_then(|mut host| {
                let hosts = own::addresses(&mut host)?;
                self.namespace.join_network()?;
                tap::make(self.plan, &hosts)
            });
            match made {
                Ok(()) => 0,
                Err(error) => {
                    let text = format!("the container's network device cannot be made: {error}");
                    let _ = { self.said }.write_all(text.as_bytes());
                    1
                }
            }
        })?;
        match maker.wait()? {
            ExitStatus::Exited(0) => Ok(()),
            _ => Err(io::Error::other("")),
        }
    }
}

/// Where the caller is not root of the container's user namespace, as with `--userns keep-id`, executing
/// a program would cost the power over the container's network and the program's own sandbox.
fn keep_power() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let kept = CapabilitySet::SYS_ADMIN
        | CapabilitySet::NET_ADMIN
        | CapabilitySet::SYS_CHROOT
        // The sandbox of slirp4netns begins with becoming root, and ends with giving up all but the
        // power over low ports.
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_BIND_SERVICE;
    let own = capabilities(None)?;
    let sets = CapabilitySets {
        inheritable: kept,
        ..own
    };
    set_capabilities(None, sets)?;
    for one in kept.iter() {
        configure_capability_in_ambient_set(one, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_has_an_end() {
        let mut words = words_of("words").unwrap();
        words.write_all(&vec![b'x'; WORDS.into()]).unwrap();
        assert!(words.write_all(b"more").is_err());
        assert_eq!(words.metadata().unwrap().len(), u64::from(WORDS));
    }
}
