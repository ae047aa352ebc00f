//! Which delete files apply to which data file, and the rows that one of them names by position.

mod rows;
mod vector;
mod index;

pub(crate) use index::DeleteIndex;
pub use index::{DeleteFile, EqualityDeletes, FileDeletes};
pub use rows::DeletedRows;
pub use vector::{VECTOR_BYTES_MAX, read_vector, write_vector};
