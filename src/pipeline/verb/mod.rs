//! What a task does: the verbs, each with its keys.
//!
//! A verb is a row of `verbs!` and a record. The record declares its keys, and
//! thereby how they are read, checked, rendered and described. The checker and the
//! planner see them as [`Verb`], in two states. The files of this folder define
//! values that only one verb uses. Nothing here knows a task or an instance.

mod image;
mod images;
mod publish;
mod run;
mod sign;

use std::collections::BTreeMap;

use serde_json::Value;

use super::expression::Template;
use super::kinds::{Flag, ListOf, Nested, OneOf, SomeTasks, TaskOr, Tasks, Text, Word};
use super::reader::Reader;
use super::record::{Beside, Record, Rendered, Rendering, State, Written, record};
use super::render::Renderer;
use crate::yaml::{Fields, Node};

pub use image::{ImageSource, LayerSource};
pub use images::ImagesFrom;
pub use run::Run;

use image::Mode;

macro_rules! verbs {
    ($($name:literal => $verb:ident),+ $(,)?) => {
        /// What a task does.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Verb<S: State = Rendered> {
            $( #[doc = concat!("`", $name, "`")] $verb($verb<S>), )+
        }

        /// The key of each verb; a task has exactly one of them.
        pub const NAMES: &[&str] = &[$($name),+];

        impl Verb<Written> {
            /// Reads the verb `name` of a task with these fields from `node`.
            pub fn read(
                name: &str,
                node: &Node,
                task: &mut Fields<'_>,
                r: &mut Reader,
            ) -> Option<Self> {
                match name {
                    $( $name => $verb::of_task(node, task, r).map(Self::$verb), )+
                    _ => None,
                }
            }

            /// Evaluates every key.
            pub fn render(&self, renderer: &Renderer<'_>) -> Rendering<Verb> {
                match self {
                    $( Self::$verb(verb) => verb.render("", renderer).map(Verb::$verb), )+
                }
            }

            /// The JSON Schema of each verb: its key, its value, and the keys beside
            /// it.
            pub fn forms() -> Vec<Form> {
                vec![$( Form {
                    verb: $name,
                    value: $verb::schema(),
                    beside: $verb::beside(),
                } ),+]
            }
        }
    };
}

verbs! {
    "component" => Component,
    "images" => Images,
    "image" => Image,
    "sbom" => Sbom,
    "package" => Package,
    "sign" => Sign,
    "publish" => Publish,
    "run" => Run,
}

record! {
    /// Makes the tar of a component.
    pub struct Component as "`component`" {
        /// The package definition, relative to the pipeline file.
        definition: Text = "definition",
        /// A component of the definition.
        name: Text = "name",
    }
}

record! {
    /// Fetches images and puts them into one image layout.
    pub struct Images as "`images`" {
        /// A package definition, or a list of references, `task:NAME`,
        /// `oci:FOLDER:REFERENCE`, `oci-archive:FILE:REFERENCE` and
        /// `docker-archive:FILE:REFERENCE`.
        from: ImagesFrom<Template, Template> = "from",
        /// `os/arch[/variant]`.
        platform: Option<Text> = "platform",
    }
}

record! {
    /// Builds an image without a daemon.
    pub struct Image as "`image`" {
        /// The reference under which packages declare the image.
        name: Option<Text> = "name",
        /// `scratch`, a reference, or `task:NAME`.
        base: TaskOr<ImageSource> = "base",
        /// `os/arch[/variant]`.
        platform: Option<Text> = "platform",
        /// Layers, lowest first.
        layers: Vec<ImageLayer<Written>> = "layers",
        /// Runtime settings of the image.
        config: Nested<RuntimeConfig<Written>> = "config",
    }
}

record! {
    /// One layer.
    pub struct ImageLayer as "a layer" {
        /// `task:NAME`, or a path relative to the pipeline file.
        from: TaskOr<LayerSource> = "from",
        /// The path in the image.
        to: Text = "to",
        /// User and group IDs, such as `1000:1000`.
        owner: Option<Text> = "owner",
        /// Permission bits of every file, in octal digits and quotes.
        mode: Mode = "mode",
    }
}

record! {
    /// Runtime settings of the image.
    pub struct RuntimeConfig as "`config`" {
        /// The program and its first arguments.
        entrypoint: Vec<Text> = "entrypoint",
        /// Default arguments.
        cmd: Vec<Text> = "cmd",
        /// Environment variables.
        env: BTreeMap<String, Text> = "env",
        /// The user that the program runs as.
        user: Option<Text> = "user",
        /// The working directory of the program.
        workdir: Option<Text> = "workdir",
        /// Labels.
        labels: BTreeMap<String, Text> = "labels",
        /// Ports that the program listens on, such as `8080/tcp`.
        ports: Vec<Text> = "ports",
    }
}

record! {
    /// Lists what components and images contain.
    pub struct Sbom as "`sbom`" {
        /// Tasks that make components or images.
        of: SomeTasks = "of",
        /// Formats that packages have the documents in; syft-JSON always is one.
        formats: ListOf<SbomFormat> = "formats",
    }
}

/// A format of SBOM documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SbomFormat {
    /// The JSON of Anchore's Syft.
    Syft,
    /// SPDX 2.3.
    Spdx,
    /// SPDX 3.0.1.
    Spdx3,
    /// CycloneDX 1.6.
    CycloneDx,
}

impl Word for SbomFormat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("syft-json", Self::Syft),
        ("spdx-json", Self::Spdx),
        ("spdx3-json", Self::Spdx3),
        ("cyclonedx-json", Self::CycloneDx),
    ];
}

record! {
    /// Assembles a package.
    pub struct Package as "`package`" {
        /// The package definition, relative to the pipeline file.
        definition: Text = "definition",
        /// Values for name, version, description, architecture and the templates of
        /// the definition.
        set: BTreeMap<String, Text> = "set",
        /// Tasks that make the package's components.
        components: Tasks = "components",
        /// Tasks that fetch or build its images.
        images: Tasks = "images",
        /// Tasks that make its SBOMs.
        sboms: Tasks = "sboms",
        /// Pack a page that shows the SBOMs in a browser.
        sbom_viewer: Flag<false> = "sbomViewer",
    }
}

record! {
    /// Signs packages. Their archives are written with the signature.
    pub struct Sign as "`sign`" rules sign::rules {
        /// Tasks that make the packages.
        subjects: SomeTasks = "subjects",
        /// The private key: a file relative to the pipeline file, `env://NAME`,
        /// `hashivault://KEY`, or a reference for the plugin `sigstore-kms-NAME`. Its
        /// password is read from `passwordFile`, or else from COSIGN_PASSWORD.
        key: Option<Text> = "key",
        /// The file that holds the key's password.
        password_file: Option<Text> = "passwordFile",
        /// Sign with a short-lived certificate for an identity token. The signature is
        /// recorded in a public transparency log.
        keyless: Flag<false> = "keyless",
        /// The identity that the certificate must name. Otherwise the task fails, and
        /// no tag moves.
        identity: Option<Text> = "identity",
        /// The OIDC issuer that the certificate must name.
        issuer: Option<Text> = "issuer",
        /// A file that describes a private Sigstore deployment.
        trust_config: Option<Text> = "trustConfig",
        /// Annotations that the signature covers.
        annotations: BTreeMap<String, Text> = "annotations",
        /// The URI that identifies the builder in provenance.
        builder: Option<Text> = "builder",
        /// Attest how the packages were built (SLSA provenance v1).
        provenance: Flag<true> = "provenance",
        /// Attest what the packages contain, in SPDX and in the formats that they have.
        sbom: Flag<true> = "sbom",
        /// Also write the signature of a key into the packages, where Jackal v0.32.7
        /// looks for it.
        in_package: Flag<true> = "inPackage",
    }
}

record! {
    /// Publishes packages, all of them or none: tags move last.
    pub struct Publish as "`publish`" rules publish::rules {
        /// Tasks that make the packages of one release.
        packages: SomeTasks = "packages",
        /// Tasks that sign the packages. No package becomes visible without its
        /// signature.
        signatures: Tasks = "signatures",
        /// `oci://HOST/PATH`, or `oci-layout:FOLDER` relative to the pipeline file.
        to: Text = "to",
        /// Additional destinations for every package.
        mirrors: Vec<Text> = "mirrors",
        /// Tags to use instead of each package's version and flavor.
        tags: Vec<Text> = "tags",
        /// Move tags that name another package.
        move_tags: Flag<false> = "moveTags",
        /// Split files that are larger than a registry's layer limit. Only jackal can
        /// join them again.
        split_layers: Flag<false> = "splitLayers",
        /// Formats of SBOMs to attach to the packages and their images, besides those that
        /// the packages have.
        sbom_formats: ListOf<SbomFormat> = "sbomFormats",
        /// Sign a statement for each package that a run publishes to a registry, or finds
        /// unchanged there: when it was checked. It replaces the previous one.
        heartbeat: Flag<false> = "heartbeat",
        /// When to publish; packages that are already published are always skipped.
        when: Option<OneOf<When>> = "when",
    }
}

/// When a package is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Its destination does not have it.
    Changed,
}

impl Word for When {
    const WORDS: &'static [(&'static str, Self)] = &[("changed", Self::Changed)];
}

/// The JSON Schema of one verb.
pub struct Form {
    /// Its key.
    pub verb: &'static str,
    /// The schema of its value.
    pub value: Value,
    /// Keys of the task that belong to it.
    pub beside: Vec<Beside>,
}
