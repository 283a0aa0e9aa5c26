//! Histories, models, judges and reports. Shares no code with what it judges.

pub mod history;
pub mod invariants;
pub mod judge;
pub mod model;
pub mod report;
pub mod wgl;
