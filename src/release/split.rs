//! Artifacts with large files in parts, for registries that limit the size of
//! layers.
//!
//! The same file and limit give the same parts everywhere, so that nothing is
//! uploaded a second time. Computing the digests of parts takes another pass
//! over the file.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::artifact::{Artifact, Place};
use super::error::ReleaseError;
use crate::content::{Fetch, VerifyReader};
use crate::oci::{Descriptor, Digest, Hasher, Manifest};
use crate::package::layers::{self, MAX_PARTS};
use crate::package::{Dialect, SKELETON, manifest};
use crate::registry::{BlobSource, Registry};

/// `artifact` as it is published to `place`: with large files in parts if the
/// registry is known to limit layers.
///
/// # Errors
///
/// A file cannot be read, or would be in too many parts.
pub async fn fitting(
    registry: &Registry,
    place: &Place,
    artifact: &Arc<Artifact>,
) -> Result<Arc<Artifact>, ReleaseError> {
    let most = match place {
        Place::Registry(to) => registry.max_layer(to),
        Place::Layout { .. } => None,
    };
    let Some(most) = most else {
        return Ok(Arc::clone(artifact));
    };
    let whole = Arc::clone(artifact);
    let splitting = tokio::task::spawn_blocking(move || split(&whole, most));
    let done = splitting
        .await
        .map_err(|error| ReleaseError::Stopped(error.to_string()))?;
    done.map(Arc::new).map_err(|source| ReleaseError::Copy {
        place: place.to_string(),
        source,
    })
}

/// `artifact` with every file of more than `most` bytes in parts of that size;
/// unchanged if it has none. Blocks while it reads them.
///
/// # Errors
///
/// A file cannot be read, or would be in too many parts.
fn split(artifact: &Artifact, most: u64) -> io::Result<Artifact> {
    let found: Manifest = serde_json::from_slice(&artifact.bytes)?;
    let titles = found.layers.iter().filter_map(manifest::title);
    let dialect = Dialect::of_artifact(&found.config.media_type, titles);
    // Each component of a skeleton stays one layer, as importers expect.
    let whole = artifact.architecture == SKELETON;
    let Some(dialect) = dialect.filter(|_| !whole) else {
        return Ok(artifact.clone());
    };
    let mut parted = BTreeMap::new();
    let mut places = BTreeMap::new();
    let files = layers::files(found.layers).map_err(io::Error::other)?;
    for file in files.into_iter().filter(|file| file.layers.len() == 1) {
        if file.whole.size <= most || file.name.is_empty() {
            continue;
        }
        if file.whole.size.div_ceil(most) > MAX_PARTS as u64 {
            let message = format!(
                "`{}` would be split into more than {MAX_PARTS} parts of {most} bytes",
                file.name
            );
            return Err(io::Error::other(message));
        }
        let content = digests(&*artifact.source, &file.whole, most)?;
        let mut offset = 0;
        for (digest, size) in &content {
            places.insert(*digest, (file.whole.clone(), offset));
            offset += size;
        }
        let parts = layers::parts(dialect, &file.name, file.whole.digest, &content);
        parted.insert((file.whole.digest, file.name), parts);
    }
    if parted.is_empty() {
        return Ok(artifact.clone());
    }
    let bytes = layers::with_parts(&artifact.bytes, &parted)?;
    let source: BlobSource = Arc::new(InParts {
        rest: Arc::clone(&artifact.source),
        places,
    });
    let (name, architecture) = (artifact.name.clone(), artifact.architecture.clone());
    let origin = artifact.origin.clone();
    Ok(Artifact::copied(
        name,
        architecture,
        bytes.into(),
        source,
        origin,
    )?)
}

/// The digests and sizes of the parts of `whole`, which is verified in the same
/// pass.
fn digests(source: &dyn Fetch, whole: &Descriptor, most: u64) -> io::Result<Vec<(Digest, u64)>> {
    let mut content = VerifyReader::new(source.fetch(whole)?, whole);
    let (mut found, mut left) = (Vec::new(), whole.size);
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let size = left.min(most);
        let (mut hasher, mut part) = (Hasher::default(), (&mut content).take(size));
        loop {
            match part.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        found.push((hasher.finish(), size));
        left -= size;
    }
    // The digest is verified at the end.
    match content.read(&mut buffer)? {
        0 => Ok(found),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A store that also yields parts of its content.
struct InParts {
    rest: BlobSource,
    /// For each part, its whole and its offset.
    places: BTreeMap<Digest, (Descriptor, u64)>,
}

impl Fetch for InParts {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        let Some((whole, offset)) = self.places.get(&descriptor.digest) else {
            return self.rest.fetch(descriptor);
        };
        let content = self.rest.fetch_from(whole, *offset)?;
        Ok(Box::new(content.take(descriptor.size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::manifest;
    use crate::release::WithDocuments;

    struct Nothing;

    impl Fetch for Nothing {
        fn fetch(&self, _: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn artifact(architecture: &str) -> Artifact {
        let config = Descriptor::of(Dialect::Jackal.config_media_type(), b"{}");
        let layer = |name: &str, bytes: &[u8]| {
            manifest::layer(Dialect::Jackal, name, Descriptor::of("", bytes))
        };
        let (large, small) = (&b"0123456789"[..], &b"0123"[..]);
        let layers = vec![layer("a", large), layer("b", large), layer("c", small)];
        let bytes = manifest::manifest(config, layers, BTreeMap::new()).unwrap();
        let contents = [large.to_vec(), small.to_vec()];
        let source: BlobSource = Arc::new(WithDocuments::new(contents, Arc::new(Nothing)));
        let name = "x".to_owned();
        Artifact::copied(name, architecture.to_owned(), bytes.into(), source, None).unwrap()
    }

    #[test]
    fn large_files_are_in_parts_that_are_read_back_and_small_ones_stay() {
        let artifact = artifact("amd64");
        let made = split(&artifact, 4).unwrap();
        let manifest: Manifest = serde_json::from_slice(&made.bytes).unwrap();
        let files = layers::files(manifest.layers).unwrap();
        let shown: Vec<_> = files
            .iter()
            .map(|file| (&file.name[..], file.whole.digest, file.layers.len()))
            .collect();
        let (large, small) = (Digest::of(b"0123456789"), Digest::of(b"0123"));
        assert_eq!(shown, [("c", small, 1), ("a", large, 3), ("b", large, 3)]);
        for file in files {
            let mut read = Vec::new();
            for layer in &file.layers {
                let content = made.source.fetch(layer).unwrap();
                let mut content = VerifyReader::new(content, layer);
                content.read_to_end(&mut read).unwrap();
            }
            assert_eq!(Digest::of(&read), file.whole.digest, "{}", file.name);
        }
        // Once more, it is in parts already.
        let again = split(&made, 4).unwrap();
        assert_eq!(again.manifest, made.manifest);
        for (artifact, most) in [(artifact, 10), (self::artifact("skeleton"), 4)] {
            let same = split(&artifact, most).unwrap();
            assert_eq!(same.manifest, artifact.manifest, "{most}");
        }
    }
}
