//! The pipeline of a folder that has only a definition: the task instances that
//! a pipeline file for it would have.
//!
//! Source: docs/spec/pipeline.md, "Implied pipeline". It makes no steps: those
//! of implied and written pipelines come from the same planner.

use crate::package::{Component, Definition, Dialect};
use crate::pipeline::verb::{self, ImagesFrom};
use crate::pipeline::{Instance, Verb};
use crate::plan::options::PlanOptions;
use crate::plan::parts::{has_actions, has_content};

/// The instances of a package, whose definition is composed. Each name begins with
/// `prefix`.
#[must_use]
pub fn imply(prefix: &str, definition: &Definition, options: &PlanOptions) -> Vec<Instance> {
    let file = Dialect::Jackal.definition_file().to_owned();
    let platform = format!("linux/{}", definition.metadata.architecture);
    let name = |rest: &str| format!("{prefix}{rest}");
    let mut instances: Vec<Instance> = Vec::new();
    let mut add = |id: &str, after: Vec<String>, verb| {
        let mut instance = Instance::new(id.to_owned(), after, verb);
        instance.platform = Some(platform.clone());
        if matches!(instance.verb, Verb::Images(_)) {
            instance.steps = name("image");
        }
        instances.push(instance);
    };
    let mut package = verb::Package {
        definition: file.clone(),
        ..verb::Package::unset()
    };
    let (mut order, mut catalogued) = (Order::default(), Vec::new());
    for component in &definition.components {
        if !has_content(component) && !has_actions(component) {
            continue;
        }
        let id = name(&format!("component:{}", component.name));
        let verb = Verb::Component(verb::Component {
            definition: file.clone(),
            name: component.name.clone(),
        });
        add(&id, order.before(component).to_vec(), verb);
        order.ended(component, &id);
        if !component.files.is_empty() || !component.data_injections.is_empty() {
            catalogued.push(id.clone());
        }
        package.components.push(id);
    }
    let sbom = |of: &[String]| {
        Verb::Sbom(verb::Sbom {
            of: of.to_vec(),
            ..verb::Sbom::unset()
        })
    };
    if !catalogued.is_empty() {
        let id = name("sbom:component");
        add(&id, catalogued.clone(), sbom(&catalogued));
        package.sboms.push(id);
    }
    if definition.components.iter().any(has_images) {
        let verb = verb::Images {
            from: ImagesFrom::Definition(file),
            ..verb::Images::unset()
        };
        package.images.push(name("images"));
        add(&name("images"), Vec::new(), Verb::Images(verb));
        let id = name("sbom:image");
        add(&id, package.images.clone(), sbom(&package.images));
        package.sboms.push(id);
    }
    let of = [&package.components, &package.images, &package.sboms];
    let of = of.into_iter().flatten().cloned().collect();
    let id = name("package");
    add(&id, of, Verb::Package(package));
    let mut publish = verb::Publish {
        packages: vec![id.clone()],
        ..verb::Publish::unset()
    };
    if options.sign.is_some() {
        let sign = verb::Sign {
            subjects: vec![id.clone()],
            ..verb::Sign::unset()
        };
        publish.signatures.push(name("sign"));
        add(&name("sign"), vec![id.clone()], Verb::Sign(sign));
    }
    if let Some(to) = &options.publish {
        publish.to = to.text();
        publish.move_tags = options.move_tag;
        let of = [&publish.packages[..], &publish.signatures].concat();
        add(&name("publish"), of, Verb::Publish(publish));
    }
    instances
}

fn has_images(component: &Component) -> bool {
    component.declared_images().next().is_some()
}

/// The order of components: a later component may read whatever an action left
/// behind, so one with actions runs alone.
///
/// Source: docs/spec/package.md, "Actions"; adr/0026, "Actions around a component".
#[derive(Debug, Default)]
struct Order {
    /// The last component with actions.
    barrier: Vec<String>,
    /// That one, and every component since.
    ends: Vec<String>,
}

impl Order {
    /// The components that must be complete before this one starts.
    fn before(&self, component: &Component) -> &[String] {
        if has_actions(component) {
            &self.ends
        } else {
            &self.barrier
        }
    }

    fn ended(&mut self, component: &Component, id: &str) {
        if has_actions(component) {
            self.barrier = vec![id.to_owned()];
            self.ends.clear();
        }
        self.ends.push(id.to_owned());
    }
}
