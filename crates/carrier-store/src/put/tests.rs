use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn header(name: &str, kind: u8, link: &str, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000750");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[148..156].fill(b' ');
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn archive(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, word) in entries {
        if *kind == b'0' {
            bytes.extend(header(name, *kind, "", word.len()));
            bytes.extend(word.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        } else {
            bytes.extend(header(name, *kind, word, 0));
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in ["root", "canary"] {
            fs::create_dir(place.path(name)).unwrap();
        }
        fs::write(place.path("canary/file"), "safe").unwrap();
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn put(
        &self,
        inside: bool,
        rename: Option<(&str, &str)>,
        entries: &[(&str, u8, &str)],
    ) -> Result<PutSummary, PutError> {
        let root = File::open(self.path("root")).unwrap();
        let destination = match inside {
            true => Destination::Inside {
                root: root.as_fd(),
                path: b"/".to_vec(),
            },
            false => Destination::Directory(root.as_fd()),
        };
        let rename = rename.map(|(archived, placed)| RootName {
            archived: archived.into(),
            placed: placed.into(),
        });
        let options = PutOptions {
            owner: Owner::Caller,
            rename,
        };
        put(archive(entries).as_slice(), &destination, &options)
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path("root").join(name)).ok()
    }
}

#[test]
fn the_last_entry_of_a_directory_says_its_mode() {
    let place = Place::new();
    let mut bytes = header("d/", b'5', "", 0);
    let mut last = header("d", b'5', "", 0);
    last[100..107].copy_from_slice(b"0000711");
    last[148..156].fill(b' ');
    let sum: u32 = last.iter().map(|byte| u32::from(*byte)).sum();
    last[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes.extend(last);
    bytes.resize(bytes.len() + 1024, 0);
    let root = File::open(place.path("root")).unwrap();
    let options = PutOptions {
        owner: Owner::Caller,
        rename: None,
    };
    let destination = Destination::Directory(root.as_fd());
    put(bytes.as_slice(), &destination, &options).unwrap();
    let mode = fs::metadata(place.path("root/d")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o711);
}

#[test]
fn what_was_copied_gets_another_name() {
    let place = Place::new();
    let entries = [("x/", b'5', ""), ("x/a", b'0', "one"), ("x/b", b'1', "x/a")];
    place.put(false, Some(("x", "y")), &entries).unwrap();
    assert_eq!(place.read("y/a").as_deref(), Some("one"));
    assert_eq!(place.read("y/b").as_deref(), Some("one"));
    let mode = fs::metadata(place.path("root/y"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750);
    place.put(false, Some(("x", "")), &entries).unwrap();
    assert_eq!(place.read("a").as_deref(), Some("one"));
    let other = place.put(false, Some(("x", "y")), &[("xy", b'0', "two")]);
    assert!(matches!(other, Err(PutError::BadEntry { .. })));
}

#[test]
fn no_name_leads_out() {
    for inside in [false, true] {
        let place = Place::new();
        symlink(place.path("canary"), place.path("root/to")).unwrap();
        symlink("../canary", place.path("root/up")).unwrap();
        for name in [
            "../canary/file",
            "a/../../canary/file",
            "to/file",
            "up/file",
        ] {
            // Whether it fails, or is put below the root.
            let _ = place.put(inside, None, &[(name, b'0', "evil")]);
        }
        let links = [("l", b'1', "to/file"), ("m", b'1', "../canary/file")];
        for link in links {
            assert!(place.put(inside, None, &[link]).is_err() || inside);
        }
        assert_eq!(fs::read(place.path("canary/file")).unwrap(), b"safe");
        let names = fs::read_dir(place.path("canary")).unwrap();
        assert_eq!(names.count(), 1);
    }
}

#[test]
fn files_and_directories_do_not_take_each_others_place() {
    let place = Place::new();
    fs::create_dir(place.path("root/d")).unwrap();
    fs::write(place.path("root/f"), "old").unwrap();
    let put = |name, kind| place.put(false, None, &[(name, kind, "x")]);
    assert!(matches!(put("d", b'0'), Err(PutError::DirectoryInTheWay(name)) if name == "d"));
    assert!(matches!(
        put("d", b'2'),
        Err(PutError::DirectoryInTheWay(_))
    ));
    assert!(matches!(put("f/", b'5'), Err(PutError::FileInTheWay(_))));
    assert_eq!(place.read("f").as_deref(), Some("old"));
    put("f", b'0').unwrap();
    assert_eq!(place.read("f").as_deref(), Some("x"));
    // A link is replaced, and what it leads to stays.
    symlink(place.path("canary/file"), place.path("root/l")).unwrap();
    put("l", b'0').unwrap();
    assert_eq!(fs::read(place.path("canary/file")).unwrap(), b"safe");
    assert_eq!(place.read("l").as_deref(), Some("x"));
}
