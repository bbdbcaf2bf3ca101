//! The credential that the flags say.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::args::{Hashed, Proof};
use super::input::Input;
use crate::grpc::proto::{HashedIdentifier, LegacyProof};

/// The JWT, where one is given. One that is empty is a bad one, not an absent one: the server says so.
pub(super) fn jwt(proof: &Proof, input: &mut Input) -> anyhow::Result<Option<String>> {
    match (&proof.jwt, &proof.jwt_file) {
        (Some(token), _) if token == "-" => input.text("--jwt", Path::new("-")).map(Some),
        (Some(token), _) => Ok(Some(token.clone())),
        (None, Some(path)) => input.text("--jwt-file", path).map(Some),
        (None, None) => Ok(None),
    }
}

/// The hashes, where any are given.
pub(super) fn legacy(proof: &Proof) -> anyhow::Result<Option<LegacyProof>> {
    let legacy = LegacyProof {
        user_hash: proof.user_hash.clone().unwrap_or_default(),
        hashed: hashed(proof.hashed).into(),
        company_hashes: company_hashes(&proof.company_hash)?,
    };
    Ok((legacy != LegacyProof::default()).then_some(legacy))
}

const fn hashed(hashed: Option<Hashed>) -> HashedIdentifier {
    match hashed {
        None => HashedIdentifier::Unspecified,
        Some(Hashed::UserId) => HashedIdentifier::UserId,
        Some(Hashed::Email) => HashedIdentifier::Email,
    }
}

/// At the first `=`: a hash in base64 may end with one.
fn company_hashes(flags: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for flag in flags {
        let (id, hash) = flag.split_once('=').context("--company-hash: give ID=HASH")?;
        ensure!(!id.is_empty(), "--company-hash: the id is missing");
        ensure!(hashes.insert(id.to_owned(), hash.to_owned()).is_none(), "--company-hash: a company comes twice");
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(flags: &[&str]) -> Vec<String> {
        flags.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_company_hash_is_split_at_the_first_sign() -> anyhow::Result<()> {
        let hashes = company_hashes(&flags(&["c1=abc=", "c2=def"]))?;
        assert_eq!(hashes.get("c1").map(String::as_str), Some("abc="));
        assert_eq!(hashes.get("c2").map(String::as_str), Some("def"));
        Ok(())
    }

    #[test]
    fn what_is_no_company_hash_is_a_mistake() {
        for wrong in [&["c1"][..], &["=abc"], &["c1=abc", "c1=abc"]] {
            assert!(company_hashes(&flags(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_token_is_sent_and_no_token_is_not() -> anyhow::Result<()> {
        let mut proof =
            Proof { jwt: Some(String::new()), jwt_file: None, user_hash: None, hashed: None, company_hash: Vec::new() };
        assert_eq!(jwt(&proof, &mut Input::default())?, Some(String::new()));
        proof.jwt = None;
        assert_eq!(jwt(&proof, &mut Input::default())?, None);
        assert_eq!(legacy(&proof)?, None);
        Ok(())
    }
}
