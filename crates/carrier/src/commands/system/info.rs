//! `carrier info`

use std::fs;

use carrier_engine::{Engine, ImageFilter, Moment, Status};
use serde_json::{Value, json};

use super::super::print;
use crate::cli::system::InfoArgs;
use crate::listing::Format;
use crate::report::Failure;

pub(crate) fn info(args: &InfoArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    let engine = Engine::open()?;
    print(&format.print_one(facts(&engine)?, plain)?)?;
    Ok(0)
}

/// Docker's names for what Carrier knows.
fn facts(engine: &Engine) -> Result<Value, Failure> {
    let containers = engine.containers(true)?;
    let count = |is: &dyn Fn(Status) -> bool| {
        let statuses = containers.iter().map(|one| one.life.status);
        statuses.filter(|status| is(*status)).count()
    };
    let paused = count(&|status| status == Status::Paused);
    let running = count(&|status| status.is_alive()) - paused;
    let images = engine.images(&ImageFilter::default())?;
    let system = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let cgroup = if fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok() {
        "2"
    } else {
        "1"
    };
    let controllers = carrier_runtime::controllers();
    let has = |name: &str| controllers.iter().any(|one| one == name);
    let mut facts = json!({
        "MemoryLimit": has("memory"),
        "SwapLimit": has("memory"),
        "CpuCfsPeriod": has("cpu"),
        "CpuCfsQuota": has("cpu"),
        "CPUShares": has("cpu"),
        "CPUSet": has("cpuset"),
        "PidsLimit": has("pids"),
        "CgroupControllers": controllers.join(" "),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": containers.len() - running - paused,
        "Images": images.len(),
        "Driver": "overlay",
        "DockerRootDir": engine.store().root().display().to_string(),
        "CarrierRootDir": engine.store().root().display().to_string(),
        "CgroupDriver": carrier_runtime::cgroup_driver(),
        "CgroupVersion": cgroup,
        "KernelVersion": word(system.release()),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": word(system.machine()),
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory(),
        "Name": word(system.nodename()),
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "SystemTime": Moment::now().to_string(),
    });
    if let (Some(facts), Value::Object(fixed)) = (facts.as_object_mut(), fixed()) {
        facts.extend(fixed);
    }
    Ok(facts)
}

/// What scripts ask Docker for and is the same everywhere. Where Carrier has nothing of the kind, such as
/// an id of a daemon, it is empty.
fn fixed() -> Value {
    json!({
        "ID": "",
        "DriverStatus": [],
        "LoggingDriver": "json-file",
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["journald", "json-file", "none", "passthrough"],
        },
        "DefaultRuntime": "carrier",
        "Runtimes": { "carrier": { "path": "carrier" } },
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
        "Labels": [],
        "ExperimentalBuild": false,
        "Warnings": null,
        "ClientInfo": {
            "Version": env!("CARGO_PKG_VERSION"),
            "Context": "default",
            "Plugins": [],
            "Warnings": null,
        },
    })
}

fn plain(facts: &Value) -> String {
    let text = |name: &str| match &facts[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let lines = [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Cgroup Controllers", "CgroupControllers"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Name", "Name"),
        ("Carrier Root Dir", "CarrierRootDir"),
    ];
    lines
        .iter()
        .map(|(label, name)| format!("{label}: {}\n", text(name)))
        .collect()
}

/// os-release(5)
fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// Bytes, proc_meminfo(5).
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    total.map_or(0, |kilobytes| kilobytes * 1024)
}
