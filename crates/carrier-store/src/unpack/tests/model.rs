//! U-12: a file system in memory says what any order of entries makes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Nodes by number; hard links share one.
#[derive(Default)]
struct Model {
    nodes: Vec<Node>,
}

enum Node {
    Directory(BTreeMap<String, usize>),
    File(String),
    Link(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Missing,
    Loop,
}

const ROOT: usize = 0;

impl Model {
    fn new() -> Self {
        Self {
            nodes: vec![Node::Directory(BTreeMap::new())],
        }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn names(&mut self, directory: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.nodes[directory] {
            Node::Directory(names) => names,
            _ => panic!("no directory"),
        }
    }

    /// The directory that a path leads to, with all links followed below the root.
    fn resolve(&self, path: &str) -> Result<usize, Failure> {
        let mut budget = 40;
        let mut trail = vec![ROOT];
        self.walk(path, &mut trail, &mut budget)?;
        Ok(trail[trail.len() - 1])
    }

    fn walk(&self, path: &str, trail: &mut Vec<usize>, budget: &mut u32) -> Result<(), Failure> {
        if path.starts_with('/') {
            trail.truncate(1);
        }
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if part == ".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let Node::Directory(names) = &self.nodes[trail[trail.len() - 1]] else {
                return Err(Failure::Missing);
            };
            let node = *names.get(part).ok_or(Failure::Missing)?;
            match &self.nodes[node] {
                Node::Directory(_) => trail.push(node),
                Node::File(_) => return Err(Failure::Missing),
                Node::Link(target) => {
                    *budget = budget.checked_sub(1).ok_or(Failure::Loop)?;
                    self.walk(target, trail, budget)?;
                }
            }
        }
        Ok(())
    }

    /// The parent of an entry: links that lead to directories are followed, what else is in the way
    /// makes room.
    fn parent(&mut self, path: &str) -> Result<usize, Failure> {
        match self.resolve(path) {
            Err(Failure::Missing) => {}
            other => return other,
        }
        let mut directory = ROOT;
        let mut so_far = String::new();
        for part in path.split('/') {
            so_far = format!("{so_far}/{part}");
            let found = self.names(directory).get(part).copied();
            if let Some(node) = found {
                match (&self.nodes[node], self.resolve(&so_far)) {
                    (Node::Directory(_), _) => {
                        directory = node;
                        continue;
                    }
                    (_, Ok(node)) => {
                        directory = node;
                        continue;
                    }
                    (_, Err(Failure::Loop)) => return Err(Failure::Loop),
                    (_, Err(Failure::Missing)) => {}
                }
            }
            let new = self.add(Node::Directory(BTreeMap::new()));
            self.names(directory).insert(part.to_owned(), new);
            directory = new;
        }
        Ok(directory)
    }

    fn apply(&mut self, step: &Step) -> Result<(), Failure> {
        let (parent, name) = step.path.rsplit_once('/').unwrap_or(("", &step.path));
        if let What::HardLink(source) = &step.what {
            return self.link(source, parent, name);
        }
        let parent = if parent.is_empty() {
            ROOT
        } else {
            self.parent(parent)?
        };
        let existing = self.names(parent).get(name).copied();
        let node = match &step.what {
            What::Directory => match existing {
                Some(node) if matches!(self.nodes[node], Node::Directory(_)) => return Ok(()),
                _ => Node::Directory(BTreeMap::new()),
            },
            What::File(content) => Node::File(content.to_string()),
            What::Link(target) => Node::Link(target.clone()),
            What::HardLink(_) => return Ok(()),
        };
        let node = self.add(node);
        self.names(parent).insert(name.to_owned(), node);
        Ok(())
    }

    fn link(&mut self, source: &str, parent: &str, name: &str) -> Result<(), Failure> {
        let own = if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}/{name}")
        };
        if own == source {
            return Err(Failure::Missing);
        }
        let parent = match parent {
            "" => ROOT,
            path => self.parent(path)?,
        };
        let (from, file) = source.rsplit_once('/').unwrap_or(("", source));
        let from = self.resolve(from)?;
        let node = *self.names(from).get(file).ok_or(Failure::Missing)?;
        if matches!(self.nodes[node], Node::Directory(_)) {
            return Err(Failure::Missing);
        }
        if let Some(existing) = self.names(parent).remove(name) {
            self.clear(existing);
        }
        // It may have gone with what stood there.
        if !self.names(from).contains_key(file) {
            return Err(Failure::Missing);
        }
        self.names(parent).insert(name.to_owned(), node);
        Ok(())
    }

    fn clear(&mut self, node: usize) {
        if matches!(self.nodes[node], Node::Directory(_)) {
            for (_, child) in std::mem::take(self.names(node)) {
                self.clear(child);
            }
        }
    }

    fn listing(&self, directory: usize, path: &str, found: &mut BTreeMap<String, String>) {
        let Node::Directory(names) = &self.nodes[directory] else {
            return;
        };
        for (name, node) in names {
            let place = format!("{path}/{name}");
            let shown = match &self.nodes[*node] {
                Node::Directory(_) => "dir".to_owned(),
                Node::File(content) => format!("file {content}"),
                Node::Link(target) => format!("link {target}"),
            };
            found.insert(place.clone(), shown);
            self.listing(*node, &place, found);
        }
    }
}

#[derive(Clone, Debug)]
struct Step {
    path: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File(u8),
    Link(String),
    HardLink(String),
}

fn add(layer: Layer, step: &Step) -> Layer {
    let path = step.path.as_str();
    match &step.what {
        What::Directory => layer.dir(path),
        What::File(content) => layer.file(path, &content.to_string()),
        What::Link(target) => layer.symlink(path, target),
        What::HardLink(source) => layer.hard_link(path, source),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        2 => Just(What::Directory),
        3 => any::<u8>().prop_map(What::File),
        3 => "/?(\\.\\./)?[abc](/[abc]){0,1}".prop_map(What::Link),
        1 => "[abc](/[abc]){0,2}".prop_map(What::HardLink),
    ];
    let step = ("[abc](/[abc]){0,2}", what).prop_map(|(path, what)| Step { path, what });
    prop::collection::vec(step, 1..16)
}

fn on_disk(root: &Path, path: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let place = format!("{path}/{}", entry.file_name().display());
        let kind = entry.file_type().unwrap();
        let shown = if kind.is_dir() {
            on_disk(&entry.path(), &place, found);
            "dir".to_owned()
        } else if kind.is_symlink() {
            format!("link {}", fs::read_link(entry.path()).unwrap().display())
        } else {
            format!("file {}", fs::read_to_string(entry.path()).unwrap())
        };
        found.insert(place, shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn u12_links_and_duplicates_give_what_the_model_says(steps in steps()) {
        let scene = Scene::in_memory();
        let mut model = Model::new();
        let layer = steps.iter().fold(Layer::default(), add);
        let expected = steps.iter().try_for_each(|step| model.apply(step));
        let result = scene.unpack(&layer);
        match (&expected, &result) {
            (Ok(()), Ok(_)) => {
                let (mut wanted, mut found) = (BTreeMap::new(), BTreeMap::new());
                model.listing(ROOT, "", &mut wanted);
                on_disk(&scene.layer(""), "", &mut found);
                prop_assert_eq!(found, wanted);
            }
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{:?} and {:?}", expected, result.map_err(|e| e.to_string())),
        }
        scene.assert_canary_is_safe();
    }
}
