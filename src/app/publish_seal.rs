//! The signature that a package gets inside before it is published.
//!
//! Some signers sign otherwise each time, and a package with another signature is
//! another package. So what such a signer made is used again: what lies at the
//! destination, or what a run that was interrupted has left here.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::publish::{PublishOptions, Ready};
use crate::oci::Digest;
use crate::package::Dialect;
use crate::registry::Registry;
use crate::release::{Artifact, Destination, Place, Vouching, documents};
use crate::signing::{Bundle, Claims, Content};
use crate::source::RemotePackage;
use crate::transparency::{Seal, Signer, is_seal, seal};
use crate::verify::{self, Scope};

/// New or replaced files of a package, by name.
type Files = Vec<(String, Vec<u8>)>;

/// Who signs in packages, and how.
pub(super) struct Sealing<'s> {
    pub registry: &'s Arc<Registry>,
    pub options: &'s PublishOptions,
    pub vouching: &'s Arc<Vouching>,
    pub how: Seal,
}

impl Sealing<'_> {
    /// The package with a signature in it; an error says why there is none.
    pub(super) async fn sealed(&self, ready: Ready) -> Result<Ready, String> {
        let Some(signer) = &self.vouching.signer else {
            return Ok(ready);
        };
        let kept = self.kept(&ready);
        let found = match &kept {
            None => None,
            Some(kept) => self.earlier(&ready, signer, kept).await,
        };
        let sealed = match found {
            Some(found) => found,
            None => self.newly(&ready, signer, kept).await?,
        };
        // The manifest is another one; what speaks about the definition, speaks
        // about it as well, unless signing has changed that.
        let definition = sealed.definition();
        let still = |bundle: &Vec<u8>| {
            let named = definition.map(|digest| ("sha256", digest.hex()));
            let read = Bundle::parse(bundle).ok();
            read.zip(named).is_some_and(|(bundle, named)| {
                let Content::Envelope(envelope) = bundle.content() else {
                    return false;
                };
                Claims::of(envelope).about(&[named])
            })
        };
        Ok(Ready {
            bundles: ready.bundles.iter().filter(|b| still(b)).cloned().collect(),
            artifact: Arc::new(sealed),
            ..ready
        })
    }

    async fn newly(
        &self,
        ready: &Ready,
        signer: &Arc<Signer>,
        kept: Option<PathBuf>,
    ) -> Result<Artifact, String> {
        let (signer, artifact) = (Arc::clone(signer), Artifact::clone(&ready.artifact));
        let how = self.how;
        blocking(move || {
            let evidence = documents(&artifact).map_err(|error| error.to_string())?;
            let (dialect, definition) = evidence.definition.ok_or("it has no definition")?;
            let files = seal(dialect, &definition, &signer, how);
            let files = files.map_err(|error| error.to_string())?;
            if let Some(kept) = kept {
                keep(&kept, &files).map_err(|error| format!("`{}`: {error}", kept.display()))?;
            }
            artifact.with_seal(dialect, files)
        })
        .await
    }

    /// The package with a signature that the same signer made of it before.
    async fn earlier(&self, ready: &Ready, signer: &Arc<Signer>, kept: &Path) -> Option<Artifact> {
        if let Some(files) = read(kept) {
            let sealed = self.judged(ready, signer, files).await;
            if sealed.is_some() {
                return sealed;
            }
        }
        for destination in &self.options.destinations {
            let to = Destination::parse(destination, &self.options.build.here).ok()?;
            let Ok(Place::Registry(tag)) = to.place(&ready.name, &ready.tag) else {
                continue;
            };
            let architecture = &ready.artifact.architecture;
            // Whatever is wrong there, publishing will tell.
            let Ok(found) = RemotePackage::find(self.registry, &tag, architecture).await else {
                continue;
            };
            let mut files = Vec::new();
            for dialect in Dialect::ALL {
                let names = [dialect.signature_file(), dialect.bundle_file()];
                for name in names.into_iter().chain([dialect.definition_file()]) {
                    if let Ok(Some(bytes)) = found.document(self.registry, name).await {
                        files.push((name.to_owned(), bytes));
                    }
                }
            }
            if let Some(sealed) = self.judged(ready, signer, files).await
                && sealed.manifest.digest == found.digest()
            {
                return Some(sealed);
            }
        }
        None
    }

    /// The package with `files`, if they are a good signature of it.
    async fn judged(&self, ready: &Ready, signer: &Arc<Signer>, files: Files) -> Option<Artifact> {
        let (signer, artifact) = (Arc::clone(signer), Artifact::clone(&ready.artifact));
        let (how, policy) = (self.how, self.vouching.policy.clone());
        let judging = blocking(move || {
            let evidence = documents(&artifact).map_err(|error| error.to_string())?;
            let (dialect, definition) = evidence.definition.ok_or("it has no definition")?;
            let mut files = files;
            // One that does not change stays where it is.
            files.retain(|(name, bytes)| name != dialect.definition_file() || *bytes != definition);
            if !is_seal(dialect, &definition, &signer, how, &files) {
                return Err("other files".to_owned());
            }
            let sealed = artifact.with_seal(dialect, files)?;
            let evidence = documents(&sealed).map_err(|error| error.to_string())?;
            match verify::verify(evidence, Scope::Whole, &policy) {
                Ok(_) => Ok(sealed),
                Err(_) => Err("not a good signature".to_owned()),
            }
        });
        judging.await.ok()
    }

    /// Where the signature is kept until the release has ended; `None`: it can be
    /// made again as it is.
    pub(super) fn kept(&self, ready: &Ready) -> Option<PathBuf> {
        let signer = self.vouching.signer.as_ref()?;
        if signer.is_deterministic() {
            return None;
        }
        let what = format!(
            "{} {:?} {}",
            ready.artifact.manifest.digest,
            self.how,
            signer.name()
        );
        let name = Digest::of(what.as_bytes()).hex();
        let folder = self.options.state.join("seals");
        Some(folder.join(format!("{name}.json")))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())
        .and_then(|done| done)
}

fn keep(path: &Path, files: &Files) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temp = tempfile::NamedTempFile::new_in(folder)?;
    temp.write_all(&serde_json::to_vec(files)?)?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

fn read(path: &Path) -> Option<Files> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
