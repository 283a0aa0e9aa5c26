//! What cannot be read as a request is refused below our services, in words alone. It gets its row of the error table here, so that
//! a caller can tell that nothing happened and that the same again will not do. Of a method that is not there the words are enough.

use gossip_core::coordination::{Invalid, Rejection};
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::{Code, Status};

use super::error::rejected;

/// The answer as it is, unless it is such a refusal. One that comes in the headers, with no message before it, is of the request.
pub(super) fn explain(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()).as_ref().and_then(unread) {
        Some((operation, rejection)) => {
            let outcome = rejection.reason();
            metrics::counter!("gossip_operations_total", "operation" => operation, "outcome" => outcome).increment(1);
            rejected(rejection).into_http()
        }
        None => response,
    }
}

/// Statuses of our own carry details, those of what is broken too: a mutation may have taken place before that showed.
fn unread(status: &Status) -> Option<(&'static str, Rejection)> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::OutOfRange => too_large(status.message()).map(|rejection| ("oversize", rejection)),
        Code::Internal => {
            let invalid = Invalid::new("request", format!("cannot be read: {}", status.message()));
            Some(("malformed", Rejection::InvalidArgument(invalid)))
        }
        _ => None,
    }
}

fn too_large(message: &str) -> Option<Rejection> {
    let mut numbers = message.split_whitespace().filter_map(|word| word.parse().ok());
    let (actual, max) = (numbers.next()?, numbers.next()?);
    Some(Rejection::LimitExceeded { field: "request".into(), max, actual })
}

#[cfg(test)]
mod tests {
    use gossip_proto::errors::ErrorDetail;

    use super::super::surprise;
    use super::*;

    fn explained(status: Status) -> ErrorDetail {
        let response = explain(status.into_http());
        ErrorDetail::from_status(&Status::from_header_map(response.headers()).expect("no status"))
    }

    #[test]
    fn what_is_too_large_is_told_with_both_numbers() {
        let words = "Error, decoded message length too large: found 104857600 bytes, the limit is: 8388608 bytes";
        let detail = explained(Status::out_of_range(words));
        assert_eq!(detail.reason, "LIMIT_EXCEEDED");
        let Some(Rejection::LimitExceeded { field, max, actual }) = too_large(words) else { panic!("not explained") };
        assert_eq!((field.as_str(), max, actual), ("request", 8 << 20, 100 << 20));
    }

    #[test]
    fn what_makes_no_sense_is_told_of_the_request() {
        let detail = explained(Status::internal("failed to decode Protobuf message: invalid wire type value: 7"));
        assert_eq!((detail.reason.as_str(), detail.definite), ("INVALID_ARGUMENT", true));
    }

    #[test]
    fn what_is_ours_or_of_something_else_stays() {
        assert!(unread(&rejected(Rejection::CursorOutOfRange)).is_none());
        let detail = explained(surprise(&"an answer to something else"));
        assert_eq!((detail.code, detail.definite), (Code::Internal, false), "it may have taken place");
        assert!(unread(&Status::unimplemented("")).is_none());
    }
}
