//! The grammar of what a container may use.

use clap::{Args, ValueEnum};

// Limits that `update` changes too.
#[derive(Args, Clone, Debug)]
pub(crate) struct LimitArgs {
    /// Limit memory: 512m, 1.5g
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Limit memory and swap together, as much again unless given; -1 for any swap
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<String>,
    /// Leave it so much memory when others want some
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_reservation: Option<String>,
    /// Limit the time on processors: 0.5, 2
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Microseconds in which the quota can be used: 100000
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(crate) cpu_period: Option<i64>,
    /// Microseconds on processors in a period; -1 for any
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Its share of the processors, where others have 1024
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) cpu_shares: Option<u64>,
    /// Processors that it may run on: 0-2,5
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Nodes whose memory it may use: 0,1
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Limit processes and threads; -1 for any number
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Its share of disks, from 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    /// Its share of one disk: /dev/sda:500
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    pub(crate) blkio_weight_device: Vec<String>,
    /// Limit bytes a second that are read: /dev/sda:10m
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_read_bps: Vec<String>,
    /// Limit bytes a second that are written
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_write_bps: Vec<String>,
    /// Limit reads a second: /dev/sda:1000
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_read_iops: Vec<String>,
    /// Limit writes a second
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_write_iops: Vec<String>,
}

// What a container may use, and where that is counted.
#[derive(Args, Debug)]
pub(crate) struct ResourceArgs {
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Whether it has a cgroup: enabled or disabled; without the option when it needs one
    #[arg(long, value_enum, value_name = "WHETHER")]
    pub(crate) cgroups: Option<CgroupsMode>,
    /// Make its cgroup in a slice of systemd, or in a directory of the hierarchy
    #[arg(long, value_name = "PARENT")]
    pub(crate) cgroup_parent: Option<String>,
    /// Whether it sees its own cgroups or those of the host
    #[arg(long, value_enum, value_name = "MODE", default_value_t = CgroupNamespace::Private)]
    pub(crate) cgroupns: CgroupNamespace,
    /// Write a value to a file of its cgroup: memory.high=500000000
    #[arg(long, value_name = "FILE=VALUE")]
    pub(crate) cgroup_conf: Vec<String>,
    /// Limit each process: nofile=1024:2048, or host for the caller's limits
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
    /// How soon it is killed when memory runs out, from -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) oom_score_adj: Option<i32>,
    /// Set a kernel parameter of its namespaces: net.core.somaxconn=1024
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<String>,
}

/// Whether a container has a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CgroupsMode {
    /// In any case
    #[value(alias = "no-conmon")]
    Enabled,
    /// In no case
    Disabled,
}

/// Which cgroups a program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CgroupNamespace {
    /// Its own
    Private,
    /// All
    Host,
}
