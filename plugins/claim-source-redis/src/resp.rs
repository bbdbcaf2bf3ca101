//! RESP2, the protocol of Redis (redis.io, "Redis serialization protocol specification"): writes commands and reads
//! replies, which are bounded before they are there.
//!
//! RESP3 is not asked for, so its types are no replies here.

use std::str::from_utf8;

use bytes::{Buf as _, BytesMut};

/// Bytes of one reply, all in all. A longer one is not read, however much the server says it has.
pub(crate) const REPLY_BYTES: usize = 1024 * 1024;

/// Bytes of a line: a status, an error, a length.
const LINE_BYTES: usize = 4096;

/// Elements of one list.
const ELEMENTS: usize = 1024;

/// Lists in lists. The reply to `ROLE` has two.
const DEPTH: usize = 4;

/// A command as it goes over the wire. It has no `Debug`: one of them holds the password.
#[derive(Clone)]
pub(crate) struct Command {
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// The replies that come. The last one counts.
    pub(crate) replies: usize,
}

impl Command {
    /// A command of these words. Whatever is in a word, it stays one.
    pub(crate) fn new(words: &[&str]) -> Self {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        Self { bytes, replies: 1 }
    }

    /// This command and another right behind it.
    pub(crate) fn then(mut self, next: &Self) -> Self {
        self.bytes.extend_from_slice(&next.bytes);
        Self { replies: self.replies + next.replies, ..self }
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A string, or the digits of an integer.
    Text(Vec<u8>),
    /// Nothing is there.
    Nil,
    /// Several replies.
    List(Vec<Self>),
    /// The server refuses. The first word is the code; the rest is for people, and may quote the command.
    Error(String),
}

/// Why what was received is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is, or says that it will be, over a limit.
    TooLarge,
    /// It is not RESP2.
    Garbage,
}

/// Takes the reply off the front of what was received; none where it is not whole yet.
pub(crate) fn take(received: &mut BytesMut) -> Result<Option<Reply>, Unreadable> {
    let mut rest: &[u8] = received;
    let reply = reply(&mut rest, 0);
    let read = received.len() - rest.len();
    match reply {
        Ok(_) if read > REPLY_BYTES => Err(Unreadable::TooLarge),
        Ok(reply) => {
            received.advance(read);
            Ok(Some(reply))
        }
        Err(Stop::Unreadable(why)) => Err(why),
        Err(Stop::Incomplete) if received.len() > REPLY_BYTES => Err(Unreadable::TooLarge),
        Err(Stop::Incomplete) => Ok(None),
    }
}

enum Stop {
    Incomplete,
    Unreadable(Unreadable),
}

const TOO_LARGE: Stop = Stop::Unreadable(Unreadable::TooLarge);
const GARBAGE: Stop = Stop::Unreadable(Unreadable::Garbage);

fn reply(rest: &mut &[u8], depth: usize) -> Result<Reply, Stop> {
    let (kind, line) = line(rest)?.split_first().ok_or(GARBAGE)?;
    match kind {
        b'+' | b':' => Ok(Reply::Text(line.to_vec())),
        b'-' => Ok(Reply::Error(String::from_utf8_lossy(line).into_owned())),
        b'$' => match length(line, REPLY_BYTES)? {
            None => Ok(Reply::Nil),
            Some(length) => {
                let (text, after) = rest.split_at_checked(length).ok_or(Stop::Incomplete)?;
                let (end, after) = after.split_at_checked(2).ok_or(Stop::Incomplete)?;
                *rest = after;
                if end == b"\r\n" { Ok(Reply::Text(text.to_vec())) } else { Err(GARBAGE) }
            }
        },
        b'*' if depth < DEPTH => match length(line, ELEMENTS)? {
            None => Ok(Reply::Nil),
            Some(length) => (0..length).map(|_| reply(rest, depth + 1)).collect::<Result<_, _>>().map(Reply::List),
        },
        _ => Err(GARBAGE),
    }
}

fn line<'r>(rest: &mut &'r [u8]) -> Result<&'r [u8], Stop> {
    let all = *rest;
    let Some(at) = all.windows(2).take(LINE_BYTES + 1).position(|pair| pair == b"\r\n") else {
        return Err(if all.len() > LINE_BYTES + 1 { TOO_LARGE } else { Stop::Incomplete });
    };
    let (line, after) = all.split_at(at);
    *rest = after.split_at_checked(2).ok_or(Stop::Incomplete)?.1;
    Ok(line)
}

/// A length up to a limit; none for `-1`, which says that nothing is there.
fn length(digits: &[u8], most: usize) -> Result<Option<usize>, Stop> {
    let length: i64 = from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(GARBAGE)?;
    match usize::try_from(length) {
        Ok(length) if length > most => Err(TOO_LARGE),
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(GARBAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, Unreadable> {
        take(&mut BytesMut::from(bytes))
    }

    fn text(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn a_word_stays_one_word() {
        let command = Command::new(&["GET", "a\r\n$1\r\nb ä"]);
        assert_eq!(command.bytes, b"*2\r\n$3\r\nGET\r\n$11\r\na\r\n$1\r\nb \xc3\xa4\r\n");
        let both = Command::new(&["ASKING"]).then(&command);
        assert_eq!((both.replies, both.bytes.len()), (2, 16 + command.bytes.len()));
    }

    #[test]
    fn a_reply_is_read_once_it_is_whole() {
        let wire = b"*4\r\n$2\r\n\r\n\r\n:12\r\n$-1\r\n*1\r\n-ERR no\r\n+OK\r\n";
        let list =
            Reply::List(vec![text("\r\n"), text("12"), Reply::Nil, Reply::List(vec![Reply::Error("ERR no".into())])]);
        let whole = wire.len() - b"+OK\r\n".len();
        for end in 0..whole {
            assert_eq!(read(&wire[..end]), Ok(None), "{end} bytes");
        }
        let mut received = BytesMut::from(&wire[..]);
        assert_eq!(take(&mut received), Ok(Some(list)));
        assert_eq!(take(&mut received), Ok(Some(text("OK"))));
        assert_eq!(take(&mut received), Ok(None));
        assert_eq!(read(b"*-1\r\n"), Ok(Some(Reply::Nil)));
    }

    #[test]
    fn what_is_not_resp2_is_garbage() {
        let nested = "*1\r\n".repeat(DEPTH + 1);
        let cases: [&[u8]; 9] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$1\r\nabc",
            b"%1\r\n+a\r\n+b\r\n",
            b"=15\r\ntxt:",
            b"*99999999999999999999\r\n",
            nested.as_bytes(),
        ];
        for garbage in cases {
            assert_eq!(read(garbage), Err(Unreadable::Garbage), "{}", String::from_utf8_lossy(garbage));
        }
    }

    #[test]
    fn one_more_than_a_limit_is_too_large() {
        let too_large = Err(Unreadable::TooLarge);
        assert_eq!(read(format!("${REPLY_BYTES}\r\n").as_bytes()), Ok(None));
        assert_eq!(read(format!("${}\r\n", REPLY_BYTES + 1).as_bytes()), too_large, "before any of it is there");
        assert_eq!(read(format!("*{ELEMENTS}\r\n").as_bytes()), Ok(None));
        assert_eq!(read(format!("*{}\r\n", ELEMENTS + 1).as_bytes()), too_large);
        let line = |bytes: usize| format!("+{}", "x".repeat(bytes - 1));
        assert!(matches!(read(format!("{}\r\n", line(LINE_BYTES)).as_bytes()), Ok(Some(_))));
        assert_eq!(read(format!("{}\r\n", line(LINE_BYTES + 1)).as_bytes()), too_large);
        assert_eq!(read(line(LINE_BYTES + 2).as_bytes()), too_large, "a line that does not end");

        let reply = |bytes: usize| {
            let body = bytes - "$1234567\r\n\r\n".len();
            format!("${body:07}\r\n{}\r\n", "x".repeat(body))
        };
        assert!(matches!(read(reply(REPLY_BYTES).as_bytes()), Ok(Some(_))));
        assert_eq!(read(reply(REPLY_BYTES + 1).as_bytes()), too_large);
        assert_eq!(read(&reply(REPLY_BYTES + 2).as_bytes()[..=REPLY_BYTES]), too_large, "and it is not whole");
    }
}
