use std::collections::BTreeMap;
use std::time::Duration;

use carrier_spec::{Digest, Platform};

use super::*;
use crate::life::Life;
use crate::moment::Moment;
use crate::net::PortSpec;

fn layer(byte: u8) -> DiffId {
    DiffId(Digest::from_sha256([byte; 32]))
}

fn container(status: Status, code: u8) -> ContainerSummary {
    ContainerSummary {
        id: carrier_spec::ContainerId::from_random([0xab; 32]),
        name: "web_1".parse().unwrap(),
        image: "nginx:1.27".to_owned(),
        image_id: ImageId(Digest::from_sha256([1; 32])),
        platform: Platform::host(),
        layers: vec![layer(1), layer(2)],
        command: vec!["nginx".to_owned(), "-g".to_owned()],
        created: Moment::from(Duration::from_secs(1_700_000_000)),
        life: Life {
            status,
            code,
            ..Life::default()
        },
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        network: "none".to_owned(),
        mounts: Vec::new(),
        volumes: 0,
        mount_targets: Vec::new(),
        exposed: ["80/tcp", "8000-8010/udp"]
            .iter()
            .flat_map(|text| PortSpec::parse_range(text).unwrap())
            .collect(),
        restart: "on-failure:3".parse().unwrap(),
    }
}

fn filter(texts: &[&str]) -> Result<ContainerFilter, FilterError> {
    let mut filter = ContainerFilter::default();
    for text in texts {
        let (name, value) = split_filter(text)?;
        filter.add(&name, &value)?;
    }
    Ok(filter)
}

fn shows(texts: &[&str]) -> bool {
    let container = container(Status::Exited, 3);
    filter(texts).unwrap().accepts(&container)
}

#[test]
fn each_filter_means_what_it_means_in_docker() {
    for accepted in [
        &[][..],
        &["id=abab"],
        &["name=web"],
        &["name=^/web_1$"],
        &["name=^web"],
        &["name=db", "name=web"],
        &["label=tier"],
        &["label=tier=front"],
        &["label!=other"],
        &["label!=tier=back"],
        &["exited=3"],
        &["exited=0", "exited=3"],
        &["status=exited"],
        &["status=stopped"],
        &["status=running", "status=exited"],
        &["network=none"],
        &["health=none"],
        &["is-task=false"],
        &["expose=80"],
        &["expose=80/tcp"],
        &["expose=8005-9000/udp"],
        &["until=2023-11-15T00:00:00Z"],
        &["restart-policy=on-failure"],
        &["command=nginx"],
        &["NAME = web"],
    ] {
        assert!(shows(accepted), "{accepted:?}");
    }
    for refused in [
        &["id=ba"][..],
        &["name=db"],
        &["name=^eb"],
        &["label=tier=back"],
        &["label=tier", "label=other"],
        &["label!=tier"],
        &["exited=0"],
        &["status=running"],
        &["network=host"],
        &["health=healthy"],
        &["is-task=true"],
        &["expose=81"],
        &["expose=80/udp"],
        &["publish=80"],
        &["volume=/data"],
        &["until=2023-11-01T00:00:00Z"],
        &["restart-policy=always"],
        &["command=sh"],
        &["name=web", "exited=0"],
    ] {
        assert!(!shows(refused), "{refused:?}");
    }
}

#[test]
fn a_container_that_runs_has_no_exit_code() {
    let running = container(Status::Running, 3);
    assert!(!filter(&["exited=3"]).unwrap().accepts(&running));
    assert!(filter(&["status=running"]).unwrap().asks_for_status());
}

#[test]
fn what_makes_no_sense_is_refused_in_dockers_words() {
    for (text, message) in [
        ("nope=1", "invalid filter 'nope'"),
        ("status=foo", "invalid filter 'status=foo'"),
        ("exited=x", "invalid filter 'exited=x'"),
        ("health=ill", "invalid filter 'health=ill'"),
        ("is-task=maybe", "invalid filter 'is-task=maybe'"),
        ("name=[", "invalid filter 'name=['"),
        ("expose=90-80", "invalid filter 'expose=90-80'"),
        (
            "pod=x",
            "filter 'pod': pods are not available in this version",
        ),
    ] {
        assert_eq!(filter(&[text]).unwrap_err().to_string(), message);
    }
}

#[test]
fn an_ancestor_is_the_image_or_one_that_it_was_made_of() {
    let container = container(Status::Running, 0);
    let fits = |word: &str, image: Option<(u8, &[u8])>| {
        let image = image.map(|(id, layers)| {
            let id = ImageId(Digest::from_sha256([id; 32]));
            (id, layers.iter().map(|byte| layer(*byte)).collect())
        });
        let ancestor = Ancestor {
            word: word.to_owned(),
            image,
        };
        ancestor.fits(&container)
    };
    assert!(fits("nginx", Some((1, &[1, 2]))));
    assert!(fits("debian", Some((7, &[1]))));
    assert!(!fits("other", Some((7, &[2]))) && !fits("same", Some((7, &[1, 2]))));
    assert!(!fits("scratch", Some((7, &[]))));
    assert!(fits("nginx:1.27", None) && !fits("nginx", None));
    assert!(fits(&"01".repeat(6), None));
}
