//! Any bytes as a report of tests. What is accepted is bounded, and reads the same after it
//! was written.
#![no_main]

use jackal::testing::rewritten_report;
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

fuzz_target!(|bytes: &[u8]| {
    if let Ok([second, third]) = budget::within(bytes.len(), || rewritten_report(bytes)) {
        assert_eq!(second, third);
    }
});
