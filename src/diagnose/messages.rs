//! What a hash may have been made over, instead of the identifier that it should be made over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::judged::{Mistake, joined};
use super::{Case, secrets};
use crate::identity::SubjectKind;

/// Companies whose ids are tried at most.
const COMPANIES: usize = 32;

/// What was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Identifier(SubjectKind),
    Company,
    CompanyName,
    Name,
    Both,
    Unset,
}

/// How it was written.
pub(super) struct Shape {
    pub(super) how: &'static str,
    pub(super) remedy: &'static str,
    make: fn(&str) -> Option<Vec<u8>>,
}

/// Something that may have been hashed.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) of: Of,
    pub(super) shape: Option<&'static Shape>,
    pub(super) bytes: Vec<u8>,
}

/// The values that were sent, as they are: the expected one first.
pub(super) fn plain(case: &Case<'_>, expected: Option<SubjectKind>) -> Vec<Message> {
    let mut kinds: Vec<SubjectKind> = expected.into_iter().collect();
    kinds.extend(SubjectKind::ALL.into_iter().filter(|kind| Some(*kind) != expected));
    let identifiers = kinds.iter().filter_map(|kind| Some((Of::Identifier(*kind), case.asserted.identifier(*kind)?)));
    let hashed = case.company_hashes.iter().map(|(id, _)| id.as_str());
    let companies = case.asserted.companies.iter().map(|company| company.id.as_str()).chain(hashed).take(COMPANIES);
    let values = identifiers.chain(companies.map(|id| (Of::Company, id)));
    values.map(|(of, value)| Message { of, shape: None, bytes: value.as_bytes().to_vec() }).collect()
}

/// Everything that is tried: the values as they are, then written in other ways, then other things.
pub(super) fn all(case: &Case<'_>, expected: Option<SubjectKind>) -> Vec<Message> {
    let mut messages = plain(case, expected);
    let identifiers: Vec<Message> =
        messages.iter().filter(|message| matches!(message.of, Of::Identifier(_))).cloned().collect();
    for message in &identifiers {
        messages.extend(written(message));
    }
    let asserted = case.asserted;
    let names = asserted.name.iter().map(|name| (Of::Name, name.as_str()));
    let companies = asserted
        .companies
        .iter()
        .take(COMPANIES)
        .filter_map(|company| Some((Of::CompanyName, company.name.as_deref()?)));
    let unset =
        ["", "undefined", "null", "None", "nil", "[object Object]", "NaN"].into_iter().map(|text| (Of::Unset, text));
    messages.extend(names.chain(companies).chain(unset).map(|(of, text)| Message {
        of,
        shape: None,
        bytes: text.as_bytes().to_vec(),
    }));
    if let (Some(id), Some(email)) = (&asserted.user_id, &asserted.email) {
        for between in ["", ":", "|", "-", "_", ",", " "] {
            for both in [format!("{id}{between}{email}"), format!("{email}{between}{id}")] {
                messages.push(Message { of: Of::Both, shape: None, bytes: both.into_bytes() });
            }
        }
    }
    messages
}

/// The message written in every other way.
pub(super) fn written(message: &Message) -> Vec<Message> {
    let Ok(text) = std::str::from_utf8(&message.bytes) else { return Vec::new() };
    let changed = SHAPES.iter().filter_map(|shape| {
        let bytes = (shape.make)(text).filter(|bytes| *bytes != message.bytes)?;
        Some(Message { of: message.of, shape: Some(shape), bytes })
    });
    changed.collect()
}

impl Message {
    /// What is wrong with it, where another identifier was expected, or the same in its exact form.
    pub(super) fn mistake(&self, expected: Option<SubjectKind>) -> Option<Mistake> {
        let wanted = expected.map_or("identifier", SubjectKind::name);
        let of = match self.of {
            Of::Identifier(kind) if Some(kind) == expected => None,
            Of::Identifier(kind) => Some(Mistake::new(
                format!("The hash is one of the {}, and it is judged as one of the {wanted}.", kind.name()),
                format!(
                    "Hash the {wanted}, or say with `hashed` that it is the {} that was hashed, where the profile \
                     hashes it.",
                    kind.name()
                ),
            )),
            Of::Company => Some(Mistake::new(
                format!("The hash is one of a company's id, and it is judged as one of the user's {wanted}."),
                "Send company hashes in `company_hashes`, and the hash of the user in `user_hash`.",
            )),
            Of::CompanyName => Some(Mistake::new(
                "The hash is one of a company's name.",
                "Hash the id, and send company hashes in `company_hashes`.",
            )),
            Of::Name => Some(Mistake::new("The hash is one of the user's name.", format!("Hash the {wanted}."))),
            Of::Both => Some(Mistake::new(
                "The hash is one of user_id and email together.",
                format!("Hash the {wanted} alone."),
            )),
            Of::Unset => Some(Mistake::new(
                "The hash is one of nothing, or of the text of a variable that was not set.",
                format!("Check that the {wanted} is known where the hash is made."),
            )),
        };
        let how = self
            .shape
            .map(|shape| Mistake::new(format!("What was hashed is the {} {}.", self.name(), shape.how), shape.remedy));
        joined([of, how].into_iter().flatten().collect())
    }

    const fn name(&self) -> &'static str {
        match self.of {
            Of::Identifier(kind) => kind.name(),
            Of::Company => "company's id",
            Of::CompanyName => "company's name",
            Of::Name => "name",
            Of::Both => "user_id and email",
            Of::Unset => "text",
        }
    }
}

/// What was tried, for a message that has nothing better to say.
pub(super) const TRIED: &str = "user_id, email, name and companies as they were sent, each also trimmed, with white \
    space or quotes, in other letters or encoded, and both identifiers together";

const EXACT: &str = "Hash exactly the bytes that are sent as the identifier: change both, or neither.";
const NEWLINE: &str = "Hash the identifier without a newline: `printf %s` instead of `echo`.";
const JSON: &str = "Hash the identifier itself, not its JSON form.";
const ENCODING: &str = "Hash the UTF-8 bytes of the identifier itself.";

const SHAPES: [Shape; 20] = [
    Shape { how: "without the white space around it", remedy: EXACT, make: |s| Some(s.trim().into()) },
    Shape { how: "in lower case", remedy: EXACT, make: |s| Some(s.to_lowercase().into()) },
    Shape { how: "trimmed and in lower case", remedy: EXACT, make: |s| Some(s.trim().to_lowercase().into()) },
    Shape { how: "in upper case", remedy: EXACT, make: |s| Some(s.to_uppercase().into()) },
    Shape { how: "with a newline after it", remedy: NEWLINE, make: |s| Some(format!("{s}\n").into()) },
    Shape { how: "with a newline (CR LF) after it", remedy: NEWLINE, make: |s| Some(format!("{s}\r\n").into()) },
    Shape { how: "with white space after it", remedy: EXACT, make: |s| Some(format!("{s} ").into()) },
    Shape { how: "with white space before it", remedy: EXACT, make: |s| Some(format!(" {s}").into()) },
    Shape { how: "in double quotes", remedy: JSON, make: |s| Some(format!("\"{s}\"").into()) },
    Shape { how: "in single quotes", remedy: JSON, make: |s| Some(format!("'{s}'").into()) },
    Shape {
        how: "without the quotes around it",
        remedy: EXACT,
        make: |s| Some(s.trim().trim_matches(['"', '\'']).into()),
    },
    Shape { how: "URL-encoded", remedy: ENCODING, make: |s| Some(secrets::percent_encoded(s.as_bytes())) },
    Shape { how: "URL-decoded", remedy: ENCODING, make: |s| Some(s.replace("%40", "@").replace("%2B", "+").into()) },
    Shape { how: "with a space for its `+`", remedy: ENCODING, make: |s| Some(s.replace('+', " ").into()) },
    Shape { how: "encoded as base64", remedy: ENCODING, make: |s| Some(STANDARD.encode(s).into()) },
    Shape {
        how: "in UTF-16",
        remedy: "Take the bytes of the identifier in UTF-8: `Encoding.UTF8` in .NET, not `Encoding.Unicode`.",
        make: |s| Some(s.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    },
    Shape {
        how: "as a number with a fraction",
        remedy: "Turn the id into text before it is hashed, as an integer.",
        make: |s| s.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{s}.0").into()),
    },
    Shape {
        how: "without its leading zeros",
        remedy: "Treat ids as text everywhere: as numbers they lose leading zeros.",
        make: |s| Some(s.trim_start_matches('0').into()),
    },
    Shape {
        how: "without the part after its `+`",
        remedy: EXACT,
        make: |s| {
            let (local, domain) = s.split_once('@')?;
            Some(format!("{}@{domain}", local.split('+').next()?).into())
        },
    },
    Shape { how: "without what follows its `@`", remedy: EXACT, make: |s| Some(s.split_once('@')?.0.into()) },
];
