//! Plans as a whole: which steps a configuration is compiled into, and in which order.

use super::*;

const ROOTLESS: &str = include_str!("tests/rootless.json");
const RICH: &str = include_str!("tests/rich.json");

/// A line a step, with the field that it comes from.
fn shown(plan: &InitPlan) -> String {
    let lines = plan.steps.iter();
    let lines = lines.map(|planned| format!("{}: {}\n", planned.origin, planned.step));
    lines.collect()
}

fn compiled(text: &str, launch: Launch) -> Compiled {
    let spec: Spec = serde_json::from_str(text).unwrap();
    let bundle = Bundle {
        spec: &spec,
        root: RootSource::Directory("/bundle/rootfs".into()),
        filter: None,
        emulator: None,
        launch,
    };
    compile(bundle).unwrap()
}

#[test]
fn the_plan_of_the_configuration_to_begin_with() {
    let compiled = compiled(ROOTLESS, Launch::default());
    assert!(compiled.awaits_parent && compiled.namespaces.joined.is_empty());
    insta::assert_snapshot!(shown(&compiled.plan));
}

#[test]
fn the_plan_of_a_container_that_is_created_with_much() {
    let gate = std::fs::File::open("/dev/null").unwrap();
    let launch = Launch {
        dies_with_caller: false,
        gate: Some(gate.into()),
        has_cgroup: true,
        ..Launch::default()
    };
    let compiled = compiled(RICH, launch);
    let joined = compiled.namespaces.joined.iter().map(|join| join.kind);
    assert_eq!(
        joined.collect::<Vec<_>>(),
        [Namespaces::NETWORK, Namespaces::IPC]
    );
    // Those that their own steps make are not among the new ones.
    let new = Namespaces::USER | Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS;
    assert_eq!(compiled.namespaces.new, new);
    insta::assert_snapshot!(shown(&compiled.plan));
}

#[test]
fn the_plan_of_a_process_that_joins_a_container() {
    let spec: Spec = serde_json::from_str(RICH).unwrap();
    let process = spec.process().clone().unwrap();
    let launch = Launch {
        has_cgroup: true,
        ..Launch::default()
    };
    let entry = Entry {
        spec: &spec,
        process: &process,
        filter: None,
        launch,
    };
    let plan = compile_joining(entry).unwrap();
    insta::assert_snapshot!(shown(&plan));
}
