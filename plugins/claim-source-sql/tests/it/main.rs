//! The kind on a real PostgreSQL, a real MariaDB and files of SQLite.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "it is a test: what cannot go on should stop")]

mod conformance;
mod connections;
mod log;
mod mysql;
mod postgres;
mod sqlite;
mod support;
