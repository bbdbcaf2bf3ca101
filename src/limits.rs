//! Every limit on what comes from outside, with its unit. A test sends one more than each.

/// Bytes of a JWT, before anything of it is decoded.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Bytes of a user id, an e-mail address, a company id, an audience, an application's name.
pub const IDENTIFIER_BYTES: usize = 512;
/// Companies of one identity.
pub const COMPANIES: usize = 200;
/// Attributes of one identity or company.
pub const ATTRIBUTES: usize = 100;
/// Bytes of one attribute as JSON, and of one text field of an identity.
pub const ATTRIBUTE_BYTES: usize = 4 * 1024;
/// Bytes of an attribute's name.
pub const ATTRIBUTE_NAME_BYTES: usize = 128;
/// Levels of lists and objects in one attribute; a plain value has none.
pub const ATTRIBUTE_DEPTH: usize = 16;
/// Bytes of all claims of a token as JSON.
pub const CLAIMS_BYTES: usize = 16 * 1024;
/// Bytes of a gRPC request message.
pub const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Texts and messages in a request, at every level together: a full batch of full identities has fewer.
pub const ELEMENTS: usize = 100_000;
/// Items of one batch.
pub const BATCH: usize = 1_000;
/// Bytes of a client label.
pub const CLIENT_BYTES: usize = 128;
/// Bytes of a secret that Diagnose is asked to try.
pub const SUSPECTED_SECRET_BYTES: usize = 16 * 1024;
/// The largest integer that every JSON reader keeps exact: 2^53 − 1 (RFC 8259 section 6).
pub const INTEGER: i64 = (1 << 53) - 1;
/// The last second of the year 9999, the largest NumericDate that is taken.
pub const NUMERIC_DATE: i64 = 253_402_300_799;
/// Bytes of a claim schema.
pub const SCHEMA_BYTES: usize = 256 * 1024;
/// Bytes of what is kept of the answers of claim sources, all together.
pub const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes that one kept answer takes besides its claims, about.
pub const ENTRY_BYTES: usize = 512;
