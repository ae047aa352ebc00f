//! Tests of commits, against the embedded catalog on local disk.

mod fixture;
mod basics;
mod replacing;
mod conflicts;
mod deletes;
mod branches;
mod races;
mod specs;
mod row_ids;
mod merging;
mod unknown;
mod purging;
mod hostile;
