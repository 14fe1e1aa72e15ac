//! Compresses a stream to Zstandard frames with several threads, in order.
//!
//! One thread reads, several compress, and the caller consumes the frames. Buffers are
//! reused, so that memory use does not depend on the content, and chunks need no new
//! allocations. The frames depend only on the content, not on the number of threads.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::Scope;

use crate::archive::{FrameMaker, MAX_COMPRESSED_INPUT, SeekableError};

/// Maximum number of threads that compress a stream: more than reading and writing can
/// keep busy.
const WORKERS: usize = 4;

/// Number of chunks in flight in addition to those being compressed. Each has its input
/// and its frame, 8 MiB: with two processors, 32 MiB are in use.
const QUEUED: usize = 2;

/// A chunk and its frame.
#[derive(Default)]
struct Chunk {
    input: Vec<u8>,
    frame: Vec<u8>,
}

impl Chunk {
    /// Reads the next input; `false` at the end.
    fn fill(&mut self, content: &mut impl Read) -> io::Result<bool> {
        self.input.clear();
        self.input.reserve_exact(MAX_COMPRESSED_INPUT);
        let mut content = content.take(MAX_COMPRESSED_INPUT as u64);
        Ok(content.read_to_end(&mut self.input)? > 0)
    }

    fn compress(&mut self, maker: &mut FrameMaker) -> Result<(), SeekableError> {
        maker.frame(&self.input, &mut self.frame)
    }
}

/// Passes the frames of `content`, which is about `len` bytes long, to `take`, each
/// with the length of its content.
///
/// # Errors
///
/// Those of reading and compressing, and the first of `take`.
pub(crate) fn frames<E: From<SeekableError>>(
    mut content: impl Read + Send,
    len: u64,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    if len <= MAX_COMPRESSED_INPUT as u64 {
        let (mut chunk, mut maker) = (Chunk::default(), FrameMaker::new()?);
        while chunk.fill(&mut content).map_err(SeekableError::from)? {
            chunk.compress(&mut maker)?;
            take(chunk.input.len() as u64, &chunk.frame)?;
        }
        return Ok(());
    }
    let workers = rayon::current_num_threads().clamp(1, WORKERS);
    std::thread::scope(|threads| {
        let (spent, spare) = channel();
        let (mut inlets, mut outlets) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (inlet, waiting) = sync_channel(1);
            let (made, outlet) = sync_channel(1);
            begin(threads, move || compress(&waiting, &made))?;
            inlets.push(inlet);
            outlets.push(outlet);
        }
        begin(threads, move || {
            read(content, &spare, &inlets, workers + QUEUED);
        })?;
        // Chunks are distributed and collected in turn. A thread that ends drops its
        // channels, which ends all others.
        for outlet in outlets.iter().cycle() {
            let Ok(made) = outlet.recv() else {
                break;
            };
            let chunk: Chunk = made?;
            take(chunk.input.len() as u64, &chunk.frame)?;
            // The receiver is gone when everything has been read.
            let _ = spent.send(chunk);
        }
        Ok(())
    })
}

/// Starts a thread, which fails if the system has too many.
fn begin<'scope>(
    threads: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), SeekableError> {
    let begun = std::thread::Builder::new().spawn_scoped(threads, work);
    Ok(begun.map(drop)?)
}

type Made = Result<Chunk, SeekableError>;

/// Distributes chunks until the content ends, fails, or no receiver is left.
fn read(mut content: impl Read, spare: &Receiver<Chunk>, inlets: &[SyncSender<Made>], most: usize) {
    for (begun, inlet) in inlets.iter().cycle().enumerate() {
        let mut chunk = match begun < most {
            true => Chunk::default(),
            false => match spare.recv() {
                Ok(chunk) => chunk,
                Err(_) => return,
            },
        };
        let filled = match chunk.fill(&mut content) {
            Ok(true) => Ok(chunk),
            Ok(false) => return,
            Err(error) => Err(error.into()),
        };
        let failed = filled.is_err();
        if inlet.send(filled).is_err() || failed {
            return;
        }
    }
}

fn compress(waiting: &Receiver<Made>, made: &SyncSender<Made>) {
    let mut maker = match FrameMaker::new() {
        Ok(maker) => maker,
        Err(error) => {
            let _ = made.send(Err(error));
            return;
        }
    };
    for chunk in waiting {
        let chunk = chunk.and_then(|mut chunk| chunk.compress(&mut maker).map(|()| chunk));
        if made.send(chunk).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &[u8], len: u64) -> Result<Vec<(u64, Vec<u8>)>, SeekableError> {
        let mut made = Vec::new();
        frames(content, len, |len, frame| {
            made.push((len, frame.to_vec()));
            Ok::<_, SeekableError>(())
        })?;
        Ok(made)
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_frames() {
        let content: Vec<u8> = (0..10 * MAX_COMPRESSED_INPUT as u32 + 7)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> (n >> 21)) as u8)
            .collect();
        let many = all(&content, content.len() as u64).unwrap();
        assert!(many == all(&content, 0).unwrap());
        assert_eq!((many.len(), many[10].0), (11, 7));
        let joined = many.iter().flat_map(|(_, frame)| frame.iter().copied());
        let joined: Vec<u8> = joined.collect();
        assert!(zstd::stream::decode_all(&joined[..]).unwrap() == content);
        assert!(all(b"", 0).unwrap().is_empty());
    }

    #[test]
    fn the_first_failure_ends_it() {
        struct Failing(u64);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        let len = 100 << 20;
        let failed = frames(Failing(9), len, |_, _| Ok::<_, SeekableError>(()));
        let Err(SeekableError::Io(error)) = failed else {
            panic!("it was read to an end");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut taken = 0;
        let refused = frames(io::repeat(1), len, |_, _| {
            taken += 1;
            match taken {
                3 => Err(SeekableError::Broken),
                _ => Ok(()),
            }
        });
        assert!(matches!(refused, Err(SeekableError::Broken)));
    }
}
