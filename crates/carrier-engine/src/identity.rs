//! Who the program is: `USER`, looked up in the image's own `/etc/passwd` and `/etc/group`.
//!
//! Both files are untrusted input: they are read with a limit, and a number is always a number,
//! whatever the image's passwd calls by that name.

use crate::error::Error;
use crate::host::Host;

/// The caller's groups on the host, as far as files are concerned.
pub(crate) const KEEP_GROUPS: &str = "keep-groups";

/// What the program will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one included.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl ResolvedUser {
    /// Adds groups, numbers or names of the image's; `keep-groups` is the runtime's to do.
    pub(crate) fn join(&mut self, wanted: &[String], group: &[u8]) -> Result<(), Error> {
        for name in wanted.iter().filter(|name| *name != KEEP_GROUPS) {
            let unknown = || Error::UnknownGroup {
                group: name.clone(),
            };
            let gid = match parse_id(name).map_err(|()| unknown())? {
                Some(gid) => gid,
                None => groups(group)
                    .find(|entry| entry.name == name)
                    .map(|entry| entry.gid)
                    .ok_or_else(unknown)?,
            };
            self.groups.push(gid);
        }
        self.groups.sort_unstable();
        self.groups.dedup();
        Ok(())
    }

    /// The user as it can be on this host.
    pub(crate) fn on(self, host: &Host) -> Result<Self, Error> {
        let unmapped = |kind, id| Error::UnmappedId { kind, id };
        if !host.maps_user(self.uid) {
            return Err(unmapped("user", self.uid));
        }
        if !host.maps_group(self.gid) {
            return Err(unmapped("group", self.gid));
        }
        // Groups of the image that do not exist here would make the kernel refuse them all.
        let groups = self.groups.iter().copied();
        Ok(Self {
            groups: groups.filter(|gid| host.maps_group(*gid)).collect(),
            ..self
        })
    }
}

/// 2^32 − 1 means "no id" to the kernel.
const MAX_ID: u32 = u32::MAX - 1;

/// Resolves `user[:group]`, which may be empty, as Docker does.
pub(crate) fn resolve(user: &str, passwd: &[u8], group: &[u8]) -> Result<ResolvedUser, Error> {
    let malformed = || Error::InvalidUser {
        user: user.to_owned(),
    };
    let (user_part, group_part) = match user.split_once(':') {
        Some((_, "")) => return Err(malformed()),
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user_part = match (user_part, group_part) {
        ("", None) => "0",
        ("", Some(_)) => return Err(malformed()),
        (part, _) => part,
    };
    let number = parse_id(user_part).map_err(|()| malformed())?;
    let account = accounts(passwd).find(|account| match number {
        Some(uid) => account.uid == uid,
        None => account.name == user_part,
    });
    let uid = match (number, &account) {
        (Some(uid), _) => uid,
        (None, Some(account)) => account.uid,
        (None, None) => {
            return Err(Error::UnknownUser {
                user: user_part.to_owned(),
            });
        }
    };
    let own_gid = account.as_ref().map_or(0, |account| account.gid);
    let gid = match group_part {
        None => own_gid,
        Some(part) => match parse_id(part).map_err(|()| malformed())? {
            Some(gid) => gid,
            None => groups(group)
                .find(|entry| entry.name == part)
                .map(|entry| entry.gid)
                .ok_or_else(|| Error::UnknownGroup {
                    group: part.to_owned(),
                })?,
        },
    };
    let mut all = vec![gid];
    // A group that was asked for replaces those of the account, as in Docker.
    if let (None, Some(account)) = (group_part, &account) {
        let member = |entry: &Group<'_>| entry.members.split(',').any(|name| name == account.name);
        all.extend(groups(group).filter(member).map(|entry| entry.gid));
    }
    all.sort_unstable();
    all.dedup();
    let home = account
        .map(|account| account.home)
        .filter(|home| !home.is_empty());
    Ok(ResolvedUser {
        uid,
        gid,
        groups: all,
        home: home.unwrap_or("/").to_owned(),
    })
}

/// Whether both are numbers, for which no file needs to be read.
pub(crate) fn is_numeric(user: &str) -> bool {
    let is_number = |text: &str| parse_id(text).is_ok_and(|id| id.is_some());
    user.split_once(':')
        .is_some_and(|(user, group)| is_number(user) && is_number(group))
}

/// The shell of `user[:group]`, where the file names one.
pub(crate) fn shell_of(user: &str, passwd: &[u8]) -> Option<String> {
    let name = match user.split(':').next() {
        None | Some("") => "0",
        Some(name) => name,
    };
    let number = parse_id(name).ok()?;
    let account = accounts(passwd).find(|account| match number {
        Some(uid) => account.uid == uid,
        None => account.name == name,
    });
    let shell = account?.shell;
    (!shell.is_empty()).then(|| shell.to_owned())
}

/// A text of digits is a number, and an error when it is out of range: never a name
/// (CVE-2026-46680), and never root by overflow (CVE-2024-40635).
fn parse_id(text: &str) -> Result<Option<u32>, ()> {
    let signed = text.strip_prefix(['-', '+']).unwrap_or(text);
    if signed.is_empty() || !signed.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX_ID && signed == text => Ok(Some(id)),
        _ => Err(()),
    }
}

pub(crate) struct Account<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: u32,
    gid: u32,
    pub(crate) comment: &'a str,
    pub(crate) home: &'a str,
    shell: &'a str,
}

pub(crate) struct Group<'a> {
    pub(crate) name: &'a str,
    pub(crate) gid: u32,
    members: &'a str,
}

fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    file.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
}

pub(crate) fn accounts(file: &[u8]) -> impl Iterator<Item = Account<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account {
            name,
            uid,
            gid,
            comment: fields.next().unwrap_or(""),
            home: fields.next().unwrap_or(""),
            shell: fields.next().unwrap_or(""),
        })
    })
}

pub(crate) fn groups(file: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or(""),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:\n\
        1001:x:0:0::/:\nbroken\n\xff\xfe\nwww:x:33:33::/var/www:/bin/sh";
    const GROUP: &[u8] = b"root:x:0:\nusers:x:100:\nwheel:x:10:root,ann\nadm:x:4:ann\nwww:x:33:";

    fn resolved(user: &str) -> (u32, u32, Vec<u32>, String) {
        let user = resolve(user, PASSWD, GROUP).unwrap();
        (user.uid, user.gid, user.groups, user.home)
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!(resolved(""), (0, 0, vec![0, 10], "/root".into()));
        assert_eq!(
            resolved("ann"),
            (1000, 100, vec![4, 10, 100], "/home/ann".into())
        );
        assert_eq!(
            resolved("1000"),
            (1000, 100, vec![4, 10, 100], "/home/ann".into())
        );
        assert_eq!(resolved("4242"), (4242, 0, vec![0], "/".into()));
        assert_eq!(resolved("www"), (33, 33, vec![33], "/var/www".into()));
    }

    #[test]
    fn a_group_that_was_asked_for_is_the_only_one() {
        assert_eq!(
            resolved("ann:wheel"),
            (1000, 10, vec![10], "/home/ann".into())
        );
        assert_eq!(resolved("ann:7"), (1000, 7, vec![7], "/home/ann".into()));
        assert_eq!(resolved("5:5"), (5, 5, vec![5], "/".into()));
    }

    #[test]
    fn a_user_has_a_shell_or_none() {
        assert_eq!(shell_of("", PASSWD).as_deref(), Some("/bin/sh"));
        assert_eq!(shell_of("www:root", PASSWD).as_deref(), Some("/bin/sh"));
        assert_eq!(shell_of("ann", PASSWD), None);
        assert_eq!(shell_of("nobody", PASSWD), None);
    }

    #[test]
    fn two_numbers_need_no_file() {
        assert!(is_numeric("0:0") && is_numeric("5:6"));
        for named in ["", "0", "root", "0:root", "root:0", "0:-1"] {
            assert!(!is_numeric(named), "{named:?}");
        }
    }

    #[test]
    fn digits_are_never_a_name() {
        assert_eq!(resolved("1001").0, 1001);
    }

    #[test]
    fn odd_users_are_refused_and_never_root() {
        for odd in [
            "4294967296",
            "4294967295",
            "-1",
            "+5",
            "0x0",
            "1000:",
            ":0",
            " 0",
            "nobody",
            "ann:staff",
        ] {
            assert!(resolve(odd, PASSWD, GROUP).is_err(), "{odd:?} was accepted");
        }
    }

    #[test]
    fn an_image_without_passwd_has_root() {
        let user = resolve("", b"", b"").unwrap();
        assert_eq!(
            (user.uid, user.gid, user.groups.as_slice()),
            (0, 0, &[0][..])
        );
        assert!(resolve("ann", b"", b"").is_err());
    }
}
