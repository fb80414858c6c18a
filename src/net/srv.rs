//! Where an XMPP domain is served, from its SRV records: pure ordering, no queries.
//!
//! Records of `_xmpps-server._tcp` (direct TLS) and `_xmpp-server._tcp` (STARTTLS) form one set
//! (XEP-0368 §3), ordered by priority and drawn by weight (RFC 2782). A domain that has any such
//! record has said how to reach it: there is then no way round by its address records, even if the
//! record says "not at all" (target `.`) or leads nowhere (RFC 6120 §3.2.1, XEP-0368 §3).

use crate::ids::Ids;

/// Targets of one domain that are tried.
pub const MAX_TARGETS: usize = 25;
/// The port of a domain without SRV records (RFC 6120 §3.2.2).
pub const DEFAULT_PORT: u16 = 5269;

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower goes first.
    pub priority: u16,
    /// Share among records of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, without the final dot; empty for `.`, which means that the service is not offered.
    pub target: Box<str>,
}

/// How TLS starts on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// After `<starttls/>` in clear.
    StartTls,
    /// At once (XEP-0368).
    DirectTls,
}

/// What one SRV query came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SrvAnswer {
    /// There are no such records.
    Absent,
    /// These.
    Records(Vec<Srv>),
    /// Nobody knows: the query failed.
    Failed,
}

/// A host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How TLS starts there.
    pub mode: Mode,
    /// The host, without the final dot.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
}

/// What to do about a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Try these, in this order. Not empty, at most [`MAX_TARGETS`].
    Dial(Vec<Target>),
    /// No SRV records: the domain's own addresses, [`DEFAULT_PORT`], STARTTLS.
    Fallback,
    /// The domain says that it has no such service: a target `.` and nothing else.
    NotOffered,
    /// There are records, but none that could be dialled.
    Unusable,
    /// A query failed and the other gave nothing: ask again later, do not guess.
    Unknown,
}

/// Decides from the answers for direct TLS and for STARTTLS.
pub fn plan(direct: SrvAnswer, starttls: SrvAnswer, ids: &mut Ids) -> Plan {
    let (mut set, mut seen, mut refused, mut failed) = (Vec::new(), false, false, false);
    for (mode, answer) in [(Mode::DirectTls, direct), (Mode::StartTls, starttls)] {
        match answer {
            SrvAnswer::Absent => {}
            SrvAnswer::Failed => failed = true,
            SrvAnswer::Records(records) => {
                seen |= !records.is_empty();
                refused |= records.iter().any(|record| record.target.is_empty());
                let usable =
                    records.into_iter().filter(|record| !record.target.is_empty() && record.port != 0);
                set.extend(usable.map(|record| (mode, record)));
            }
        }
    }
    match (set.is_empty(), failed, seen) {
        (false, _, _) => Plan::Dial(order(set, ids)),
        (true, true, _) => Plan::Unknown,
        (true, false, true) if refused => Plan::NotOffered,
        (true, false, true) => Plan::Unusable,
        (true, false, false) => Plan::Fallback,
    }
}

/// By priority, then drawn by weight.
fn order(mut set: Vec<(Mode, Srv)>, ids: &mut Ids) -> Vec<Target> {
    // Weight 0 first, so that it has its small chance (RFC 2782, "Usage rules").
    set.sort_by_key(|(_, record)| (record.priority, record.weight != 0));
    let mut targets = Vec::with_capacity(set.len().min(MAX_TARGETS));
    while targets.len() < MAX_TARGETS {
        let Some(priority) = set.first().map(|(_, record)| record.priority) else { break };
        let group = set.iter().take_while(|(_, record)| record.priority == priority);
        let sum: u64 = group.map(|(_, record)| u64::from(record.weight)).sum();
        let drawn = ids.below(sum + 1);
        let mut running = 0;
        let at = set.iter().position(|(_, record)| {
            running += u64::from(record.weight);
            running >= drawn
        });
        let (mode, record) = set.remove(at.unwrap_or(0));
        let target = Target { mode, host: record.target, port: record.port };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ids::Owner;
    use Mode::{DirectTls, StartTls};

    fn ids(seed: u8) -> Ids {
        Ids::new([seed; 32], Owner::default())
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight, port, target: target.into() }
    }

    fn records(list: &[(u16, u16, &str)]) -> SrvAnswer {
        SrvAnswer::Records(
            list.iter().map(|(priority, weight, host)| srv(*priority, *weight, 5269, host)).collect(),
        )
    }

    fn dial(direct: SrvAnswer, starttls: SrvAnswer, seed: u8) -> Vec<(Mode, String)> {
        match plan(direct, starttls, &mut ids(seed)) {
            Plan::Dial(targets) => targets.into_iter().map(|t| (t.mode, t.host.into())).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn f73_a_lower_priority_number_goes_first() {
        let answer = records(&[(30, 0, "c"), (10, 0, "a"), (20, 65535, "b")]);
        for seed in 0..20 {
            let hosts: Vec<_> =
                dial(SrvAnswer::Absent, answer.clone(), seed).into_iter().map(|t| t.1).collect();
            assert_eq!(hosts, ["a", "b", "c"]);
        }
    }

    #[test]
    fn check_117_direct_tls_and_starttls_are_one_set_by_priority() {
        let got = dial(records(&[(5, 0, "d5"), (20, 0, "d20")]), records(&[(10, 0, "s10"), (1, 0, "s1")]), 1);
        let want = [(StartTls, "s1"), (DirectTls, "d5"), (StartTls, "s10"), (DirectTls, "d20")];
        assert_eq!(got, want.map(|(mode, host)| (mode, host.to_owned())));
    }

    #[test]
    fn weights_share_the_load_and_zero_has_a_small_chance() {
        let mut first = std::collections::HashMap::new();
        let mut mint = ids(9);
        for _ in 0..4000 {
            let answer =
                SrvAnswer::Records(vec![srv(1, 3, 1, "three"), srv(1, 1, 1, "one"), srv(1, 0, 1, "zero")]);
            let Plan::Dial(targets) = plan(SrvAnswer::Absent, answer, &mut mint) else { panic!() };
            assert_eq!(targets.len(), 3);
            *first.entry(targets[0].host.to_string()).or_insert(0) += 1;
        }
        // The draw is from 0..=4, so 1, 1 and 3 parts of 5.
        assert!((600..1000).contains(&first["zero"]), "{first:?}");
        assert!((600..1000).contains(&first["one"]), "{first:?}");
        assert!((2200..2600).contains(&first["three"]), "{first:?}");
    }

    #[test]
    fn all_weights_zero_keeps_the_given_order_and_loses_nobody() {
        let got = dial(SrvAnswer::Absent, records(&[(1, 0, "a"), (1, 0, "b"), (1, 0, "c")]), 3);
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn check_118_a_target_of_a_dot_is_a_refusal_without_a_way_round() {
        let dot = || records(&[(0, 0, "")]);
        for (direct, starttls) in [(dot(), dot()), (dot(), SrvAnswer::Absent), (SrvAnswer::Absent, dot())] {
            assert_eq!(plan(direct, starttls, &mut ids(1)), Plan::NotOffered);
        }
        // Direct TLS is not offered, STARTTLS is, and the other way round.
        assert_eq!(dial(dot(), records(&[(0, 0, "s")]), 1), [(StartTls, "s".to_owned())]);
        assert_eq!(dial(records(&[(0, 0, "d")]), dot(), 1), [(DirectTls, "d".to_owned())]);
    }

    #[test]
    fn check_118_records_that_lead_nowhere_are_no_reason_to_try_the_addresses() {
        let nowhere = SrvAnswer::Records(vec![srv(0, 0, 0, "host")]);
        assert_eq!(plan(SrvAnswer::Absent, nowhere, &mut ids(1)), Plan::Unusable);
        assert_eq!(plan(SrvAnswer::Absent, SrvAnswer::Absent, &mut ids(1)), Plan::Fallback);
    }

    #[test]
    fn threat_158_a_failed_query_is_not_an_absent_record() {
        assert_eq!(plan(SrvAnswer::Failed, SrvAnswer::Absent, &mut ids(1)), Plan::Unknown);
        assert_eq!(plan(SrvAnswer::Absent, SrvAnswer::Failed, &mut ids(1)), Plan::Unknown);
        assert_eq!(plan(records(&[(0, 0, "")]), SrvAnswer::Failed, &mut ids(1)), Plan::Unknown);
        assert_eq!(dial(SrvAnswer::Failed, records(&[(0, 0, "s")]), 1).len(), 1);
    }

    #[test]
    fn threat_158_at_most_25_targets_are_tried_the_best_ones() {
        let many: Vec<Srv> = (0..500).rev().map(|n| srv(n, 1, 5269, &format!("h{n}"))).collect();
        let Plan::Dial(targets) = plan(SrvAnswer::Absent, SrvAnswer::Records(many), &mut ids(1)) else {
            panic!()
        };
        assert_eq!(targets.len(), MAX_TARGETS);
        assert_eq!((&*targets[0].host, &*targets[24].host), ("h0", "h24"));
        let same = vec![srv(1, 1, 5269, "a"); 500];
        let Plan::Dial(targets) = plan(SrvAnswer::Absent, SrvAnswer::Records(same), &mut ids(1)) else {
            panic!()
        };
        assert_eq!(targets.len(), 1);
    }
}
