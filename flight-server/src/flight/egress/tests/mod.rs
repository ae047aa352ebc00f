//! Tests of what leaves and what arrives, message by message.

mod samples;
mod conversions;
mod splitting;
mod outgoing;
mod incoming;
mod mutations;
