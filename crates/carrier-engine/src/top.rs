//! `top`: which processes a container has.

use std::fs;

use crate::engine::Engine;
use crate::error::Error;
use crate::processes::{self, ContainerProcess};

/// The processes of a container, and what their ids mean in it.
#[derive(Clone, Debug)]
pub struct ContainerProcesses {
    /// By id.
    pub list: Vec<ContainerProcess>,
    users: IdMap,
    groups: IdMap,
}

impl ContainerProcesses {
    /// The user of a process, as the container calls it.
    #[must_use]
    pub fn user(&self, process: &ContainerProcess) -> u32 {
        self.users.inner(process.uid)
    }

    /// The group of a process, as the container calls it.
    #[must_use]
    pub fn group(&self, process: &ContainerProcess) -> u32 {
        self.groups.inner(process.gid)
    }
}

impl Engine {
    /// The processes of a container that runs.
    ///
    /// # Errors
    /// When it does not exist or does not run.
    pub fn processes(&self, word: &str) -> Result<ContainerProcesses, Error> {
        let record = self.container(word)?;
        let life = self.life(&record)?;
        let init = life.first_process().map(|process| process.pid);
        let init = init.ok_or_else(|| Error::NotRunning(record.name.to_string()))?;
        let map = |kind: &str| IdMap::parse(&fs::read_to_string(format!("/proc/{init}/{kind}")));
        let members = processes::members(init).into_iter();
        Ok(ContainerProcesses {
            // One that has ended meanwhile is none.
            list: members.filter_map(processes::read).collect(),
            users: map("uid_map"),
            groups: map("gid_map"),
        })
    }
}

/// user_namespaces(7): ids inside, ids as the reader knows them, and how many.
#[derive(Clone, Debug, Default)]
struct IdMap(Vec<(u32, u32, u32)>);

impl IdMap {
    fn parse(text: &std::io::Result<String>) -> Self {
        let lines = text.as_deref().unwrap_or_default().lines();
        let ranges = lines.filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut number = || numbers.next()?.ok();
            Some((number()?, number()?, number()?))
        });
        Self(ranges.collect())
    }

    /// The id inside; one that has none stays as it is.
    fn inner(&self, id: u32) -> u32 {
        let inner = |(inside, outside, count): &(u32, u32, u32)| {
            let offset = id.checked_sub(*outside).filter(|offset| offset < count)?;
            inside.checked_add(offset)
        };
        self.0.iter().find_map(inner).unwrap_or(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_container() {
        let map = IdMap::parse(&Ok("0 1000 1\n1 100000 65535\n".to_owned()));
        for (outside, inside) in [(1000, 0), (100_000, 1), (100_032, 33), (5, 5)] {
            assert_eq!(map.inner(outside), inside);
        }
    }
}
