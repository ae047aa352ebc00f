//! Tests of commits, against the embedded catalog on local disk.

mod fixture;
mod basics;
mod replacing;
mod conflicts;
mod branches;
mod races;
mod row_ids;
mod merging;
mod unknown;
mod purging;
mod hostile;
