//! From SQL text to statements that run.
pub mod quote;
pub mod types;
pub mod literal;
pub mod ddl;
pub mod statement;
