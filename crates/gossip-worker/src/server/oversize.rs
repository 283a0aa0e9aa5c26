//! A request that is too large to be read is refused below our services, in words alone. It gets its row of the error table
//! here, so that a caller can tell that nothing happened and that the same again will not do.

use gossip_core::coordination::Rejection;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::{Code, Status};

use super::error::rejected;

/// The answer as it is, unless it is such a refusal.
pub(super) fn explain(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()).as_ref().and_then(too_large) {
        Some(rejection) => {
            let outcome = rejection.reason();
            metrics::counter!("gossip_operations_total", "operation" => "oversize", "outcome" => outcome).increment(1);
            rejected(rejection).into_http()
        }
        None => response,
    }
}

/// Our own `OUT_OF_RANGE` always carries details.
fn too_large(status: &Status) -> Option<Rejection> {
    if status.code() != Code::OutOfRange || !status.details().is_empty() {
        return None;
    }
    let mut numbers = status.message().split_whitespace().filter_map(|word| word.parse().ok());
    let (actual, max) = (numbers.next()?, numbers.next()?);
    Some(Rejection::LimitExceeded { field: "request".into(), max, actual })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tonic_refused_is_explained() {
        let bare = Status::out_of_range(
            "Error, decoded message length too large: found 104857600 bytes, the limit is: 8388608 bytes",
        );
        let Some(Rejection::LimitExceeded { field, max, actual }) = too_large(&bare) else { panic!("not explained") };
        assert_eq!((field.as_str(), max, actual), ("request", 8 << 20, 100 << 20));
        let ours = rejected(Rejection::CursorOutOfRange);
        assert_eq!(ours.code(), Code::OutOfRange);
        assert!(too_large(&ours).is_none());
        assert!(too_large(&Status::internal("found 1 bytes, the limit is: 1 bytes")).is_none());
    }
}
