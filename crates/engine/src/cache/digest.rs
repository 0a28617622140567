//! Names for what an answer depends on: SHA-256, so that what differs has different names also if somebody tries.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// The name of something: equal for what is equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

/// Makes a fingerprint of values one after another.
pub(crate) struct Digester(Sha256);

impl Digester {
    /// Begins; values of different sorts never have the same fingerprint.
    pub(crate) fn new(sort: &str) -> Self {
        let mut digester = Self(Sha256::new());
        sort.hash(&mut digester);
        digester
    }

    pub(crate) fn add(mut self, value: &(impl Hash + ?Sized)) -> Self {
        value.hash(&mut self);
        self
    }

    pub(crate) fn end(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

impl Hasher for Digester {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
