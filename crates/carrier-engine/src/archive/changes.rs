//! Changes of an image's configuration, written as instructions of a Dockerfile.

use std::path::Path;

use carrier_spec::{Config, Healthcheck};
use serde_json::Value;

use super::words::{word, words};
use crate::health::parse_duration;
use crate::volumes::clean;

/// Why a change makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadChange {
    /// An instruction that cannot be a change.
    #[error("{0:?} is not an instruction that changes an image")]
    Unknown(String),
    /// No arguments, or the wrong ones.
    #[error("bad arguments of {instruction}: {arguments:?}")]
    Arguments {
        /// The instruction.
        instruction: String,
        /// What stood behind it.
        arguments: String,
    },
}

/// A configuration, with what only builders read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changed {
    pub(crate) config: Config,
    pub(crate) on_build: Vec<String>,
    has_command: bool,
}

impl From<Config> for Changed {
    fn from(config: Config) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }
}

impl Changed {
    /// Carries out one instruction.
    pub(crate) fn apply(&mut self, text: &str) -> Result<(), BadChange> {
        let (name, arguments) = text
            .trim()
            .split_once(char::is_whitespace)
            .unwrap_or((text, ""));
        let (name, arguments) = (name.to_ascii_uppercase(), arguments.trim());
        let bad = || BadChange::Arguments {
            instruction: name.clone(),
            arguments: arguments.to_owned(),
        };
        let config = &mut self.config;
        if arguments.is_empty() {
            return Err(bad());
        }
        match name.as_str() {
            "CMD" => {
                config.cmd = Some(command(arguments, config.shell.as_deref()));
                self.has_command = true;
            }
            "ENTRYPOINT" => {
                config.entrypoint = Some(command(arguments, config.shell.as_deref()));
                // The words of another one are none of its.
                config.cmd = config.cmd.take().filter(|_| self.has_command);
            }
            "ENV" => {
                for (name, value) in pairs(arguments, &config.env).ok_or_else(bad)? {
                    set_variable(&mut config.env, &name, &value);
                }
            }
            "LABEL" => config
                .labels
                .extend(pairs(arguments, &config.env).ok_or_else(bad)?),
            "EXPOSE" => {
                let words = words(arguments, &config.env).ok_or_else(bad)?;
                // A variable may have several.
                for word in words.iter().flat_map(|word| word.split_whitespace()) {
                    for port in ports(word).ok_or_else(bad)? {
                        config.exposed_ports.insert(port, Default::default());
                    }
                }
            }
            "VOLUME" => {
                let paths = match list(arguments) {
                    Some(paths) => paths.iter().map(|path| word(path, &config.env)).collect(),
                    None => words(arguments, &config.env),
                };
                let paths: Vec<String> = paths.ok_or_else(bad)?;
                let paths = paths.into_iter().map(|path| (path, Default::default()));
                config.volumes.extend(paths);
            }
            "USER" => config.user = word(arguments, &config.env).ok_or_else(bad)?,
            "STOPSIGNAL" => {
                config.stop_signal = Some(word(arguments, &config.env).ok_or_else(bad)?);
            }
            "WORKDIR" => {
                let path = word(arguments, &config.env).ok_or_else(bad)?;
                config.working_dir = if path.starts_with('/') {
                    path
                } else {
                    let path = Path::new(&config.working_dir).join(path);
                    clean(&path)
                        .into_os_string()
                        .into_string()
                        .map_err(|_| bad())?
                };
            }
            "HEALTHCHECK" => config.healthcheck = Some(healthcheck(arguments).ok_or_else(bad)?),
            "ONBUILD" => self.on_build.push(arguments.to_owned()),
            _ => return Err(BadChange::Unknown(name)),
        }
        Ok(())
    }
}

/// A JSON list is executed as it is; anything else by the image's shell.
fn command(text: &str, shell: Option<&[String]>) -> Vec<String> {
    list(text).unwrap_or_else(|| {
        let usual = || ["/bin/sh", "-c"].map(str::to_owned).to_vec();
        let shell = shell.filter(|shell| !shell.is_empty());
        let mut words = shell.map_or_else(usual, <[String]>::to_vec);
        words.push(text.to_owned());
        words
    })
}

/// `NONE`, or options and then `CMD` with a list or a text for the shell.
fn healthcheck(text: &str) -> Option<Healthcheck> {
    let mut check = Healthcheck::default();
    let mut rest = text.trim();
    while let Some(option) = rest.strip_prefix("--") {
        let (option, behind) = option.split_once(char::is_whitespace)?;
        let (name, value) = option.split_once('=')?;
        let time = || i64::try_from(parse_duration(value)?.as_nanos()).ok();
        match name {
            "interval" => check.interval = time()?,
            "timeout" => check.timeout = time()?,
            "start-period" => check.start_period = time()?,
            "start-interval" => check.start_interval = time()?,
            "retries" => check.retries = value.parse().ok().filter(|count| *count >= 0)?,
            _ => return None,
        }
        rest = behind.trim_start();
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check.test = Some(match (word.to_ascii_uppercase().as_str(), list(command)) {
        ("NONE", _) if command.is_empty() => vec!["NONE".to_owned()],
        ("CMD", _) if command.is_empty() => return None,
        ("CMD", Some(words)) => [vec!["CMD".to_owned()], words].concat(),
        ("CMD", None) => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        _ => return None,
    });
    Some(check)
}

fn list(text: &str) -> Option<Vec<String>> {
    let Ok(Value::Array(items)) = serde_json::from_str(text) else {
        return None;
    };
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn set_variable(lines: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    let is_it = |known: &&mut String| known.split('=').next() == Some(name);
    match lines.iter_mut().find(is_it) {
        Some(known) => *known = line,
        None => lines.push(line),
    }
}

/// `NAME=VALUE...`, or one `NAME VALUE` whose value may have spaces.
fn pairs(text: &str, environment: &[String]) -> Option<Vec<(String, String)>> {
    let all = words(text, environment)?;
    if !all.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        let pair = (word(name, environment)?, word(value.trim(), environment)?);
        return Some(vec![pair]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    all.iter().map(pair).collect()
}

/// `80`, `80/udp`, `8000-8002/tcp`
fn ports(text: &str) -> Option<Vec<String>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return None;
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then(|| {
        let ports = first..=last;
        ports.map(|port| format!("{port}/{protocol}")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<Changed, BadChange> {
        let mut changed = Changed::default();
        for change in changes {
            changed.apply(change)?;
        }
        Ok(changed)
    }

    #[test]
    fn instructions_mean_what_they_mean_in_a_dockerfile() {
        let all = changed(&[
            r#"CMD ["sh", "-c", "x"]"#,
            "entrypoint exec top -b",
            "ENV A=1 B=\"two words\" C='$x'",
            "ENV A 3 and more",
            "LABEL a=b \"c d\"=e\\ f",
            "EXPOSE 80 53/udp 8000-8001",
            "VOLUME /a /b",
            r#"VOLUME ["/c d"]"#,
            "USER app:app",
            "WORKDIR /srv",
            "WORKDIR app",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN make",
            r#"HEALTHCHECK --interval=5s --retries=2 CMD ["a", "b"]"#,
        ])
        .unwrap();
        let config = all.config;
        assert_eq!(config.cmd.unwrap(), ["sh", "-c", "x"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec top -b"]);
        assert_eq!(config.env, ["A=3 and more", "B=two words", "C=$x"]);
        assert_eq!(config.labels["c d"], "e f");
        let ports: Vec<_> = config.exposed_ports.keys().cloned().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
        let volumes: Vec<_> = config.volumes.keys().cloned().collect();
        assert_eq!(volumes, ["/a", "/b", "/c d"]);
        assert_eq!(
            (config.user.as_str(), config.working_dir.as_str()),
            ("app:app", "/srv/app")
        );
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(all.on_build, ["RUN make"]);
        let check = config.healthcheck.unwrap();
        assert_eq!(check.test.unwrap(), ["CMD", "a", "b"]);
        assert_eq!((check.interval, check.retries), (5_000_000_000, 2));
        let shell = healthcheck("CMD curl -f x || exit 1").unwrap();
        assert_eq!(shell.test.unwrap(), ["CMD-SHELL", "curl -f x || exit 1"]);
    }

    #[test]
    fn variables_are_those_of_the_image_so_far() {
        let all = changed(&[
            "ENV A=1 P=\"80 53/udp\" HOME=/srv",
            "ENV A=2 B=$A",
            "ENV C ${NONE:-x} '$A'",
            "LABEL $B=${C}",
            "EXPOSE $P 9$A",
            "VOLUME [\"$HOME/data\"]",
            "VOLUME ${HOME}/more",
            "WORKDIR $HOME/app",
            "USER u$A",
            "STOPSIGNAL $A",
            "CMD [\"$A\"]",
            "ENTRYPOINT echo $A",
            "ONBUILD RUN $A",
        ]);
        let all = all.unwrap();
        let config = all.config;
        let env = ["A=2", "P=80 53/udp", "HOME=/srv", "B=1", "C=x $A"];
        assert_eq!(config.env, env);
        assert_eq!(config.labels["1"], "x $A");
        let ports: Vec<_> = config.exposed_ports.keys().cloned().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "92/tcp"]);
        let volumes: Vec<_> = config.volumes.keys().cloned().collect();
        assert_eq!(volumes, ["/srv/data", "/srv/more"]);
        assert_eq!(
            (config.working_dir.as_str(), config.user.as_str()),
            ("/srv/app", "u2")
        );
        assert_eq!(config.stop_signal.as_deref(), Some("2"));
        assert_eq!(config.cmd.unwrap(), ["$A"]);
        assert_eq!(config.entrypoint.unwrap()[2], "echo $A");
        assert_eq!(all.on_build, ["RUN $A"]);
    }

    #[test]
    fn another_entry_point_takes_the_command_with_it_unless_a_change_said_one() {
        let with = |changes: &[&str]| {
            let mut changed = Changed::from(Config {
                cmd: Some(vec!["old".to_owned()]),
                ..Config::default()
            });
            for change in changes {
                changed.apply(change).unwrap();
            }
            changed.config.cmd.map(|words| words.concat())
        };
        assert_eq!(with(&["ENTRYPOINT [\"x\"]"]), None);
        let before = with(&["CMD [\"new\"]", "ENTRYPOINT [\"x\"]"]);
        assert_eq!(before.as_deref(), Some("new"));
        let behind = with(&["ENTRYPOINT [\"x\"]", "CMD [\"new\"]"]);
        assert_eq!(behind.as_deref(), Some("new"));
    }

    #[test]
    fn the_shell_is_the_images_and_relative_directories_are_below_the_last_one() {
        let mut changed = Changed::from(Config {
            shell: Some(["/bin/bash", "-ec"].map(str::to_owned).to_vec()),
            ..Config::default()
        });
        for change in ["CMD echo a", "WORKDIR a b", "WORKDIR c/../d"] {
            changed.apply(change).unwrap();
        }
        assert_eq!(changed.config.cmd.unwrap(), ["/bin/bash", "-ec", "echo a"]);
        assert_eq!(changed.config.working_dir, "/a b/d");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "CMD",
            "RUN x",
            "FROM x",
            "ENV A",
            "ENV =x",
            "ENV A=\"x",
            "ENV A=${B",
            "LABEL a=b c",
            "EXPOSE 0",
            "EXPOSE 70000",
            "EXPOSE 9-1",
            "EXPOSE 1/icmp",
            "HEALTHCHECK",
            "HEALTHCHECK x",
            "HEALTHCHECK CMD",
            "HEALTHCHECK --interval=x CMD y",
            "HEALTHCHECK --what=1s CMD y",
        ] {
            assert!(changed(&[bad]).is_err(), "{bad}");
        }
    }
}
