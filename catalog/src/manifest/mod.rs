//! Manifest lists and manifests: loaded once, decoded once, kept decoded.
//!
//! Modules are listed bottom-up.

mod entry;
mod decode;
mod read;
mod cache;

pub use cache::{Manifests, ManifestsOptions};
#[cfg(test)]
pub(crate) use decode::{decode_list, decode_manifest};
pub use entry::Entry;
