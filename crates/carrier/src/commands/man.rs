//! The manual pages of this program, as files.

use std::path::Path;

use carrier_sys::umask::with_users;

use crate::cli::man::{ManArgs, pages};
use crate::report::Failure;

pub(crate) fn man(args: &ManArgs) -> Result<u8, Failure> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| Failure::File {
            action: "write",
            path,
            source,
        }
    };
    let directory = args.directory.as_path();
    with_users(|| std::fs::create_dir_all(directory)).map_err(failed(directory))?;
    for (name, text) in pages().map_err(failed(directory))? {
        let path = directory.join(format!("{name}.1"));
        with_users(|| std::fs::write(&path, text)).map_err(failed(&path))?;
    }
    Ok(0)
}
