//! Scans proved end to end: real files in an embedded catalog, read through SQL.

mod lake;
mod chosen;
mod constants;
mod damage;
mod deletes;
mod dropped_keys;
mod found;
mod distinct;
mod pushdown;
mod rows;
mod sent;
mod unproven;
