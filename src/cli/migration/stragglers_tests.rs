//! What is said of stragglers.

use prost_types::Timestamp;

use super::*;
use crate::grpc::proto::admin::{Straggler, Usage};

const AT: Timestamp = Timestamp { seconds: 86_400, nanos: 0 };

fn sighting(kind: CredentialKind, client: &str) -> Sighting {
    Sighting {
        credential: kind.into(),
        last_seen: Some(AT),
        caller: "gateway".to_owned(),
        client: client.to_owned(),
        key_id: "iv".to_owned(),
    }
}

#[test]
fn callers_clients_and_keys_come_before_pseudonyms() {
    let usage = |name: &str| Usage {
        name: name.to_owned(),
        hashes: 1_204,
        hash_subjects: 7,
        last_hash: Some(AT),
        ..Usage::default()
    };
    let stragglers = Stragglers {
        callers: vec![usage("gateway")],
        clients: vec![usage("ios/2.9\u{1b}"), usage("")],
        keys: vec![],
        subjects: vec![Straggler {
            pseudonym: "p1".to_owned(),
            sighting: Some(sighting(CredentialKind::LegacyHash, "ios/2.9")),
        }],
    };
    let wanted = "\
caller   hashes  made  subjects                  last
gateway   1,204     0         7  1970-01-02T00:00:00Z

client         hashes  made  subjects                  last
ios/2.9\\u{1b}   1,204     0         7  1970-01-02T00:00:00Z
(no label)      1,204     0         7  1970-01-02T00:00:00Z

p1  1970-01-02T00:00:00Z  ios/2.9 of gateway
";
    assert_eq!(text(&stragglers), wanted);
    assert_eq!(text(&Stragglers::default()), "nobody\n");
}

#[test]
fn of_a_list_those_with_a_hash_are_named_and_the_rest_is_counted() {
    let user = |id: &str| Subject { kind: Some(Kind::UserId(id.to_owned())) };
    let found = |sightings| FoundSubject { pseudonym: "p".to_owned(), sightings, ..FoundSubject::default() };
    let (hash, jwt) = (sighting(CredentialKind::LegacyHash, ""), sighting(CredentialKind::Jwt, "web"));
    let mut matched = Matched::default();
    let batch = [user("u1"), user("u2"), user("u3"), user("u4")];
    let answers = vec![found(vec![hash.clone()]), found(vec![hash, jwt.clone()]), found(vec![jwt]), found(vec![])];
    matched.add(&batch, answers, false);
    let wanted = "\
u1  1970-01-02T00:00:00Z  (no label) of gateway  no JWT yet
u2  1970-01-02T00:00:00Z  (no label) of gateway  JWT at 1970-01-02T00:00:00Z
";
    assert_eq!(matched.lines, wanted);
    assert_eq!(matched.remarks(), "4 users: 2 were seen with a hash, 1 were not seen at all\n");
    assert!(matched.found.is_empty());
}
