//! `jackal dev find-images`.

use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::exit::Exit;
use super::options::{PinArgs, PlaceArgs, VariantArgs};
use super::output::{note, print};
use super::values::listed_pairs;
use crate::app::{FindOptions, Found, ImageSearch};

/// Arguments of `jackal dev find-images`.
#[derive(Args)]
pub(super) struct FindImagesArgs {
    /// Folder with the definition
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Set a deploy-time variable (repeatable)
    #[arg(long, value_name = "NAME=VALUE", alias = "deploy-set-variables")]
    deploy_set: Vec<String>,
    /// Value of ###JACKAL_REGISTRY###
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1:31999")]
    registry_url: String,
    /// Kubernetes version to render charts for
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// List the resources that use this image, instead of all images
    #[arg(long, value_name = "IMAGE")]
    why: Option<String>,
    /// Do not look for the images' signatures and attestations of cosign
    #[arg(long)]
    skip_cosign: bool,
    #[command(flatten)]
    pins: PinArgs,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn run(args: FindImagesArgs) -> Result<(), CommandError> {
    let options = FindOptions {
        place: args.place.into_place()?,
        variant: args.variant.into_variant()?,
        pins: args.pins.pins(),
        folder: args.folder,
        deploy_set: listed_pairs("--deploy-set", &args.deploy_set)?,
        skip_cosign: args.skip_cosign,
        registry_url: args.registry_url,
        kube_version: args.kube_version,
    };
    let search = ImageSearch::new(options, &mut |_| None)?;
    let found = runtime()?.block_on(search.run());
    match &args.why {
        Some(image) => print(&why(&found, image))?,
        None => print(&listing(&found))?,
    }
    let errors: Vec<String> = found
        .iter()
        .flat_map(|found| {
            let errors = found.errors.iter();
            errors.map(|error| format!("{}: {error}", found.component))
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(CommandError::new(Exit::Task, errors.join("\nerror: ")))
}

/// YAML to paste into a definition.
fn listing(all: &[Found]) -> String {
    let mut text = "components:\n".to_owned();
    for found in all {
        if found.images.is_empty() && found.possible.is_empty() && found.archived.is_empty() {
            continue;
        }
        text.push_str(&format!("- name: {}\n  images:\n", found.component));
        let mut list = |title: &str, images: &mut dyn Iterator<Item = &String>| {
            for (index, image) in images.enumerate() {
                if index == 0 && !title.is_empty() {
                    text.push_str(&format!("  # {title}\n"));
                }
                text.push_str(&format!("  - {image}\n"));
            }
        };
        list("", &mut found.images.keys());
        list(
            "These look like images and exist in a registry:",
            &mut found.possible.keys(),
        );
        let archived = found.archived.keys();
        list(
            "Of `imageArchives`:",
            &mut archived.filter(|image| !found.images.contains_key(*image)),
        );
        list("Signatures and attestations:", &mut found.cosign.iter());
    }
    text
}

fn why(all: &[Found], image: &str) -> String {
    let mut text = String::new();
    for found in all {
        let kinds = [&found.images, &found.possible, &found.archived];
        for places in kinds.map(|kind| kind.get(image)) {
            for place in places.into_iter().flatten() {
                text.push_str(&format!("{}: {place}\n", found.component));
            }
        }
    }
    if text.is_empty() {
        note(&format!("no resource uses `{image}`"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_listed_as_in_a_definition() {
        let place = || [("a:1".to_owned(), ["m.yaml: Pod p".to_owned()].into())].into();
        let found = [
            Found {
                component: "empty".into(),
                ..Found::default()
            },
            Found {
                component: "web".into(),
                images: place(),
                possible: [("b:2".to_owned(), ["x".to_owned()].into())].into(),
                archived: [
                    ("a:1".to_owned(), ["i.tar".to_owned()].into()),
                    ("c:3".to_owned(), ["i.tar".to_owned()].into()),
                ]
                .into(),
                ..Found::default()
            },
        ];
        assert_eq!(
            listing(&found),
            "components:\n- name: web\n  images:\n  - a:1\n  \
             # These look like images and exist in a registry:\n  - b:2\n  \
             # Of `imageArchives`:\n  - c:3\n"
        );
        assert_eq!(why(&found, "a:1"), "web: m.yaml: Pod p\nweb: i.tar\n");
    }
}
