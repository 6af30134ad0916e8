//! `--sysctl NAME=VALUE`: kernel parameters that the container has for itself.

use std::str::FromStr;

use super::BadResource;

/// A kernel parameter and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name, with dots.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Parameters of the IPC namespace, namespaces(7).
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Families of parameters: of the IPC namespace and of the network namespace.
const MESSAGES: &str = "fs.mqueue.";
const NETWORK: &str = "net.";

impl FromStr for Sysctl {
    type Err = BadResource;

    fn from_str(text: &str) -> Result<Self, BadResource> {
        let form = "it looks like net.core.somaxconn=1024";
        let pair = text.split_once('=');
        let (name, value) = pair
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| BadResource::new(format!("invalid sysctl: {text:?}"), form))?;
        // sysctl(8) takes slashes as well; the dots of an interface's name are slashes then.
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        let is_whole = name.split(['.', '/']).all(|part| !part.is_empty());
        if !name.bytes().all(is_of_name) || !is_whole {
            return Err(BadResource::new(
                format!("invalid sysctl name: {name:?}"),
                form,
            ));
        }
        // What stands between parameters for one tool must not be part of a value (CVE-2022-0811).
        let is_of_value = |byte: u8| byte.is_ascii_alphanumeric() || b" \t.,:_-".contains(&byte);
        if !value.bytes().all(is_of_value) {
            return Err(BadResource::new(
                format!("invalid value for sysctl {name}: {value:?}"),
                "values are letters, numbers, spaces, and . , : _ -",
            ));
        }
        let is_separate = OF_IPC.contains(&name)
            || name
                .strip_prefix(MESSAGES)
                .is_some_and(|rest| !rest.is_empty())
            || name
                .strip_prefix(NETWORK)
                .is_some_and(|rest| !rest.is_empty());
        if !is_separate {
            return Err(BadResource::new(
                format!("sysctl {name} is not separate for each container"),
                "available are net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm*; the host's \
                 administrator can set others for all",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Whether a parameter belongs to the network namespace.
pub(super) fn is_of_network(name: &str) -> bool {
    name.starts_with(NETWORK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_containers_have_for_themselves_is_available() {
        for good in [
            "net.core.somaxconn=1024",
            "net.ipv4.ip_local_port_range=1024 65535",
            "net.ipv4.conf.eth0/1.forwarding=1",
            "kernel.shm_rmid_forced=1",
            "kernel.sem=250 32000 32 128",
            "fs.mqueue.msg_max=100",
        ] {
            assert!(good.parse::<Sysctl>().is_ok(), "{good}");
        }
        for bad in [
            "kernel.core_pattern=|/bin/sh",
            "kernel.core_pattern=core",
            "kernel.shm_rmid_forced=1+kernel.core_pattern=x",
            "kernel.shm_rmid_forced=1\nkernel.core_pattern=x",
            "net.core.somaxconn=1;2",
            "kernel.hostname=x",
            "vm.swappiness=1",
            "net.=1",
            "net..x=1",
            "net.x/../../kernel/core_pattern=x",
            "net.x",
            "=1",
            "net.x=",
            "user.max_user_namespaces=100",
            "kernel.shmmax.x=1",
        ] {
            assert!(bad.parse::<Sysctl>().is_err(), "{bad}");
        }
    }
}
