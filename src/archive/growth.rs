//! How much compressed content may become.

use std::fmt;

/// The most bytes that compressed content may unpack to: a multiple of its own size,
/// and a size that any content may have. A decompression bomb grows a thousandfold.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    times: u64,
    /// In bytes.
    least: u64,
}

impl Growth {
    /// Of an archive with `extractPath`: programs and documents compress three- to
    /// twentyfold.
    pub const EXTRACTED: Self = Self {
        times: 32,
        least: 256 << 20,
    };
    /// Of a layer of an image: real file systems compress tenfold, files of zeros a
    /// thousandfold.
    pub const LAYER: Self = Self {
        times: 100,
        least: 4 << 30,
    };
    /// Of an archive inside a component, whose packages an SBOM lists, with the archives
    /// in it: a bomb takes seconds instead of a day.
    pub const INNER: Self = Self {
        times: 64,
        least: 1 << 30,
    };
    /// Of a package: text compresses a hundredfold.
    pub const PACKAGE: Self = Self {
        times: 200,
        least: 32 << 30,
    };

    /// What content of `size` bytes may unpack to, in bytes.
    #[must_use]
    pub fn of(self, size: u64) -> u64 {
        self.multiple(size).max(self.least)
    }

    /// The multiple alone.
    #[must_use]
    pub fn multiple(self, size: u64) -> u64 {
        size.saturating_mul(self.times)
    }
}

/// For help texts.
impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.least >> 30 {
            0 => (self.least >> 20, "MiB"),
            gib => (gib, "GiB"),
        };
        write!(f, "{} times its size, at least {number}{unit}", self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_content_has_the_least_and_large_a_multiple() {
        assert_eq!(Growth::EXTRACTED.of(1), 256 << 20);
        assert_eq!(Growth::EXTRACTED.of(1 << 30), 32 << 30);
        assert_eq!(Growth::PACKAGE.of(u64::MAX), u64::MAX);
    }

    #[test]
    fn it_is_shown_with_its_unit() {
        assert_eq!(
            Growth::EXTRACTED.to_string(),
            "32 times its size, at least 256MiB"
        );
        assert_eq!(
            Growth::LAYER.to_string(),
            "100 times its size, at least 4GiB"
        );
    }
}
