//! The composition root of the binary `fjord`.
