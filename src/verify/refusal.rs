//! Reasons not to trust a package.

use crate::codes::Code;
use crate::oci::Digest;
use crate::package::ChecksumsError;
use crate::text::with_causes;
use crate::yaml::Mistakes;

/// One reason not to trust a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is signed, but no key or identity was given.
    #[error(
        "the package is signed, but no key or identity was given to verify it: add --key, or --certificate-identity and --certificate-oidc-issuer, or --policy; --skip-signature-validation skips the check"
    )]
    NoSigner,
    /// A key or identity was given, but it is not signed.
    #[error(
        "a key or identity was given but the package is not signed; it may be the wrong package, or its signature was removed"
    )]
    NotSigned,
    /// The definition says that it is signed, but the signature is missing.
    #[error(
        "the definition says that the package is signed, but the signature is missing; it may have been removed"
    )]
    SignatureLost,
    /// The signature is not by a trusted signer.
    #[error("{file}: {what}")]
    Signature {
        /// The file in the package, or the place beside it.
        file: String,
        what: String,
    },
    /// No rule of the policy matches the package.
    #[error("the policy has no rule for the package `{0}`: add one with its signers")]
    NoRule(String),
    /// The built-in trusted root is unusable.
    #[error("{0}")]
    Root(String),
    /// A required attestation is missing.
    #[error("no attestation of type {wanted}{} by a signer in the policy", with_builder(.builder.as_deref()))]
    NoAttestation {
        wanted: String,
        builder: Option<String>,
    },
    /// The answer may be among signatures that were not examined.
    #[error(
        "{why}; only {examined} of {} signatures and attestations beside the package were examined, which is the limit: remove unrelated ones from the registry, or pass the right one with --bundle", .examined + .unread
    )]
    TooMany {
        /// How many were examined.
        examined: usize,
        /// How many were not.
        unread: usize,
        /// What is wrong with those that were.
        why: String,
    },
    /// The signature is too old.
    #[error("signed {age} seconds ago, but the policy allows {limit} seconds: get a newer package")]
    Old {
        /// In seconds.
        age: u64,
        /// In seconds.
        limit: u64,
    },
    /// The package is too old, and nothing else tells when its key signed it.
    #[error(
        "built {age} seconds ago, as the package says, but the policy allows {limit} seconds, and a signature with a key has no time of its own: get a newer package{}", undated(*.age)
    )]
    OldBuild {
        /// In seconds.
        age: u64,
        /// In seconds.
        limit: u64,
    },
    /// The time of the signature is unknown.
    #[error("the policy limits the age of the signature, but the package has no trusted time")]
    NoTime,
    /// It is not the package that was requested.
    #[error(
        "expected {what} `{wanted}`, but the signed package says `{found}`; the package may have been substituted"
    )]
    Query {
        /// Name, architecture or version.
        what: &'static str,
        /// As requested.
        wanted: String,
        /// As in the definition.
        found: String,
    },
    /// The tag is a version, but not that of the package.
    #[error(
        "the tag `{tag}` looks like a version, but the signed package has {version}; the tag may have been moved to another package"
    )]
    Tag {
        /// As requested.
        tag: String,
        /// As in the definition.
        version: String,
    },
    /// It has neither `jackal.yaml` nor `zarf.yaml`.
    #[error("not a package: no jackal.yaml or zarf.yaml")]
    NoDefinition,
    /// The definition cannot be read.
    #[error("the definition cannot be read")]
    Definition(#[from] Mistakes),
    /// The definition is not UTF-8.
    #[error("the definition is not UTF-8 text")]
    NotText,
    /// `checksums.txt` is missing.
    #[error("checksums.txt is missing: get a package made by v0.25.1 or later")]
    NoChecksums,
    /// It has no list of checksums, and a key or policy was given.
    #[error(
        "the package has no checksums.txt, as those from before v0.25.1, so no signature can cover its files: read it without key and policy, or write it in today's form with `jackal package migrate` and sign that"
    )]
    Unverifiable,
    /// `checksums.txt` cannot be read.
    #[error("checksums.txt cannot be read")]
    Checksums(#[from] ChecksumsError),
    /// The definition has no aggregate checksum.
    #[error("the definition has no metadata.aggregateChecksum for checksums.txt")]
    NoAggregate,
    /// `checksums.txt` does not match the aggregate checksum.
    #[error("checksums.txt has digest {found}, but metadata.aggregateChecksum is `{expected}`")]
    Aggregate {
        /// As written in the definition.
        expected: String,
        /// Hex SHA-256 of the file.
        found: String,
    },
    /// A file of `checksums.txt` is missing.
    #[error("`{0}` is listed in checksums.txt but missing from the package")]
    Missing(String),
    /// A file is not in `checksums.txt`.
    #[error("`{0}` is in the package but not listed in checksums.txt")]
    Extra(String),
    /// A file that others refer to is missing.
    #[error("`{0}` is missing, but the package has images")]
    Lacking(String),
    /// A file contradicts others, or cannot be used.
    #[error("`{path}`: {what}")]
    Content {
        /// Path in the package.
        path: String,
        what: String,
    },
    /// An image is not in the package.
    #[error(
        "the component `{component}` declares the image `{image}`, which is not in the package"
    )]
    NoImage {
        component: String,
        /// As declared.
        image: String,
    },
    /// A part of a component is not in the package.
    #[error("the component `{component}` declares the {what}, which is not in `{path}`")]
    NoPart {
        component: String,
        what: String,
        path: String,
    },
    /// The content of a blob does not match its name.
    #[error("`{path}` has digest {found}, which does not match its name")]
    Misnamed {
        /// Path in the package.
        path: String,
        /// Digest of its content.
        found: Digest,
    },
    /// The content of a file does not match `checksums.txt`.
    #[error("`{path}` has digest {found}, but checksums.txt says {expected}")]
    Altered {
        /// Path in the package.
        path: String,
        /// From `checksums.txt`.
        expected: Digest,
        /// Digest of its content.
        found: Digest,
    },
}

/// What a package without a time of its build lacks, if it is as old as that.
fn undated(age: u64) -> &'static str {
    const YEARS_30: u64 = 30 * 365 * 24 * 60 * 60;
    match age > YEARS_30 {
        true => {
            ", or one that was built with SOURCE_DATE_EPOCH set, for example to the time of the commit"
        }
        false => "",
    }
}

impl Refusal {
    /// Every refusal with its causes, one per line.
    pub(crate) fn list(refusals: &[Self]) -> String {
        let lines: Vec<String> = refusals
            .iter()
            .map(|refusal| format!("{} [{}]", with_causes(refusal), refusal.code()))
            .collect();
        lines.join("\n")
    }

    /// What kind of reason it is.
    fn code(&self) -> Code {
        match self {
            Self::NoSigner => Code::NoSigner,
            Self::Unverifiable | Self::NotSigned => Code::NotSigned,
            Self::SignatureLost => Code::SignatureLost,
            Self::Signature { .. } => Code::UntrustedSignature,
            Self::NoRule(_) => Code::NoPolicyRule,
            Self::Root(_) => Code::UnusableRoot,
            Self::NoAttestation { .. } => Code::NoAttestation,
            Self::TooMany { .. } => Code::TooManySignatures,
            Self::Old { .. } | Self::OldBuild { .. } => Code::OldSignature,
            Self::NoTime => Code::NoTrustedTime,
            Self::Query { .. } => Code::OtherPackage,
            Self::Tag { .. } => Code::MovedTag,
            Self::NoDefinition | Self::Definition(_) | Self::NotText => Code::NotAPackage,
            Self::NoChecksums | Self::Checksums(_) | Self::NoAggregate | Self::Aggregate { .. } => {
                Code::BadChecksums
            }
            Self::Missing(_) | Self::Lacking(_) | Self::NoImage { .. } | Self::NoPart { .. } => {
                Code::MissingContent
            }
            Self::Extra(_) => Code::ExtraFile,
            Self::Content { .. } => Code::BadContent,
            Self::Misnamed { .. } | Self::Altered { .. } => Code::AlteredContent,
        }
    }
}

fn with_builder(builder: Option<&str>) -> String {
    builder.map_or_else(String::new, |builder| format!(", built by {builder},"))
}
