//! How large a statement may be: what clients are told, and what parsing and planning hold to.

/// Bytes of one script.
pub const SCRIPT_BYTES_MAX: usize = 16 << 20;

/// Relations that one query names.
pub const RELATIONS_MAX: usize = 2_000;
