//! Durations, jitter and back-off.

use crate::ids::Ids;
use crate::now::Mono;
use crate::sip::subscription::Durations;
use std::time::Duration;

/// What an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Seconds that our SUBSCRIBE asks for: the refresh interval.
    pub interval: u32,
    /// How long a SIP user's SUBSCRIBE lasts.
    pub durations: Durations,
    /// How long after a sign of life an XMPP user counts as interested. While that is so dialogs are
    /// refreshed.
    pub interest: Duration,
    /// State older than this is asked for again when somebody wants it.
    pub stale: Duration,
    /// How long after the loss of a link its dialogs are believed.
    pub patience: Duration,
    /// Over how long dialogs are spread that have to be refreshed together; below 60 s.
    pub spread: Duration,
    /// Retry-After, in seconds, for a SIP user whose watch ends for now.
    pub retry_after: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: 28_800,
            durations: Durations::default(),
            interest: Duration::from_secs(7 * 86_400),
            stale: Duration::from_secs(300),
            patience: Duration::from_secs(120),
            spread: Duration::from_secs(50),
            retry_after: 300,
        }
    }
}

/// Timer N, 64·T1 (RFC 6665 §4.1.2.4).
pub const TIMER_N: Duration = Duration::from_secs(32);
/// The least time between two SUBSCRIBEs that each ask for a new dialog, whatever the peer says.
pub const LEAST_GAP: Duration = Duration::from_secs(30);
/// The least time to the next refresh.
pub const LEAST_REFRESH: Duration = Duration::from_secs(10);
/// The shortest wait after a failure.
pub const LEAST_RETRY: Duration = Duration::from_secs(60);
/// The longest wait after a failure, unless the peer wants a longer one.
pub const MOST_RETRY: Duration = Duration::from_secs(3600);
/// The longest Min-Expires that is met.
pub const MOST_EXPIRES: u32 = 7 * 86_400;
/// How long fetched state is believed: as long as a subscription usually lasts (RFC 3856 §6.4).
pub const FETCHED: Duration = Duration::from_secs(3600);
/// The time between two NOTIFYs of changed presence (RFC 3856 §6.10).
pub const NOTIFY_GAP: Duration = Duration::from_secs(5);
/// How long the answer to a fetch waits for that to a probe.
pub const FETCH_WAIT: Duration = Duration::from_secs(2);

/// A random duration below `bound`, to the millisecond.
pub fn jitter(ids: &mut Ids, bound: Duration) -> Duration {
    Duration::from_millis(ids.below(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
}

/// When a subscription of `expires` seconds is refreshed: at 80 to 90 % of it, but not before
/// [`LEAST_REFRESH`].
pub fn refresh_at(now: Mono, expires: u32, ids: &mut Ids) -> Mono {
    let whole = Duration::from_secs(expires.into());
    now + (whole * 4 / 5 + jitter(ids, whole / 10)).max(LEAST_REFRESH)
}

/// How long to wait after failure number `failures`, from 0, where the peer asked for `wanted` seconds:
/// doubling from one minute to one hour, never less than wanted, with up to a tenth more.
pub fn back_off(failures: u8, wanted: Option<u32>, ids: &mut Ids) -> Duration {
    let own = LEAST_RETRY.saturating_mul(1 << failures.min(6));
    let own = (own + jitter(ids, own / 10)).min(MOST_RETRY);
    let Some(wanted) = wanted else { return own };
    let wanted = Duration::from_secs(wanted.into());
    own.max(wanted + jitter(ids, (wanted / 10).min(LEAST_RETRY)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;

    fn ids() -> Ids {
        Ids::new([9; 32], Owner::default())
    }

    #[test]
    fn check_078_refreshes_fall_between_80_and_90_percent() {
        let (mut ids, now) = (ids(), Mono::from_micros(7));
        for expires in [13, 60, 599, 3600, 28_800, 604_800, u32::MAX] {
            let whole = Duration::from_secs(expires.into());
            let all: Vec<_> = (0..500).map(|_| refresh_at(now, expires, &mut ids).since(now)).collect();
            assert!(all.iter().all(|at| *at >= whole * 4 / 5 && *at <= whole * 9 / 10), "{expires}");
            let (first, last) = (all.iter().min(), all.iter().max());
            assert!(
                first.zip(last).is_some_and(|(first, last)| *last - *first > whole / 20),
                "{expires}: spread"
            );
        }
        for expires in [0, 1, 11] {
            assert_eq!(refresh_at(now, expires, &mut ids).since(now), LEAST_REFRESH, "{expires}");
        }
    }

    #[test]
    fn back_off_doubles_from_a_minute_to_an_hour() {
        let mut ids = ids();
        for failures in 0..=u8::MAX {
            let least = LEAST_RETRY * (1 << failures.min(5));
            for _ in 0..20 {
                let wait = back_off(failures, None, &mut ids);
                assert!(wait >= least.min(MOST_RETRY) && wait <= MOST_RETRY, "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn check_077_retry_after_is_never_undercut() {
        let mut ids = ids();
        for wanted in [0, 1, 59, 300, 86_400, 31_536_000, u32::MAX] {
            for failures in [0, 3, 9] {
                let wait = back_off(failures, Some(wanted), &mut ids);
                assert!(
                    wait >= LEAST_RETRY && wait >= Duration::from_secs(wanted.into()),
                    "{wanted}: {wait:?}"
                );
                assert!(wait <= MOST_RETRY.max(Duration::from_secs(wanted.into()) + LEAST_RETRY), "{wanted}");
            }
        }
    }
}
