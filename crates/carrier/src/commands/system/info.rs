//! `carrier info`

use std::fs;

use carrier_engine::{Engine, ImageFilter};
use carrier_spec::Platform;
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
    let running = containers
        .iter()
        .filter(|one| one.life.status.is_alive())
        .count();
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
    Ok(json!({
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
        "ContainersStopped": containers.len() - running,
        "Images": images.len(),
        "Driver": "overlay",
        "DockerRootDir": engine.store().root().display().to_string(),
        "CarrierRootDir": engine.store().root().display().to_string(),
        "CgroupVersion": cgroup,
        "KernelVersion": word(system.release()),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": Platform::host().architecture,
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory(),
        "Name": word(system.nodename()),
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
    }))
}

fn plain(facts: &Value) -> String {
    let text = |name: &str| match &facts[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let lines = [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
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
