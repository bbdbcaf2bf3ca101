//! What a gRPC status in place of an answer means. Its text, which the process may have written, is not read.

use std::error::Error;
use std::io::ErrorKind;

use countersign_claim_source::{Answer, Why};
use tonic::{Code, Status, TimeoutExpired};

/// The answer that a status stands for, where it is not *not found*, which only Fetch may say.
pub(crate) fn answer(status: &Status) -> Answer {
    if cause::<TimeoutExpired>(status).is_some() {
        return Answer::unavailable("the process did not answer in time");
    }
    if broke(status) {
        return Answer::unavailable(broken(status));
    }
    let why = Why::code("the process answered the gRPC status", format!("{:?}", status.code()));
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled | Code::Aborted => {
            Answer::Unavailable(why)
        }
        Code::PermissionDenied | Code::Unauthenticated => Answer::Denied(why),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Answer::Malformed(why),
    }
}

/// Whether the connection broke, or could not be made. A status with a source was made on this side, for want of an
/// answer; one that the process sent has none.
pub(crate) fn broke(status: &Status) -> bool {
    status.source().is_some() && cause::<TimeoutExpired>(status).is_none()
}

/// Why there is no connection, as far as the system says it in a way that helps an operator.
fn broken(status: &Status) -> &'static str {
    let kind = cause::<std::io::Error>(status).map(std::io::Error::kind);
    if kind == Some(ErrorKind::NotFound) {
        "the process cannot be reached: its socket is not there"
    } else if kind == Some(ErrorKind::PermissionDenied) {
        "the process cannot be reached: its socket is not open to us"
    } else if kind == Some(ErrorKind::ConnectionRefused) {
        "the process cannot be reached: nobody listens at its address"
    } else {
        "the connection to the process broke"
    }
}

/// The error of this type that led to the status.
fn cause<E: Error + 'static>(status: &Status) -> Option<&E> {
    std::iter::successors(status.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
}
