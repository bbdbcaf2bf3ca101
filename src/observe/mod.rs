//! What operators see.

pub mod events;
