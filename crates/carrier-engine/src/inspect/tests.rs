use std::time::Duration;

use carrier_runtime::Capabilities;

use super::*;
use crate::life::Status;
use crate::net::{Attachment, Endpoint, NetworkMode};

fn record() -> ContainerRecord {
    let hex = |byte: &str| byte.repeat(32);
    let text = json!({
        "version": 1,
        "id": hex("ab"),
        "name": "web",
        "created": 1_700_000_000_500_000_000_u64,
        "image": "docker.io/library/nginx:1.27",
        "image_id": format!("sha256:{}", hex("cd")),
        "platform": { "os": "linux", "architecture": "amd64" },
        "layers": [],
        "arguments": ["/entry", "nginx", "-g"],
        "entrypoint_words": 1,
        "environment": ["PATH=/bin"],
        "working_directory": "/",
        "user": "",
        "hostname": "abababababab",
        "read_only": false,
        "remove": true,
        "streams": { "interactive": true, "terminal": false },
        "network": "none",
        "security": {
            "capabilities": (Capabilities::DEFAULT.bits() | 1 << 12) & !1,
            "no_new_privileges": true,
            "seccomp": "unconfined",
        },
        "labels": { "tier": "front" },
        "stop_signal": "SIGQUIT",
        "stop_timeout": 3,
        "restart": { "on-failure": 3 },
    });
    serde_json::from_value(text).unwrap()
}

fn describe_container(record: &ContainerRecord, life: &Life) -> Value {
    describe(&Facts {
        volumes: Path::new("/store/volumes"),
        record,
        life,
        directory: Path::new("/store/containers/ab"),
        etc: Path::new("/run/carrier/ab"),
        layers: &["/store/layers/2".to_owned(), "/store/layers/1".to_owned()],
        size: None,
    })
}

#[test]
fn times_are_printed_as_go_prints_them() {
    for (nanoseconds, expected) in [
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_000_000_000, "1970-01-01T00:00:01Z"),
        (10_000_000_001, "1970-01-01T00:00:10.000000001Z"),
    ] {
        let moment = Moment::from(Duration::from_nanos(nanoseconds));
        assert_eq!(go_time(moment), expected);
    }
}

#[test]
fn a_container_that_never_ran_has_dockers_zero_times() {
    let description = describe_container(&record(), &Life::default());
    let state = &description["State"];
    assert_eq!(state["Status"], "created");
    assert_eq!(state["Running"], false);
    assert_eq!((&state["Pid"], &state["ExitCode"]), (&json!(0), &json!(0)));
    assert_eq!(state["StartedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(description["Created"], "2023-11-14T22:13:20.5Z");
    assert_eq!(description["Name"], "/web");
    assert_eq!(description["Path"], "/entry");
    assert_eq!(description["Args"], json!(["nginx", "-g"]));
    assert_eq!(
        description["GraphDriver"]["Data"]["LowerDir"],
        "/store/layers/2:/store/layers/1"
    );
}

#[test]
fn what_was_asked_for_is_in_dockers_places() {
    let description = describe_container(&record(), &Life::default());
    let (config, host) = (&description["Config"], &description["HostConfig"]);
    assert_eq!(config["Entrypoint"], json!(["/entry"]));
    assert_eq!(config["Cmd"], json!(["nginx", "-g"]));
    assert_eq!(config["Image"], "nginx:1.27");
    assert_eq!(config["Labels"], json!({ "tier": "front" }));
    assert_eq!(config["StopSignal"], "SIGQUIT");
    assert_eq!(config["StopTimeout"], 3);
    assert_eq!(config["OpenStdin"], true);
    assert_eq!(
        host["RestartPolicy"],
        json!({ "Name": "on-failure", "MaximumRetryCount": 3 })
    );
    assert_eq!(host["AutoRemove"], true);
    assert_eq!(host["CapAdd"], json!(["CAP_NET_ADMIN"]));
    assert_eq!(host["CapDrop"], json!(["CAP_CHOWN"]));
    assert_eq!(host["NetworkMode"], "none");
    assert_eq!(
        description["NetworkSettings"]["Networks"]["none"]["IPAddress"],
        ""
    );
}

#[test]
fn a_container_that_has_ended_tells_how_and_when() {
    let life = Life {
        status: Status::Exited,
        started: Some(Moment::from(Duration::from_secs(1))),
        finished: Some(Moment::from(Duration::from_secs(2))),
        code: 137,
        restarts: 2,
        ..Life::default()
    };
    let description = describe_container(&record(), &life);
    let state = &description["State"];
    assert_eq!(state["Status"], "exited");
    assert_eq!(state["ExitCode"], 137);
    assert_eq!(state["FinishedAt"], "1970-01-01T00:00:02Z");
    assert_eq!(description["RestartCount"], 2);
}

#[test]
fn every_key_of_dockers_is_there() {
    let description = describe_container(&record(), &Life::default());
    for (part, keys) in [
        (
            &description,
            "AppArmorProfile Args Config Created Driver ExecIDs GraphDriver HostConfig HostnamePath \
             HostsPath Id Image LogPath MountLabel Mounts Name NetworkSettings Path Platform \
             ProcessLabel ResolvConfPath RestartCount State",
        ),
        (
            &description["State"],
            "Dead Error ExitCode FinishedAt OOMKilled Paused Pid Restarting Running StartedAt Status",
        ),
        (
            &description["HostConfig"],
            "AutoRemove Binds BlkioWeight CapAdd CapDrop CgroupParent CgroupnsMode ConsoleSize \
             ContainerIDFile CpuPeriod CpuQuota CpuShares CpusetCpus Devices Dns DnsOptions DnsSearch \
             ExtraHosts GroupAdd IpcMode Isolation Links LogConfig MaskedPaths Memory MemorySwap \
             NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit PortBindings \
             Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime \
             SecurityOpt ShmSize UTSMode Ulimits UsernsMode VolumeDriver VolumesFrom",
        ),
        (
            &description["Config"],
            "AttachStderr AttachStdin AttachStdout Cmd Domainname Entrypoint Env Hostname Image \
             Labels OnBuild OpenStdin StdinOnce StopSignal StopTimeout Tty User Volumes WorkingDir",
        ),
        (
            &description["NetworkSettings"],
            "Bridge EndpointID Gateway GlobalIPv6Address IPAddress IPPrefixLen MacAddress Networks \
             Ports SandboxID SandboxKey",
        ),
    ] {
        for key in keys.split_whitespace() {
            assert!(part.get(key).is_some(), "{key}");
        }
    }
}

#[test]
fn the_networks_of_a_container_that_does_not_run_are_those_it_is_to_be_on() {
    let hex = |byte: &str| byte.repeat(32);
    let mut record = record();
    record.network = NetworkMode::Bridge(vec![
        Attachment {
            network: "back".to_owned(),
            id: hex("1f"),
            ..Attachment::default()
        },
        Attachment {
            network: "front".to_owned(),
            id: hex("2f"),
            ip: Some("10.89.0.9".parse().unwrap()),
            aliases: vec!["www".to_owned()],
            ..Attachment::default()
        },
    ]);
    let networks = |life: &Life| {
        let description = describe_container(&record, life);
        description["NetworkSettings"]["Networks"].clone()
    };
    let stopped = networks(&Life::default());
    let front = &stopped["front"];
    assert_eq!(front["NetworkID"], hex("2f"));
    assert_eq!(front["IPAMConfig"], json!({ "IPv4Address": "10.89.0.9" }));
    assert_eq!(front["Aliases"], json!(["www"]));
    assert_eq!(
        front["DNSNames"],
        json!([record.name, "www", record.id.short()])
    );
    assert_eq!(front["IPAddress"], "");
    assert_eq!(stopped["back"]["NetworkID"], hex("1f"));
    assert_eq!(stopped["back"]["IPAMConfig"], Value::Null);
    let mut life = Life::default();
    life.network.endpoints = vec![Endpoint {
        network: "front".to_owned(),
        id: hex("2f"),
        ip: Some(("10.89.0.9".parse().unwrap(), 24)),
        ..Endpoint::default()
    }];
    let running = networks(&life);
    assert_eq!(running["front"]["IPAddress"], "10.89.0.9");
    assert_eq!(running["back"]["IPAddress"], "");
}
