//! `repo`: a clone of a Git repository, pinned by its commit.

pub(crate) mod git;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use git::Git;

use crate::action::{Action, Output};
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::lockfile::Lockfile;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure, tools};
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, Question, answer};
use crate::kinds::{Context, Kind, Prepared};
use crate::oci::Descriptor;
use crate::package::{RepoUrl, Wanted};

/// Version of the output format; incremented when its bytes change.
const REPOSITORY_FORMAT: u32 = 4;

/// The setting that holds the commit, or the digest over all references.
pub(crate) const PIN: &str = "pin";

/// A repository of a component.
#[derive(Clone, Debug)]
pub struct CloneWork {
    /// The folders of the package; the lock file is in its own folder.
    pub folders: Folders,
    /// The repository and the reference to clone.
    pub url: RepoUrl,
}

/// The question of which commit a repository resolves to. A URL with a commit has no
/// pin.
impl Question for RepoUrl {
    type Answer = String;

    fn name(&self) -> String {
        self.to_string()
    }

    fn platform(&self) -> String {
        "repo".to_owned()
    }

    fn pinned(&self, lock: &Lockfile) -> Option<String> {
        lock.repository(&self.to_string()).map(str::to_owned)
    }

    fn pin(&self, lock: &mut Lockfile, answer: String) {
        lock.pin_repository(&self.to_string(), &answer);
    }

    fn shown(answer: &String) -> String {
        answer.clone()
    }

    async fn ask(&self, site: &Arc<Site>) -> Result<String, Failure> {
        Ok(git(site)?.resolve(self).await?)
    }
}

/// The commit that `url` resolves to.
pub(crate) async fn commit(
    site: &Arc<Site>,
    folder: &Path,
    url: &RepoUrl,
) -> Result<String, Failure> {
    match &url.wanted {
        Wanted::Commit(commit) => Ok(commit.clone()),
        _ => answer(site, folder, url).await,
    }
}

/// What a prepared step clones, according to its key.
pub(crate) fn pinned(prepared: &Prepared) -> Result<&str, Failure> {
    let pin = prepared.action.settings.get(PIN);
    pin.ok_or_else(|| Failure::new(Class::Task, "internal error: a clone without its commit"))
}

/// The pin of `url`, unless the URL names a commit.
pub(crate) fn pin(folder: &Path, url: &RepoUrl) -> Vec<Pin> {
    match url.wanted {
        Wanted::Commit(_) => Vec::new(),
        _ => vec![Pin::of(folder, url.clone())],
    }
}

/// The host's `git`, with the variables for credentials.
pub(crate) fn git(site: &Site) -> Result<Git, Failure> {
    let tool = tools::required(
        site,
        "git",
        "Git repositories need `git`, which is not on PATH: install it",
    )?;
    Ok(Git {
        program: tool.path.clone(),
        through: site.options.program.clone(),
        env: tools::environment(site),
    })
}

/// The digest of a commit in the form for provenance.
pub(crate) fn material(url: &RepoUrl, action: &Action) -> Vec<Material> {
    let commit = action.settings.get(PIN).map(|commit| Material::Commit {
        address: url.public_address(),
        commit: commit.to_owned(),
    });
    commit.into_iter().collect()
}

/// The output that lists files which are pointers of Git LFS.
const POINTERS: &str = "lfs-pointers";

/// Maximum number of these files to list.
const MAX_LISTED: usize = 20;

/// A list of the files in the clone in `folder` whose content is not in the
/// repository but in Git LFS; `None`: there are none.
pub(crate) async fn pointers(
    site: &Arc<Site>,
    url: &RepoUrl,
    folder: &Path,
) -> Result<Option<Output>, Failure> {
    let mut found = git(site)?.pointers(url, folder).await?;
    if found.is_empty() {
        return Ok(None);
    }
    if found.len() > MAX_LISTED {
        let more = found.len() - MAX_LISTED;
        found.truncate(MAX_LISTED);
        found.push(format!("and {more} more"));
    }
    let (cas, text) = (Arc::clone(&site.cas), found.join(", "));
    blocking(move || {
        let described = Descriptor::of("", text.as_bytes());
        cas.put(&described, text.as_bytes())?;
        Ok(Some(Output {
            name: POINTERS.to_owned(),
            digest: described.digest,
            size: described.size,
        }))
    })
    .await
}

/// The warning about such files.
pub(crate) fn pointer_warnings(site: &Site, url: &RepoUrl, outputs: &[Output]) -> Vec<String> {
    let listed = outputs.iter().find(|output| output.name == POINTERS);
    let warning = listed.map(|listed| {
        let mut files = String::new();
        let blob = site.cas.open_blob(&listed.digest).ok();
        // The list is ours, and short.
        let _ = blob.map(|mut blob| blob.read_to_string(&mut files));
        format!(
            "repository `{url}` keeps files in Git LFS, and the package has their pointers \
             instead of their content: {files}; use a repository that has the content itself"
        )
    });
    warning.into_iter().collect()
}

impl Kind for CloneWork {
    fn verb(&self) -> &'static str {
        "repo"
    }

    /// What comes from elsewhere by its digest is verified there, which no cache can do.
    fn is_shared(&self) -> bool {
        false
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        CheckoutReads::nothing()
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(pin(&self.folders.own, &self.url))
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("repository", REPOSITORY_FORMAT);
        let (sort, name) = match &self.url.wanted {
            Wanted::All => ("all", ""),
            Wanted::Commit(name) => ("commit", name.as_str()),
            Wanted::Reference(name) => ("reference", name.as_str()),
        };
        let pin = commit(cx.site, &self.folders.own, &self.url).await?;
        action.settings.put("address", self.url.public_address());
        action.settings.put(sort, name);
        action.settings.put(PIN, pin);
        Ok(Prepared::of(action, Inputs::new(&cx.site.cas)))
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let site = cx.site;
        if !self.url.address.starts_with("file://") {
            site.online(&format!("`{}`", self.url))?;
        }
        let pin = pinned(prepared)?;
        let stage = site.stage().await?;
        let output = git(site)?
            .clone_to(&self.url, pin, stage.path(), &site.cas)
            .await?;
        let pointers = pointers(site, &self.url, stage.path()).await?;
        let outputs: Vec<Output> = [output].into_iter().chain(pointers).collect();
        Ok(outputs.into())
    }

    fn warnings(&self, site: &Site, outputs: &[Output]) -> Vec<String> {
        pointer_warnings(site, &self.url, outputs)
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        material(&self.url, action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_names_a_repository_without_its_login() {
        let url = RepoUrl::parse("https://user:secret@h.io/r.git@v1").unwrap();
        let mut action = Action::new("repository", REPOSITORY_FORMAT);
        action.settings.put(PIN, "c0ffee");
        let expected = Material::Commit {
            address: "https://h.io/r.git".to_owned(),
            commit: "c0ffee".to_owned(),
        };
        assert_eq!(material(&url, &action), [expected]);
    }
}
