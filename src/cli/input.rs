//! What comes from files and from standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::limits;

/// Reads files; standard input, which is `-`, once.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The flag that took standard input.
    taken: Option<&'static str>,
}

impl Input {
    /// The content of the file that `flag` names.
    pub(super) fn bytes(&mut self, flag: &'static str, path: &Path) -> anyhow::Result<Vec<u8>> {
        if path.as_os_str() != "-" {
            let file = File::open(path).and_then(read);
            return file.with_context(|| format!("{flag}: {} cannot be read", path.display()));
        }
        self.take(flag)?;
        read(io::stdin().lock()).with_context(|| format!("{flag}: standard input cannot be read"))
    }

    /// The same, as text without the one line end that an editor or `echo` puts there.
    pub(super) fn text(&mut self, flag: &'static str, path: &Path) -> anyhow::Result<String> {
        let mut bytes = self.bytes(flag, path)?;
        drop_line_end(&mut bytes);
        String::from_utf8(bytes).ok().with_context(|| format!("{flag}: this is not text"))
    }

    /// The content of a file that may be longer than memory.
    pub(super) fn stream(&mut self, flag: &'static str, path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
        if path.as_os_str() != "-" {
            let file = File::open(path).with_context(|| format!("{flag}: {} cannot be read", path.display()))?;
            return Ok(Box::new(BufReader::new(file)));
        }
        self.take(flag)?;
        Ok(Box::new(io::stdin().lock()))
    }

    fn take(&mut self, flag: &'static str) -> anyhow::Result<()> {
        match self.taken.replace(flag) {
            Some(other) => bail!("{other} and {flag} cannot both be standard input"),
            None => Ok(()),
        }
    }
}

/// Drops one line end at the end, as the server does with the files that hold its secrets.
pub(super) fn drop_line_end(bytes: &mut Vec<u8>) {
    if bytes.ends_with(b"\r\n") {
        bytes.truncate(bytes.len() - 2);
    } else if bytes.ends_with(b"\n") {
        bytes.truncate(bytes.len() - 1);
    }
}

/// Nothing longer than a request is of use; an endless file is a mistake.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    const MOST: u64 = limits::REQUEST_BYTES as u64;
    let mut bytes = Vec::new();
    let length = from.take(MOST + 1).read_to_end(&mut bytes)?;
    if length > limits::REQUEST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is over 4 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped_and_no_more() {
        for (given, kept) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a \n", " a "), ("\n", "")]
        {
            let mut bytes = given.as_bytes().to_vec();
            drop_line_end(&mut bytes);
            assert_eq!(bytes, kept.as_bytes(), "{given:?}");
        }
    }

    #[test]
    fn standard_input_is_taken_once() {
        let mut input = Input { taken: Some("--jwt") };
        let error = input.bytes("--identity", Path::new("-")).map_err(|error| error.to_string());
        assert_eq!(error, Err("--jwt and --identity cannot both be standard input".to_owned()));
    }

    #[test]
    fn what_is_longer_than_a_request_is_refused() {
        assert!(read(io::repeat(0)).is_err());
        assert_eq!(
            read(io::repeat(0).take(limits::REQUEST_BYTES as u64)).map(|bytes| bytes.len()).ok(),
            Some(limits::REQUEST_BYTES)
        );
    }
}
