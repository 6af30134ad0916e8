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
    /// The image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Under which name to push it; else under its own
    #[arg(value_name = "DESTINATION", conflicts_with = "all_tags")]
    pub(crate) destination: Option<String>,
}

/// A compression that registries and engines understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionFormat {
    /// RFC 1952
    Gzip,
    /// RFC 8878
    Zstd,
}
