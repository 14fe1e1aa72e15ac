//! `component`: one component of a package definition.

use crate::pipeline::kinds::Text;
use crate::pipeline::record::record;

record! {
    /// Makes the tar of a component.
    pub struct Component as "`component`" {
        /// The package definition, relative to the pipeline file.
        definition: Text = "definition",
        /// A component of the definition.
        name: Text = "name",
    }
}
