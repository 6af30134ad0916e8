//! What a member's name asks for: image-spec `layer.md`, and overlayfs's limits.

/// A whiteout's prefix, image-spec `layer.md`, section "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
/// AUFS's own files; image builders of old left some in layers, and every engine skips them.
const AUFS_METADATA: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The kernel takes paths of up to `PATH_MAX` bytes, the closing NUL included.
const MAX_PATH: usize = 4095;

/// A path below the layer's root: no leading slash, no empty, `.` or `..` component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryPath {
    bytes: Vec<u8>,
    leaf: usize,
}

impl EntryPath {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The directory that holds the entry; empty for the layer's root.
    pub(super) fn parent(&self) -> &[u8] {
        &self.bytes[..self.leaf.saturating_sub(1)]
    }

    /// The last component.
    pub(super) fn leaf(&self) -> &[u8] {
        &self.bytes[self.leaf..]
    }

    fn sibling(&self, leaf: &[u8]) -> Self {
        let mut bytes = self.bytes[..self.leaf].to_vec();
        bytes.extend_from_slice(leaf);
        Self {
            bytes,
            leaf: self.leaf,
        }
    }
}

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The root directory of the layer.
    Root,
    /// An entry of the layer.
    Entry(EntryPath),
    /// An entry of lower layers is deleted.
    Whiteout(EntryPath),
    /// What lower layers have in this directory is deleted; empty for the root.
    Opaque(Vec<u8>),
    /// Nothing.
    AufsMetadata,
}

/// Reads a member's name; the error says what is wrong with it.
///
/// `..` is taken lexically and may not lead out of the layer: an author who writes it means
/// mischief, or does not know what the name leads to.
pub(super) fn parse(name: &[u8]) -> Result<Meaning, &'static str> {
    let Some(path) = normalize(name)? else {
        return Ok(Meaning::Root);
    };
    let mut parents = path.parent().split(|byte| *byte == b'/');
    if path
        .bytes
        .split(|byte| *byte == b'/')
        .any(|component| component.starts_with(AUFS_METADATA) && component != OPAQUE)
    {
        return Ok(Meaning::AufsMetadata);
    }
    if parents.any(|component| component.starts_with(WHITEOUT)) {
        return Err("a whiteout cannot be a directory");
    }
    match path.leaf().strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Entry(path)),
        Some(_) if path.leaf() == OPAQUE => Ok(Meaning::Opaque(path.parent().to_vec())),
        Some(b"" | b"." | b"..") => Err("the whiteout names nothing"),
        Some(hidden) => Ok(Meaning::Whiteout(path.sibling(hidden))),
    }
}

/// The path that a name means, or nothing where it means the root.
pub(super) fn normalize(name: &[u8]) -> Result<Option<EntryPath>, &'static str> {
    if name.contains(&0) {
        return Err("the name contains a NUL byte");
    }
    let mut bytes = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if bytes.is_empty() => return Err("the name leads out of the layer"),
            b".." => bytes.truncate(leaf_start(&bytes).saturating_sub(1)),
            _ => {
                if !bytes.is_empty() {
                    bytes.push(b'/');
                }
                bytes.extend_from_slice(component);
            }
        }
    }
    if bytes.len() > MAX_PATH {
        return Err("the name is longer than 4095 bytes");
    }
    let leaf = leaf_start(&bytes);
    Ok((!bytes.is_empty()).then_some(EntryPath { bytes, leaf }))
}

fn leaf_start(path: &[u8]) -> usize {
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(name: &str) -> String {
        let text = |path: &EntryPath| String::from_utf8(path.bytes.clone()).unwrap();
        match parse(name.as_bytes()) {
            Ok(Meaning::Root) => "root".to_owned(),
            Ok(Meaning::Entry(path)) => format!("entry {}", text(&path)),
            Ok(Meaning::Whiteout(path)) => format!("whiteout {}", text(&path)),
            Ok(Meaning::Opaque(path)) => format!("opaque {}", String::from_utf8(path).unwrap()),
            Ok(Meaning::AufsMetadata) => "aufs".to_owned(),
            Err(problem) => format!("refused: {problem}"),
        }
    }

    #[test]
    fn u01_names_that_leave_the_layer_are_refused() {
        for escaping in ["../../x", "a/../../x", "/../x", "..", "a/../..", "./../x"] {
            assert_eq!(meaning(escaping), "refused: the name leads out of the layer");
        }
        for (inside, meant) in [
            ("./a", "entry a"),
            ("/a", "entry a"),
            ("//a//b/", "entry a/b"),
            ("a/../b", "entry b"),
            ("a/b/../../c/./d", "entry c/d"),
            ("...", "entry ..."),
        ] {
            assert_eq!(meaning(inside), meant, "{inside}");
        }
    }

    #[test]
    fn u05_the_root_has_many_spellings() {
        for name in [".", "./", "/", "", "a/..", "//"] {
            assert_eq!(meaning(name), "root", "{name:?}");
        }
    }

    #[test]
    fn u06_whiteouts_of_nothing_are_refused() {
        for (name, meant) in [
            (".wh.x", "whiteout x"),
            ("a/.wh.x", "whiteout a/x"),
            (".wh..wh..opq", "opaque "),
            ("a/b/.wh..wh..opq", "opaque a/b"),
            (".wh.", "refused: the whiteout names nothing"),
            (".wh..", "refused: the whiteout names nothing"),
            (".wh...", "refused: the whiteout names nothing"),
            (".wh../x", "refused: a whiteout cannot be a directory"),
            (".wh.x/y", "refused: a whiteout cannot be a directory"),
            (".wh..wh..opq/y", "refused: a whiteout cannot be a directory"),
            (".wh..wh.aufs", "aufs"),
            (".wh..wh.plnk/1.2", "aufs"),
        ] {
            assert_eq!(meaning(name), meant, "{name:?}");
        }
    }

    #[test]
    fn u13_names_beyond_the_kernels_limit_are_refused() {
        assert!(parse(&b"a/".repeat(2048)).is_ok());
        assert!(parse(&b"ab/".repeat(2048)).is_err());
        assert!(parse(b"a\0b").is_err());
    }
}
