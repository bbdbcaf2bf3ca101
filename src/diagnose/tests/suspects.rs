//! The suspected secret, tried on the credential and on nothing else.

use base64::engine::general_purpose::STANDARD;

use super::*;

#[test]
fn on_what_is_refused() -> Outcome {
    let world = World::new()?;
    let token = |secret: &str| of_token(sign(secret, &claims()));
    for (name, sent, message) in [
        (
            "token",
            suspecting("my-secret", token("my-secret")),
            "made this credential. It is not what this application takes",
        ),
        ("token, newline", suspecting("my-secret\n", token("my-secret")), "without the white space"),
        ("token, quotes", suspecting("'my-secret'", token("my-secret")), "without the quotes"),
        ("token, hex", suspecting(hex::encode("my-secret"), token("my-secret")), "decoded from hexadecimal"),
        ("token, base64", suspecting(STANDARD.encode("my-secret"), token("my-secret")), "decoded from base64"),
        ("token, name", suspecting("SECRET=my-secret", token("my-secret")), "without the name"),
        ("hash", suspecting("my-secret", of_hash(hash("my-secret", ID))), "made this credential"),
        ("hash over another", suspecting("my-secret\n", of_hash(hash("my-secret", EMAIL))), "without the white space"),
        ("the other purpose", suspecting(IV, token(IV)), "made this credential"),
    ] {
        world.expect(name, &sent, "secret.suspected", Failed, (message, "checks before"))?;
    }
    let unfit = suspecting("some-other-secret", token("my-secret"));
    world.expect("neither", &unfit, "secret.suspected", Inconclusive, ("Ruled out", ""))?;
    let sent = suspecting("my-secret", of_hash(hash("my-secret", EMAIL)));
    world.expect("identifier", &sent, "hash.identifier", Failed, ("one of the email", "user_id"))?;
    world.expect("secret", &sent, "hash.secret", Failed, ("the suspected secret", "operator configure"))?;
    let late = suspecting("some-other-secret", of_claims(&with(claims(), json!({ "exp": at(-3_600) }))));
    world.expect("expired and another", &late, "secret.suspected", Failed, ("application's own did", "really used"))
}

#[test]
fn on_what_is_accepted() -> Outcome {
    let world = World::new()?;
    let token = || of_claims(&claims());
    world.expect(
        "another",
        &suspecting(STAGING_JWT, token()),
        "secret.suspected",
        Inconclusive,
        ("did not make", "really used"),
    )?;
    world.expect(
        "newline",
        &suspecting(format!("{JWT}\n"), token()),
        "secret.suspected",
        Inconclusive,
        ("without the white space", "Correct"),
    )?;
    let hashed = of_hash(hash(IV, ID));
    world.expect(
        "hash",
        &suspecting(format!("\"{IV}\""), hashed),
        "secret.suspected",
        Inconclusive,
        ("without the quotes", "Correct"),
    )
}

#[test]
fn with_nothing_to_try_it_on() -> Outcome {
    let world = World::new()?;
    let sent = suspecting(JWT, Sent { application: "acme/feedback", ..Sent::default() });
    world.expect("nothing", &sent, "secret.suspected", Inconclusive, ("no credential", ""))?;
    let junk = suspecting(JWT, of_token("junk"));
    world.expect("junk", &junk, "secret.suspected", Inconclusive, ("no credential", ""))?;
    let long = suspecting(vec![b'x'; 16 * 1024 + 1], of_claims(&claims()));
    world.expect("long", &long, "secret.suspected", Inconclusive, ("over 16 KiB", ""))
}
