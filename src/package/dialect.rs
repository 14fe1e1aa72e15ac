//! The two dialects of packages, which differ only in names.
//!
//! [`Dialect`] is the only place that spells names of files, kinds, media types
//! and templates.

use crate::archive::Contents;

/// The names of files, kinds, media types and templates of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Packages built by jackal.
    Jackal,
    /// Packages built by Zarf, the origin of jackal's format.
    Zarf,
}

/// Purpose of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    #[default]
    Package,
    /// A package that initializes a cluster.
    Init,
}

/// Types of the configurations of packages that were published before v0.30.
const OLDER_CONFIGS: [&str; 2] = [
    "application/vnd.unknown.config.v1+json",
    crate::oci::media_type::CONFIG,
];

impl Dialect {
    pub const ALL: [Self; 2] = [Self::Jackal, Self::Zarf];

    /// File name of the list of checksums, the same in all dialects.
    pub const CHECKSUMS: &'static str = "checksums.txt";

    /// File name of the archive of SBOM documents.
    pub const SBOMS: &'static str = "sboms.tar";

    /// The archive of the same documents in another format.
    #[must_use]
    pub fn sboms_in(format: &str) -> String {
        format!("sboms.{format}.tar")
    }

    /// The format of the documents in the archive at `path`; `None`: it has no others than
    /// syft-JSON.
    #[must_use]
    pub fn format_of_sboms(path: &str) -> Option<&str> {
        path.strip_prefix("sboms.")?.strip_suffix(".tar")
    }

    /// File name of the merged values, and of their schema.
    pub const VALUES: &'static str = "values.yaml";
    pub const VALUES_SCHEMA: &'static str = "values.schema.json";

    /// File name of the archive of documentation files.
    pub const DOCUMENTATION: &'static str = "documentation.tar";

    /// The folder of all images: an OCI image layout.
    pub const IMAGES: &'static str = "images/";

    /// The index of the images.
    pub const IMAGE_INDEX: &'static str = "images/index.json";

    /// The file that marks the image layout.
    pub const IMAGE_MARKER: &'static str = "images/oci-layout";

    /// What is in it, exactly as in docs/spec/package.md, "Images".
    pub const IMAGE_MARKER_TEXT: &'static [u8] = b"{\n    \"imageLayoutVersion\": \"1.0.0\"\n}";

    /// The tar of the component `name`.
    #[must_use]
    pub fn component_tar(name: &str) -> String {
        format!("components/{name}.tar")
    }

    /// The component whose tar is at `path`.
    #[must_use]
    pub fn component_of(path: &str) -> Option<&str> {
        path.strip_prefix("components/")?.strip_suffix(".tar")
    }

    /// What the file at `path` may contain; `None`: it is not a tar.
    #[must_use]
    pub fn tar_contents(path: &str) -> Option<Contents<'_>> {
        let component = Self::component_of(path).filter(|name| !name.contains('/'));
        let contents = component.map_or(Contents::Documents, Contents::Component);
        path.ends_with(".tar").then_some(contents)
    }

    /// The name in file names and media types.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Jackal => "jackal",
            Self::Zarf => "zarf",
        }
    }

    /// File name of the definition.
    #[must_use]
    pub fn definition_file(self) -> &'static str {
        match self {
            Self::Jackal => "jackal.yaml",
            Self::Zarf => "zarf.yaml",
        }
    }

    /// File name of the plain signature of the definition.
    #[must_use]
    pub fn signature_file(self) -> &'static str {
        match self {
            Self::Jackal => "jackal.yaml.sig",
            Self::Zarf => "zarf.yaml.sig",
        }
    }

    /// File name of the Sigstore bundle of the definition.
    #[must_use]
    pub fn bundle_file(self) -> &'static str {
        match self {
            Self::Jackal => "jackal.bundle.sig",
            Self::Zarf => "zarf.bundle.sig",
        }
    }

    /// The root files that `checksums.txt` does not list.
    #[must_use]
    pub fn exempt_files(self) -> [&'static str; 4] {
        [
            self.definition_file(),
            Self::CHECKSUMS,
            self.signature_file(),
            self.bundle_file(),
        ]
    }

    /// Sort key of a file in an archive. Signatures come first, then the
    /// definition and checksums, so that a reader can verify them without the
    /// rest, and a signature can be prepended to an archive.
    #[must_use]
    pub fn place_in_archive(self, name: &str) -> (u8, String) {
        let order = match name {
            name if name == self.signature_file() || name == self.bundle_file() => 0,
            name if name == self.definition_file() => 1,
            Self::CHECKSUMS => 2,
            Self::SBOMS => 3,
            name if Self::format_of_sboms(name).is_some() => 4,
            _ => 5,
        };
        (order, name.to_owned())
    }

    /// The dialect of an artifact with a configuration of type `config` and these files;
    /// `None`: it is no package.
    ///
    /// Packages had a type of their own since v0.30; before, they are known by the file of
    /// their definition.
    #[must_use]
    pub fn of_artifact<'f>(config: &str, files: impl IntoIterator<Item = &'f str>) -> Option<Self> {
        let mut dialects = Self::ALL.into_iter();
        if let Some(dialect) = dialects.find(|dialect| dialect.config_media_type() == config) {
            return Some(dialect);
        }
        let older = OLDER_CONFIGS.contains(&config);
        let mut files = files.into_iter().filter(|_| older);
        files.find_map(Self::of_definition_file)
    }

    /// Media type of the layers of a package.
    #[must_use]
    pub fn layer_media_type(self) -> &'static str {
        match self {
            Self::Jackal => "application/vnd.jackal.layer.v1.blob",
            Self::Zarf => "application/vnd.zarf.layer.v1.blob",
        }
    }

    /// Media type of the config of a package.
    #[must_use]
    pub fn config_media_type(self) -> &'static str {
        match self {
            Self::Jackal => "application/vnd.jackal.config.v1+json",
            Self::Zarf => "application/vnd.zarf.config.v1+json",
        }
    }

    /// Prefix of templates that are filled when a package is built.
    #[must_use]
    pub fn create_template(self) -> &'static str {
        match self {
            Self::Jackal => "###JACKAL_PKG_TMPL_",
            Self::Zarf => "###ZARF_PKG_TMPL_",
        }
    }

    /// The older spelling of [`Self::create_template`].
    #[must_use]
    pub fn deprecated_create_template(self) -> &'static str {
        match self {
            Self::Jackal => "###JACKAL_PKG_VAR_",
            Self::Zarf => "###ZARF_PKG_VAR_",
        }
    }

    /// The value of `kind` in a definition.
    #[must_use]
    pub fn kind_word(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Jackal, Kind::Package) => "JackalPackageConfig",
            (Self::Jackal, Kind::Init) => "JackalInitConfig",
            (Self::Zarf, Kind::Package) => "ZarfPackageConfig",
            (Self::Zarf, Kind::Init) => "ZarfInitConfig",
        }
    }

    /// The dialect and kind of the value `word` of `kind`.
    #[must_use]
    pub fn of_kind(word: &str) -> Option<(Self, Kind)> {
        Self::ALL
            .into_iter()
            .flat_map(|dialect| [(dialect, Kind::Package), (dialect, Kind::Init)])
            .find(|(dialect, kind)| dialect.kind_word(*kind) == word)
    }

    /// The dialect whose definition has the file name `name`.
    #[must_use]
    pub fn of_definition_file(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.definition_file() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tars_of_components_are_known_by_their_place() {
        for (name, contents) in [
            ("components/a.tar", Some(Contents::Component("a"))),
            ("components/a/b.tar", Some(Contents::Documents)),
            ("sboms.tar", Some(Contents::Documents)),
            ("components/a.txt", None),
        ] {
            assert_eq!(Dialect::tar_contents(name), contents, "{name}");
        }
    }

    #[test]
    fn every_name_of_a_dialect_contains_its_word() {
        for dialect in Dialect::ALL {
            let word = dialect.word();
            for name in [
                dialect.definition_file(),
                dialect.signature_file(),
                dialect.bundle_file(),
                dialect.layer_media_type(),
                dialect.config_media_type(),
                dialect.create_template(),
                dialect.deprecated_create_template(),
                dialect.kind_word(Kind::Package),
                dialect.kind_word(Kind::Init),
            ] {
                assert!(name.to_lowercase().contains(word), "{name}");
            }
        }
    }

    #[test]
    fn kinds_and_files_identify_their_dialect() {
        assert_eq!(
            Dialect::of_kind("ZarfInitConfig"),
            Some((Dialect::Zarf, Kind::Init))
        );
        assert_eq!(Dialect::of_kind("Deployment"), None);
        for dialect in Dialect::ALL {
            let file = dialect.definition_file();
            assert_eq!(Dialect::of_definition_file(file), Some(dialect));
            assert!(dialect.exempt_files().contains(&file));
        }
        assert!(Dialect::Zarf.exempt_files().contains(&"zarf.bundle.sig"));
    }
}
