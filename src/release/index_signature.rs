//! The signature of the index that a tag names, for tools that look for signatures there.
//!
//! jackal verifies the package's own manifest, whatever index names it. `cosign verify`
//! verifies what the tag names, which is the index: it gets a signature too, and copies of
//! the whole index verify as well. An index may also name what other clients published. It
//! is signed only if all that it names is signed by the signer of this release.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::artifact::Place;
use super::item::Item;
use super::vouching::signature_statement;
use crate::oci::{Descriptor, Digest, Index, Reference, media_type};
use crate::registry::{BlobSource, Hints, ListedIn, Registry};
use crate::release::WithDocuments;
use crate::release::vouching::nothing;
use crate::signers::Signer;
use crate::signing::{Bundle, SIGN_PREDICATE, Subject};
use crate::source::{EMPTY_CONFIG, bundle_manifest, bundles_of, candidates_about};
use crate::text::with_causes;

/// Signs the index under the tag of `items`, which are all of one tag; nothing is done if
/// they are not signed, or the index is signed already.
///
/// # Errors
///
/// Why it was not signed. The release is complete all the same.
pub(super) async fn sign(registry: &Arc<Registry>, items: &[Arc<Item>]) -> Result<(), String> {
    let Some((Place::Registry(tag), name)) =
        items.first().map(|item| (&item.place, &item.artifact.name))
    else {
        return Ok(());
    };
    let signers: Option<Vec<&Arc<Signer>>> = items
        .iter()
        .map(|item| item.vouching.as_ref()?.signer.as_ref())
        .collect();
    let Some(signer) = signers.as_ref().and_then(|signers| signers.first()) else {
        return Ok(());
    };
    let failed = |why: String| {
        format!(
            "the index under {tag} was not signed, so that `cosign verify` finds a signature \
             only by the digest of the package: {why}"
        )
    };
    let causes = |error: &dyn std::error::Error| failed(with_causes(error));
    let (index, bytes) = registry
        .resolve(tag)
        .await
        .map_err(|error| causes(&error))?;
    if !media_type::is_index(&index.media_type) {
        return Ok(());
    }
    if is_signed(registry, tag, index.digest, signer).await? {
        return Ok(());
    }
    let read: Index = serde_json::from_slice(&bytes).map_err(|error| causes(&error))?;
    let own: BTreeSet<Digest> = items
        .iter()
        .map(|item| item.artifact.manifest.digest)
        .collect();
    for entry in read.manifests {
        let known = own.contains(&entry.digest);
        if !known && !is_signed(registry, tag, entry.digest, signer).await? {
            let digest = entry.digest;
            return Err(failed(format!(
                "it names {digest}, which is not signed by this signer"
            )));
        }
    }
    let statement = signature_statement(vec![Subject::new(name, &index.digest)]);
    let signing = {
        let signer = Arc::clone(signer);
        tokio::task::spawn_blocking(move || signer.statement(&statement))
    };
    let bundle = signing.await.map_err(|error| causes(&error))?;
    let bundle = bundle.map_err(|error| causes(&error))?.into_bytes();
    attach(registry, tag, &index, bundle).await.map_err(failed)
}

/// Whether a bundle beside `digest` is a signature of it by `signer`. A keyless signer has
/// another key each time; what it signed in other releases is not taken for its own.
async fn is_signed(
    registry: &Arc<Registry>,
    tag: &Reference,
    digest: Digest,
    signer: &Signer,
) -> Result<bool, String> {
    let Signer::Key(key) = signer else {
        return Ok(false);
    };
    let wrong = |error: &dyn std::error::Error| {
        let why = with_causes(error);
        format!("the signatures of {digest} at {tag} cannot be read: {why}")
    };
    let candidates = candidates_about(registry, tag, digest, ListedIn::ALL).await;
    let candidates = candidates.map_err(|error| wrong(&error))?;
    let bundles = bundles_of(registry, tag, digest, &candidates).await;
    let bundles = bundles.map_err(|error| wrong(&error))?;
    Ok(bundles.found.iter().any(|bytes| {
        let Ok(bundle) = Bundle::parse(bytes) else {
            return false;
        };
        let about = [("sha256", digest.hex())];
        bundle
            .verify_statement(key.public())
            .is_ok_and(|statement| {
                statement.predicate_type == SIGN_PREDICATE && statement.is_about(&about).is_ok()
            })
    }))
}

async fn attach(
    registry: &Arc<Registry>,
    tag: &Reference,
    index: &Descriptor,
    bundle: Vec<u8>,
) -> Result<(), String> {
    let why = |error: &dyn std::error::Error| with_causes(error);
    let manifest = bundle_manifest(index, &bundle).map_err(|error| why(&error))?;
    let blobs = [
        Descriptor::of(media_type::EMPTY, EMPTY_CONFIG),
        Descriptor::of(media_type::EMPTY, &bundle),
    ];
    let documents = vec![bundle, EMPTY_CONFIG.to_vec()];
    let source: BlobSource = Arc::new(WithDocuments::new(documents, nothing()));
    for blob in &blobs {
        let sent = registry.push_blob(tag, blob, &source, Hints::default());
        sent.await.map_err(|error| why(&error))?;
    }
    let attached = registry.attach(tag, index.digest, &[manifest]).await;
    let mut attached = attached.map_err(|error| why(&error))?;
    attached.wait().await;
    let settled = registry.settle_referrers(&mut attached).await;
    settled.map(drop).map_err(|error| why(&error))
}
