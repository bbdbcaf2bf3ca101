//! What is answered where there are no claims, and what that says of the connection: one place for all that a Redis,
//! its Sentinels and its nodes do wrong. No text of theirs is repeated.

use std::error::Error;
use std::io;
use std::sync::Arc;

use countersign_claim_source::{Answer, Why};
use redis::{ErrorKind, RedisError};

/// Why there is nothing to read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) answer: Answer,
    pub(crate) connection: Fate,
}

/// What a failure says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in order: the failure is about what was asked for.
    Good,
    /// It leads nowhere, or to a server that cannot help now.
    Bad,
    /// It ended before the reply, through no fault of the question: that may be asked again over another one.
    Ended,
    /// The reply did not come in time.
    Silent,
}

/// What the library's client of a Cluster has in its text, and nowhere else, where no node takes the password.
const NO_LOGIN: &str = "AuthenticationFailed";

impl Failure {
    pub(crate) fn new(answer: Answer, connection: Fate) -> Self {
        Self { answer, connection }
    }

    fn unavailable(why: &'static str) -> Self {
        Self::new(Answer::unavailable(why), Fate::Bad)
    }

    /// What an error means that came while connecting.
    pub(crate) fn connecting(error: &RedisError) -> Self {
        let kind = error.kind();
        let no_login = || kind == ErrorKind::Io && error.detail().is_some_and(|text| text.contains(NO_LOGIN));
        if let Some(code) = error.code() {
            Self::answered(code)
        } else if kind == ErrorKind::Parse {
            Self::garbage()
        } else if kind == ErrorKind::AuthenticationFailed || no_login() {
            Self::new(Answer::denied("Redis takes no such user or password"), Fate::Bad)
        } else if kind == ErrorKind::MasterNameNotFoundBySentinel {
            Self::unavailable("no Sentinel names a primary by the master_name")
        } else if error.is_timeout() {
            Self::unavailable("there was no connection in time")
        } else if is_of_tls(error) {
            Self::unavailable("TLS does not come about, or its certificate is not for it")
        } else {
            Self::unreachable()
        }
    }

    /// There is no connection, for a reason that has no name.
    pub(crate) fn unreachable() -> Self {
        Self::unavailable("it cannot be connected to")
    }

    /// What an error means that came in place of a reply.
    pub(crate) fn asking(error: &RedisError) -> Self {
        if let Some(code) = error.code() {
            Self::answered(code)
        } else if error.kind() == ErrorKind::Parse {
            Self::garbage()
        } else if error.is_timeout() {
            Self::silent()
        } else {
            Self::new(Answer::unavailable("the connection ended before the reply"), Fate::Ended)
        }
    }

    /// There was no reply in time.
    pub(crate) fn silent() -> Self {
        Self::new(Answer::unavailable("there was no reply in time"), Fate::Silent)
    }

    /// There is more than is read.
    pub(crate) fn too_large() -> Self {
        Self::new(Answer::malformed("what is there is too large"), Fate::Good)
    }

    fn garbage() -> Self {
        Self::new(Answer::malformed("the reply is not of Redis"), Fate::Bad)
    }

    fn answered(code: &str) -> Self {
        let why = Why::code("Redis answered", code);
        match code {
            "WRONGTYPE" => Self::new(Answer::malformed("the key holds something of another type"), Fate::Good),
            "NOPERM" => Self::new(Answer::Denied(why), Fate::Good),
            "NOAUTH" | "WRONGPASS" | "DENIED" => Self::new(Answer::Denied(why), Fate::Bad),
            _ => Self::new(Answer::Unavailable(why), Fate::Bad),
        }
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
        for (code, answer, connection) in [
            ("WRONGTYPE", Answer::malformed("the key holds something of another type"), Fate::Good),
            ("NOPERM", Answer::denied("Redis answered NOPERM"), Fate::Good),
            ("NOAUTH", Answer::denied("Redis answered NOAUTH"), Fate::Bad),
            ("WRONGPASS", Answer::denied("Redis answered WRONGPASS"), Fate::Bad),
            ("DENIED", Answer::denied("Redis answered DENIED"), Fate::Bad),
            ("LOADING", Answer::unavailable("Redis answered LOADING"), Fate::Bad),
            ("READONLY", Answer::unavailable("Redis answered READONLY"), Fate::Bad),
            ("CLUSTERDOWN", Answer::unavailable("Redis answered CLUSTERDOWN"), Fate::Bad),
            ("MASTERDOWN", Answer::unavailable("Redis answered MASTERDOWN"), Fate::Bad),
            ("ERR", Answer::unavailable("Redis answered ERR"), Fate::Bad),
            ("s3cret:p@ssword-longer-than-a-code", Answer::unavailable("Redis answered s3cretpsswordlon"), Fate::Bad),
            ("", Answer::unavailable("Redis answered "), Fate::Bad),
        ] {
            let error = make_extension_error(code.to_owned(), Some("s3cret".to_owned()));
            let failure = Failure::new(answer, connection);
            assert_eq!(Failure::asking(&error), failure, "{code}");
            assert_eq!(Failure::connecting(&error), failure, "{code}");
        }
    }

    #[test]
    fn an_error_without_a_code_is_known_by_its_kind() {
        let io = |kind: io::ErrorKind| RedisError::from(io::Error::from(kind));
        let of = |kind: ErrorKind| RedisError::from((kind, "s3cret", "s3cret".to_owned()));
        for (error, asking, connecting) in [
            (io(io::ErrorKind::BrokenPipe), "the connection ended before the reply", "it cannot be connected to"),
            (io(io::ErrorKind::TimedOut), "there was no reply in time", "there was no connection in time"),
            (
                of(ErrorKind::ClusterConnectionNotFound),
                "the connection ended before the reply",
                "it cannot be connected to",
            ),
        ] {
            assert_eq!(Failure::asking(&error).answer, Answer::unavailable(asking), "{error}");
            assert_eq!(Failure::connecting(&error).answer, Answer::unavailable(connecting), "{error}");
        }
        let garbage = of(ErrorKind::Parse);
        assert_eq!(Failure::asking(&garbage), Failure::connecting(&garbage));
        assert_eq!(Failure::asking(&garbage).answer, Answer::malformed("the reply is not of Redis"));
    }
}
