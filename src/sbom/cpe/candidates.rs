//! Candidates for the vendor and the product of a package, by its ecosystem.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::java;
use super::names::{Candidates, Names, word};
use crate::sbom::document::Package;

/// Those of the metadata of packages that say who made them.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Facts {
    url: String,
    homepage: String,
    author: String,
    author_email: String,
    authors: Vec<String>,
    vendor: String,
    plugin_install_directory: String,
    executables: BTreeMap<String, Executable>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Executable {
    company_name: String,
    product_name: String,
}

pub(super) fn of(package: &Package) -> Candidates {
    let mut all = Candidates::default();
    let name = package.name.as_str();
    let kind = package.ecosystem.kind;
    let facts = || -> Facts {
        let metadata = package.metadata.as_deref();
        let facts = metadata.and_then(|json| serde_json::from_str(json.get()).ok());
        facts.unwrap_or_default()
    };
    match kind {
        "go-module" => return of_module(name, all),
        "java-archive" | "jenkins-plugin" => java::add(&mut all, package),
        "terraform" => return of_provider(name, all),
        "dotnet" if package.ecosystem.metadata_type == "dotnet-portable-executable-entry" => {
            return all;
        }
        "dotnet" => return of_assembly(name, &facts(), all),
        "wordpress-plugin" => return of_plugin(name, &facts(), all),
        // Its name says nothing about who made it.
        "model" => return all,
        _ => {
            all.vendors.beginnings(name);
            all.products.forms(name);
        }
    }
    match kind {
        "rust-crate" => {
            all.vendors.exact(&format!("{name}_project"));
            "rust".clone_into(&mut all.target);
        }
        "cpan" => "perl".clone_into(&mut all.target),
        "npm" => {
            let facts = facts();
            for url in [&facts.url, &facts.homepage] {
                if !url.starts_with("git+") {
                    all.vendors.exact(owner(url));
                }
            }
        }
        "gem" => add_ruby(&mut all, &facts()),
        "python" => add_python(&mut all, name, &facts()),
        "rpm" => {
            let vendor = facts().vendor.to_lowercase();
            let vendor = vendor.split([',', '<']).next().unwrap_or_default();
            all.vendors.forms(&vendor.replace(char::is_whitespace, ""));
        }
        "apk" => add_alpine(&mut all, name, &facts()),
        "binary" => {
            if let Some(base) = without_number(name) {
                all.vendors.beginnings(&base);
                all.products.forms(&base);
            }
        }
        _ => {}
    }
    if is_program_of_others(kind, name) {
        all.vendors.remove(name);
    }
    add_known(&mut all, kind, name);
    // Of other vendors, none makes what Apache does.
    if all.vendors.contains("apache") {
        all.vendors = Names::default();
        all.vendors.exact("apache");
    }
    all
}

/// Vendors and products of packages whose names do not say so. An empty vendor or product
/// stands for those that are known already.
const KNOWN: &[(&str, &str, &[&str], &[&str])] = &[
    ("apk", "apache2", &["apache"], &["http_server"]),
    ("apk", "bind", &["isc"], &[]),
    ("apk", "git", &["git-scm"], &[]),
    ("apk", "go", &["golang"], &[]),
    ("apk", "musl", &["musl-libc"], &[]),
    ("apk", "musl-utils", &["musl-libc"], &[]),
    ("apk", "nodejs", &["node.js"], &["node.js"]),
    (
        "apk",
        "python3",
        &["python_software", "python_software_foundation"],
        &[],
    ),
    ("java-archive", "handlebars", &["handlebarsjs"], &[]),
    (
        "java-archive",
        "spring-core",
        &[
            "pivotal_software",
            "spring_framework",
            "springsource",
            "springsource_spring",
            "springsource_spring_framework",
            "vmware",
        ],
        &["spring_framework", "springsource_spring_framework"],
    ),
    (
        "gem",
        "sentry-raven",
        &["raven", "raven-ruby"],
        &["raven-ruby"],
    ),
    ("npm", "mustache", &["mustache.js"], &["mustache.js"]),
    ("npm", "redis", &["redis.js"], &[]),
    ("python", "pip", &["pypa"], &[]),
];

/// Programs after which libraries in `kind` are called that are not them.
fn is_program_of_others(kind: &str, name: &str) -> bool {
    match kind {
        "gem" => ["grpc", "redis"].contains(&name),
        "npm" => ["delegate", "redis"].contains(&name),
        "python" => ["kubernetes", "redis"].contains(&name),
        "rust-crate" => ["phf", "prometheus"].contains(&name),
        _ => false,
    }
}

fn add_known(all: &mut Candidates, kind: &str, name: &str) {
    for (of, known, vendors, products) in KNOWN {
        if (*of, *known) == (kind, name) {
            let exactly = |vendor: &str| vendor.starts_with("pivotal");
            for vendor in *vendors {
                match exactly(vendor) {
                    true => all.vendors.exact(vendor),
                    false => all.vendors.forms(vendor),
                }
            }
            for product in *products {
                all.products.exact(product);
            }
        }
    }
}

/// The vendor and the product of a module, by its path: `host/owner/repository`.
fn of_module(path: &str, mut all: Candidates) -> Candidates {
    let (host, rest) = path.split_once('/').unwrap_or((path, ""));
    let (owner, product) = match host {
        "golang.org" => ("golang", rest),
        "google.golang.org" => ("google", rest.split('/').next().unwrap_or_default()),
        // Its folders are those of versions.
        "gopkg.in" => ("", ""),
        _ => rest.split_once('/').unwrap_or_default(),
    };
    // A module without an owner has no name that others would use.
    if !owner.is_empty() && !product.is_empty() {
        all.vendors.beginnings(owner);
        all.products.forms(product);
    }
    all
}

/// A provider of Terraform: `registry/owner/name`.
fn of_provider(name: &str, mut all: Candidates) -> Candidates {
    let mut parts = name.rsplit('/');
    let (provider, owner) = (parts.next(), parts.next());
    if let (Some(provider), Some(owner)) = (provider, owner) {
        all.vendors.exact(owner);
        all.products.exact("terraform_provider");
        provider.clone_into(&mut all.target);
    }
    all
}

fn of_assembly(name: &str, facts: &Facts, mut all: Candidates) -> Candidates {
    let form = |text: &str| text.to_lowercase().replace(['-', '.', ' '], "_");
    let executables = facts.executables.values();
    let companies = executables.clone().map(|one| one.company_name.as_str());
    for vendor in companies.chain([name]) {
        all.vendors.exact(&form(vendor));
    }
    let products = executables.map(|one| one.product_name.as_str());
    for product in products.chain([name]).filter(|name| !name.is_empty()) {
        all.products.exact(&form(product));
        all.products.exact(&format!("{}_.net", form(product)));
    }
    all
}

fn of_plugin(name: &str, facts: &Facts, mut all: Candidates) -> Candidates {
    all.vendors.exact(&word(&facts.author));
    all.products.forms(&word(name));
    all.products.forms(&facts.plugin_install_directory);
    "wordpress".clone_into(&mut all.target);
    all
}

fn add_ruby(all: &mut Candidates, facts: &Facts) {
    all.vendors.exact("ruby");
    all.vendors.forms("ruby-lang");
    for author in &facts.authors {
        all.vendors.person(author);
    }
    all.vendors.exact(owner(&facts.homepage));
}

fn add_python(all: &mut Candidates, name: &str, facts: &Facts) {
    if !name.starts_with("python") {
        let long = format!("python-{name}");
        all.products.forms(&long);
        all.vendors.beginnings(&long);
    }
    let author = word(&facts.author).replace('-', "_");
    add_project(&mut all.vendors, &author);
    if let Some((person, _)) = facts.author_email.split_once('@') {
        let person = word(person).replace('-', "_");
        add_project(&mut all.vendors, &person);
        all.vendors.exact(&person.replace('_', "-"));
    }
}

/// A person or a group, and their project.
fn add_project(vendors: &mut Names, person: &str) {
    if person.is_empty() {
        return;
    }
    vendors.exact(person);
    if !person.ends_with("project") {
        vendors.exact(&format!("{person}_project"));
        vendors.exact(&format!("{person}project"));
    }
}

fn add_alpine(all: &mut Candidates, name: &str, facts: &Facts) {
    all.vendors.exact(owner(&facts.url));
    let of_language = |language: &str| {
        let rest = name.strip_prefix(language)?;
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        rest.strip_prefix('-').filter(|base| !base.is_empty())
    };
    if let Some(base) = of_language("py") {
        all.products.forms(base);
        all.vendors.beginnings(base);
        all.vendors.forms(&format!("{base}-project"));
        for base in [base.to_owned(), base.replace('-', "_")] {
            all.vendors.exact(&format!("{base}_project"));
            all.vendors.exact(&format!("{base}project"));
        }
    } else if let Some(base) = of_language("ruby") {
        let numbered = base.starts_with(|c: char| c.is_ascii_digit());
        let base = if numbered { "ruby" } else { base };
        all.products.forms(base);
        all.vendors.forms(base);
        if numbered || name.starts_with("ruby-") {
            all.vendors.forms("ruby-lang");
        }
    } else if let Some(base) = without_number(name) {
        all.products.forms(&base);
        all.vendors.beginnings(&base);
    }
    if name == "ruby" {
        all.vendors.forms("ruby-lang");
    }
}

/// `php-curl` of `php83-curl`, and `argo-cd` of `argo-cd-2.9`: a name without the version
/// that it has in it.
fn without_number(name: &str) -> Option<String> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let (begin, rest) = name.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    let rest = &rest[end.unwrap_or(rest.len())..];
    let is_apart = rest.is_empty() || rest.starts_with('-');
    let begin = begin.strip_suffix('-').unwrap_or(begin);
    (is_apart && !begin.is_empty()).then(|| format!("{begin}{rest}"))
}

/// The owner of a repository at a known host.
fn owner(url: &str) -> &str {
    let hosts = ["github.com", "gitlab.com"];
    let path = hosts.iter().find_map(|host| url.split_once(host));
    let path = path.map_or("", |(_, path)| path);
    let path = path.strip_prefix([':', '/']).unwrap_or_default();
    path.split_once('/').map_or("", |(owner, _)| owner)
}
