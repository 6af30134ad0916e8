//! What can go wrong with a registry. Secrets are in none of these errors.

use std::io;
use std::path::PathBuf;

use carrier_spec::{Digest, ImageError, Reference};

/// What a server may tell us at most: its text is not ours.
const LONGEST_MESSAGE: usize = 200;

/// An error of the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry has no such repository, tag or digest; some say so of private ones too.
    #[error("image {} not found{}", .reference.familiar(), said(.message))]
    NotFound {
        /// The image.
        reference: Reference,
        /// What the registry said.
        message: String,
    },
    /// The registry wants other credentials, or any.
    #[error("access to {} denied{}", .reference.familiar(), said(.message))]
    Unauthorized {
        /// The image.
        reference: Reference,
        /// What the registry said.
        message: String,
    },
    /// The registry does not let the repository come into being by a push.
    #[error("registry {} has no repository {}{}", .reference.registry(), .reference.repository(), said(.message))]
    NoRepository {
        /// The image.
        reference: Reference,
        /// What the registry said.
        message: String,
    },
    /// A blob of the store that is not what its name says, or is gone.
    #[error("{what} {digest} is damaged or missing in the store")]
    DamagedBlob {
        /// `layer`, `manifest` or `image configuration`.
        what: &'static str,
        /// Its name.
        digest: Digest,
        /// The image that it belongs to.
        image: String,
    },
    /// The registry or its token server does not know the credentials that we have.
    #[error("registry {host} does not accept the credentials{}", said(.message))]
    CredentialsRefused {
        /// Host and perhaps port.
        host: String,
        /// What the server said.
        message: String,
    },
    /// The token server gives nothing to strangers.
    #[error("access to registry {host} denied{}", said(.message))]
    CredentialsRequired {
        /// Host and perhaps port.
        host: String,
        /// What the server said.
        message: String,
    },
    /// A file of the configuration cannot be used.
    #[error("cannot use {}: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The configuration forbids it.
    #[error("{image} may not be used: {} blocks {prefix}", .file.display())]
    Blocked {
        /// The image.
        image: String,
        /// What is forbidden.
        prefix: String,
        /// The file that says so.
        file: PathBuf,
    },
    /// A file with credentials cannot be used.
    #[error("cannot use the credentials in {}", .path.display())]
    AuthFile {
        /// The file.
        path: PathBuf,
        /// The cause, without anything of its content.
        source: io::Error,
    },
    /// A program that keeps credentials does not do so.
    #[error("{program} {verb} failed")]
    CredentialHelper {
        /// The program.
        program: String,
        /// `get`, `store` or `erase`.
        verb: &'static str,
        /// The file that names the program.
        named_by: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The server wants another certificate of ours, or any.
    #[error("registry {host} wants to know us by a certificate: {reason}")]
    ClientCertificate {
        /// Host and perhaps port.
        host: String,
        /// The cause.
        reason: String,
    },
    /// The server's certificate is not what it should be.
    #[error("registry {host} cannot be trusted: {reason}")]
    Tls {
        /// Host and perhaps port.
        host: String,
        /// The cause.
        reason: String,
    },
    /// The server cannot be reached.
    #[error("cannot connect to registry {host}: {reason}")]
    Unreachable {
        /// Host and perhaps port.
        host: String,
        /// The cause, in words of the system.
        reason: String,
    },
    /// The server did not answer in time.
    #[error("registry {host} did not answer in time")]
    Timeout {
        /// Host and perhaps port.
        host: String,
    },
    /// The connection broke.
    #[error("connection to registry {host} broke: {reason}")]
    Broken {
        /// Host and perhaps port.
        host: String,
        /// The cause.
        reason: String,
    },
    /// An answer that makes no sense.
    #[error("registry {host} answered {status}{}", said(.message))]
    Status {
        /// Host and perhaps port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// An answer that breaks the protocol, or that would be dangerous to follow.
    #[error("registry {host} broke the protocol: {reason}")]
    Protocol {
        /// Host and perhaps port.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// Bytes that do not hash to what was asked for.
    #[error("{what} has digest {actual}, not {expected} as promised")]
    WrongDigest {
        /// What they are.
        what: &'static str,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Fewer bytes than promised.
    #[error("layer {digest} ended after {actual} of {expected} bytes")]
    Truncated {
        /// The layer.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A document of another size than promised.
    #[error("{what} has {actual} bytes, not {expected} as promised")]
    WrongSize {
        /// What it is.
        what: &'static str,
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// More bytes than promised or allowed.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// `manifest`, `image configuration` or a layer.
        what: String,
        /// The limit.
        max: u64,
    },
    /// No image for the platform.
    #[error("image {image} is not available for {wanted}: it is for {}", .offered.join(", "))]
    NoPlatform {
        /// The image.
        image: String,
        /// What was wanted.
        wanted: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// The user's policy does not let the image in.
    #[error("image {image} is not trusted: {reason}")]
    NotTrusted {
        /// The image.
        image: String,
        /// What it lacks.
        reason: String,
        /// The file with the policy.
        file: PathBuf,
    },
    /// A manifest or configuration that cannot be used.
    #[error("image {image} cannot be used")]
    Image {
        /// The image.
        image: String,
        /// What is wrong.
        source: ImageError,
    },
    /// The unpacking process refused a layer.
    #[error("layer {digest}: {reason}")]
    Unpack {
        /// The layer.
        digest: Digest,
        /// What it said.
        reason: String,
    },
    /// Talking to the unpacking process failed.
    #[error("cannot reach the process that unpacks layers")]
    Unpacker(#[source] io::Error),
    /// The client could not be set up.
    #[error("cannot set up the registry client: {0}")]
    Client(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] carrier_store::Error),
}

/// What can be wrong with a host so that an image cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// The user has no ids for the owners of its files.
    Ids,
    /// The disk is full.
    Space,
    /// The file system of the store cannot hold it.
    Home,
    /// The time is before that of certificates.
    Clock,
}

impl Error {
    /// A blob that is not what was promised, in words about what it is.
    pub(crate) fn about_blob(what: &'static str, error: carrier_store::Error) -> Self {
        match error {
            carrier_store::Error::WrongDigest { expected, actual } => Self::WrongDigest {
                what,
                expected,
                actual,
            },
            carrier_store::Error::WrongSize {
                expected, actual, ..
            } => Self::WrongSize {
                what,
                expected,
                actual,
            },
            other => Self::Store(other),
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Truncated { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => is_transient_status(*status),
            _ => false,
        }
    }

    /// What of the host may be behind it.
    #[must_use]
    pub fn host_fault(&self) -> Option<HostFault> {
        Some(match self {
            // A certificate that is not valid yet is one, too.
            Self::Unreachable { .. } => HostFault::Clock,
            Self::Unpack { reason, .. } if reason.contains("not mapped") => HostFault::Ids,
            Self::Unpack { reason, .. } if is_full(reason) => HostFault::Space,
            Self::Unpack { reason, .. } if is_unfit(reason) => HostFault::Home,
            Self::Store(carrier_store::Error::Io { source, .. }) => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HostFault::Space,
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    HostFault::Home
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { reference, .. } if reference.registry() == "docker.io" => {
                "check the spelling; a private image needs `carrier login`".to_owned()
            }
            Self::NotFound { .. } => {
                "check the registry, the repository and the tag for spelling".to_owned()
            }
            Self::Unauthorized { reference, .. } => {
                format!("log in with `carrier login {}`", reference.registry())
            }
            Self::CredentialsRefused { host, .. } | Self::CredentialsRequired { host, .. } => {
                format!("log in with `carrier login {host}`")
            }
            Self::Config { path, .. } => format!("mend {}, or move it away", path.display()),
            Self::Blocked { file, .. } => {
                format!(
                    "ask whoever maintains {}, or use another image",
                    file.display()
                )
            }
            Self::AuthFile { path, .. } => format!("mend {}, or move it away", path.display()),
            Self::CredentialHelper {
                program, named_by, ..
            } => format!(
                "install {program}, or remove it from credsStore and credHelpers in {}",
                named_by.display()
            ),
            Self::ClientCertificate { host, .. } => format!(
                "put yours into ~/.config/containers/certs.d/{host} as client.cert and client.key"
            ),
            Self::Tls { host, .. } => format!(
                "put the certificate of its authority into ~/.config/containers/certs.d/{host}/ca.crt"
            ),
            Self::NoRepository { reference, .. } => format!(
                "make the repository at {} first, or check the name for spelling",
                reference.registry()
            ),
            Self::DamagedBlob { image, .. } => format!("`carrier pull {image}` mends it"),
            Self::Unreachable { .. } => {
                "check the registry's host and port, your network and the proxy variables"
                    .to_owned()
            }
            Self::Timeout { .. } | Self::Broken { .. } | Self::Truncated { .. } => {
                "try again: what was complete is kept".to_owned()
            }
            Self::Status { status: 429, .. } => {
                "the registry limits how much it serves: wait, or log in".to_owned()
            }
            Self::Status { .. } => "try again later, or ask whoever runs the registry".to_owned(),
            Self::Protocol { .. } => {
                "ask whoever runs the registry, or a proxy before it".to_owned()
            }
            Self::WrongDigest { .. } | Self::WrongSize { .. } | Self::TooLarge { .. } => {
                "the registry or something before it changes what it serves: do not trust it"
                    .to_owned()
            }
            Self::NotTrusted { file, .. } => {
                format!("the policy for it is in {}", file.display())
            }
            Self::NoPlatform { offered, .. } => match offered.first() {
                Some(first) => format!("choose one with --platform, for example {first}"),
                None => return None,
            },
            Self::Unpack { reason, .. } if reason.contains("not mapped") => {
                "each owner of files takes a subordinate id: `sudo usermod --add-subuids 100000-165535 \
                 --add-subgids 100000-165535 $USER` gives 65536, a longer range those above"
                    .to_owned()
            }
            Self::Unpack { reason, .. } if is_full(reason) => FREE_SPACE.to_owned(),
            Self::Unpack { reason, .. } if is_unfit(reason) => UNFIT_HOME.to_owned(),
            Self::Unpack { .. } | Self::Image { .. } => {
                "the image is broken: tell its author".to_owned()
            }
            Self::Store(error) => return store_hint(error),
            _ => return None,
        })
    }
}

const UNFIT_HOME: &str = "the file system of the store may not be able to hold images (NFS, FUSE, \
    overlay): set XDG_DATA_HOME to a directory on a local disk";

/// What such file systems answer to device nodes, owners and extended attributes.
fn is_unfit(text: &str) -> bool {
    text.contains("Operation not permitted") || text.contains("not supported (os error 95)")
}

const FREE_SPACE: &str = "free some space: `carrier rm` removes containers and images";

fn is_full(text: &str) -> bool {
    text.contains("No space left") || text.contains("quota")
}

fn store_hint(error: &carrier_store::Error) -> Option<String> {
    match error {
        carrier_store::Error::Io { source, .. } => match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some(FREE_SPACE.to_owned())
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Some("set XDG_DATA_HOME to a directory that you can write".to_owned())
            }
            _ => None,
        },
        carrier_store::Error::LayerMissing(_) | carrier_store::Error::BlobMissing(_) => {
            Some("pull again".to_owned())
        }
        _ => None,
    }
}

/// 408, 429, and what gateways answer for servers that are restarting.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// The message of a registry's or token server's error document: cut, and without power over the
/// terminal. Distribution-spec "Error codes"; RFC 6749 section 5.2; Docker Hub's own.
pub(crate) fn server_message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Document {
        #[serde(default)]
        errors: Vec<Entry>,
        error_description: Option<String>,
        details: Option<String>,
        message: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        message: String,
    }
    let Ok(document) = serde_json::from_slice::<Document>(body) else {
        return String::new();
    };
    let first = document.errors.into_iter().next();
    let text = first
        .map(|entry| entry.message)
        .or(document.error_description)
        .or(document.details)
        .or(document.message);
    text.unwrap_or_default()
        .chars()
        .take(LONGEST_MESSAGE)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
