//! The state as bytes: a format version, then the replicated data with `postcard`.
//!
//! All of it lies in vectors and ordered maps, so that nodes which applied the same entries write the same bytes. Indexes and
//! counts are left out and made anew.

use super::state::{Data, State};
use crate::consensus::RestoreError;
use crate::mutants::{Mutant, Planted};

/// Raised with every change of [`Data`] that an older build would misread.
const FORMAT: u8 = 2;

impl State {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        if self.planted.is(Mutant::SnapshotWithoutOpLog) {
            return encode(&without_op_log(&self.data));
        }
        encode(&self.data)
    }

    /// Leaves the state as it is when the bytes are refused.
    pub(super) fn replace_by(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut next = State::new(self.data.quotas.clone(), self.planted);
        next.data = decode(bytes)?;
        for run in next.data.tenants.values_mut().flat_map(|tenant| tenant.runs.values_mut()) {
            run.reindex();
        }
        // A planted bug's state may break any rule: that must be caught from outside.
        if self.planted == Planted::NONE {
            next.check_invariants().map_err(|violation| RestoreError(violation.to_string()))?;
        }
        *self = next;
        Ok(())
    }
}

fn encode(data: &Data) -> Vec<u8> {
    postcard::to_extend(data, vec![FORMAT]).expect("the state has sequences of known length only")
}

fn decode(bytes: &[u8]) -> Result<Data, RestoreError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => match postcard::take_from_bytes(rest) {
            Ok((data, [])) => Ok(data),
            Ok((_, extra)) => Err(RestoreError(format!("{} bytes too many at the end", extra.len()))),
            Err(error) => Err(RestoreError(error.to_string())),
        },
        Some((format, _)) => Err(RestoreError(format!("format {format}, this build reads format {FORMAT}"))),
        None => Err(RestoreError("it is empty".into())),
    }
}

fn without_op_log(data: &Data) -> Data {
    let mut data = data.clone();
    for run in data.tenants.values_mut().flat_map(|tenant| tenant.runs.values_mut()) {
        run.log.clear();
    }
    data
}
