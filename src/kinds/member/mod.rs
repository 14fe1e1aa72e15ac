//! `fetch`: extracts a file or folder from an archive.

pub(crate) mod extract;

use std::sync::Arc;

use extract::extract_member;

use crate::action::{Action, Fields as _, Output, fields};
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::Made;
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::component::files::{self, FileQuestion, is_remote};
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, answer};
use crate::kinds::{Bench, Context, Kind, Prepared, inputs_over};
use crate::package::{File, shasum};
use crate::text::public_url;
use crate::workspace::Links;

/// The action that extracts a member.
pub(crate) const ACTION: &str = "member";

/// Version of the output format; incremented when its bytes change.
const MEMBER_FORMAT: u32 = 1;

/// A member of an archive, from an entry of `files` with `extractPath`.
#[derive(Clone, Debug)]
pub struct MemberWork {
    /// The folders of the package; the lock file is in its own folder.
    pub folders: Folders,
    /// The archive and the path in it.
    pub file: File,
}

fields! {
    struct MemberSettings {
        /// The archive, a path or a blob among the inputs.
        source: String = "source",
        extract_path: String = "extractPath",
        /// SHA-256 of the member, in hex; empty: any.
        shasum: String = "shasum",
    }
}

impl MemberWork {
    /// The URL of the archive. The `shasum` is that of the member.
    fn question(&self) -> Option<FileQuestion> {
        is_remote(&self.file.source).then(|| FileQuestion::of(&self.file.source))
    }
}

impl Kind for MemberWork {
    fn verb(&self) -> &'static str {
        "fetch"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        if self.question().is_none() {
            reads.add_source(&self.folders, &self.file.source);
        }
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let question = self.question().into_iter();
        Ok(question
            .map(|question| Pin::of(&self.folders.own, question))
            .collect())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut inputs = inputs_over(cx, &self.folders.made)?;
        if let Some(question) = self.question() {
            let pin = answer(cx.site, &self.folders.own, &question).await?;
            inputs.blob(&question.url, pin.digest, pin.size)?;
        } else {
            let (site, own) = (Arc::clone(cx.site), self.clone());
            inputs = blocking(move || {
                inputs.source(&site, &own.folders, &own.file.source, Links::Packed)?;
                Ok(inputs)
            })
            .await?;
        }
        let settings = MemberSettings {
            source: public_url(&self.file.source),
            extract_path: self.file.extract_path.clone(),
            shasum: self.file.shasum.clone(),
        };
        Ok(Prepared::new(ACTION, MEMBER_FORMAT, &settings, inputs))
    }

    async fn fetch(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<u64, Failure> {
        match self.question() {
            Some(question) => question.fetch(cx.site, prepared).await,
            None => Ok(0),
        }
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        files::materials(action)
    }
}

/// Extracts the member using only the inputs.
pub(crate) async fn make(action: &Action, inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    let settings = MemberSettings::read("", &action.settings)?;
    let (cas, inputs) = (Arc::clone(&bench.cas), inputs.clone());
    let limit = bench.content_limit();
    let output = blocking(move || {
        // A zip is read from its end.
        let archive = inputs.seekable(settings.source.trim_end_matches('/'))?;
        let (name, wanted) = (&settings.source, &settings.extract_path);
        let taken = extract_member(&cas, name, &archive.file, wanted, limit)?;
        archive.settle()?;
        summed(taken, &settings)
    })
    .await?;
    Ok(vec![output].into())
}

/// Compares the extracted file with its `shasum`.
fn summed(taken: Output, file: &MemberSettings) -> Result<Output, Failure> {
    let wrong = |error| Failure::new(Class::Configuration, format!("`{}`: {error}", file.source));
    let expected = match shasum(&file.shasum).map_err(wrong)? {
        Some(expected) if expected != taken.digest => expected.hex(),
        _ => return Ok(taken),
    };
    let message = format!(
        "`{}` of `{}` has SHA-256 {}, but its `shasum` is {expected}: correct the `shasum`, or restore the file",
        file.extract_path,
        file.source,
        taken.digest.hex()
    );
    Err(Failure::new(Class::Verification, message))
}
