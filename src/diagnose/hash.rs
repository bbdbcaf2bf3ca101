//! The legacy hash: its form, the identifier that it is over, the secret that made it, the companies beside it.

use super::judged::{Judged, Mistake, is_unset};
use super::maker::{self, How, Maker};
use super::{Case, company_hashes, digest, messages, secrets, signature, suspected};
use crate::identity::{Identity, SubjectKind};
use crate::profile::HashFormat;
use crate::token::keys::LegacyKey;
use crate::token::legacy;

/// `hash.form`, `hash.identifier`, `hash.secret` and `hash.companies`; and what becomes of the suspected secret.
pub(super) fn examine(case: &Case<'_>) -> ([Judged; 4], Judged) {
    let Some(format) = case.application.profile.hash.as_ref() else {
        let what = "This application's product has no hash.";
        let form = Judged::failed(Mistake::new(what, "Send a JWT, or check the application's name."));
        let none = || Judged::not_applicable("This application's profile has no hash.");
        return ([form, none(), none(), none()], suspected::without_credential(case));
    };
    let read = digest::judge(case, case.user_hash, format.digest);
    let expected = expected(case, format);
    let kind = expected.map(|(kind, _)| kind);
    let companies = company_hashes::judge(case, format);
    let Some(bytes) = read.bytes.as_deref() else {
        let identifier = sent(case, format).unwrap_or_else(|| Judged::inconclusive(UNREAD));
        let checks = [read.judged, identifier, Judged::inconclusive(UNREAD), companies];
        return (checks, suspected::without_credential(case));
    };
    let keys = &case.application.keys.legacy;
    let fits = expected.filter(|_| bytes.len() == 32).map(|(_, value)| legacy::verify(keys, value, bytes, case.now));
    let maker = match fits {
        Some(Ok(_)) => None,
        Some(Err(_)) | None => maker::find(case, bytes, kind),
    };
    let (identifier, secret) = match fits {
        Some(Ok(key)) => (genuine(case, expected), of_key(key)),
        Some(Err(_)) | None => (
            sent(case, format).unwrap_or_else(|| identifier(case, format, maker.as_ref())),
            secret(case, bytes, maker.as_ref()),
        ),
    };
    let suspected = suspected::of_hash(case, bytes, kind, fits.is_some_and(|fits| fits.is_ok()));
    ([read.judged, identifier, secret, companies], suspected)
}

const UNREAD: &str = "Cannot be told before the hash can be read: see hash.form.";

/// The identifier that the hash should be over.
pub(super) fn expected<'a>(case: &Case<'a>, format: &HashFormat) -> Option<(SubjectKind, &'a str)> {
    let mut order = case.hashed.as_ref().map_or(format.order.as_slice(), std::slice::from_ref).iter();
    order.find_map(|kind| Some((*kind, case.asserted.identifier(*kind)?)))
}

/// A genuine hash, unless it is everybody's.
fn genuine(case: &Case<'_>, expected: Option<(SubjectKind, &str)>) -> Judged {
    match expected {
        Some((kind, value)) if is_unset(value) => Judged::warning(Mistake::new(
            format!("The {} is the text of a variable that is not set, such as `undefined` or `null`.", kind.name()),
            "Set the variable where the identifier is hashed and sent: every user would be the same one.",
        )),
        Some((kind, _)) => {
            let ignored =
                other(kind).filter(|other| case.hashed.is_none() && case.asserted.identifier(*other).is_some());
            let more = ignored.map_or_else(String::new, |other| {
                format!(" The {} that was sent beside it is not proven by it.", other.name())
            });
            Judged::passed(format!("The hash is over the {}.{more}", kind.name()))
        }
        None => Judged::inconclusive(UNREAD),
    }
}

const fn other(kind: SubjectKind) -> Option<SubjectKind> {
    match kind {
        SubjectKind::UserId => Some(SubjectKind::Email),
        SubjectKind::Email => Some(SubjectKind::UserId),
    }
}

fn of_key(key: &LegacyKey) -> Judged {
    let weak = signature::weakness(key.hmac.is_weak());
    Judged::passed(format!("The hash was made with a key of this application: `{}`.{weak}", key.id))
}

/// Whether what should have been hashed was sent at all.
fn sent(case: &Case<'_>, format: &HashFormat) -> Option<Judged> {
    let names = |kinds: &[SubjectKind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
    if let Some(kind) = case.hashed.filter(|kind| !format.order.contains(kind)) {
        let what = format!("`hashed` names the {}, and this product hashes the {}.", kind.name(), names(&format.order));
        return Some(Judged::failed(Mistake::new(what, format!("Hash the {}, and say so.", names(&format.order)))));
    }
    if expected(case, format).is_some() {
        return None;
    }
    let wanted = case.hashed.map_or_else(|| names(&format.order), |kind| kind.name().to_owned());
    let other = SubjectKind::ALL.into_iter().find(|kind| case.asserted.identifier(*kind).is_some());
    let what = match (other, case.hashed) {
        (Some(other), Some(_)) => {
            format!("`hashed` says that the hash is over the {wanted}, and only the {} was sent.", other.name())
        }
        (Some(other), None) => format!("This product hashes the {wanted}, and only the {} was sent.", other.name()),
        (None, _) => format!("The {wanted} that the hash is over was not sent beside it."),
    };
    Some(Judged::failed(Mistake::new(what, format!("Send the {wanted} beside the hash, with every call."))))
}

fn identifier(case: &Case<'_>, format: &HashFormat, maker: Option<&Maker<'_>>) -> Judged {
    let kind = expected(case, format).map(|(kind, _)| kind);
    let Some(maker) = maker else {
        return Judged::inconclusive(format!(
            "What was hashed cannot be told. Ruled out, with the application's secrets: {}. It may be the hash of \
             another user, as after an account switch.",
            messages::TRIED
        ));
    };
    match (maker.message.mistake(kind), kind) {
        (Some(mistake), _) => Judged::failed(mistake),
        (None, Some(kind)) => Judged::passed(format!("The hash is over the {}.", kind.name())),
        (None, None) => Judged::inconclusive(UNREAD),
    }
}

fn secret(case: &Case<'_>, bytes: &[u8], maker: Option<&Maker<'_>>) -> Judged {
    let keys = &case.application.keys.legacy;
    if keys.is_empty() {
        return Judged::operators(
            "This application has no key for legacy hashes, so that no hash can be judged.",
            "Send a JWT, or ask the operator to configure a key with purpose = \"legacy\".",
        );
    }
    let Some(maker) = maker else {
        if bytes.len() < super::signer::SHORTEST {
            return Judged::inconclusive("Too little of the digest is there to say what made it.");
        }
        if *case.asserted == Identity::default() {
            return Judged::inconclusive(
                "Without the identifier that was hashed, nobody can tell which secret made it.",
            );
        }
        return Judged::failed(unknown(case));
    };
    if let Some(mistake) = maker.of_secret(case) {
        return Judged::failed(mistake);
    }
    let right = maker.candidate.as_ref().and_then(|candidate| candidate.legacy_key(case));
    if let Some(mistake) = right.and_then(|key| signature::outside(case, key.validity, "hash")) {
        return Judged::failed(mistake);
    }
    if maker.cut {
        return Judged::passed("The hash was made with this application's secret, as far as it goes.");
    }
    debug_assert!(maker.how == How::RIGHT, "everything else is a mistake");
    right.map_or_else(|| Judged::passed("The hash was made with this application's secret."), of_key)
}

/// A hash that nobody here made.
fn unknown(case: &Case<'_>) -> Mistake {
    let what = format!(
        "The hash fits no secret that is known here, or it is another user's. {} Each over {}.",
        secrets::tried(case),
        messages::TRIED
    );
    let remedy = format!(
        "Compare the secret that hashes with the one that is configured for {}, character by character, and hash \
         exactly the identifier that is sent. After an account switch, send the new user's hash. Give the secret as \
         the suspected one, and it is tried.",
        super::judged::named(case.application)
    );
    Mistake::new(what, remedy)
}
