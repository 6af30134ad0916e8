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
/// What this program does not have, an API and a compiler of Go, is empty.
fn facts() -> Value {
    let system = rustix::system::uname();
    let platform = Platform::host();
    let version = env!("CARGO_PKG_VERSION");
    let mut client = json!({
        "Platform": { "Name": "Carrier" },
        "Version": version,
        "ApiVersion": "",
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
        "Os": platform.os,
        "Arch": platform.architecture,
        "KernelVersion": system.release().to_string_lossy(),
    });
    let mut server = client.clone();
    client["DefaultAPIVersion"] = "".into();
    client["Context"] = "default".into();
    server["MinAPIVersion"] = "".into();
    server["Experimental"] = false.into();
    server["Components"] = json!([{ "Name": "Engine", "Version": version }]);
    json!({ "Client": client, "Server": server })
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
