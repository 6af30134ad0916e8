//! The grammar of the verbs that talk to registries.

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(crate) struct PushArgs {
    /// Push every tag of the repository that is here
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Choose among the platforms of the image that are here
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with = "all_tags")]
    pub(crate) platform: Option<String>,
    /// Print only the name that was pushed
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Compress the layers anew in this format; else they are pushed as they came
    #[arg(
        long,
        visible_alias = "compression-format",
        value_enum,
        value_name = "FORMAT"
    )]
    pub(crate) compression: Option<CompressionFormat>,
    /// How hard to compress: 1 to 9 for gzip, 1 to 22 for zstd
    #[arg(
        long,
        value_name = "LEVEL",
        requires = "compression",
        allow_negative_numbers = true
    )]
    pub(crate) compression_level: Option<i32>,
    /// Write the digest of what was pushed into a file
    #[arg(long, value_name = "FILE", conflicts_with = "all_tags")]
    pub(crate) digestfile: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// The image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Under which name to push it; else under its own
    #[arg(value_name = "DESTINATION", conflicts_with = "all_tags")]
    pub(crate) destination: Option<String>,
}

// Whether a registry that proves nothing is good enough.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct TlsArgs {
    /// Whether the registry must speak HTTPS with a certificate that can be checked
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) tls_verify: Option<bool>,
    /// Speak plain HTTP to the registry, or HTTPS without checking its certificate
    #[arg(long, conflicts_with = "tls_verify")]
    pub(crate) insecure_registry: bool,
}

impl TlsArgs {
    /// What the user said, if anything: else the configuration decides.
    pub(crate) fn verify(self) -> Option<bool> {
        self.tls_verify.or(self.insecure_registry.then_some(false))
    }
}

#[derive(Args, Debug)]
pub(crate) struct LoginArgs {
    /// Who to log in as
    #[arg(short, long, value_name = "USER")]
    pub(crate) username: Option<String>,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Host and port of the registry, or a namespace in it; Docker Hub if left out
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct AuthArgs {
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Who to log in as
    #[arg(value_name = "USER")]
    pub(crate) username: String,
    /// Host and port of the registry, or a namespace in it; Docker Hub if left out
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

// Where the password comes from; else it is asked for.
#[derive(Args)]
pub(crate) struct SecretArgs {
    /// The password or token, for all to see who list processes: prefer --password-stdin
    #[arg(short, long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Read the password or token from standard input
    #[arg(long, conflicts_with = "password")]
    pub(crate) password_stdin: bool,
}

impl std::fmt::Debug for SecretArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretArgs").finish_non_exhaustive()
    }
}

#[derive(Args, Debug)]
pub(crate) struct LogoutArgs {
    /// Forget all credentials
    #[arg(short, long, conflicts_with = "registry")]
    pub(crate) all: bool,
    /// Host and port of the registry, or a namespace in it; Docker Hub if left out
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

/// A compression that registries and engines understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionFormat {
    /// RFC 1952
    Gzip,
    /// RFC 8878
    Zstd,
}
