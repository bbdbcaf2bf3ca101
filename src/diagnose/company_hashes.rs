//! The hashes of companies beside the user's.

use super::Case;
use super::digest;
use super::judged::{Judged, Mistake, joined};
use super::maker;
use super::messages::{self, Message, Of};
use super::signature;
use crate::identity::SubjectKind;
use crate::profile::HashFormat;
use crate::token::legacy;

/// Wrong hashes that are looked into; the others are counted.
const LOOKED_INTO: usize = 4;

pub(super) fn judge(case: &Case<'_>, format: &HashFormat) -> Judged {
    let all = case.company_hashes;
    if all.is_empty() {
        return Judged::not_applicable("No company hashes were sent.");
    }
    if !format.companies {
        let what = "This application's profile has no company hashes.";
        return Judged::failed(Mistake::new(what, "Send the user hash alone; sign companies in a JWT."));
    }
    let keys = &case.application.keys.legacy;
    if keys.is_empty() {
        return Judged::operators(
            "This application has no key for legacy hashes, so that no hash can be judged.",
            "Send a JWT, or ask the operator to configure a key with purpose = \"legacy\".",
        );
    }
    let is_wrong = |(id, hash): &&(String, String)| {
        let digest = legacy::read(hash, format.digest);
        digest.and_then(|digest| legacy::verify(keys, id, &digest, case.now)).is_err()
    };
    let wrong: Vec<&(String, String)> = all.iter().filter(is_wrong).collect();
    if wrong.is_empty() {
        let forms = all.iter().map(|(_, hash)| digest::judge(case, hash, format.digest).judged);
        let upper = forms.into_iter().find(|judged| judged.result == super::FindingResult::Warning);
        return upper.unwrap_or_else(|| Judged::passed("Every company hash is genuine."));
    }
    let explained = wrong.iter().take(LOOKED_INTO).map(|(id, hash)| explain(case, format, id, hash)).collect();
    let mistake = joined(explained).unwrap_or_else(unknown);
    let of = if all.len() == 1 {
        "The company hash is wrong.".to_owned()
    } else {
        format!("{} of {} company hashes are wrong, and one refuses the whole credential.", wrong.len(), all.len())
    };
    Judged::failed(Mistake::new(format!("{of} {}", mistake.what), mistake.remedy))
}

fn explain(case: &Case<'_>, format: &HashFormat, id: &str, hash: &str) -> Mistake {
    let read = digest::judge(case, hash, format.digest);
    let mut found = Vec::new();
    if read.judged.result == super::FindingResult::Failed {
        found.push(Mistake::new(read.judged.message, read.judged.remedy));
    }
    let Some(bytes) = read.bytes else { return joined(found).unwrap_or_else(unknown) };
    let exact = Message { of: Of::Company, shape: None, bytes: id.as_bytes().to_vec() };
    let mut tried = vec![exact.clone()];
    tried.extend(messages::written(&exact));
    tried.extend(others(case, id));
    let Some(maker) = maker::of_company(case, &tried, &bytes) else {
        if found.is_empty() {
            found.push(unknown());
        }
        return joined(found).unwrap_or_else(unknown);
    };
    let own = maker.candidate.as_ref().and_then(|candidate| candidate.legacy_key(case));
    found.extend(over(&maker.message, id));
    found.extend(maker.of_secret(case));
    found.extend(own.and_then(|key| signature::outside(case, key.validity, "hash")));
    joined(found).unwrap_or_else(unknown)
}

/// What else may have been hashed.
fn others(case: &Case<'_>, id: &str) -> Vec<Message> {
    let asserted = case.asserted;
    let company = asserted.companies.iter().find(|company| company.id == id);
    let name = company.and_then(|company| company.name.as_deref()).map(|name| (Of::CompanyName, name));
    let ids = case.company_hashes.iter().map(|(other, _)| (Of::Company, other.as_str())).take(32);
    let users =
        SubjectKind::ALL.into_iter().filter_map(|kind| Some((Of::Identifier(kind), asserted.identifier(kind)?)));
    let all = name.into_iter().chain(users).chain(ids).chain([
        (Of::Unset, ""),
        (Of::Unset, "undefined"),
        (Of::Unset, "null"),
    ]);
    all.map(|(of, text)| Message { of, shape: None, bytes: text.as_bytes().to_vec() }).collect()
}

/// What is wrong with what was hashed.
fn over(message: &Message, id: &str) -> Option<Mistake> {
    let remedy = "Hash the company's id, exactly as it is sent.";
    let what = match message.of {
        Of::Company => match message.shape {
            Some(shape) => {
                return Some(Mistake::new(format!("What was hashed is the company's id {}.", shape.how), shape.remedy));
            }
            None if message.bytes == id.as_bytes() => return None,
            None => "The hash is another company's: hashes and ids are mixed up.".to_owned(),
        },
        Of::Identifier(kind) => format!("The hash is one of the user's {}, not of the company's id.", kind.name()),
        Of::CompanyName => "The hash is one of the company's name, not of its id.".to_owned(),
        Of::Name | Of::Both => "The hash is not one of the company's id.".to_owned(),
        Of::Unset => "The hash is one of nothing, or of the text of a variable that was not set.".to_owned(),
    };
    Some(Mistake::new(what, remedy))
}

fn unknown() -> Mistake {
    Mistake::new(
        "It fits no secret that is known here, over the company's id, its name or the user's identifiers.",
        "Hash the company's id with the same secret as the user's identifier.",
    )
}
