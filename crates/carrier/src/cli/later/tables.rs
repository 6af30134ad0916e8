//! The tables.

use super::{Area, Fate, LaterOption, Refused};

const RESOURCES: Area = Area {
    name: "resources",
    message: "resource limits are not available in this version",
    hint: "leave it out, or start carrier in a limited scope: systemd-run --user --scope -p MemoryMax=512M carrier run ...",
};

const NAMESPACES: Area = Area {
    name: "namespaces",
    message: "sharing or choosing namespaces is not available in this version",
    hint: "leave it out: the container gets namespaces of its own",
};

const PRIVILEGES: Area = Area {
    name: "security",
    message: "privileged containers are not available in this version",
    hint: "name what the program needs: --cap-add, --security-opt seccomp=unconfined",
};

const DEVICES: Area = Area {
    name: "devices",
    message: "devices of the host are not available in this version",
    hint: "leave it out: the container has null, zero, full, random, urandom, tty and a console",
};

const PROCESS: Area = Area {
    name: "process settings",
    message: "this setting of the process is not available in this version",
    hint: "leave it out, or set it in the command: sh -c 'umask 077; exec PROGRAM'",
};

const ENVIRONMENT: Area = Area {
    name: "environment",
    message: "changing the environment as a whole is not available in this version",
    hint: "use --env NAME=VALUE, --env NAME or --env-file FILE",
};

const GENERATED: Area = Area {
    name: "generated files",
    message: "choosing the generated files in /etc is not available in this version",
    hint: "leave it out, or write the file in the container's command",
};

const PODS: Area = Area {
    name: "pods",
    message: "pods are not available in this version",
    hint: "run the containers one by one, with --network host where they talk to each other",
};

const SYSTEMD: Area = Area {
    name: "systemd",
    message: "working with systemd is not available in this version",
    hint: "run the container from a unit of Type=exec with `carrier run`, without -d",
};

const ROOTS: Area = Area {
    name: "roots",
    message: "containers of a directory are not available in this version",
    hint: "make an image of it: tar -C DIRECTORY -c . | carrier import - NAME",
};

const PULLING: Area = Area {
    name: "pulling in run",
    message: "this option of a pull is not available in `run`",
    hint: "`carrier pull` the image first; `carrier login` keeps credentials",
};

const HEALTH: Area = Area {
    name: "health",
    message: "this setting of health checks is not available in this version",
    hint: "leave it out",
};

const SECRETS: Area = Area {
    name: "secrets",
    message: "secrets are not available in this version",
    hint: "pass a file by --env-file, which no other user can read",
};

const WINDOWS: &str = "it is for Windows";
const OLD_CGROUPS: &str = "cgroup v2 does not have it";

const fn value(name: &'static str, fate: Fate) -> LaterOption {
    LaterOption {
        name,
        short: None,
        valued: true,
        fate,
    }
}

const fn flag(name: &'static str, fate: Fate) -> LaterOption {
    LaterOption {
        name,
        short: None,
        valued: false,
        fate,
    }
}

use Fate::{Later, NoEffect, Refused as No};

/// All of them.
pub(crate) const OPTIONS: &[LaterOption] = &[
    // Resources.
    value("shm-size-systemd", Later(&RESOURCES)),
    value("storage-opt", Later(&RESOURCES)),
    value("memory-swappiness", NoEffect(OLD_CGROUPS)),
    value("cpu-rt-period", NoEffect(OLD_CGROUPS)),
    value("cpu-rt-runtime", NoEffect(OLD_CGROUPS)),
    flag("oom-kill-disable", NoEffect(OLD_CGROUPS)),
    value("kernel-memory", NoEffect("the kernel no longer has it")),
    value("rdt-class", NoEffect("only root can choose it")),
    value("cpu-count", NoEffect(WINDOWS)),
    value("cpu-percent", NoEffect(WINDOWS)),
    value("io-maxbandwidth", NoEffect(WINDOWS)),
    value("io-maxiops", NoEffect(WINDOWS)),
    value("isolation", NoEffect(WINDOWS)),
    // Networks.
    value(
        "link",
        Fate::Refused(
            "links are Docker's old way to names",
            "put both containers on a network of their own: carrier network create NAME, carrier run --network NAME",
        ),
    ),
    value("link-local-ip", NoEffect("no network has such addresses")),
    // Volumes and mounts.
    value(
        "volume-driver",
        NoEffect("volumes are directories of this host"),
    ),
    // Devices.
    value("gpus", Later(&DEVICES)),
    value(
        "device-cgroup-rule",
        NoEffect("devices are those that were given to the container"),
    ),
    // Namespaces and privileges.
    flag("privileged", Later(&PRIVILEGES)),
    value("pid", Later(&NAMESPACES)),
    value("ipc", Later(&NAMESPACES)),
    value("uts", Later(&NAMESPACES)),
    value("uidmap", Later(&NAMESPACES)),
    value("gidmap", Later(&NAMESPACES)),
    value("subuidname", Later(&NAMESPACES)),
    value("subgidname", Later(&NAMESPACES)),
    // The process and its environment.
    value("umask", Later(&PROCESS)),
    value("personality", Later(&PROCESS)),
    value("preserve-fds", Later(&PROCESS)),
    value("preserve-fd", Later(&PROCESS)),
    flag("env-host", Later(&ENVIRONMENT)),
    flag("http-proxy", Later(&ENVIRONMENT)),
    value("env-merge", Later(&ENVIRONMENT)),
    value("unsetenv", Later(&ENVIRONMENT)),
    flag("unsetenv-all", Later(&ENVIRONMENT)),
    value("tz", Later(&GENERATED)),
    flag("passwd", Later(&GENERATED)),
    value("passwd-entry", Later(&GENERATED)),
    value("group-entry", Later(&GENERATED)),
    value("hostuser", Later(&GENERATED)),
    value("chrootdirs", Later(&GENERATED)),
    value("secret", Later(&SECRETS)),
    // Others.
    value("pod", Later(&PODS)),
    value("pod-id-file", Later(&PODS)),
    value("requires", Later(&PODS)),
    value("sdnotify", Later(&SYSTEMD)),
    value("systemd", Later(&SYSTEMD)),
    flag("rootfs", Later(&ROOTS)),
    value(
        "arch",
        No(
            "the platform is one option here",
            "use --platform OS/ARCH[/VARIANT]",
        ),
    ),
    value(
        "os",
        No(
            "the platform is one option here",
            "use --platform OS/ARCH[/VARIANT]",
        ),
    ),
    value(
        "variant",
        No(
            "the platform is one option here",
            "use --platform OS/ARCH[/VARIANT]",
        ),
    ),
    flag(
        "rmi",
        No(
            "no image is removed behind your back",
            "`carrier rmi` when the container has ended",
        ),
    ),
    value("retry", Later(&PULLING)),
    value("retry-delay", Later(&PULLING)),
    value("authfile", Later(&PULLING)),
    value("cert-dir", Later(&PULLING)),
    value("creds", Later(&PULLING)),
    value("decryption-key", Later(&PULLING)),
    value("health-startup-cmd", Later(&HEALTH)),
    value("health-startup-interval", Later(&HEALTH)),
    value("health-startup-retries", Later(&HEALTH)),
    value("health-startup-success", Later(&HEALTH)),
    value("health-startup-timeout", Later(&HEALTH)),
    value("health-log-destination", Later(&HEALTH)),
    value("health-max-log-count", Later(&HEALTH)),
    value("health-max-log-size", Later(&HEALTH)),
    value(
        "runtime",
        No(
            "containers run by Carrier's own runtime",
            "leave it out; other engines can use Carrier as their runtime: `carrier oci --help`",
        ),
    ),
    value("init-path", No("the init is built in", "use --init alone")),
    value(
        "conmon-pidfile",
        No(
            "there is no conmon",
            "use --pidfile for the container's first process",
        ),
    ),
    value(
        "seccomp-policy",
        No(
            "profiles of images are not trusted",
            "use --security-opt seccomp=FILE",
        ),
    ),
    flag(
        "use-api-socket",
        No("there is no API socket to mount", "leave it out"),
    ),
    flag(
        "disable-content-trust",
        NoEffect("signatures are checked as the policy of registries says"),
    ),
];

/// Those of other verbs.
pub(crate) const REFUSED: &[Refused] = &[Refused {
    verb: "rm",
    option: "link",
    why: "there are no links between containers",
    hint: "leave it out",
}];
