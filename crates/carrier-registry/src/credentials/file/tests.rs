use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn file(json: &str) -> AuthFile {
    AuthFile {
        path: "config.json".into(),
        content: serde_json::from_str(json).unwrap(),
    }
}

fn name(text: &str) -> RegistryName {
    text.parse().unwrap()
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

fn auth(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

#[test]
fn entries_are_read_as_docker_and_podman_write_them() {
    let json = format!(
        r#"{{"auths": {{
            "https://index.docker.io/v1/": {{"auth": "{}"}},
            "https://old.example.org/v1/": {{"auth": "{}"}},
            "plain.example.org": {{"username": "u", "password": "p:q"}},
            "acr.example.org": {{"auth": "{}", "identitytoken": "refresh"}},
            "bare.example.org": {{"registrytoken": "direct"}},
            "empty.example.org": {{}},
            "bad.example.org": {{"auth": "%%%"}}
        }}}}"#,
        auth("hub", "a:b"),
        auth("old", "\0"),
        auth("00000000", ""),
    );
    let file = file(&json);
    let find = |text: &str| file.find(&name(text));
    assert_eq!(
        find("docker.io/library/nginx").unwrap(),
        Some(password("hub", "a:b"))
    );
    assert_eq!(
        find("old.example.org/x").unwrap(),
        Some(password("old", ""))
    );
    assert_eq!(
        find("plain.example.org").unwrap(),
        Some(password("u", "p:q"))
    );
    let identity = Credentials::Identity {
        user: "00000000".to_owned(),
        token: "refresh".to_owned(),
    };
    assert_eq!(find("acr.example.org/a/b").unwrap(), Some(identity));
    let token = Credentials::Token("direct".to_owned());
    assert_eq!(find("bare.example.org").unwrap(), Some(token));
    assert_eq!(find("empty.example.org").unwrap(), None);
    assert_eq!(find("unknown.example.org").unwrap(), None);
    let error = find("bad.example.org").unwrap_err();
    assert!(!format!("{error:?}").contains("%%%"), "{error:?}");
}

#[test]
fn the_longest_namespace_wins() {
    let json = format!(
        r#"{{"auths": {{"q.io": {{"auth": "{}"}}, "q.io/a": {{"auth": "{}"}}, "q.io/a/b": {{"auth": "{}"}}}}}}"#,
        auth("host", "1"),
        auth("space", "2"),
        auth("one", "3")
    );
    let file = file(&json);
    for (repository, user) in [
        ("a/b", "one"),
        ("a/b/c", "one"),
        ("a/bc", "space"),
        ("ab/c", "host"),
    ] {
        let wanted = RegistryName::of_repository("q.io", repository);
        let found = file.find(&wanted).unwrap().unwrap();
        assert_eq!(found.user(), user, "{repository}");
    }
}

#[test]
fn a_change_keeps_what_is_not_understood() {
    let mut file = file(
        r#"{"psFormat": "x", "auths": {"https://q.io/v1/": {"auth": "eDp5", "email": "e"}, "other.io": {"auth": "eDp5"}}}"#,
    );
    file.set(&name("q.io"), &password("ann", "secret"));
    let text = serde_json::to_string(&file.content).unwrap();
    assert_eq!(
        text,
        r#"{"auths":{"other.io":{"auth":"eDp5"},"q.io":{"auth":"YW5uOnNlY3JldA=="}},"psFormat":"x"}"#
    );
    assert!(file.remove(&name("https://q.io")) && !file.remove(&name("q.io")));
    assert!(file.find(&name("other.io")).unwrap().is_some());
}

#[test]
fn r10_the_file_is_for_its_owner_and_replaced_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("new/elsewhere.json");
    let path = directory.path().join("link.json");
    std::os::unix::fs::symlink("new/elsewhere.json", &path).unwrap();
    let login = |user: &str| {
        AuthFile::change(&path, |file| {
            file.set(&name(&format!("{user}.io")), &password(user, "x"));
            Ok(true)
        })
        .unwrap();
    };
    login("ann");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(real.parent().unwrap()), 0o700);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    login("bob");
    assert_eq!(mode(&real), 0o600);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    let names = AuthFile::read(&path).unwrap().unwrap().names();
    assert_eq!(names, ["ann.io", "bob.io"]);
    let left = fs::read_dir(real.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn concurrent_changes_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..5 {
                    let registry = name(&format!("r{thread}-{round}.io"));
                    AuthFile::change(path, |file| {
                        file.set(&registry, &password("u", "p"));
                        Ok(true)
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(AuthFile::read(&path).unwrap().unwrap().names().len(), 40);
}

#[test]
fn a_file_that_is_no_json_is_named_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, r#"{"auths": secret}"#).unwrap();
    let error = AuthFile::read(&path).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("config.json") && text.contains("line 1"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    fs::write(&path, "\n").unwrap();
    assert!(AuthFile::read(&path).unwrap().is_none());
}
