//! What is wrong with a credential.
use time::UtcDateTime;
use crate::application::Application;
use crate::caller::Caller;
use crate::identity::{Identity, SubjectKind};
use crate::refusal::Refused;

/// What is looked at.
#[derive(Debug)]
pub struct Case<'a> {
    pub application: &'a Application,
    pub others: Vec<&'a Application>,
    pub caller: &'a Caller,
    pub jwt: Option<&'a str>,
    pub user_hash: &'a str,
    pub hashed: Option<SubjectKind>,
    pub company_hashes: &'a [(String, String)],
    pub asserted: &'a Identity,
    pub audience: &'a str,
    pub client: &'a str,
    pub suspected_secret: &'a [u8],
    pub verdict: Option<&'a Refused>,
    pub now: UtcDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingResult { Passed, Failed, Warning, NotApplicable, Inconclusive }

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding { pub check: &'static str, pub result: FindingResult, pub message: String, pub remedy: String }

pub fn diagnose(_case: &Case<'_>) -> Vec<Finding> { Vec::new() }
