//! `carrier version`

use carrier_spec::Platform;
use serde_json::{Value, json};

use super::super::print;
use crate::cli::system::VersionArgs;
use crate::listing::Format;
use crate::report::Failure;

/// Makes nothing, and needs no store.
pub(crate) fn version(args: &VersionArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    print(&format.print_one(facts(), |facts| plain(&facts["Server"]))?)?;
    Ok(0)
}

/// Docker's shape: scripts ask for `.Server.Version` and `.Client.Version`, which are one program here.
fn facts() -> Value {
    let system = rustix::system::uname();
    let platform = Platform::host();
    let one = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Os": platform.os,
        "Arch": platform.architecture,
        "KernelVersion": system.release().to_string_lossy(),
    });
    json!({ "Client": one, "Server": one })
}

fn plain(facts: &Value) -> String {
    let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    format!(
        "Carrier\n Version:  {}\n OS/Arch:  {}/{}\n Kernel:   {}\n",
        text("Version"),
        text("Os"),
        text("Arch"),
        text("KernelVersion")
    )
}
