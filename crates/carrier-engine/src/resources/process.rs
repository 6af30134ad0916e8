//! What each process of a container inherits: limits, and how soon it is killed.

use std::fs;

use oci_spec::OciSpecError;
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder};

use super::{BadResource, Resources, sysctl};

impl Resources {
    /// Limits in the words of the specification; of several of one name the last one.
    pub(crate) fn rlimits(&self) -> Result<Vec<PosixRlimit>, OciSpecError> {
        let is_last = |(at, limit): &(usize, &super::Ulimit)| {
            let mut later = self.ulimits.iter().skip(at + 1);
            !later.any(|other| other.name == limit.name)
        };
        let last = self.ulimits.iter().enumerate().filter(is_last);
        // The specification's word for no limit is the highest number, the kernel's RLIM_INFINITY.
        let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let rlimit = |(_, limit): (usize, &super::Ulimit)| {
            let kind = limit.kind()?;
            let rlimit = PosixRlimitBuilder::default().typ(kind);
            Some(
                rlimit
                    .soft(value(limit.soft))
                    .hard(value(limit.hard))
                    .build(),
            )
        };
        last.filter_map(rlimit).collect()
    }

    /// How soon the program is killed when memory runs out: not later than the caller, who would need
    /// a capability for that.
    pub(crate) fn oom_score(&self) -> Option<i32> {
        self.oom_score.map(|score| score.max(own_oom_score()))
    }

    /// What the container gets less of than was asked for.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for limit in &self.ulimits {
            if let Some(ceiling) = limit.ceiling() {
                notes.push(format!(
                    "--ulimit {limit}: the caller's hard limit is {ceiling}, and nobody but root can \
                     exceed it"
                ));
            }
        }
        if let Some((score, own)) = self.oom_score.map(|score| (score, own_oom_score()))
            && score < own
        {
            notes.push(format!(
                "--oom-score-adj {score}: it is {own}, the caller's, which nobody but root can lower"
            ));
        }
        notes
    }

    /// Refuses kernel parameters of a network that is not the container's own.
    ///
    /// # Errors
    /// When there is one.
    pub fn check_sysctls(&self, has_network: bool) -> Result<(), BadResource> {
        let shared = self.sysctls.keys().find(|name| sysctl::is_of_network(name));
        match shared.filter(|_| !has_network) {
            None => Ok(()),
            Some(name) => Err(BadResource::new(
                format!("sysctl {name} belongs to a network that is not the container's own"),
                "choose another --network, or leave the sysctl out",
            )),
        }
    }
}

fn own_oom_score() -> i32 {
    let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_limit_of_a_name_counts() {
        let limit = |text: &str| text.parse().unwrap();
        let resources = Resources {
            ulimits: vec![limit("nofile=1:2"), limit("core=0"), limit("nofile=3:-1")],
            ..Resources::default()
        };
        let rlimits = resources.rlimits().unwrap();
        let values: Vec<_> = rlimits.iter().map(|one| (one.soft(), one.hard())).collect();
        assert_eq!(values, [(0, 0), (3, u64::MAX)]);
    }

    #[test]
    fn nobody_is_killed_later_than_the_caller() {
        let resources = Resources {
            oom_score: Some(-1000),
            ..Resources::default()
        };
        assert_eq!(resources.oom_score(), Some(own_oom_score()));
        assert_eq!(resources.notes().len(), 1);
        assert_eq!(Resources::default().oom_score(), None);
    }

    #[test]
    fn the_hosts_network_is_not_changed() {
        let resources = Resources {
            sysctls: [("net.core.somaxconn".to_owned(), "1".to_owned())].into(),
            ..Resources::default()
        };
        assert!(resources.check_sysctls(true).is_ok());
        assert!(resources.check_sysctls(false).is_err());
    }
}
