//! A host that is broken truly, in one way after the other: what `carrier doctor` and `carrier run` say of
//! it, and that all is well once what they name was done.

use carrier_e2e::Outcome;

use super::machine::Machine;

/// A way to break the machine.
struct Break {
    name: &'static str,
    /// How root does it.
    root: &'static str,
    /// How the user's shell does it.
    shell: &'static str,
    /// What doctor prints begins with it.
    line: &'static str,
    /// A command, and whether it fails for this.
    run: (&'static str, bool),
    /// What the words of an advice mean here: of the user's shell, and of root.
    advice: (&'static str, &'static str),
    /// Whether the user's programs are outside of any login.
    no_login: bool,
    /// What root does in the end.
    undo: &'static str,
}

const fn broken(name: &'static str, root: &'static str, line: &'static str) -> Break {
    Break {
        name,
        root,
        shell: "",
        line,
        run: (HELLO, false),
        advice: ("", ""),
        no_login: false,
        undo: "true",
    }
}

const fn shell(name: &'static str, shell: &'static str, line: &'static str) -> Break {
    Break {
        shell,
        ..broken(name, "true", line)
    }
}

impl Break {
    const fn fails(self, command: &'static str) -> Self {
        Self {
            run: (command, true),
            ..self
        }
    }

    const fn advised(self, shell: &'static str, root: &'static str) -> Self {
        Self {
            advice: (shell, root),
            ..self
        }
    }

    const fn undone(self, undo: &'static str) -> Self {
        Self { undo, ..self }
    }

    const fn without_login(self) -> Self {
        Self {
            no_login: true,
            ..self
        }
    }
}

const HELLO: &str = "run --rm hello";
const PORT: &str = "run --rm -p 127.0.0.1:18099:80 hello";

/// For root's shell. `without` removes packages, `unloaded` modules of the kernel, which then come only when
/// somebody asks for them by name, and `disk` gives the user another file system for the store.
const TOOLS: &str = r#"
user=carrier-test; home=/home/$user; share=$home/.local/share; bin=/usr/bin
without() { dpkg --purge --force-depends "$@" >/dev/null 2>&1; }
unloaded() { sysctl -qw kernel.modprobe=/bin/false; modprobe -r "$@"; }
loaded() { sysctl -qw kernel.modprobe=/sbin/modprobe; modprobe -a "$@"; }
disk() {
    mkdir -p $share; truncate -s 1500M /var/disk; mkfs.ext4 -q /var/disk; mount -o loop /var/disk $share
    chown $user: $home/.local $share
}
no_disk() { umount -l $share; rm -f /var/disk; }
free() { df --output=avail -B1 $share | tail -1; }
again() { systemctl daemon-reload; anew; }
anew() {
    loginctl terminate-user $user 2>/dev/null; for _ in $(seq 100); do [ -e /run/user/$(id -u $user) ] || return; sleep 0.2; done
}
no_settings() { rm -f /etc/sysctl.d/60-carrier.conf; }
"#;

const BREAKS: [Break; 39] = [
    broken("user.max_user_namespaces=0", "sysctl -qw user.max_user_namespaces=0",
        "failed   user namespaces: the sysctl user.max_user_namespaces is 0: no container can start, and no image be unpacked; as root: `")
        .fails(HELLO).undone("no_settings; sysctl -qw user.max_user_namespaces=7859"),
    broken("kernel.unprivileged_userns_clone=0", "sysctl -qw kernel.unprivileged_userns_clone=0",
        "failed   user namespaces: the sysctl kernel.unprivileged_userns_clone is 0: ")
        .fails(HELLO).undone("no_settings"),
    broken("user.max_net_namespaces=0", "sysctl -qw user.max_net_namespaces=0",
        "failed   namespaces: the sysctl user.max_net_namespaces is 0: no container can start; as root: `")
        .fails(HELLO).undone("no_settings"),
    broken("user.max_ipc_namespaces=9", "sysctl -qw user.max_ipc_namespaces=9",
        "warning  namespaces: the sysctl user.max_ipc_namespaces is 9: ").undone("no_settings"),
    broken("no entry in subuid and subgid", "sed -i /^$user:/d /etc/subuid /etc/subgid",
        "failed   subordinate ids: carrier-test has none in /etc/subuid or /etc/subgid: ")
        .fails("run --rm -u 7 hello"),
    broken("1000 subordinate ids", "sed -i s/^$user:.*/$user:100000:1000/ /etc/subuid /etc/subgid",
        "warning  subordinate ids: carrier-test has 1000 of them, and images count on 65536: ")
        .undone("sed -i '/^carrier-test:/d' /etc/subuid /etc/subgid; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $user"),
    broken("subordinate ids of two users", "useradd -M zoe; sed -i '/^zoe:/d' /etc/subuid /etc/subgid; echo zoe:165000:65536 >>/etc/subuid",
        "failed   subordinate ids: subordinate user ids 100000-165535 of carrier-test overlap 165000-230535 of zoe: ")
        .fails(HELLO)
        .undone("userdel zoe; sed -i '/^carrier-test:/d' /etc/subuid /etc/subgid; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $user"),
    broken("no package uidmap", "without uidmap",
        "failed   id helpers: newuidmap is not installed: no image can be pulled and no container started; as root: `apt-get install -y uidmap`")
        .fails(HELLO),
    broken("newuidmap without its bit", "chmod u-s $bin/newuidmap",
        "failed   id helpers: /usr/bin/newuidmap has neither root's set-user-ID bit nor a capability: ")
        .fails(HELLO),
    broken("newgidmap is somebody's", "chown $user $bin/newgidmap; chmod u+s $bin/newgidmap",
        "failed   id helpers: /usr/bin/newgidmap has neither root's set-user-ID bit nor a capability: ")
        .fails(HELLO),
    broken("newuidmap on a nosuid mount", "mount --bind $bin $bin; mount -o remount,bind,nosuid $bin",
        "failed   id helpers: /usr/bin/newuidmap is on a file system that is mounted nosuid: ")
        .fails(HELLO).undone("umount -l $bin"),
    shell("a shell with no_new_privs", "nnp='setpriv --no-new-privs'",
        "failed   id helpers: this process can gain no privileges (no_new_privs), ")
        .fails(HELLO).advised("nnp=", "true"),
    broken("a read-only home", "disk; mount -o remount,ro $share",
        "failed   home: /home/carrier-test/.local/share/carrier is on a file system that is mounted read-only: ")
        .fails(HELLO).advised("mkdir -p other; export XDG_DATA_HOME=$HOME/other", "true")
        .undone("no_disk; rm -rf $home/other"),
    broken("a home of somebody else", "disk; chown root: $share",
        "failed   home: you may not write to /home/carrier-test/.local/share: ")
        .fails(HELLO).advised("", "chown $user: $share").undone("no_disk"),
    broken("a noexec home", "disk; mount -o remount,noexec $share",
        "warning  home: /home/carrier-test/.local/share/carrier is on a file system that is mounted noexec: ")
        .undone("no_disk"),
    broken("a full disk", "disk; fallocate -l $(free) $share/filler",
        "failed   disk: 0 MiB are free on the file system of /home/carrier-test/.local/share/carrier: ")
        .fails(HELLO).advised("", "rm $share/filler").undone("no_disk"),
    broken("overlay was never loaded, and is not by itself", "unloaded overlay",
        "warning  overlay: it cannot be mounted on /home/carrier-test/.local/share/carrier (No such device): ")
        .undone("loaded overlay; rm -f /etc/modules-load.d/carrier.conf"),
    broken("the same, and no FUSE either", "umount /sys/fs/fuse/connections; unloaded overlay fuse; rm -f /dev/fuse",
        "warning  FUSE: there is no /dev/fuse: all layers of an image are copied for each container; as root: `modprobe fuse`")
        .undone("loaded overlay fuse"),
    broken("the same, and a closed /dev/fuse", "unloaded overlay; chmod 600 /dev/fuse",
        "warning  FUSE: /dev/fuse cannot be opened (Permission denied): ").undone("loaded overlay"),
    broken("the same, and no fuse-overlayfs", "unloaded overlay; without fuse-overlayfs",
        "warning  FUSE: fuse-overlayfs is not installed: ").undone("loaded overlay"),
    shell("a runtime directory that is not there", "export XDG_RUNTIME_DIR=/dev/shm/run",
        "failed   runtime directory: XDG_RUNTIME_DIR is /dev/shm/run, which does not exist: ")
        .fails(HELLO).undone("rm -rf /dev/shm/run"),
    shell("the runtime directory of root", "export XDG_RUNTIME_DIR=/run/user/0",
        "failed   runtime directory: XDG_RUNTIME_DIR is /run/user/0, which is user 0's: ")
        .fails(HELLO).advised("unset XDG_RUNTIME_DIR", "true"),
    broken("no login", "again",
        "warning  runtime directory: XDG_RUNTIME_DIR is not set, and there is no /run/user/1000: ")
        .without_login().undone("loginctl disable-linger $user; again"),
    broken("no login, and a limit", "again", "warning  cgroups: no systemd at /run/user/1000/bus: ")
        .fails("run --rm -m 64m hello").without_login().undone("loginctl disable-linger $user; again"),
    broken("a clock without a battery", "date -s 2001-02-03", "failed   clock: it says 2001-02-03T00:0")
        .undone("hwclock --hctosys"),
    broken("no lingering", "loginctl disable-linger $user",
        "warning  lingering: carrier-test does not linger: ").undone("loginctl disable-linger $user"),
    broken("no controller cpu", "mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\nDelegate=\nDelegate=pids\n' >/etc/systemd/system/user@.service.d/begin.conf; again",
        "warning  cgroups: the controller cpu is not delegated to the user: --cpus and --cpu-shares are refused until you have logged in again after the fix; as root: `")
        .fails("run --rm --cpus 0.5 hello").undone("rm -r /etc/systemd/system/user@.service.d; again"),
    broken("no controller cpuset", "true",
        "warning  cgroups: the controller cpuset is not delegated to the user: --cpuset-cpus and --cpuset-mems are refused ")
        .fails("run --rm --cpuset-cpus 0 hello").undone("rm -r /etc/systemd/system/user@.service.d; again"),
    broken("no /dev/net/tun", "modprobe -r tun; rm -f /dev/net/tun",
        "failed   tun: there is no /dev/net/tun: ").fails(PORT).undone("rm /etc/modules-load.d/carrier.conf"),
    broken("a closed /dev/net/tun", "chmod 600 /dev/net/tun",
        "failed   tun: /dev/net/tun cannot be opened (Permission denied): ").fails(PORT),
    broken("neither slirp4netns nor pasta", "without slirp4netns passt",
        "failed   uplink: slirp4netns is not installed: ").fails(PORT).undone("apt-get install -y passt >/dev/null 2>&1"),
    broken("no nf_tables, and none by itself", "modprobe -a bridge veth; unloaded nft_chain_nat nft_masq nf_tables",
        "warning  nf_tables: the kernel makes no table of nf_tables with NAT ")
        .fails("run --rm --network net hello").undone("loaded nf_tables"),
    broken("ports below 1024 are root's", "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024",
        "warning  low ports: ports below 1024 are root's: ").fails("run --rm -p 127.0.0.1:80:80 hello").undone("no_settings"),
    broken("nobody may ping", "sysctl -qw net.ipv4.ping_group_range='1 0'",
        "warning  ping: the sysctl net.ipv4.ping_group_range is 1 0, without your group 1000: ").undone("no_settings"),
    broken("few descriptors at login", "echo $user - nofile 300 >/etc/security/limits.d/10-few.conf",
        "warning  open files: this shell may have 300 open files (`ulimit -n`): ")
        .undone("rm /etc/security/limits.d/10-few.conf /etc/security/limits.d/60-carrier.conf"),
    broken("few process ids", "sysctl -qw kernel.pid_max=9000",
        "warning  processes: the sysctl kernel.pid_max is 9000: ").undone("no_settings"),
    broken("few inotify instances", "sysctl -qw fs.inotify.max_user_instances=8",
        "warning  inotify: the sysctl fs.inotify.max_user_instances is 8: ").undone("no_settings"),
    broken("no memory beyond what there is", "sysctl -qw vm.overcommit_memory=2",
        "warning  memory: the sysctl vm.overcommit_memory is 2: ").undone("no_settings"),
    broken("no keys", "sysctl -qw kernel.keys.maxkeys=3",
        "failed   keys: the user has ").undone("no_settings; sysctl -qw kernel.keys.maxkeys=200"),
];

/// What one look at the machine shows.
struct Look {
    doctor: Vec<String>,
    run: String,
    works: bool,
}

impl Look {
    fn at(machine: &Machine, broken: &Break, advice: &str) -> Self {
        let script = format!(
            "nnp=\n{}\n{advice}\n$nnp carrier doctor 2>&1; echo ==; $nnp carrier {} 2>&1; echo code $?",
            broken.shell, broken.run.0
        );
        let outcome: Outcome = if broken.no_login {
            machine.user_without_login(&script)
        } else {
            machine.user(&script)
        };
        let (doctor, run) = outcome.text().split_once("==\n").unwrap_or_else(|| {
            panic!("{}: {outcome:#?}", broken.name);
        });
        let (run, code) = run.rsplit_once("code ").unwrap();
        Self {
            doctor: doctor.lines().map(str::to_owned).collect(),
            run: run.to_owned(),
            works: code == "0",
        }
    }

    fn line(&self, start: &str) -> Option<&str> {
        let mut lines = self.doctor.iter().map(String::as_str);
        lines.find(|line| line.starts_with(start))
    }

    /// Whether doctor has nothing to say of this check any more.
    fn is_well(&self, check: &str) -> bool {
        ["ok", "skipped"]
            .iter()
            .any(|state| self.line(&format!("{state:<9}{check}: ")).is_some())
    }

    /// What the command says of the break: its hint or its warning, if it says anything.
    fn said(&self) -> &str {
        let mut lines = self.run.lines();
        let line = lines.find(|line| line.starts_with("hint: ") || line.starts_with("warning: "));
        line.unwrap_or(if self.works { "(runs)" } else { "(fails)" })
    }
}

/// Does what the line names, as the one who is to do it.
fn fix(machine: &Machine, broken: &Break, line: &str) -> Outcome {
    if let Some((_, command)) = line.rsplit_once("as root: `") {
        return machine.root(command.trim_end_matches('`'));
    }
    if !broken.advice.1.is_empty() {
        return machine.root(&format!("{TOOLS}{}", broken.advice.1));
    }
    let command = line.trim_end_matches('`').rsplit_once('`');
    let command = command.map_or("false", |(_, command)| command);
    let own = machine.user(command);
    // Who has no polkit asks root.
    if own.is_success() {
        own
    } else {
        machine.root(command)
    }
}

fn try_break(machine: &Machine, broken: &Break) -> Result<String, String> {
    machine.root(&format!("{TOOLS}{}", broken.root));
    let before = Look::at(machine, broken, "");
    let line = before.line(broken.line);
    let line = line.ok_or_else(|| format!("not told: {:#?}", before.doctor))?;
    let said = before.said();
    let (_, after_state) = line.split_at(9);
    if broken.run.1 && (before.works || !before.run.contains(&format!("hint: {after_state}"))) {
        return Err(format!("`carrier {}` says {:?}", broken.run.0, before.run));
    }
    let fixed = fix(machine, broken, line);
    if broken.no_login {
        // The user's systemd takes a moment to begin.
        machine.root("for _ in $(seq 100); do [ -S /run/user/$(id -u carrier-test)/bus ] && exit; sleep 0.3; done");
    }
    if !fixed.is_success() {
        return Err(format!("the fix does not work: {fixed:#?}"));
    }
    if line.contains("logged in again") {
        machine.log_out();
    }
    let after = Look::at(machine, broken, broken.advice.0);
    let (check, _) = after_state.split_once(": ").unwrap_or_default();
    // A login is not all that limits of every kind need.
    let is_mended = after.is_well(check) || (broken.no_login && after.line(line).is_none());
    if !is_mended || !after.works {
        return Err(format!(
            "{line}\nis not mended: {:#?} {}",
            after.doctor, after.run
        ));
    }
    let said = if said.ends_with(after_state) {
        "the same"
    } else {
        said
    };
    let cell = |text: &str| text.replace('|', "\\|");
    Ok(format!(
        "| {} | {} | carrier {}: {} |",
        broken.name,
        cell(line),
        broken.run.0,
        cell(said)
    ))
}

#[test]
fn doctor_names_what_is_broken_and_what_it_names_mends_it() {
    let machine = Machine::new();
    machine
        .root("apt-get update && sysctl -qw user.max_user_namespaces=7859")
        .succeeds();
    machine
        .user("carrier network create net; carrier run --rm hello")
        .succeeds();
    println!("| break | doctor | run |\n|---|---|---|");
    let mut failed = Vec::new();
    for broken in &BREAKS {
        let tried = try_break(&machine, broken);
        machine.root(&format!("{TOOLS}{}", broken.undo));
        match tried {
            Ok(row) => println!("{row}"),
            Err(error) => failed.push(format!("{}: {error}", broken.name)),
        }
    }
    machine.user("carrier network rm net").succeeds();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
