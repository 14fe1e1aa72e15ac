//! Content that arrives in pieces from a connection: the asynchronous twins of
//! [`Fetch`](super::Fetch), [`Push`](super::Push) and [`copy`](super::copy).

use std::future::Future;

use bytes::Bytes;

use super::activity;
use crate::oci::{Descriptor, Digest, Hasher};

/// Content being received. What it yields is not trusted.
pub trait Stream: Send {
    /// Why no more arrives.
    type Error;

    /// The next piece; `None` at the end.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;
}

/// A destination for streamed content. Dropped before [`commit`](Self::commit),
/// it keeps nothing.
pub trait Receive: Send {
    /// Why the content was not taken.
    type Error;
    /// What a whole blob becomes here.
    type Stored;

    /// Takes the next piece, waiting while the destination is behind.
    fn write(&mut self, piece: Bytes) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Ends the content. Succeeds only if size and digest are those of `expected`.
    fn commit(
        self,
        expected: &Descriptor,
    ) -> impl Future<Output = Result<Self::Stored, Self::Error>> + Send;
}

/// Which side of a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError<R, W> {
    /// The content could not be read.
    #[error(transparent)]
    Read(R),
    /// The destination refused the content.
    #[error(transparent)]
    Write(W),
}

/// Content of another digest than expected.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("content has digest {found}, expected {expected}")]
pub struct Mismatch {
    /// Digest of what was received.
    pub found: Digest,
    /// Digest in the descriptor.
    pub expected: Digest,
}

/// Copies one blob to a destination that verifies size and digest.
///
/// # Errors
///
/// [`CopyError`]; nothing is stored then.
pub async fn copy_stream<R: Stream, W: Receive>(
    mut from: R,
    mut to: W,
    descriptor: &Descriptor,
) -> Result<W::Stored, CopyError<R::Error, W::Error>> {
    while let Some(piece) = from.chunk().await.map_err(CopyError::Read)? {
        activity::moved(piece.len() as u64);
        to.write(piece).await.map_err(CopyError::Write)?;
    }
    to.commit(descriptor).await.map_err(CopyError::Write)
}

/// Verifies content without keeping it.
impl Receive for Hasher {
    type Error = Mismatch;
    type Stored = ();

    async fn write(&mut self, piece: Bytes) -> Result<(), Mismatch> {
        self.update(&piece);
        Ok(())
    }

    async fn commit(self, expected: &Descriptor) -> Result<(), Mismatch> {
        let (found, expected) = (self.finish(), expected.digest);
        match found == expected {
            true => Ok(()),
            false => Err(Mismatch { found, expected }),
        }
    }
}

/// Content held in memory. The caller bounds its size.
#[derive(Default)]
pub struct Memory(Vec<u8>);

impl Receive for Memory {
    type Error = Mismatch;
    type Stored = Vec<u8>;

    async fn write(&mut self, piece: Bytes) -> Result<(), Mismatch> {
        self.0.extend_from_slice(&piece);
        Ok(())
    }

    async fn commit(self, expected: &Descriptor) -> Result<Vec<u8>, Mismatch> {
        let (found, expected) = (Digest::of(&self.0), expected.digest);
        match found == expected {
            true => Ok(self.0),
            false => Err(Mismatch { found, expected }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    impl Stream for Option<Bytes> {
        type Error = Infallible;

        async fn chunk(&mut self) -> Result<Option<Bytes>, Infallible> {
            Ok(self.take())
        }
    }

    #[tokio::test]
    async fn only_the_expected_content_arrives() {
        let content = || Some(Bytes::from_static(b"abc"));
        let (right, wrong) = (Descriptor::of("", b"abc"), Descriptor::of("", b"abd"));
        let copied = copy_stream(content(), Memory::default(), &right).await;
        assert_eq!(copied.unwrap(), b"abc");
        copy_stream(content(), Hasher::default(), &right)
            .await
            .unwrap();
        let refused = copy_stream(content(), Memory::default(), &wrong).await;
        assert!(matches!(refused, Err(CopyError::Write(Mismatch { .. }))));
        let refused = copy_stream(content(), Hasher::default(), &wrong).await;
        assert!(matches!(refused, Err(CopyError::Write(Mismatch { .. }))));
    }
}
