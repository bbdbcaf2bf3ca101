//! What a command says and how it ends. Writing to a pipe that nobody reads any more is no failure: the verdict stands.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Accepted, or done.
    Done,
    /// Refused, or problems found.
    Refused,
    /// Could not judge.
    Unjudged,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Unjudged => 2,
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// For standard output.
    pub(super) output: String,
    /// For standard error.
    pub(super) remarks: String,
    /// For the exit status.
    pub(super) exit: Exit,
}

impl Answer {
    pub(super) const fn new(output: String, remarks: String, exit: Exit) -> Self {
        Self { output, remarks, exit }
    }

    pub(super) const fn done(output: String, remarks: String) -> Self {
        Self::new(output, remarks, Exit::Done)
    }

    pub(super) const fn refused(output: String, remarks: String) -> Self {
        Self::new(output, remarks, Exit::Refused)
    }

    pub(super) const fn unjudged(output: String, remarks: String) -> Self {
        Self::new(output, remarks, Exit::Unjudged)
    }

    /// Writes it. A token that could not be written (a full disk) is no success.
    pub(super) fn tell(&self) -> ExitCode {
        let told = write(&mut io::stdout().lock(), &self.output);
        // Standard error is the last resort: where it is gone, the exit status has to do.
        let remarked = write(&mut io::stderr().lock(), &self.remarks);
        if let Err(error) = told {
            let line = format!("countersign: standard output cannot be written: {error}\n");
            write(&mut io::stderr().lock(), &line).unwrap_or_default();
            return ExitCode::from(Exit::Unjudged.code());
        }
        remarked.unwrap_or_default();
        ExitCode::from(self.exit.code())
    }
}

/// Writes one of many answers. Where nobody reads any more, the rest need not be made.
pub(super) fn goes_on(output: &str) -> bool {
    let mut to = io::stdout().lock();
    to.write_all(output.as_bytes()).and_then(|()| to.flush()).is_ok()
}

fn write(to: &mut impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Whether standard output is a terminal, and its owner likes colours (no-color.org).
pub(super) fn in_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        assert!(write(&mut Closed(io::ErrorKind::BrokenPipe), "token").is_ok());
        assert!(write(&mut Closed(io::ErrorKind::StorageFull), "token").is_err());
    }
}
