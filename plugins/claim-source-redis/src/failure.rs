//! What is answered where there are no claims: one place for all that a Redis, its Sentinels and its nodes do wrong. No
//! text of theirs is repeated.

use std::error::Error;
use std::io;
use std::sync::Arc;

use countersign_claim_source::{Answer, Why};
use redis::{ErrorKind, RedisError};

/// What the library's client of a Cluster has in its text, and nowhere else, where no node takes the password.
const NO_LOGIN: &str = "AuthenticationFailed";

/// What an error means that came while connecting.
pub(crate) fn connecting(error: &RedisError) -> Answer {
    let kind = error.kind();
    let no_login = || kind == ErrorKind::Io && error.detail().is_some_and(|text| text.contains(NO_LOGIN));
    if let Some(code) = error.code() {
        answered(code)
    } else if kind == ErrorKind::Parse {
        garbage()
    } else if kind == ErrorKind::AuthenticationFailed || no_login() {
        Answer::denied("Redis takes no such user or password")
    } else if kind == ErrorKind::MasterNameNotFoundBySentinel {
        Answer::unavailable("no Sentinel names a primary by the master_name")
    } else if error.is_timeout() {
        Answer::unavailable("there was no connection in time")
    } else if is_of_tls(error) {
        Answer::unavailable("TLS does not come about, or its certificate is not for it")
    } else {
        Answer::unavailable("it cannot be connected to")
    }
}

/// What an error means that came in place of a reply.
pub(crate) fn asking(error: &RedisError) -> Answer {
    if let Some(code) = error.code() {
        answered(code)
    } else if error.kind() == ErrorKind::Parse {
        garbage()
    } else if error.is_timeout() {
        silent()
    } else {
        Answer::unavailable("the connection ended before the reply")
    }
}

/// There was no reply in time.
pub(crate) fn silent() -> Answer {
    Answer::unavailable("there was no reply in time")
}

/// There is more than is read.
pub(crate) fn too_large() -> Answer {
    Answer::malformed("what is there is too large")
}

fn garbage() -> Answer {
    Answer::malformed("the reply is not of Redis")
}

fn answered(code: &str) -> Answer {
    let why = Why::code("Redis answered", code);
    match code {
        "WRONGTYPE" => Answer::malformed("the key holds something of another type"),
        "NOPERM" | "NOAUTH" | "WRONGPASS" | "DENIED" => Answer::Denied(why),
        _ => Answer::Unavailable(why),
    }
}

/// Whether TLS is at fault, which the library tells by the kind of the IO error within.
fn is_of_tls(error: &RedisError) -> bool {
    let within = error.source().and_then(|within| within.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = within.and_then(|within| within.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn an_error_is_known_by_its_code_and_never_repeated() {
        for (code, answer) in [
            ("WRONGTYPE", Answer::malformed("the key holds something of another type")),
            ("NOPERM", Answer::denied("Redis answered NOPERM")),
            ("NOAUTH", Answer::denied("Redis answered NOAUTH")),
            ("WRONGPASS", Answer::denied("Redis answered WRONGPASS")),
            ("DENIED", Answer::denied("Redis answered DENIED")),
            ("LOADING", Answer::unavailable("Redis answered LOADING")),
            ("READONLY", Answer::unavailable("Redis answered READONLY")),
            ("CLUSTERDOWN", Answer::unavailable("Redis answered CLUSTERDOWN")),
            ("MASTERDOWN", Answer::unavailable("Redis answered MASTERDOWN")),
            ("ERR", Answer::unavailable("Redis answered ERR")),
            ("s3cret:p@ssword-longer-than-a-code", Answer::unavailable("Redis answered s3cretpsswordlon")),
            ("", Answer::unavailable("Redis answered ")),
        ] {
            let error = make_extension_error(code.to_owned(), Some("s3cret".to_owned()));
            assert_eq!(asking(&error), answer, "{code}");
            assert_eq!(connecting(&error), answer, "{code}");
        }
    }

    #[test]
    fn an_error_without_a_code_is_known_by_its_kind() {
        let io = |kind: io::ErrorKind| RedisError::from(io::Error::from(kind));
        let of = |kind: ErrorKind| RedisError::from((kind, "s3cret", "s3cret".to_owned()));
        for (error, when_asking, when_connecting) in [
            (io(io::ErrorKind::BrokenPipe), "the connection ended before the reply", "it cannot be connected to"),
            (io(io::ErrorKind::TimedOut), "there was no reply in time", "there was no connection in time"),
            (
                of(ErrorKind::ClusterConnectionNotFound),
                "the connection ended before the reply",
                "it cannot be connected to",
            ),
        ] {
            assert_eq!(asking(&error), Answer::unavailable(when_asking), "{error}");
            assert_eq!(connecting(&error), Answer::unavailable(when_connecting), "{error}");
        }
        let garbage = of(ErrorKind::Parse);
        assert_eq!(asking(&garbage), connecting(&garbage));
        assert_eq!(asking(&garbage), Answer::malformed("the reply is not of Redis"));
    }
}
