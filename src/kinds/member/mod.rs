//! `fetch`: a file or folder taken out of an archive.

pub(crate) mod extract;

use std::path::PathBuf;
use std::sync::Arc;

use crate::action::{Action, Input, InputKind, Output};
use crate::ground::checkout;
use crate::ground::folders::Folders;
use crate::ground::site::Made;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::component::files::{self, FileQuestion, is_remote};
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, answer};
use crate::kinds::{Context, Kind, Prepared};
use crate::oci::Digest;
use crate::package::File;
use extract::extract_member;

/// Version of what is written; raised when its bytes change.
const MEMBER_FORMAT: u32 = 1;

/// A member of an archive, as an entry of `files` with `extractPath` names it.
#[derive(Clone, Debug)]
pub struct MemberWork {
    /// Where the archive is; the lock file is in its own folder.
    pub folders: Folders,
    /// The archive and the path in it.
    pub file: File,
}

/// Where an archive is.
enum Archive {
    /// In the store.
    Blob(Digest),
    /// On the disk.
    File(PathBuf),
}

impl MemberWork {
    /// The address of the archive. Its `shasum` is that of the member.
    fn question(&self) -> Option<FileQuestion> {
        is_remote(&self.file.source).then(|| FileQuestion {
            url: self.file.source.clone(),
            sum: None,
        })
    }

    /// Finds the archive; downloads it if it is not stored.
    async fn archive(&self, cx: &Context<'_>) -> Result<Archive, Failure> {
        let Some(question) = self.question() else {
            let found = self.folders.inside(&self.file.source)?;
            return Ok(Archive::File(found.root.join(found.below)));
        };
        let pin = answer(cx.site, &self.folders.own, &question).await?;
        let stored = files::stored(cx.site, &question.url, &pin).await?;
        Ok(Archive::Blob(stored.digest))
    }
}

impl Kind for MemberWork {
    fn verb(&self) -> &'static str {
        "fetch"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let question = self.question().into_iter();
        Ok(question
            .map(|question| Pin::of(&self.folders.own, question))
            .collect())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("member", MEMBER_FORMAT);
        for (key, value) in [
            ("extractPath", &self.file.extract_path),
            ("shasum", &self.file.shasum),
        ] {
            action.settings.push((key.to_owned(), value.clone()));
        }
        action.inputs = match self.question() {
            Some(question) => {
                let pin = answer(cx.site, &self.folders.own, &question).await?;
                vec![Input {
                    path: question.url,
                    kind: InputKind::Blob { digest: pin.digest },
                }]
            }
            None => checkout::listed(cx.site, &self.folders, &self.file.source).await?,
        };
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let archive = self.archive(cx).await?;
        let (cas, file) = (Arc::clone(&cx.site.cas), self.file.clone());
        let output = blocking(move || {
            let (name, wanted) = (&file.source, &file.extract_path);
            let taken = match archive {
                Archive::Blob(digest) => {
                    // Verified while it is copied; a zip is read from its end.
                    let stage = cas.stage()?;
                    let mut plain = std::fs::File::options()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(stage.path().join("archive"))?;
                    std::io::copy(&mut cas.open_blob(&digest)?, &mut plain)?;
                    std::io::Seek::rewind(&mut plain)?;
                    extract_member(&cas, name, plain, wanted)
                }
                Archive::File(path) => {
                    let file = std::fs::File::open(&path)?;
                    extract_member(&cas, name, file, wanted)
                }
            };
            summed(taken?, &file)
        })
        .await?;
        Ok(vec![output].into())
    }

    fn rechecked(&self) -> bool {
        true
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        files::materials(action)
    }
}

/// Compares what was taken out with the file's `shasum`.
fn summed(taken: Output, file: &File) -> Result<Output, Failure> {
    let expected = file.shasum.to_ascii_lowercase();
    if expected.is_empty() || taken.digest.hex() == expected {
        return Ok(taken);
    }
    let message = format!(
        "`{}` of `{}` has the SHA-256 sum {}, expected {expected} by its `shasum`: \
         correct the one or restore the other",
        file.extract_path,
        file.source,
        taken.digest.hex()
    );
    Err(Failure::new(Class::Verification, message))
}
