//! Commands of a shell, carried out.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};

use super::Shell;
use super::parse::{Command, Pipeline, Redirect, When};
use crate::{PROGRAM, complain, is_applet, plain, sentence};

/// What this process is made of: Carrier's own binary, in memory that nobody can change.
const OURSELVES: &str = "/proc/self/exe";

const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Where the three streams of a command lead.
struct Streams {
    input: Stdio,
    output: Stdio,
    error: Stdio,
}

impl Shell {
    pub(super) fn run_list(&mut self, list: &[Pipeline]) {
        for pipeline in list {
            let runs = match pipeline.when {
                When::Always => true,
                When::Success => self.code == 0,
                When::Failure => self.code != 0,
            };
            if !runs {
                continue;
            }
            self.run_pipeline(pipeline);
            if pipeline.negated {
                self.code = u8::from(self.code == 0);
            }
            if self.ends.is_some() {
                return;
            }
        }
    }

    fn run_pipeline(&mut self, pipeline: &Pipeline) {
        if let [command] = pipeline.commands.as_slice()
            && let Some(code) = self.builtin(command)
        {
            self.code = code;
            return;
        }
        let mut children = Vec::new();
        let mut input: Option<Stdio> = None;
        let mut last = NOT_FOUND;
        let count = pipeline.commands.len();
        for (place, command) in pipeline.commands.iter().enumerate() {
            let pipes = place + 1 < count;
            let stdin = input.take().unwrap_or_else(|| {
                if pipeline.background {
                    Stdio::null()
                } else {
                    Stdio::inherit()
                }
            });
            match self.start(command, stdin, pipes) {
                Ok(mut child) => {
                    input = child.stdout.take().map(Stdio::from);
                    children.push(child);
                }
                Err((code, words)) => {
                    complain("sh", &words);
                    last = code;
                    // The next one reads nothing.
                    input = Some(Stdio::null());
                    if !pipes {
                        wait_for(children);
                        self.code = last;
                        return;
                    }
                }
            }
        }
        if pipeline.background {
            self.code = 0;
            return;
        }
        self.code = wait_for(children).unwrap_or(last);
    }

    /// What has to happen in the shell itself.
    fn builtin(&mut self, command: &Command) -> Option<u8> {
        let mut fields = command.words.iter().flat_map(|word| self.fields(word));
        let Some(name) = fields.next() else {
            for (name, word) in &command.assignments {
                let value = self.single(word);
                self.set(name, value);
            }
            return Some(0);
        };
        let arguments: Vec<OsString> = fields.collect();
        match name.as_bytes() {
            b":" => Some(0),
            b"cd" => Some(self.change_directory(&arguments)),
            b"exit" => {
                let code = arguments
                    .first()
                    .and_then(|word| word.to_str()?.parse().ok());
                self.ends = Some(code.unwrap_or(self.code));
                Some(0)
            }
            b"export" => {
                for word in &arguments {
                    let text = word.to_string_lossy();
                    let (name, value) = match text.split_once('=') {
                        Some((name, value)) => (name, Some(OsString::from(value))),
                        None => (&*text, self.variables.get(&*text).cloned()),
                    };
                    if let Some(value) = value {
                        self.exported.insert(name.to_owned(), value);
                        self.variables.remove(name);
                    }
                }
                Some(0)
            }
            b"unset" => {
                for word in &arguments {
                    let name = word.to_string_lossy();
                    self.variables.remove(&*name);
                    self.exported.remove(&*name);
                }
                Some(0)
            }
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: OsString) {
        match self.exported.get_mut(name) {
            Some(old) => *old = value,
            None => drop(self.variables.insert(name.to_owned(), value)),
        }
    }

    fn change_directory(&mut self, arguments: &[OsString]) -> u8 {
        let home = || OsString::from_vec(self.value("HOME"));
        let target = match arguments.first() {
            None => home(),
            Some(word) if word == "-" => OsString::from_vec(self.value("OLDPWD")),
            Some(word) => word.clone(),
        };
        let before = std::env::current_dir().unwrap_or_default();
        match std::env::set_current_dir(&target) {
            Ok(()) => {
                self.set("OLDPWD", before.into_os_string());
                0
            }
            Err(error) => {
                complain("cd", &sentence(Path::new(&target), &error));
                1
            }
        }
    }

    fn start(&self, command: &Command, input: Stdio, pipes: bool) -> Result<Child, (u8, String)> {
        let fields: Vec<OsString> = command
            .words
            .iter()
            .flat_map(|word| self.fields(word))
            .collect();
        let Some((name, arguments)) = fields.split_first() else {
            return Err((NOT_FOUND, "there is no command".to_owned()));
        };
        let mut program = self
            .program(name)
            .ok_or_else(|| (NOT_FOUND, format!("{}: not found", name.display())))?;
        program.args(arguments).env_clear().envs(&self.exported);
        for (name, word) in &command.assignments {
            program.env(name, self.single(word));
        }
        let output = if pipes {
            Stdio::piped()
        } else {
            Stdio::inherit()
        };
        let streams = Streams {
            input,
            output,
            error: Stdio::inherit(),
        };
        let streams = self
            .redirect(command, streams)
            .map_err(|words| (1, words))?;
        program
            .stdin(streams.input)
            .stdout(streams.output)
            .stderr(streams.error);
        program.spawn().map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            };
            (code, format!("{}: {}", name.display(), plain(&error)))
        })
    }

    /// A program of the image, or else one of ours.
    fn program(&self, name: &OsString) -> Option<Program> {
        let path = self.find_program(Path::new(name));
        match path {
            Some(path) => {
                let mut program = Program::new(path);
                program.arg0(name);
                Some(program)
            }
            None if is_applet(name.to_str()?) => {
                let mut program = Program::new(OURSELVES);
                program.arg0(PROGRAM).arg(name);
                Some(program)
            }
            None => None,
        }
    }

    fn find_program(&self, name: &Path) -> Option<PathBuf> {
        let path = OsString::from_vec(self.value("PATH"));
        crate::system::find_program_in(name, &path)
    }

    fn redirect(&self, command: &Command, mut streams: Streams) -> Result<Streams, String> {
        let mut output_file: Option<File> = None;
        for redirect in &command.redirects {
            match redirect {
                Redirect::Input(word) => {
                    let path = PathBuf::from(self.single(word));
                    let file = File::open(&path).map_err(|error| sentence(&path, &error))?;
                    streams.input = file.into();
                }
                Redirect::Output(stream, word, append) => {
                    let path = PathBuf::from(self.single(word));
                    let mut how = File::options();
                    how.create(true).append(*append);
                    if !append {
                        how.write(true).truncate(true);
                    }
                    let file = how.open(&path).map_err(|error| sentence(&path, &error))?;
                    if *stream == 1 {
                        output_file = file.try_clone().ok();
                        streams.output = file.into();
                    } else {
                        streams.error = file.into();
                    }
                }
                Redirect::ErrorToOutput => match &output_file {
                    Some(file) => {
                        let copy = file.try_clone();
                        streams.error = copy.map_err(|error| plain(&error))?.into();
                    }
                    None => streams.error = same_as_output()?,
                },
                Redirect::OutputToError => {
                    let error = rustix::io::dup(rustix::stdio::stderr());
                    streams.output = error.map_err(|errno| plain(&errno.into()))?.into();
                }
            }
        }
        Ok(streams)
    }
}

fn same_as_output() -> Result<Stdio, String> {
    let output = rustix::io::dup(rustix::stdio::stdout());
    output
        .map(Stdio::from)
        .map_err(|errno| plain(&errno.into()))
}

/// Waits for all, and returns the code of the last.
fn wait_for(children: Vec<Child>) -> Option<u8> {
    let mut code = None;
    for mut child in children {
        let status = child.wait().ok()?;
        let number = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        code = number.and_then(|number| u8::try_from(number).ok());
    }
    code
}
