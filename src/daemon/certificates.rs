//! Our certificates while time goes by: one takes another's place at its date, and the journal is told 30, 14
//! and 3 days before one expires, once each.

use super::Daemon;
use crate::net::tls::certs::CertSummary;
use crate::now::Wall;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How often the clock is looked at: it may be set while we sleep.
const TICK: Duration = Duration::from_secs(60);
/// Days before an expiry when it is said, the last first.
const DAYS: [u64; 3] = [3, 14, 30];
const DAY: u64 = 24 * 3600;

/// Sees to the revocation lists of peers, for ever.
pub(super) async fn watch_lists(daemon: Rc<Daemon>) {
    let Some(mut arrived) = daemon.shard.dialer.fetcher().map(|fetcher| fetcher.arrived()) else { return };
    loop {
        tokio::select! {
            changed = arrived.changed() => match changed {
                Ok(()) => daemon.shard.run_all(|shard| async move { shard.look_again().await }).await,
                Err(_) => return,
            },
            () = tokio::time::sleep(TICK) => daemon.shard.run_all(|shard| async move { shard.refresh_lists().await }).await,
        }
    }
}

/// Watches the certificates for ever.
pub(super) async fn watch(daemon: Rc<Daemon>) {
    let mut said = Said::default();
    loop {
        let now = daemon.shard.clock.now().wall;
        for (old, new) in daemon.certificates.advance(now) {
            tracing::info!(
                stoxd_event = "certificate.rolled",
                "certificate {new} takes the place of {old}: new connections get it"
            );
        }
        for (certificate, left) in said.due(daemon.certificates.summaries(), now) {
            tell(&certificate, left);
        }
        let next = daemon.certificates.next_change().map(|at| at.as_millis().saturating_sub(now.as_millis()));
        let pause = next.map_or(TICK, |millis| TICK.min(Duration::from_millis(millis)));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = daemon.renewed.notified() => {}
        }
    }
}

fn tell(certificate: &CertSummary, left: Left) {
    let CertSummary { id, not_after, .. } = certificate;
    let end = stamp(*not_after);
    let what_to_do = "renew it: stoxd cert request, stoxd cert import, stoxd reload";
    match left {
        Left::Days(days) => tracing::warn!(
            stoxd_event = "certificate.expiring",
            certificate = id,
            not_after = end,
            days,
            "certificate {id} expires in {days} {}, at {end}; {what_to_do}",
            if days == 1 { "day" } else { "days" }
        ),
        Left::Nothing => tracing::error!(
            stoxd_event = "certificate.expired",
            certificate = id,
            not_after = end,
            "certificate {id} expired at {end}: partners refuse it; {what_to_do}"
        ),
    }
}

pub(super) fn stamp(wall: Wall) -> String {
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|stamp| stamp.to_string()).unwrap_or_default()
}

/// How long a certificate is still good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Days(u64),
    Nothing,
}

/// What was said of which certificate: its id and end, and how many of the levels.
#[derive(Default)]
struct Said(HashMap<(String, u64), usize>);

impl Said {
    /// The certificates of which something is to be said, which then counts as said.
    fn due(&mut self, certificates: Vec<CertSummary>, now: Wall) -> Vec<(CertSummary, Left)> {
        let key = |certificate: &CertSummary| (certificate.id.clone(), certificate.not_after.as_secs());
        self.0.retain(|known, _| certificates.iter().any(|certificate| key(certificate) == *known));
        let mut due = Vec::new();
        for certificate in certificates {
            // Another is there in time.
            if certificate.replaced.is_some_and(|at| at <= certificate.not_after) {
                continue;
            }
            let left = certificate.not_after.as_secs().saturating_sub(now.as_secs());
            let levels = DAYS.iter().filter(|days| left <= **days * DAY).count() + usize::from(left == 0);
            let said = self.0.entry(key(&certificate)).or_default();
            if levels > *said {
                *said = levels;
                let left = if left == 0 { Left::Nothing } else { Left::Days(left.div_ceil(DAY)) };
                due.push((certificate, left));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiring(days: u64) -> CertSummary {
        CertSummary {
            id: "contoso".into(),
            names: Vec::new(),
            not_before: Wall::default(),
            not_after: Wall::from_millis(days * DAY * 1000),
            client_auth: true,
            server_auth: true,
            replaced: None,
        }
    }

    fn lefts(said: &mut Said, certificate: &CertSummary, day: u64) -> Vec<Left> {
        let now = Wall::from_millis(day * DAY * 1000);
        said.due(vec![certificate.clone()], now).into_iter().map(|(_, left)| left).collect()
    }

    #[test]
    fn an_expiry_is_said_30_14_and_3_days_before_once_each() {
        let (mut said, certificate) = (Said::default(), expiring(100));
        let all: Vec<(u64, Left)> = (0..110)
            .flat_map(|day| lefts(&mut said, &certificate, day).into_iter().map(move |l| (day, l)))
            .collect();
        assert_eq!(
            all,
            [(70, Left::Days(30)), (86, Left::Days(14)), (97, Left::Days(3)), (100, Left::Nothing)]
        );
    }

    #[test]
    fn what_was_missed_is_said_once_and_a_new_certificate_is_another() {
        let mut said = Said::default();
        assert_eq!(lefts(&mut said, &expiring(100), 98), [Left::Days(2)]);
        assert_eq!(lefts(&mut said, &expiring(100), 98), []);
        assert_eq!(lefts(&mut said, &expiring(400), 98), []);
        assert_eq!(lefts(&mut said, &expiring(400), 399), [Left::Days(1)]);
    }

    #[test]
    fn nothing_is_said_of_one_that_is_replaced_in_time() {
        let mut said = Said::default();
        let at = |day: u64| Some(Wall::from_millis(day * DAY * 1000));
        assert_eq!(lefts(&mut said, &CertSummary { replaced: at(99), ..expiring(100) }, 98), []);
        assert_eq!(
            lefts(&mut said, &CertSummary { replaced: at(101), ..expiring(100) }, 98),
            [Left::Days(2)]
        );
    }
}
