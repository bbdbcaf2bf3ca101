use super::*;

/// A profile in which nothing is wrong; a test adds to it or replaces a line.
const GOOD: &str = r#"
[hash]
order = ["user_id", "email"]
[jwt]
algorithms = ["HS256", "RS256"]
audiences = ["acme"]
max_ttl_secs = 900
token_id = "nonce"
expiry_text = "expires"
attributes = ["user", "custom"]
require = [["user_id", "email"]]
exactly_one = [["user_id"]]
max_chars = { user_id = 64 }
constants = { version = 2, kind = { of = ["a", 1.5] } }
[jwt.claims]
user_id = "sub"
email = ["user", "email"]
created_at = ["user", "since"]
companies = "teams"
[jwt.attribute_claims]
role = "role"
[jwt.company]
attributes = ["custom"]
require = ["id"]
[jwt.company.attribute_claims]
domain = "domain"
[jwt.company.claims]
id = "key"
name = "title"
"#;

fn problem(text: &str) -> String {
    match Profile::parse("acme", text) {
        Ok(_) => String::new(),
        Err(Invalid::Meaning(text)) => text,
        Err(Invalid::Syntax { line, column }) => format!("syntax at {line}:{column}"),
    }
}

/// Each line of [`GOOD`], what stands there instead, and what has to be said of it.
fn all_refused(cases: &[(&str, &str, &str)]) {
    for (line, instead, wanted) in cases {
        assert!(GOOD.contains(line), "{line}");
        let found = problem(&GOOD.replace(line, instead));
        assert!(!wanted.is_empty() && found.contains(wanted), "{instead}\n  wanted: {wanted}\n  found: {found}");
    }
}

#[test]
fn the_profile_that_the_others_are_made_of_is_good() {
    assert_eq!(problem(GOOD), "");
    for (line, instead) in [
        // An identifier may be the subject, a token id may be `jti`, and attributes may live around claims.
        ("email = [\"user\", \"email\"]\n", "email = [\"user\", \"email\"]\nname = [\"sub2\"]\n"),
        ("token_id = \"nonce\"", "token_id = \"jti\""),
        ("attributes = [\"user\", \"custom\"]", "attributes = [\"user\"]"),
        ("attributes = [\"user\", \"custom\"]", "attributes = []"),
        ("role = \"role\"", "role = [\"user\", \"custom\", \"role\"]"),
        ("attributes = [\"custom\"]", "attributes = []"),
    ] {
        assert!(GOOD.contains(line), "{line}");
        assert_eq!(problem(&GOOD.replace(line, instead)), "", "{instead}");
    }
}

#[test]
fn two_claims_cannot_share_a_place() {
    all_refused(&[
        ("created_at = [\"user\", \"since\"]", "name = [\"user\", \"email\"]", "jwt.claims.email and jwt.claims.name"),
        ("created_at = [\"user\", \"since\"]", "created_at = [\"user\", \"email\", \"at\"]", "jwt.claims.created_at"),
        ("created_at = [\"user\", \"since\"]", "created_at = \"user\"", "jwt.claims.created_at"),
        ("role = \"role\"", "role = \"teams\"", "jwt.claims.companies and jwt.attribute_claims.role"),
        ("role = \"role\"", "role = [\"teams\", \"role\"]", "jwt.attribute_claims.role"),
        ("role = \"role\"", "role = \"role\"\npower = [\"role\", \"power\"]", "jwt.attribute_claims.power"),
        ("version = 2", "teams = 2", "jwt.claims.companies and jwt.constants.teams"),
        ("version = 2", "user = { a = 1 }", "jwt.constants.user"),
        ("token_id = \"nonce\"", "token_id = \"teams\"", "jwt.claims.companies and jwt.token_id"),
        ("token_id = \"nonce\"", "token_id = \"version\"", "jwt.constants.version and jwt.token_id"),
        ("token_id = \"nonce\"", "token_id = \"expires\"", "jwt.token_id and jwt.expiry_text"),
        ("token_id = \"nonce\"", "token_id = \"countersign\"", "jwt.token_id and jwt.provenance"),
        ("expiry_text = \"expires\"", "expiry_text = \"user\"", "jwt.expiry_text"),
        ("expiry_text = \"expires\"", "expiry_text = \"version\"", "jwt.constants.version and jwt.expiry_text"),
        ("role = \"role\"", "power = \"countersign\"", "jwt.attribute_claims.power and jwt.provenance"),
        ("version = 2", "countersign = 2", "jwt.constants.countersign and jwt.provenance"),
    ]);
}

#[test]
fn registered_claims_are_for_what_they_are_registered_for() {
    for name in ["iss", "aud", "exp", "nbf", "iat", "jti", "sub"] {
        all_refused(&[
            ("companies = \"teams\"", &format!("companies = \"{name}\""), "jwt.claims.companies lies on"),
            ("created_at = [\"user\", \"since\"]", &format!("name = [\"{name}\", \"x\"]"), "jwt.claims.name lies on"),
            ("role = \"role\"", &format!("role = \"{name}\""), "jwt.attribute_claims.role lies on"),
            ("version = 2", &format!("{name} = 2"), &format!("jwt.constants.{name} lies on")),
            ("expiry_text = \"expires\"", &format!("expiry_text = \"{name}\""), "jwt.expiry_text lies on"),
            ("token_id = \"nonce\"", &format!("provenance = \"{name}\""), "jwt.provenance lies on"),
            ("attributes = [\"user\", \"custom\"]", &format!("attributes = \"{name}\""), "jwt.attributes lies on"),
        ]);
        if name != "jti" {
            let token_id = format!("token_id = \"{name}\"");
            all_refused(&[("token_id = \"nonce\"", &token_id, "jwt.token_id lies on")]);
        }
        if name != "sub" {
            all_refused(&[("user_id = \"sub\"", &format!("user_id = \"{name}\""), "jwt.claims.user_id lies on")]);
        }
    }
    all_refused(&[("user_id = \"sub\"", "user_id = [\"sub\", \"id\"]", "jwt.claims.user_id lies on sub")]);
}

#[test]
fn attributes_live_in_an_object_and_have_names_of_their_own() {
    let place = "attributes = [\"user\", \"custom\"]";
    all_refused(&[
        (place, "attributes = [\"user\", \"email\"]", "jwt.attributes lies in jwt.claims.email"),
        (place, "attributes = [\"user\", \"email\", \"more\"]", "jwt.attributes lies in jwt.claims.email"),
        (place, "attributes = \"teams\"", "jwt.attributes lies in jwt.claims.companies"),
        (place, "attributes = \"role\"", "jwt.attributes lies in jwt.attribute_claims.role"),
        (place, "attributes = \"kind\"", "jwt.attributes lies in jwt.constants.kind"),
        (place, "attributes = [\"user\", \"\"]", "jwt.attributes has an empty name"),
        ("role = \"role\"", "name = \"role\"", "jwt.attribute_claims.name is a field"),
        ("role = \"role\"", "version = \"role\"", "jwt.attribute_claims.version is of a name that no attribute"),
        ("role = \"role\"", "exp = \"role\"", "jwt.attribute_claims.exp is of a name that no attribute"),
        ("role = \"role\"", "\"\" = \"role\"", "jwt.attribute_claims has an empty name"),
    ]);
}

#[test]
fn paths_groups_and_lists_say_something_and_say_it_once() {
    all_refused(&[
        ("user_id = \"sub\"", "user_id = []", "jwt.claims.user_id has an empty path"),
        ("user_id = \"sub\"", "user_id = \"\"", "jwt.claims.user_id has an empty name"),
        ("role = \"role\"", "role = []", "jwt.attribute_claims.role has an empty path"),
        ("token_id = \"nonce\"", "token_id = \"\"", "jwt.token_id has an empty name"),
        ("token_id = \"nonce\"", "provenance = \"\"", "jwt.provenance has an empty name"),
        ("version = 2", "\"\" = 2", "jwt.constants. has an empty name"),
        ("require = [[\"user_id\", \"email\"]]", "require = [[]]", "jwt.require has an empty group"),
        ("require = [[\"user_id\", \"email\"]]", "require = [[\"locale\"]]", "jwt.require names locale"),
        ("exactly_one = [[\"user_id\"]]", "exactly_one = [[\"user_id\"], []]", "jwt.exactly_one has an empty group"),
        ("exactly_one = [[\"user_id\"]]", "exactly_one = [[\"email\", \"email\"]]", "jwt.exactly_one names one twice"),
        ("order = [\"user_id\", \"email\"]", "order = [\"email\", \"email\"]", "hash.order names one twice"),
        ("order = [\"user_id\", \"email\"]", "order = []", "hash.order needs"),
        ("algorithms = [\"HS256\", \"RS256\"]", "algorithms = [\"HS256\", \"HS256\"]", "jwt.algorithms names"),
        ("algorithms = [\"HS256\", \"RS256\"]", "algorithms = []", "jwt.algorithms needs"),
        ("audiences = [\"acme\"]", "audiences = [\"acme\", \"acme\"]", "jwt.audiences names one twice"),
        ("audiences = [\"acme\"]", "audiences = [\"\"]", "jwt.audiences has an empty one"),
    ]);
}

#[test]
fn a_jwt_has_an_identifier_and_its_limits_are_of_texts_that_it_has() {
    let without = GOOD.replace("require = [[\"user_id\", \"email\"]]\nexactly_one = [[\"user_id\"]]", "");
    let without = without.replace("user_id = \"sub\"\nemail = [\"user\", \"email\"]", "name = \"name\"");
    assert!(problem(&without).contains("jwt.claims needs an identifier"), "{}", problem(&without));
    all_refused(&[
        ("max_ttl_secs = 900", "max_ttl_secs = 0", "jwt.max_ttl_secs must be at least 1"),
        ("{ user_id = 64 }", "{ created_at = 64 }", "jwt.max_chars.created_at is about a field that is not text"),
        ("{ user_id = 64 }", "{ companies = 64 }", "jwt.max_chars.companies is about a field that is not text"),
        ("{ user_id = 64 }", "{ name = 64 }", "jwt.max_chars.name is about a field that jwt.claims does not have"),
        ("{ user_id = 64 }", "{ user_id = 0 }", "jwt.max_chars.user_id must be at least 1"),
    ]);
}

#[test]
fn constants_are_what_json_can_say_exactly() {
    for date in ["2026-01-01", "2026-01-01T00:00:00Z", "{ of = [12:00:00] }"] {
        all_refused(&[("version = 2", &format!("version = {date}"), "jwt.constants.version has a date")]);
    }
    for number in ["nan", "inf", "[-inf]", "{ a = { b = nan } }", "9007199254740992", "2.0"] {
        all_refused(&[("version = 2", &format!("version = {number}"), "jwt.constants.version has a number")]);
    }
}

#[test]
fn a_company_has_members_of_its_own() {
    let place = "attributes = [\"custom\"]";
    all_refused(&[
        ("id = \"key\"", "id = \"title\"", "jwt.company.claims.id and jwt.company.claims.name"),
        ("id = \"key\"", "id = \"\"", "jwt.company.claims.id has an empty name"),
        ("id = \"key\"\n", "", "jwt.company.claims needs id"),
        ("domain = \"domain\"", "domain = \"title\"", "name and jwt.company.attribute_claims.domain"),
        ("domain = \"domain\"", "domain = [\"title\", \"of\"]", "jwt.company.attribute_claims.domain"),
        ("domain = \"domain\"", "domain = []", "jwt.company.attribute_claims.domain has an empty path"),
        ("domain = \"domain\"", "monthly_spend = \"x\"", "jwt.company.attribute_claims.monthly_spend is a field"),
        (place, "attributes = [\"title\"]", "jwt.company.attributes lies in jwt.company.claims.name"),
        (place, "attributes = [\"key\", \"x\"]", "jwt.company.attributes lies in jwt.company.claims.id"),
        (place, "attributes = \"domain\"", "jwt.company.attributes lies in jwt.company.attribute_claims.domain"),
        (place, "attributes = \"\"", "jwt.company.attributes has an empty name"),
        ("require = [\"id\"]", "require = [\"created_at\"]", "jwt.company.require names created_at"),
        ("companies = \"teams\"\n", "", "jwt.claims.companies and [jwt.company] need each other"),
    ]);
}

#[test]
fn a_broken_built_in_profile_is_named() {
    let texts = [("good", "[hash]\norder = [\"email\"]"), ("bad", "[hash]\norder = []")];
    let broken = Profile::parse_all(&texts).err().map(|invalid| invalid.to_string()).unwrap_or_default();
    assert!(broken.starts_with("profile bad: hash.order"), "{broken}");
}
