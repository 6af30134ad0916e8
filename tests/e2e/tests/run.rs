//! `carrier run`: exit codes, and what the command line says about the program.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn the_containers_exit_code_is_carriers() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for code in [0, 1, 7, 125, 255] {
        let exit = format!("exit {code}");
        cx.carrier(["run", "--rm", &image, "sh", "-c", &exit])
            .exits_with(code);
    }
    let suicide = "(kill -9 $BASHPID 2>/dev/null || sh -c 'kill -9 $$'); exit $?";
    cx.carrier(["run", "--rm", &image, "sh", "-c", suicide])
        .exits_with(137);
}

#[test]
fn a_program_that_cannot_run_has_dockers_codes() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", &image, "no-such"])
        .exits_with(127)
        .complains("not found");
    cx.carrier(["run", &image, "/no/such"])
        .exits_with(127)
        .complains("no such file or directory");
    cx.carrier(["run", &image, "/etc"])
        .exits_with(126)
        .complains("Permission denied");
    cx.carrier(["run", &image, "/etc/passwd"])
        .exits_with(126)
        .complains("exec: \"/etc/passwd\": Permission denied");
    // As in Docker they stay, to be looked at; but for those that are removed at their end.
    let stayed = cx.carrier(["ps", "-a", "--format", "{{.Status}}"]);
    stayed
        .succeeds()
        .prints("Created\nCreated\nCreated\nCreated");
    cx.carrier(["run", "--rm", "--name", "gone", &image, "no-such"])
        .exits_with(127);
    cx.carrier(["run", "--name", "kept", &image, "no-such"])
        .exits_with(127);
    cx.carrier([
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}",
        "kept",
    ])
    .succeeds()
    .shows("created 127 exec: \"no-such\"");
    cx.carrier(["rm", "-c"]).succeeds();
    cx.carrier(["ls", "-c", "-a", "-q"]).succeeds().prints("");
}

#[test]
fn labels_come_from_files_and_then_from_options() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let file = cx.file("labels", "# a comment\n\ntier=back\nteam=a=b\nbare\n");
    let words = [
        "create",
        "--name",
        "it",
        "--label-file",
        &file,
        "-l",
        "tier=front",
        &image,
    ];
    cx.carrier(words).succeeds();
    let format = "{{index .Config.Labels \"tier\"}} {{index .Config.Labels \"team\"}} \
                  [{{index .Config.Labels \"bare\"}}]";
    cx.carrier(["inspect", "-f", format, "it"])
        .succeeds()
        .prints("front a=b []");
    cx.carrier(["run", "--label-file", "/no/such", &image])
        .exits_with(125)
        .complains("cannot read /no/such");
    cx.carrier(["rm", "it"]).succeeds();
}

#[test]
fn a_missing_image_is_pulled_unless_that_is_forbidden() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    cx.carrier(["run", "--rm", "--pull", "never", &image, "true"])
        .exits_with(125)
        .complains("no such image");
    let outcome = cx
        .carrier(["run", "--rm", &image, "echo", "hi"])
        .succeeds()
        .prints("hi");
    assert!(outcome.errors().contains("Unable to find image"));
}

#[test]
fn switches_take_a_value_as_in_docker() {
    let cx = Cx::new();
    cx.carrier(["run", "--rm=true", "-it=false", "hello"])
        .succeeds();
    cx.carrier(["ps", "--all=1", "-q=true"])
        .succeeds()
        .prints("");
    cx.carrier(["run", "--rm", "--rm=False", "--name", "kept", "hello"])
        .succeeds();
    cx.carrier(["ps", "-a=t", "--format", "{{.Names}}"])
        .succeeds()
        .prints("kept");
    cx.carrier(["run", "--rm=maybe", "hello"])
        .exits_with(125)
        .complains("--rm cannot be \"maybe\"")
        .hints("true, false");
    cx.carrier(["rm", "--force=true", "kept"]).succeeds();
}

#[test]
fn nothing_behind_the_image_is_ours() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "--rm", &image, "echo", "--rm", "-it", "--help", "--"])
        .succeeds()
        .prints("--rm -it --help --");
}

#[test]
fn the_environment_is_the_images_and_the_users() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let file = cx.file("env", "# comment\nFILE=1\nBOTH=file\n");
    cx.carrier(["run", "--rm", "-e", "BOTH=option", "-e", "EMPTY=", "-e", "TERM", "-e", "NOWHERE",
        "--env-file", &file, "-h", "web", &image, "env"])
        .succeeds()
        .prints("PATH=/bin\nHOSTNAME=web\nFROM_IMAGE=yes\nFILE=1\nBOTH=option\nEMPTY=\nTERM=xterm\nHOME=/root");
}

#[test]
fn names_working_directories_and_users_are_as_asked() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let run = |options: &[&str], script| {
        let head = ["run", "--rm"].iter().chain(options);
        cx.carrier(head.copied().chain([image.as_str(), "sh", "-c", script]))
            .succeeds()
    };
    run(&["-w", "/made/for/me"], "pwd").prints("/made/for/me");
    run(
        &["-h", "web"],
        "hostname; cat /etc/hostname; grep -q web /etc/hosts && echo known",
    )
    .prints("web\nweb\nknown");
    run(&["-u", "app"], "id; echo $HOME")
        .prints("uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n/home/app");
    run(&["-u", "1000:10"], "id").prints("uid=1000(app) gid=10(wheel) groups=10(wheel)");
    run(&["-u", "4242"], "id; echo $HOME").prints("uid=4242 gid=0(root) groups=0(root)\n/");
    run(&[], "id").prints("uid=0(root) gid=0(root) groups=0(root),10(wheel)");
}

#[test]
fn the_callers_umask_is_for_what_he_names() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let inside = "id -u; umask; for path in / /new /new/deep /etc/hosts /etc/hostname /etc/resolv.conf; \
                  do ls -ld $path; done | while read mode rest; do echo $mode; done";
    let script = format!(
        "umask 077
         carrier run --rm --cidfile cid -u 1000 -w /new/deep {image} sh -c '{inside}'
         carrier run -d --name web --pidfile pid {image} sleep 1000 >/dev/null
         carrier cp web:/etc/passwd passwd; carrier export -o export.tar web; carrier rm -f web >/dev/null
         carrier save -o save.tar {image}; carrier oci spec
         stat -c %a cid pid passwd export.tar save.tar config.json"
    );
    let directory = "drwxr-xr-x\n".repeat(3);
    let file = "-rw-r--r--\n".repeat(3);
    let named = "600\n600\n644\n600\n600\n600";
    cx.script(&script)
        .succeeds()
        .prints(&format!("1000\n0022\n{directory}{file}{named}"));
}

#[test]
fn c03_odd_users_are_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for user in [
        "4294967296",
        "-1",
        "nobody",
        "1000:",
        ":0",
        "app:nogroup",
        "70000",
    ] {
        let option = format!("--user={user}");
        cx.carrier(["run", "--rm", &option, &image, "id"])
            .exits_with(125)
            .hides("uid=");
    }
}

#[test]
fn an_entry_point_can_be_replaced_and_cleared() {
    let cx = Cx::with_registry();
    let image = cx.pulled("configured");
    cx.carrier(["run", "--rm", &image])
        .succeeds()
        .prints("entry default");
    cx.carrier(["run", "--rm", &image, "words"])
        .succeeds()
        .prints("entry words");
    cx.carrier(["run", "--rm", "--entrypoint", "echo", &image, "x"])
        .succeeds()
        .prints("x");
    cx.carrier(["run", "--rm", "--entrypoint", "", &image, "pwd"])
        .succeeds()
        .prints("/srv/made");
    cx.carrier(["run", "--rm", "--entrypoint", "", &image])
        .exits_with(125)
        .complains("no command");
}

#[test]
fn c01_an_images_environment_fetches_nothing_from_the_host() {
    let cx = Cx::with_registry();
    let image = cx.pulled("configured");
    let run = format!("SECRET=leak carrier run --rm --entrypoint env {image}");
    cx.script(&run).succeeds().hides("leak");
}

#[test]
fn standard_input_is_the_programs_only_when_asked() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier_with_input(["run", "--rm", "-i", &image, "cat"], "typed")
        .succeeds()
        .prints("typed");
    cx.carrier_with_input(["run", "--rm", &image, "cat"], "typed")
        .succeeds()
        .prints("");
    cx.carrier(["run", "--rm", "-it", &image, "true"])
        .exits_with(125)
        .complains("the input device is not a TTY");
}

#[test]
fn a_read_only_root_cannot_be_written() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo allowed";
    cx.carrier(["run", "--rm", "--read-only", &image, "sh", "-c", script])
        .succeeds()
        .prints("refused\nallowed");
}

#[test]
fn real_software_runs() {
    let cx = Cx::with_registry();
    let redis = cx.pulled("debian-redis");
    cx.carrier(["run", "--rm", &redis, "redis-server", "--version"])
        .succeeds()
        .shows("Redis server");
    let session = "redis-server --daemonize yes >/dev/null; \
                   until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.1; done; \
                   redis-cli ping; cat /etc/fixture";
    cx.carrier(["run", "--rm", &redis, "sh", "-c", session])
        .succeeds()
        .prints("PONG\ndebian-redis");
    cx.carrier(["run", "--rm", &redis, "ls", "/usr/share/doc/base-files"])
        .exits_with(2);
    let python = cx.pulled("debian-python");
    cx.carrier(["run", "--rm", &python, "python3", "-c", "print(6*7)"])
        .succeeds()
        .prints("42");
    let nginx = cx.pulled("debian-nginx");
    cx.carrier(["run", "--rm", &nginx, "nginx", "-t"])
        .succeeds();
}

#[test]
fn hello_needs_no_registry() {
    let cx = Cx::new();
    cx.carrier(["run", "--rm", "hello"])
        .succeeds()
        .shows("Hello from a container of Carrier")
        .shows("no new privileges  1")
        .shows("bounding 00000000800405fb")
        .shows("seccomp            mode 2");
    cx.carrier(["rmi", "hello"]).succeeds();
}
