//! Tests of commits, against the embedded catalog on local disk.

mod fixture;
mod basics;
