//! Paths as users type them, which say more than where something is.

/// A path that begins at the root, without `.`, `..` and doubled slashes, and what its end said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypedPath {
    /// Begins with a slash; ends with one only where it is the root.
    pub(super) clean: Vec<u8>,
    /// It ended with `/.`: what is in the directory is meant.
    pub(super) contents: bool,
    /// It ended with a slash or `/.`: nothing but a directory is meant.
    pub(super) directory: bool,
}

impl TypedPath {
    /// Reads a path of a container, which begins at its root, or one that has a working directory
    /// in front.
    pub(super) fn new(text: &[u8]) -> Self {
        let last = text
            .split(|byte| *byte == b'/')
            .rfind(|part| !part.is_empty());
        let contents = match last {
            None => !text.starts_with(b"/"),
            Some(last) => last == b".",
        };
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in text.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        Self {
            clean: [&b"/"[..], &parts.join(&b'/')].concat(),
            contents,
            directory: contents || text.ends_with(b"/"),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.clean == b"/"
    }

    /// Its last part; empty at the root.
    pub(super) fn name(&self) -> &[u8] {
        split(&self.clean).1
    }

    /// What the archive calls it: empty where only the content is meant.
    pub(super) fn archived_name(&self) -> &[u8] {
        match self.contents {
            true => b"",
            false => self.name(),
        }
    }
}

/// The parent and the last part of a clean path.
pub(super) fn split(clean: &[u8]) -> (&[u8], &[u8]) {
    let slash = clean.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (parent, name) = clean.split_at(slash);
    let parent = if parent.is_empty() { b"/" } else { parent };
    (parent, name.strip_prefix(b"/").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_says_what_is_meant() {
        for (text, clean, contents, directory) in [
            ("/a/b", "/a/b", false, false),
            ("a/b", "/a/b", false, false),
            ("/a/b/", "/a/b", false, true),
            ("/a/b/.", "/a/b", true, true),
            ("/a/b/./", "/a/b", true, true),
            ("/a//b/../c", "/a/c", false, false),
            ("/..", "/", false, false),
            ("/", "/", false, true),
            (".", "/", true, true),
            ("", "/", true, true),
            ("/a/.b", "/a/.b", false, false),
        ] {
            let path = TypedPath::new(text.as_bytes());
            let found = (path.clean.as_slice(), path.contents, path.directory);
            assert_eq!(found, (clean.as_bytes(), contents, directory), "{text:?}");
        }
    }

    #[test]
    fn a_path_has_a_parent_and_a_name() {
        assert_eq!(split(b"/a/b"), (&b"/a"[..], &b"b"[..]));
        assert_eq!(split(b"/a"), (&b"/"[..], &b"a"[..]));
        assert_eq!(split(b"/"), (&b"/"[..], &b""[..]));
    }
}
