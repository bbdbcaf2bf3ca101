//! Countersign: a gRPC token authority that moves products from HMAC user hashes to short-lived JWTs.
//!
//! `ARCHITECTURE.md` is the map. The whole service reads top to bottom in [`authority`].

pub mod acceptance;
pub mod acceptance_json;
pub mod account;
pub mod admission;
pub mod application;
pub mod attributes;
pub mod audit;
pub mod authority;
pub mod caller;
pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnose;
pub mod expression;
pub mod grpc;
pub mod hearing;
pub mod identity;
pub mod json;
pub mod ledger;
pub mod limits;
pub mod migration;
pub mod mint;
pub mod notice;
pub mod observe;
pub mod one_time;
pub mod operations;
pub mod order;
pub mod pipeline;
pub mod profile;
pub mod pseudonym;
pub mod refusal;
pub mod report;
pub mod revocation;
pub mod runtime;
pub mod schema;
pub mod secret;
pub mod serve;
pub mod split;
pub mod store;
pub mod token;
pub mod words;
