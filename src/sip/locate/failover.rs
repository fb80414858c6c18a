//! One target after the other, and the memory of those that failed (RFC 3263 §4.3).
//!
//! A transaction stays on one target with all of its retransmissions, its CANCEL and its ACK. When
//! it fails as RFC 3263 has it, the same request goes to [`Targets::next`] with a new branch, which
//! makes it a new transaction. A response of any kind but 503 ends the search.

use super::{Place, Target};
use crate::now::Mono;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a target is passed over that could not be reached or did not answer.
const DOUBT: Duration = Duration::from_secs(30);
/// The longest Retry-After that is obeyed in full.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How a transaction failed, so that the next target may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Status 503, with its Retry-After.
    Unavailable(Option<Duration>),
    /// The transport failed.
    Transport,
    /// Timer B or F fired and no response of any kind had come.
    Silence,
}

impl Failure {
    /// What a final response means here: 503 alone is a failure of the target.
    pub fn of_status(status: u16, retry_after: Option<Duration>) -> Option<Self> {
        (status == 503).then_some(Self::Unavailable(retry_after))
    }

    /// What a timeout means here: nothing, once a provisional response was heard.
    pub fn of_timeout(heard_provisional: bool) -> Option<Self> {
        (!heard_provisional).then_some(Self::Silence)
    }
}

#[derive(Clone, Copy, Debug)]
enum Ban {
    /// It asked not to be sent to until then.
    Asked(Mono),
    /// It failed: others first, until then.
    Doubtful(Mono),
}

impl Ban {
    fn until(self) -> Mono {
        match self {
            Self::Asked(until) | Self::Doubtful(until) => until,
        }
    }
}

/// The targets that failed lately, of all destinations together. Clones are the same list: what one shard heard
/// of a server, all know.
#[derive(Clone, Debug)]
pub struct Blacklist {
    bans: Arc<Mutex<Bans>>,
    cap: usize,
}

type Bans = BTreeMap<Place, Ban>;

impl Blacklist {
    /// A list of at most `cap` targets; beyond it the ban that would end first ends now.
    pub fn new(cap: usize) -> Self {
        Self { bans: Arc::default(), cap }
    }

    fn bans(&self) -> MutexGuard<'_, Bans> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `target` failed. A 503 without Retry-After says nothing about later requests (RFC 3261
    /// §21.5.4).
    pub fn on_failure(&self, now: Mono, target: &Target, failure: Failure) {
        let ban = match failure {
            Failure::Unavailable(None) => return,
            Failure::Unavailable(Some(wait)) => Ban::Asked(now + wait.min(MAX_RETRY_AFTER)),
            Failure::Transport | Failure::Silence => Ban::Doubtful(now + DOUBT),
        };
        let mut bans = self.bans();
        bans.insert(target.place(), ban);
        if bans.len() > self.cap {
            bans.retain(|_, ban| ban.until() > now);
        }
        if bans.len() > self.cap {
            let first = bans.iter().min_by_key(|(_, ban)| ban.until()).map(|(key, _)| *key);
            first.and_then(|key| bans.remove(&key));
        }
    }

    /// `target` can be reached. That it asked for a pause still counts: another shard may have heard that.
    pub fn on_success(&self, target: &Target) {
        let (mut bans, key) = (self.bans(), target.place());
        if matches!(bans.get(&key), Some(Ban::Doubtful(_))) {
            bans.remove(&key);
        }
    }

    /// Whether nothing speaks against `target` at `now`.
    pub fn is_in_good_standing(&self, now: Mono, target: &Target) -> bool {
        self.ban(now, target).is_none()
    }

    /// Whether `target` asked not to be sent to at `now`.
    pub fn wants_a_pause(&self, now: Mono, target: &Target) -> bool {
        matches!(self.ban(now, target), Some(Ban::Asked(_)))
    }

    fn ban(&self, now: Mono, target: &Target) -> Option<Ban> {
        self.bans().get(&target.place()).copied().filter(|ban| ban.until() > now)
    }
}

/// The targets for one request.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Those not tried yet, in order.
    left: Vec<Target>,
    /// When there is no time for another try.
    until: Mono,
}

impl Targets {
    /// The targets in the order to try them. From `until` on none is tried: a sender waits for one
    /// answer, not for one Timer F after the other.
    pub fn new(targets: Vec<Target>, until: Mono) -> Self {
        Self { left: targets, until }
    }

    /// The target for the next transaction: the first in good standing; if all failed lately, the
    /// one whose ban ends first. One that asked not to be sent to is not tried, and none is tried
    /// twice.
    pub fn next(&mut self, now: Mono, blacklist: &Blacklist) -> Option<Target> {
        if now >= self.until {
            return None;
        }
        let mut doubtful: Option<(Mono, usize)> = None;
        for (at, target) in self.left.iter().enumerate() {
            match blacklist.ban(now, target) {
                None => return Some(self.left.remove(at)),
                Some(Ban::Doubtful(until)) => {
                    if doubtful.is_none_or(|(best, _)| until < best) {
                        doubtful = Some((until, at));
                    }
                }
                Some(Ban::Asked(_)) => {}
            }
        }
        doubtful.map(|(_, at)| self.left.remove(at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::Transport;
    use super::*;
    use crate::now::Now;
    use std::net::SocketAddr;

    fn target(last: u8) -> Target {
        Target {
            identity: "example.net".into(),
            host: "sip.example.net".into(),
            address: SocketAddr::from(([192, 0, 2, last], 5061)),
            transport: Transport::Tls,
        }
    }

    fn at(seconds: u64) -> Mono {
        Now::at(seconds).mono
    }

    fn three() -> Targets {
        Targets::new(vec![target(1), target(2), target(3)], at(1000))
    }

    #[test]
    fn check_158_each_failure_takes_the_next_target_and_none_twice() {
        let list = Blacklist::new(10);
        let mut targets = three();
        for (seconds, last) in [(0, 1), (1, 2), (2, 3)] {
            let next = targets.next(at(seconds), &list).unwrap();
            assert_eq!(next, target(last));
            list.on_failure(at(seconds), &next, Failure::Transport);
        }
        assert_eq!(targets.next(at(3), &list), None);
    }

    #[test]
    fn check_158_a_failed_target_comes_last_until_its_doubt_ends() {
        let list = Blacklist::new(10);
        list.on_failure(at(0), &target(1), Failure::Silence);
        assert_eq!(three().next(at(29), &list), Some(target(2)));
        assert_eq!(three().next(at(30), &list), Some(target(1)));
        list.on_failure(at(40), &target(3), Failure::Transport);
        list.on_failure(at(41), &target(1), Failure::Transport);
        list.on_failure(at(42), &target(2), Failure::Transport);
        assert_eq!(three().next(at(43), &list), Some(target(3)), "all in doubt: still one is tried");
        list.on_success(&target(2));
        assert_eq!(three().next(at(43), &list), Some(target(2)));
    }

    #[test]
    fn check_158_retry_after_is_obeyed_and_bounded() {
        let list = Blacklist::new(10);
        let alone = || Targets::new(vec![target(1)], at(10_000));
        list.on_failure(at(0), &target(1), Failure::Unavailable(None));
        assert_eq!(alone().next(at(0), &list), Some(target(1)), "503 alone says nothing about later");
        list.on_failure(at(0), &target(1), Failure::Unavailable(Some(Duration::from_secs(60))));
        assert_eq!(alone().next(at(59), &list), None);
        assert_eq!(alone().next(at(60), &list), Some(target(1)));
        list.on_failure(at(0), &target(1), Failure::Unavailable(Some(Duration::from_secs(86_400))));
        assert_eq!(alone().next(at(300), &list), Some(target(1)), "no peer bans itself for a day");
    }

    #[test]
    fn check_158_only_503_transport_errors_and_silence_are_failures() {
        for status in [200, 404, 408, 480, 500, 502, 504, 600] {
            assert_eq!(Failure::of_status(status, None), None, "{status}");
        }
        assert_eq!(Failure::of_status(503, None), Some(Failure::Unavailable(None)));
        assert_eq!(Failure::of_timeout(false), Some(Failure::Silence));
        assert_eq!(Failure::of_timeout(true), None, "that host has the request");
    }

    #[test]
    fn threat_108_failover_ends_in_time() {
        let mut targets = Targets::new(vec![target(1), target(2)], at(40));
        let list = Blacklist::new(10);
        assert!(targets.next(at(0), &list).is_some());
        assert_eq!(targets.next(at(40), &list), None);
    }

    #[test]
    fn the_blacklist_is_bounded() {
        let list = Blacklist::new(3);
        for last in 0..200 {
            list.on_failure(at(u64::from(last)), &target(last), Failure::Transport);
            assert!(list.bans().len() <= 3);
        }
        assert!(list.ban(at(200), &target(199)).is_some(), "the latest stays");
    }
}
