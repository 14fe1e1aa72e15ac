//! Cancellation of a run.

/// Cancellation of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    #[default]
    No,
    /// Commands get a signal, and are killed after their grace period; everything else
    /// ends now.
    Soon,
    /// Everything is killed.
    Now,
}
