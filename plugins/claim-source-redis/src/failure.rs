//! What is answered where there are no claims: one place for all that a Redis, its Sentinels and its nodes do wrong.

use countersign_claim_source::{Answer, Why};

use crate::resp::Unreadable;

/// Why there is no reply to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection ended before the reply came, through no fault of the command: it may be sent over another one.
    Lost,
    /// As in [`Answer::Unavailable`].
    Unavailable(Why),
    /// As in [`Answer::Denied`].
    Denied(Why),
    /// As in [`Answer::Malformed`].
    Malformed(Why),
}

impl Failure {
    pub(crate) fn unavailable(why: &'static str) -> Self {
        Self::Unavailable(why.into())
    }

    pub(crate) fn malformed(why: &'static str) -> Self {
        Self::Malformed(why.into())
    }

    /// What an error of the server means. Its first word is a code; what follows is not repeated, for it may quote the
    /// command.
    pub(crate) fn answered(error: &str) -> Self {
        let code = error.split(' ').next().unwrap_or_default();
        match code {
            "WRONGTYPE" => Self::malformed("the key holds something of another type"),
            "NOPERM" | "NOAUTH" | "WRONGPASS" | "DENIED" => Self::Denied(Why::code("Redis answered", code)),
            _ => Self::Unavailable(Why::code("Redis answered", code)),
        }
    }
}

impl From<Unreadable> for Failure {
    fn from(why: Unreadable) -> Self {
        Self::malformed(match why {
            Unreadable::TooLarge => "the reply is too large",
            Unreadable::Garbage => "the reply is not of Redis",
        })
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost => Self::unavailable("the connection ended before the reply"),
            Failure::Unavailable(why) => Self::Unavailable(why),
            Failure::Denied(why) => Self::Denied(why),
            Failure::Malformed(why) => Self::Malformed(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_code_and_never_repeated() {
        for (error, answer) in [
            ("WRONGTYPE Operation against a key", Answer::malformed("the key holds something of another type")),
            ("NOPERM No permissions", Answer::denied("Redis answered NOPERM")),
            ("NOAUTH Authentication required.", Answer::denied("Redis answered NOAUTH")),
            ("WRONGPASS invalid", Answer::denied("Redis answered WRONGPASS")),
            ("DENIED Redis is running in protected mode", Answer::denied("Redis answered DENIED")),
            ("LOADING Redis is loading the dataset", Answer::unavailable("Redis answered LOADING")),
            ("CLUSTERDOWN The cluster is down", Answer::unavailable("Redis answered CLUSTERDOWN")),
            ("MASTERDOWN Link with MASTER is down", Answer::unavailable("Redis answered MASTERDOWN")),
            ("ERR max number of clients reached", Answer::unavailable("Redis answered ERR")),
            ("s3cret:p@ssword-longer-than-a-code", Answer::unavailable("Redis answered s3cretpsswordlon")),
            ("", Answer::unavailable("Redis answered ")),
        ] {
            assert_eq!(Answer::from(Failure::answered(error)), answer, "{error}");
        }
    }
}
