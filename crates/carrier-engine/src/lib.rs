//! The use cases of Carrier: run, list and remove containers, and unpack what a registry sends.
//!
//! Each verb takes a struct of options without a command line or HTTP in it. Pure functions turn
//! image, options and host into a configuration; the runtime turns that into a process.

mod archive;
mod attach;
mod boot;
mod bridge;
mod control;
mod core_dumps;
mod create;
mod decisions;
mod detach_keys;
mod doctor;
mod embedded;
mod emulator;
mod engine;
mod error;
mod etc_files;
mod events;
mod exec;
mod fallback;
mod files;
mod foreground;
mod health;
mod helper;
mod host;
mod identity;
mod images;
mod inspect;
mod launch;
mod life;
mod list;
mod log;
mod look;
mod moment;
mod monitor;
mod names;
mod net;
mod outer_ids;
mod own_user;
mod places;
mod processes;
mod readiness;
mod record;
mod remove;
mod rename;
mod resources;
mod restart;
mod run;
mod shared_ids;
mod signals;
mod spec;
mod stats;
mod stop;
mod subordinate;
mod survey;
mod system;
mod terminal;
mod time;
mod top;
mod unpacker;
mod userns;
mod volumes;
mod written_maps;

pub use archive::{
    ArchiveFormat, BadArchive, BadChange, ImportOptions, LoadOptions, Loaded, SaveOptions,
};
pub use attach::{AttachOptions, Ending};
pub use boot::{Boot, BootError, BootStarter, Returned};
pub use bridge::{
    BridgeError, ConnectOptions, CreateNetworkOptions, DEFAULT_NETWORK, Driver, Network,
    NetworkFilter, NetworkSubnet, NetworkUser, ParseSubnetError, Subnet,
};
pub use decisions::tell_decisions;
pub use detach_keys::{DetachKeys, Detector, Fed, UnknownKey};
pub use doctor::{Check, Finding, OwnFix, Remedy, State, examine, explain, lingering, root_script};
pub use embedded::HELLO;
pub use engine::Engine;
pub use error::{Error, ErrorKind};
pub use events::{Actor, Event, EventFilter, EventKind, EventReader};
pub use exec::ExecOptions;
pub use files::{
    CommitOptions, Copied, CopyError, CopyOptions, FileChange, FileChangeKind, HostEnd,
};
pub use foreground::{Leash, Session, guarded};
pub use health::{
    BadHealthOption, Health, HealthAction, HealthCheck, HealthOptions, HealthStatus, Probe,
    parse_duration,
};
pub use host::Host;
pub use images::{
    FilterError, HistoryStep, ImageChange, ImageDetails, ImageFilter, Pruned, RemoveImageOptions,
};
pub use life::{Life, Status};
pub use list::{ContainerFilter, ContainerSize, ContainerSummary, ImageSummary};
pub use log::{
    BadLogOption, BadSearch, LogConfig, LogDriver, LogFilter, LogLimits, LogOptions, LogRecord,
    LogSink, Stream as LogStream,
};
pub use moment::Moment;
pub use monitor::Wanted;
pub use net::{
    Attachment, BoundPort, DnsOptions, Endpoint, ExtraHost, HostAddress, HostsFile, MacAddress,
    NetworkError, NetworkMode, NetworkOptions, NetworkState, ParseMacAddressError, ParsePortError,
    PastaOptions, PortMapping, PortRange, PortSpec, Protocol, SlirpOptions,
};
pub use places::{Places, places};
pub use processes::{ContainerProcess, boot_time};
pub use readiness::{NotReady, ParseReadinessError, Readiness};
pub use record::{
    ContainerRecord, EnvironmentSetting, RunOptions, SeccompChoice, SecurityOptions, Streams,
};
pub use remove::{RemoveOptions, Removed};
pub use resources::{
    BadResource, CgroupChoice, ContainerChange, DeviceRate, DeviceWeight, Limits, Processors,
    Resources, Sysctl, Ulimit, cpus, processor_list, size, swap,
};
pub use restart::{NoRestartPolicy, RestartPolicy};
pub use signals::{signal_names, signal_number};
pub use stats::{ContainerStats, Sample};
pub use stop::{StopOptions, WaitCondition};
pub use system::{
    CheckOptions, CheckReport, ContainerUsage, ImageUsage, PruneOptions, PrunedContainers,
    PrunedSystem, SystemPrune, Usage, VolumeUsage, reset,
};
pub use time::parse as parse_time;
pub use top::ContainerProcesses;
pub use unpacker::{LayerChannel, Unpacker};
pub use userns::UserMode;
pub use volumes::{
    CreateVolumeOptions, DevicePoint, ImageVolumes, MountPoint, MountSource, Origin, PrunedVolumes,
    ReadOnly, Storage, StorageOptions, VolumeError, VolumeFilter, VolumeSummary, VolumesFrom,
    shown_labels,
};
