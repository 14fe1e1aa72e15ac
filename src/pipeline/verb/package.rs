//! `package`: a package of components, images and SBOMs.

use std::collections::BTreeMap;

use crate::pipeline::kinds::{Tasks, Text};
use crate::pipeline::record::record;

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
    }
}
