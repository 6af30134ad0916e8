//! What `update` takes.

use std::io::Read as _;

use clap::Args;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::Failure;

#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    /// Read limits from a file, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<String>,
    /// Bytes of memory, -1 for no limit
    #[arg(short, long, allow_negative_numbers = true)]
    memory: Option<i64>,
    /// Bytes of memory and swap together
    #[arg(long, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// Bytes of memory that are left to it when the host runs short
    #[arg(long, allow_negative_numbers = true)]
    memory_reservation: Option<i64>,
    /// Relative weight, 2 to 262144
    #[arg(long, visible_alias = "cpu-share")]
    cpu_shares: Option<u64>,
    /// Microseconds of each period
    #[arg(long, allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Microseconds
    #[arg(long)]
    cpu_period: Option<u64>,
    /// Microseconds that may be saved up
    #[arg(long)]
    cpu_burst: Option<u64>,
    /// 1: only time that nobody else wants
    #[arg(long)]
    cpu_idle: Option<i64>,
    /// Processors
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Number of processes, -1 for no limit
    #[arg(long, allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Relative weight for disks, 10 to 1000
    #[arg(long)]
    blkio_weight: Option<u16>,
    pub(super) id: String,
}

impl UpdateArgs {
    /// The limits of the file, or those of the options.
    pub(super) fn resources(&self) -> Result<LinuxResources, Failure> {
        let value = match &self.resources {
            Some(path) => read(path)?,
            None => self.options(),
        };
        serde_json::from_value(value)
            .map_err(|error| Failure::Usage(format!("--resources: {error}")))
    }

    fn options(&self) -> Value {
        let mut resources = Map::new();
        let mut add = |section: &str, fields: Value| {
            let Value::Object(mut fields) = fields else {
                return;
            };
            fields.retain(|_, value| !value.is_null());
            if !fields.is_empty() {
                resources.insert(section.to_owned(), fields.into());
            }
        };
        add(
            "memory",
            json!({
                "limit": self.memory,
                "swap": self.memory_swap,
                "reservation": self.memory_reservation,
            }),
        );
        add(
            "cpu",
            json!({
                "shares": self.cpu_shares,
                "quota": self.cpu_quota,
                "period": self.cpu_period,
                "burst": self.cpu_burst,
                "idle": self.cpu_idle,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
            }),
        );
        add("pids", json!({"limit": self.pids_limit}));
        add("blockIO", json!({"weight": self.blkio_weight}));
        resources.into()
    }
}

fn read(path: &str) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|content| text = content)
    };
    read.map_err(|source| Failure::System {
        action: format!("read {path}"),
        source,
    })?;
    serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("{path}: {error}")))
}
