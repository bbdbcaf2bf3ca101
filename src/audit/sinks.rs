//! Where lines go. A sink takes lines in the order of the chain, all of those that it is handed or none; the desk makes
//! them, and decides what becomes of them where it fails.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use time::UtcDateTime;
use tokio::runtime::Handle;

use super::chain::{Head, Line};
use crate::store::Away;

/// Takes the lines of one chain.
pub(super) trait Sink: Send {
    /// Makes ready for more. Whether the next line is the first of a file.
    fn ready(&mut self, now: UtcDateTime, last: &Head) -> Result<bool, Failed>;

    /// Takes the lines; where `durable`, they survive the machine when this returns. After a failure nobody knows how many
    /// it has: [`recover`](Self::recover) is next.
    fn take(&mut self, lines: &[Line], durable: bool) -> Result<(), Failed>;

    /// Whether the line is there. True where a chain is never taken up again, and so nothing can be missing.
    fn has(&self, _line: &Head) -> Result<bool, Failed> {
        Ok(true)
    }

    /// After a failure: gives up what was not taken whole.
    fn recover(&mut self) -> Result<Recovered, Failed>;
}

/// What a sink has after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovered {
    /// What it had before.
    Same,
    /// Nobody knows: the chain is at its end, and another begins.
    Unknown,
}

/// A sink did not take lines.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The file cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What stands in the file was not written by a server.
    #[error("the file there is no audit log, or its last line is damaged: move it away")]
    Foreign,
    /// Another process holds the file.
    #[error("another server writes this file")]
    Locked,
    /// A file would be renamed to a name that is taken.
    #[error("a file has the name that the rotated one would get")]
    Taken,
    /// The place cannot be reached.
    #[error("the store cannot be reached")]
    Away,
}

/// Standard output, for what collects it. It cannot be read back, so that a failure ends the chain.
#[derive(Debug)]
pub(super) struct Stdout;

impl Sink for Stdout {
    fn ready(&mut self, _now: UtcDateTime, _last: &Head) -> Result<bool, Failed> {
        Ok(false)
    }

    fn take(&mut self, lines: &[Line], _durable: bool) -> Result<(), Failed> {
        let mut output = io::stdout().lock();
        output.write_all(text(lines).as_bytes())?;
        Ok(output.flush()?)
    }

    fn recover(&mut self) -> Result<Recovered, Failed> {
        Ok(Recovered::Unknown)
    }
}

/// A stream that servers share.
#[async_trait]
pub trait Stream: Send + Sync {
    /// Adds the lines at the end, all or none, as durable as the store is. Error: nobody knows.
    async fn add(&self, lines: &[Line], writer: &str, keep: usize) -> Result<(), Away>;
}

/// The stream as a sink.
pub(super) struct Streaming {
    pub(super) stream: Arc<dyn Stream>,
    pub(super) runtime: Handle,
    /// Lines that the stream keeps, about.
    pub(super) keep: usize,
    /// Whose lines they are.
    pub(super) writer: String,
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("keep", &self.keep).finish_non_exhaustive()
    }
}

impl Sink for Streaming {
    fn ready(&mut self, _now: UtcDateTime, last: &Head) -> Result<bool, Failed> {
        self.writer.clone_from(&last.writer);
        Ok(false)
    }

    fn take(&mut self, lines: &[Line], _durable: bool) -> Result<(), Failed> {
        let added = self.runtime.block_on(self.stream.add(lines, &self.writer, self.keep));
        added.map_err(|Away| Failed::Away)
    }

    /// The answer may have been lost, and not the lines.
    fn recover(&mut self) -> Result<Recovered, Failed> {
        Ok(Recovered::Unknown)
    }
}

/// The lines with their ends.
pub(super) fn text(lines: &[Line]) -> String {
    lines.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
}
