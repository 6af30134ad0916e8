//! `carrier save`, `load`, `import` and `export`

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use carrier_engine::{
    ArchiveFormat, Engine, Event, ImportOptions, LoadOptions, Loaded, SaveOptions,
};
use carrier_spec::Reference;
use carrier_sys::umask::with_users;
use rustix::termios::isatty;

use super::super::print;
use super::super::pull::platform;
use crate::cli::images::{ExportArgs, ImportArgs, LoadArgs, SaveArgs, SaveFormat};
use crate::progress;
use crate::report::Failure;

const BUFFER: usize = 256 * 1024;

pub(crate) fn save(args: &SaveArgs) -> Result<u8, Failure> {
    let options = SaveOptions {
        format: match args.format {
            SaveFormat::DockerArchive => ArchiveFormat::Docker,
            SaveFormat::OciArchive => ArchiveFormat::Oci,
        },
        platform: platform(args.platform.as_deref())?,
    };
    let engine = Engine::open()?;
    write_archive(args.output.as_deref(), "save", |output| {
        let output = BufWriter::with_capacity(BUFFER, output);
        Ok(engine.save(&args.words, &options, output)?)
    })?;
    for word in &args.words {
        engine.emit(&Event::image("save", word, word));
    }
    Ok(0)
}

pub(crate) fn export(args: &ExportArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    write_archive(args.output.as_deref(), "export", |output| {
        for name in engine.export(&args.container, output.as_fd())? {
            progress::warn(&format!("{name} changed while it was read"));
        }
        Ok(())
    })?;
    engine.emit_about("export", &args.container);
    Ok(0)
}

pub(crate) fn import(args: &ImportArgs) -> Result<u8, Failure> {
    let from = args.file.as_str();
    if from.starts_with("http://") || from.starts_with("https://") {
        return Err(Failure::with_hint(
            format!("cannot fetch {from}"),
            "have it fetched: `curl -fL URL | carrier import - NAME`",
        ));
    }
    let name: Option<Reference> = match &args.name {
        Some(name) => Some(name.parse().map_err(Failure::usage)?),
        None => None,
    };
    if name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(Failure::with_hint(
            "cannot import to a name with a digest",
            "name it NAME[:TAG]",
        ));
    }
    let message = args.message.clone();
    let options = ImportOptions {
        name,
        changes: args.change.clone(),
        message: message.unwrap_or_else(|| format!("Imported from {from}")),
        platform: platform(args.platform.as_deref())?,
    };
    let input = read_archive(Some(from), "import")?;
    let engine = Engine::open()?;
    engine.repair()?;
    let id = engine.import(input, &options)?;
    engine.emit(&Event::image("import", &id.to_string(), &id.to_string()));
    print(&format!("{id}\n"))?;
    Ok(0)
}

/// Has an archive written to a file, which appears when it is whole, or to standard output.
pub(crate) fn write_archive(
    path: Option<&str>,
    verb: &str,
    write: impl FnOnce(&File) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(path) = path.filter(|path| *path != "-") else {
        let stdout = rustix::stdio::stdout();
        if isatty(stdout) {
            return Err(Failure::with_hint(
                format!("cowardly refusing to {verb} to a terminal"),
                "use the -o option or redirect",
            ));
        }
        let copy = stdout.try_clone_to_owned();
        let copy = copy.map_err(file_failure("write", "standard output"))?;
        return write(&File::from(copy));
    };
    // A pipe or a device is written to as it is.
    let is_special = fs::metadata(path).is_ok_and(|found| !found.is_file());
    if is_special {
        let file = File::options().write(true).open(path);
        let file = file.map_err(file_failure("write", path))?;
        return write(&file);
    }
    let draft = Draft::new(Path::new(path)).map_err(file_failure("write", path))?;
    write(&draft.file)?;
    draft
        .finish(Path::new(path))
        .map_err(file_failure("write", path))
}

/// A file beside the one that it will be; gone when it is not finished.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn new(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let hidden = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let path = path.with_file_name(hidden);
        let mut options = File::options();
        options.write(true).create_new(true);
        let file = with_users(|| options.open(&path))?;
        Ok(Self { path, file })
    }

    fn finish(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more when it was finished.
        let _ = fs::remove_file(&self.path);
    }
}

pub(crate) fn load(args: &LoadArgs) -> Result<u8, Failure> {
    let options = LoadOptions {
        platform: platform(args.platform.as_deref())?,
    };
    let input = read_archive(args.input.as_deref(), "load")?;
    let engine = Engine::open()?;
    engine.repair()?;
    for loaded in engine.load(input, &options)? {
        let id = loaded.id.to_string();
        let name = loaded
            .name
            .as_ref()
            .map_or_else(|| id.clone(), Reference::familiar);
        engine.emit(&Event::image("load", &id, &name));
        print(&lines(&loaded))?;
    }
    Ok(0)
}

/// Opens a file, or standard input.
pub(crate) fn read_archive(path: Option<&str>, verb: &str) -> Result<impl Read, Failure> {
    if let Some(path) = path.filter(|path| *path != "-") {
        return File::open(path).map_err(file_failure("read", path));
    }
    let stdin = rustix::stdio::stdin();
    if isatty(stdin) {
        return Err(Failure::with_hint(
            format!("requested {verb} from standard input, but it is a terminal"),
            "name a file, or redirect standard input",
        ));
    }
    let copy = stdin.as_fd().try_clone_to_owned();
    copy.map(File::from)
        .map_err(file_failure("read", "standard input"))
}

pub(crate) fn file_failure(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::File {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Docker's words, also for a name that an archive takes from another image.
fn lines(loaded: &Loaded) -> String {
    let Some(name) = &loaded.name else {
        return format!("Loaded image ID: {}\n", loaded.id);
    };
    let name = name.familiar();
    let replaced = loaded.replaced.as_ref().map_or_else(String::new, |old| {
        format!(
            "The image {name} already exists, renaming the old one with ID {old} to empty string\n"
        )
    });
    format!("{replaced}Loaded image: {name}\n")
}
