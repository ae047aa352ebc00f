//! The conformance suite that every metastore passes; written below.
