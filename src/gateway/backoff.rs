//! How long a way out that failed is left alone.
//!
//! Who can't be reached may come back at any time. What then comes from there shows that it has, and an attempt
//! waits no longer than [`SOON`].

use crate::ids::Ids;
use std::time::Duration;

/// How long a back-off still is when the far end was heard meanwhile.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Random up to a bound that doubles with each failure, from `first` to `limit` milliseconds, and not much
/// below it.
pub(super) fn backoff(failures: u32, first: u64, limit: u64, ids: &mut Ids) -> Duration {
    let bound = first.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(limit);
    Duration::from_millis(bound / 4 + ids.below(bound - bound / 4 + 1))
}
