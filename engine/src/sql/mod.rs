//! From SQL text to statements that run.
pub mod statement;
