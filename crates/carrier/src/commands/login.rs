//! `carrier login`, `carrier logout` and `carrier auth`

use std::io::{self, Read as _};

use carrier_registry::{Credentials, Error, Kept, LoginOptions, RegistryName};

use super::print;
use crate::cli::{AuthArgs, LoginArgs, LogoutArgs, SecretArgs};
use crate::progress;
use crate::prompt::{self, Answer};
use crate::report::Failure;

const DOCKER_HUB: &str = "docker.io";

/// No password is longer.
const MAX_SECRET: u64 = 1 << 20;

pub(crate) fn login(args: &LoginArgs) -> Result<u8, Failure> {
    let login = Login {
        name: name(args.registry.as_deref())?,
        user: args.username.as_deref(),
        secret: &args.secret,
        options: LoginOptions {
            tls_verify: args.tls.verify(),
            notes: &progress::note,
        },
    };
    login.run()
}

pub(crate) fn auth(args: &AuthArgs) -> Result<u8, Failure> {
    let login = Login {
        name: name(args.registry.as_deref())?,
        user: Some(&args.username),
        secret: &args.secret,
        options: LoginOptions {
            tls_verify: args.tls.verify(),
            notes: &progress::note,
        },
    };
    login.run()
}

pub(crate) fn logout(args: &LogoutArgs) -> Result<u8, Failure> {
    if args.all {
        for name in carrier_registry::logout_all()? {
            print(&format!("Removing login credentials for {name}\n"))?;
        }
        return Ok(0);
    }
    let name = name(args.registry.as_deref())?;
    if carrier_registry::logout(&name)? {
        print(&format!("Removing login credentials for {name}\n"))?;
    } else {
        print(&format!("Not logged in to {name}\n"))?;
    }
    Ok(0)
}

fn name(text: Option<&str>) -> Result<RegistryName, Failure> {
    let text = text.unwrap_or(DOCKER_HUB);
    let hint = "registries look like quay.io, host:5000 or quay.io/team";
    text.parse()
        .map_err(|error| Failure::with_hint(error, hint))
}

struct Login<'a> {
    name: RegistryName,
    user: Option<&'a str>,
    secret: &'a SecretArgs,
    options: LoginOptions<'a>,
}

impl Login<'_> {
    fn run(&self) -> Result<u8, Failure> {
        if self.secret.password.is_some() {
            progress::note(
                "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
            );
        }
        let nothing_said =
            self.user.is_none() && self.secret.password.is_none() && !self.secret.password_stdin;
        let known = if nothing_said || self.user.is_none() {
            carrier_registry::known(&self.name)?
        } else {
            None
        };
        if nothing_said
            && let Some(known) = &known
            && self.is_still_good(known)?
        {
            return succeeded();
        }
        let known = known.map(|known| known.user().to_owned());
        let user = self.user(known.filter(|user| !user.is_empty()).as_deref())?;
        let password = match self.password()? {
            Answer::Line(password) => password,
            Answer::Signal(signal) => return Ok(128 + u8::try_from(signal).unwrap_or_default()),
        };
        if password.is_empty() {
            return Err(Failure::with_hint(
                "a password is required",
                "type one, or give it with --password-stdin",
            ));
        }
        let credentials = Credentials::Password { user, password };
        let kept = carrier_registry::login(&self.name, &credentials, self.options)?;
        if let Kept::InFile(path) = kept {
            progress::warn(&format!(
                "the credentials are stored unencrypted in {}; a credential helper, named as \
                 credsStore there, keeps them better",
                path.display()
            ));
        }
        succeeded()
    }

    /// Whether what is kept is accepted: then there is nothing to ask for, as in Docker.
    fn is_still_good(&self, known: &Credentials) -> Result<bool, Failure> {
        print("Authenticating with existing credentials...\n")?;
        match carrier_registry::check(&self.name, known, self.options) {
            Ok(()) => Ok(true),
            Err(error @ Error::CredentialsRefused { .. }) if prompt::is_possible() => {
                progress::warn(&error.to_string());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn user(&self, known: Option<&str>) -> Result<String, Failure> {
        if let Some(user) = self.user {
            return Ok(user.to_owned());
        }
        if self.secret.password_stdin {
            let hint = "add --username USER";
            return Err(Failure::with_hint(
                "--password-stdin takes a user name too",
                hint,
            ));
        }
        if !prompt::is_possible() {
            return Err(no_terminal());
        }
        let question = match known {
            Some(known) => format!("Username ({known}): "),
            None => "Username: ".to_owned(),
        };
        let typed = prompt::line(&question).map_err(unreadable)?;
        let typed = typed.trim();
        match (typed, known) {
            ("", Some(known)) => Ok(known.to_owned()),
            ("", None) => Err(Failure::with_hint(
                "a user name is required",
                "type one, or give it with --username",
            )),
            (typed, _) => Ok(typed.to_owned()),
        }
    }

    fn password(&self) -> Result<Answer, Failure> {
        if let Some(password) = &self.secret.password {
            return Ok(Answer::Line(password.clone()));
        }
        if self.secret.password_stdin {
            let mut text = String::new();
            let input = io::stdin().take(MAX_SECRET);
            { input }.read_to_string(&mut text).map_err(unreadable)?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            return Ok(Answer::Line(text.to_owned()));
        }
        if !prompt::is_possible() {
            return Err(no_terminal());
        }
        prompt::secret("Password: ").map_err(unreadable)
    }
}

fn succeeded() -> Result<u8, Failure> {
    print("Login Succeeded\n").map(|()| 0)
}

fn no_terminal() -> Failure {
    Failure::with_hint(
        "cannot ask for a password: standard input is not a terminal",
        "use --username USER and --password-stdin",
    )
}

fn unreadable(source: io::Error) -> Failure {
    Failure::File {
        action: "read",
        path: "standard input".to_owned(),
        source,
    }
}
