//! Whether a run is to stop.

/// Whether a run is to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It goes on.
    #[default]
    No,
    /// Commands get a signal, and are killed after their grace; all else ends now.
    Soon,
    /// Everything is killed.
    Now,
}
