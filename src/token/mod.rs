//! Credentials: keys, JWTs, legacy hashes. Pure: no IO, no clock, no policy.

pub mod algorithm;
pub mod asymmetric;
pub mod jwt;
pub mod keys;
pub mod legacy;
pub mod times;
