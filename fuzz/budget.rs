//! What one input may cost, as assertions: a counting allocator, and the processor's
//! time. Source: docs/spec/package.md, "Limits".

use std::time::Duration;

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Most memory for any input, in bytes, and for each of its bytes.
const MEMORY: usize = 200 << 20;
const MEMORY_PER_BYTE: usize = 24;

/// Most time of the processor for any input, and for each of its bytes. Targets are
/// built with assertions and coverage, which takes several times as long.
const TIME: Duration = Duration::from_secs(10);
const TIME_PER_BYTE: Duration = Duration::from_nanos(2000);

fn processor() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Does `work`, which reads an input of `length` bytes, and checks what it cost.
pub fn within<T>(length: usize, work: impl FnOnce() -> T) -> T {
    ALLOCATED.reset_peak_usage();
    let (held, begun) = (ALLOCATED.current_usage(), processor());
    let done = work();
    let took = processor() - begun;
    let memory = ALLOCATED.peak_usage().saturating_sub(held);
    let most = MEMORY + MEMORY_PER_BYTE * length;
    assert!(
        memory <= most,
        "{memory} bytes of memory for {length} bytes, expected at most {most}"
    );
    let most = TIME + TIME_PER_BYTE * u32::try_from(length).unwrap_or(u32::MAX);
    assert!(
        took <= most,
        "{took:?} for {length} bytes, expected at most {most:?}"
    );
    done
}
