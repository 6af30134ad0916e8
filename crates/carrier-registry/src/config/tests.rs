use super::*;

fn config(text: &str) -> Config {
    let mut config = Config::default();
    let tables = FileTables::strict(text).unwrap();
    config.add(tables, Path::new("config.toml")).unwrap();
    config
}

/// The servers for an image, as `HOST/REPOSITORY`, with `!` where they are insecure.
fn route(config: &Config, image: &str, verify: Option<bool>) -> Vec<String> {
    let reference = image.parse().unwrap();
    let Route { mirrors, origin } = config.route(&reference, verify).unwrap();
    let all = mirrors.into_iter().chain([origin]);
    all.map(|place| {
        let mark = if place.insecure { "!" } else { "" };
        format!("{}/{}{mark}", place.host, place.repository)
    })
    .collect()
}

fn trouble(text: &str) -> String {
    let tables = match FileTables::strict(text) {
        Ok(tables) => tables,
        Err(reason) => return reason,
    };
    let mut config = Config::default();
    let error = config.add(tables, Path::new("/x/config.toml")).unwrap_err();
    error.to_string()
}

#[test]
fn nothing_is_moved_without_configuration() {
    let config = Config::default();
    assert_eq!(route(&config, "nginx", None), ["docker.io/library/nginx"]);
    assert_eq!(route(&config, "q.io/a", Some(false)), ["q.io/a!"]);
}

#[test]
fn the_longest_prefix_decides() {
    let config = config(
        r#"
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.test:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "second.test"
        [[registry]]
        prefix = "docker.io/library"
        location = "internal.test/base"
        [[registry]]
        prefix = "*.example.com"
        insecure = true
        [[registry]]
        prefix = "a.example.com/x"
        location = "moved.test"
        "#,
    );
    let hub = [
        "mirror.test:5000/hub/u/i!",
        "second.test/u/i",
        "docker.io/u/i",
    ];
    assert_eq!(route(&config, "u/i", None), hub);
    let strict = [
        "mirror.test:5000/hub/u/i",
        "second.test/u/i",
        "docker.io/u/i",
    ];
    assert_eq!(route(&config, "u/i", Some(true)), strict);
    assert_eq!(route(&config, "nginx", None), ["internal.test/base/nginx"]);
    assert_eq!(
        route(&config, "b.example.com/x/y", None),
        ["b.example.com/x/y!"]
    );
    assert_eq!(
        route(&config, "b.example.com:1/x", None),
        ["b.example.com:1/x!"]
    );
    assert_eq!(route(&config, "a.example.com/x/y", None), ["moved.test/y"]);
    assert_eq!(
        route(&config, "a.example.com/xy", None),
        ["a.example.com/xy!"]
    );
    assert_eq!(route(&config, "example.com/x", None), ["example.com/x"]);
    let a = "a.example.com";
    assert!(config.is_insecure(a, None) && !config.is_insecure(a, Some(true)));
}

#[test]
fn mirrors_may_be_for_digests_or_for_tags() {
    let config = config(
        r#"
        [[registry]]
        location = "q.io"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.test"
        [[registry]]
        location = "r.io"
        [[registry.mirror]]
        location = "digest.test"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tag.test"
        pull-from-mirror = "tag-only"
        "#,
    );
    let digest = format!("@sha256:{}", "0".repeat(64));
    assert_eq!(route(&config, "q.io/a", None), ["q.io/a"]);
    assert_eq!(
        route(&config, &format!("q.io/a{digest}"), None),
        ["m.test/a", "q.io/a"]
    );
    assert_eq!(route(&config, "r.io/a", None), ["tag.test/a", "r.io/a"]);
    assert_eq!(
        route(&config, &format!("r.io/a{digest}"), None),
        ["digest.test/a", "r.io/a"]
    );
}

#[test]
fn a_blocked_prefix_names_the_file() {
    let config = config("[[registry]]\nprefix = \"q.io/bad\"\nblocked = true");
    let error = config
        .route(&"q.io/bad/x".parse().unwrap(), None)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("q.io/bad") && text.contains("config.toml"),
        "{text}"
    );
    assert_eq!(route(&config, "q.io/badly", None), ["q.io/badly"]);
}

#[test]
fn a_later_file_replaces_what_is_said_about_a_prefix() {
    let mut config = config("[[registry]]\nlocation = \"q.io\"\nblocked = true");
    let later = FileTables::lenient("[[registry]]\nlocation = \"q.io\"\ninsecure = true").unwrap();
    config.add(later, Path::new("later")).unwrap();
    assert_eq!(route(&config, "q.io/a", None), ["q.io/a!"]);
}

#[test]
fn mistakes_are_named() {
    for (text, reason) in [
        ("colour = 1", "unknown key colour"),
        ("[network]\nretry = 1", "unknown key network.retry"),
        (
            "[[registry]]\nlocation = 'a.b'\ninsecur = true",
            "unknown key registry.insecur",
        ),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nurl = 'x'",
            "unknown key registry.mirror.url",
        ),
        ("\n\n[registry", "line 3"),
        (
            "[[registry]]\nblocked = true",
            "neither prefix nor location",
        ),
        ("[[registry]]\nlocation = 'https://a.b'", "is no location"),
        (
            "[[registry]]\nprefix = '*'",
            "is not the beginning of a name",
        ),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]",
            "has no location",
        ),
        ("[network]\nretries = 'many'", "invalid type"),
    ] {
        let found = trouble(text);
        assert!(found.contains(reason), "{text:?} is said to be {found:?}");
    }
    assert!(FileTables::lenient("[registries.search]\nregistries = ['x']").is_err());
}

#[test]
fn r11_short_names_are_not_searched_for() {
    let text = "unqualified-search-registries = ['evil.test']\nshort-name-mode = 'permissive'\n[aliases]\nnginx = 'evil.test/nginx'";
    let mut config = Config::default();
    let tables = FileTables::lenient(text).unwrap();
    config.add(tables, Path::new("registries.conf")).unwrap();
    assert_eq!(route(&config, "nginx", None), ["docker.io/library/nginx"]);
}

#[test]
fn waiting_is_configurable() {
    let config = config("[network]\nconnect-timeout = 3\nread-timeout = 5\nretries = 1");
    assert_eq!(config.timeouts.connect, Duration::from_secs(3));
    assert_eq!(config.timeouts.read, Duration::from_secs(5));
    assert_eq!(config.retries, Some(1));
}

#[test]
fn the_manual_has_every_key_and_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let manual = fs::read_to_string(path).unwrap();
    let rows = manual.lines().filter_map(|line| {
        let (key, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((key, rest.split_once(" | ")?.0))
    });
    let rows: Vec<(&str, &str)> = rows.collect();
    let mut written: Vec<String> = rows.iter().map(|(key, _)| (*key).to_owned()).collect();
    written.sort();
    assert_eq!(written, tables::keys());
    let default = |key: &str| rows.iter().find(|row| row.0 == key).unwrap().1;
    let timeouts = Timeouts::default();
    for (key, value) in [
        ("network.connect-timeout", timeouts.connect.as_secs()),
        ("network.read-timeout", timeouts.read.as_secs()),
        ("network.retries", u64::from(crate::retry::ATTEMPTS - 1)),
    ] {
        assert_eq!(default(key), value.to_string(), "{key}");
    }
    let (_, example) = manual.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    FileTables::strict(example).unwrap();
    for key in tables::keys() {
        let last = key.rsplit('.').next().unwrap();
        let is_there = example
            .lines()
            .any(|line| line.starts_with(&format!("{last} = ")));
        assert!(is_there, "the example lacks {key}");
    }
}
