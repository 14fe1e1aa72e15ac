//! User operations: options in, outcome out, no printing.

mod action;
mod affected;
mod attest;
mod build;
mod build_error;
mod build_options;
mod cache;
mod ci_jobs;
mod clean;
mod compose;
mod definitions;
mod dev_tools;
mod doctor;
mod editor;
pub mod errors;
mod find;
mod find_images;
mod forecast;
mod generate;
mod images;
mod init;
mod kept_record;
mod key_files;
mod lint;
mod logins;
mod made;
mod make_legacy;
mod migrate_error;
mod moved_parts;
mod named;
mod options;
mod overview;
mod package_delta;
mod package_diff;
mod package_migrate;
mod package_read;
mod package_sign;
mod partly;
mod places;
mod plans;
mod publish;
mod publish_options;
mod publish_seal;
mod pull;
mod read_error;
mod rehearse;
mod sbom;
mod schedules;
pub mod schema;
mod sha256sum;
mod skeleton;
mod skeletons;
mod stage;
mod survey;
mod telemetry;
mod trust;
mod unchanged;
mod units;
mod waiting;
mod watch;
mod watch_reads;

pub use action::carry_out;
pub use affected::{Affected, ChosenTask, OWN_PLACES, Since};
pub use attest::Attested;
pub use build::{Built, CACHE_GIB, Prepared, ShellPlace, prepare};
pub use build_options::{
    ARCHIVES, BuildOptions, ContentOptions, OutputOptions, SignOptions, Target,
};
pub use cache::{cache_prune, cache_usage, cache_verify};
pub use ci_jobs::{Job, JobOf, jobs};
pub use compose::Ask;
pub use dev_tools::{ResolvedTool, dev_tools};
pub use doctor::{Checked, doctor, doctor_remote};
pub use editor::{Editor, FileKind, Offer, OfferKind};
pub use find::is_pipeline;
pub use find_images::{FindOptions, Found, ImageSearch};
pub use forecast::{Forecast, Outlook};
pub use generate::{GenerateOptions, Generated, generate};
pub use images::{copy_image, image_at, pull_to_layout, pull_to_tarball, push_layout};
pub use key_files::{KeyFileOptions, KeyPair, generate_key, import_key};
pub use lint::{LintOptions, Linted, lint};
pub use logins::{log_in, log_out};
pub use make_legacy::{Legacy, legacy_formats, make_legacy};
pub use options::{Pins, Place, RunOptions, SkeletonOptions, TrustedImports, Variant};
pub use overview::{Overview, overview};
pub use package_delta::{package_delta, package_join};
pub use package_diff::package_diff;
pub use package_migrate::{Migrated, package_migrate};
pub use package_read::{
    ExtractOptions, package_definition, package_documents, package_extract, package_heartbeat,
    package_sboms, package_verify,
};
pub use package_sign::{PackageSignOptions, Resigned, package_sign};
pub use publish::{
    Publication, Published, Unfinished, abort_release, publication, unfinished_releases,
};
pub use publish_options::PublishOptions;
pub use pull::{PullOptions, Pulled, package_help, package_pull, package_tags};
pub use rehearse::rehearse;
pub use sbom::{
    ImageSbom, SbomDocument, SbomSubject, attached_sboms, image_sbom, layout_sbom, listed,
    listed_in, package_documents_of, package_page, read_document, sbom_as, sbom_diff,
    sbom_of_build, tree_sbom, unread, unread_warning,
};
pub use schedules::{
    ExportError, ExportOptions, Exported, FoundSchedule, NextRun, Scheduler,
    export as export_schedules, next_runs, schedules,
};
pub use sha256sum::sha256sum;
pub use stage::Existing;
pub use telemetry::export_trace;
pub use trust::{FoundRoot, RootFrom, TrustOptions, policy, trusted_root};
pub use unchanged::{KnownOutcome, OutcomePlace, Partly, Unchanged, Watched};
pub use waiting::{status_of, takes_connections};
pub use watch::{Cause, Watch};

// Types of lower rooms in the signatures of operations.
pub use self::init::{Initialized, TEMPLATES, Template, init};
pub use crate::action::{Advice, PastRun, Without};
pub use crate::archive::Growth;
pub use crate::cas::{CacheFolder, Limits, Usage};
pub use crate::codes::Code;
pub use crate::content::activity::Activity;
pub use crate::disk::stays_within;
pub use crate::ground::launch::{finish as finish_commands, launcher};
pub use crate::ground::remote_cache::{RemoteMode, RemoteOptions};
pub use crate::ground::site::history::{ago, shown_failure, shown_reasons};
pub use crate::ground::{Failure, Secret, SecretError, Stop, Withdrawal};
pub use crate::kinds::package::BuildFacts;
pub use crate::kinds::run::{Used, UsedName, Wanted};
pub use crate::oci::{Platform, Reference, host_architecture, place};
pub use crate::package::diff::{Catalogue, Change, Difference, changes_as_json};
pub use crate::package::{
    Base, Definition, Dialect, Finding, Severity, patch_git_links, time::rfc3339,
};
pub use crate::pipeline::duration::parse as parse_duration;
pub use crate::pipeline::size::parse as parse_size;
pub use crate::registry::{
    Connection, ConnectionError, Hosts, LoginText, MAX_DOWNLOAD_BYTES, PerHost, PlainHttp, Profile,
    Registry, runtime,
};
pub use crate::rehearsal::{Fault, Login, Options as RehearsalOptions, Tls};
pub use crate::release::{CONCURRENCY, Destination, Released};
pub use crate::remote::{Address, AddressError, Header, Options as RemoteClientOptions};
pub use crate::run::event::Event;
pub(crate) use crate::run::record::TaskRecord;
pub use crate::run::record::{RunRecord, Status, TestsRecord};
pub use crate::run::{Assessed, Known, Planned, Verdict, chrome_trace, junit, plan_page, run_page};
pub use crate::sbom::format::Format as SbomFormat;
pub use crate::signers::{
    KeySources, KeylessOptions, Seal, Signer, key_signer, keyless_signer, password_in,
};
pub use crate::signing::{Algorithm, Demands};
pub use crate::source::{Opened, ReadOptions, Republished, is_path};
pub use crate::verify::{By, Check, Policy, Scope, Signature, VerifiedPackage};
