//! The error table against rows typed from RFC 7247 Tables 2 and 3 and our decisions, not made from
//! the code.

#![allow(clippy::unwrap_used)]

use super::*;

/// RFC 7247 Table 2: condition, code about a full JID, code about a bare JID with global failures
/// on. Changed by decision: remote-server-timeout 408 → 504, not-authorized 401 → 403,
/// registration-required 407 → 403, service-unavailable → 480, redirect without address → 480.
const TABLE_2: &[(&str, u16, u16)] = &[
    ("bad-request", 400, 400),
    ("conflict", 400, 400),
    ("feature-not-implemented", 405, 501),
    ("forbidden", 403, 603),
    ("gone", 410, 410),
    ("internal-server-error", 500, 500),
    ("item-not-found", 404, 604),
    ("jid-malformed", 400, 400),
    ("not-acceptable", 406, 606),
    ("not-allowed", 403, 403),
    ("not-authorized", 403, 403),
    ("policy-violation", 403, 403),
    ("recipient-unavailable", 480, 600),
    ("redirect", 480, 480),
    ("registration-required", 403, 403),
    ("remote-server-not-found", 404, 404),
    ("remote-server-timeout", 504, 504),
    ("resource-constraint", 500, 500),
    ("service-unavailable", 480, 480),
    ("subscription-required", 400, 400),
    ("undefined-condition", 400, 400),
    ("unexpected-request", 400, 400),
];

/// RFC 7247 Table 3, and the codes that it leaves out as we decided them.
const TABLE_3: &[(u16, &str)] = &[
    (300, "redirect"),
    (301, "gone"),
    (302, "redirect"),
    (305, "redirect"),
    (399, "redirect"),
    (380, "not-acceptable"),
    (400, "bad-request"),
    (401, "not-authorized"),
    (402, "bad-request"),
    (403, "forbidden"),
    (404, "item-not-found"),
    (405, "feature-not-implemented"),
    (406, "not-acceptable"),
    (407, "registration-required"),
    (408, "remote-server-timeout"),
    (410, "gone"),
    (412, "unexpected-request"),
    (413, "policy-violation"),
    (414, "policy-violation"),
    (415, "not-acceptable"),
    (416, "not-acceptable"),
    (417, "bad-request"),
    (420, "feature-not-implemented"),
    (421, "not-acceptable"),
    (422, "unexpected-request"),
    (423, "resource-constraint"),
    (428, "not-authorized"),
    (429, "bad-request"),
    (430, "recipient-unavailable"),
    (433, "not-authorized"),
    (436, "not-authorized"),
    (437, "not-authorized"),
    (438, "not-authorized"),
    (439, "feature-not-implemented"),
    (440, "policy-violation"),
    (469, "bad-request"),
    (470, "bad-request"),
    (480, "recipient-unavailable"),
    (481, "item-not-found"),
    (482, "not-acceptable"),
    (483, "not-acceptable"),
    (484, "item-not-found"),
    (485, "item-not-found"),
    (486, "recipient-unavailable"),
    (487, "recipient-unavailable"),
    (488, "not-acceptable"),
    (489, "policy-violation"),
    (491, "unexpected-request"),
    (493, "bad-request"),
    (494, "bad-request"),
    (499, "bad-request"),
    (500, "internal-server-error"),
    (501, "feature-not-implemented"),
    (502, "remote-server-not-found"),
    (503, "internal-server-error"),
    (504, "remote-server-timeout"),
    (505, "not-acceptable"),
    (513, "policy-violation"),
    (580, "not-acceptable"),
    (599, "internal-server-error"),
    (600, "recipient-unavailable"),
    (603, "recipient-unavailable"),
    (604, "item-not-found"),
    (606, "not-acceptable"),
    (607, "forbidden"),
    (608, "forbidden"),
    (699, "recipient-unavailable"),
];

#[test]
fn check_103_all_22_conditions_map_per_table() {
    assert_eq!(TABLE_2.len(), 22);
    for &(name, full, bare) in TABLE_2 {
        let condition = Condition::from_name(name).unwrap();
        let about_full = StatusContext { full_jid: true, ..StatusContext::default() };
        assert_eq!(status_of(condition, &about_full).status, full, "{name}, full JID");
        let about_bare = StatusContext { global_failures: true, ..StatusContext::default() };
        assert_eq!(status_of(condition, &about_bare).status, bare, "{name}, bare JID, 6xx on");
    }
}

#[test]
fn check_103_bare_jid_errors_stay_4xx_by_default() {
    for name in ["forbidden", "item-not-found", "not-acceptable", "recipient-unavailable"] {
        let status = status_of(Condition::from_name(name).unwrap(), &StatusContext::default()).status;
        assert!((400..500).contains(&status), "{name} gave {status}");
    }
}

#[test]
fn check_104_all_listed_codes_map_and_the_rest_by_class() {
    for &(status, name) in TABLE_3 {
        assert_eq!(condition_of(status).name(), name, "{status}");
    }
    for status in 300..=699 {
        let class = match status / 100 {
            3 => "redirect",
            4 => "bad-request",
            5 => "internal-server-error",
            _ => "recipient-unavailable",
        };
        if !TABLE_3.iter().any(|row| row.0 == status) {
            assert_eq!(condition_of(status).name(), class, "unlisted {status}");
        }
    }
}

#[test]
fn check_105_gone_with_address_is_301_and_without_410() {
    let with = StatusContext { new_address: Some("xmpp:romeo@new.example"), ..StatusContext::default() };
    let answer = status_of(Condition::Gone, &with);
    assert_eq!((answer.status, answer.contact), (301, Jid::parse("romeo@new.example").ok()));
    for text in [None, Some(""), Some("gone fishing"), Some("xmpp:new.example")] {
        let context = StatusContext { new_address: text, ..StatusContext::default() };
        assert_eq!(status_of(Condition::Gone, &context).status, 410, "{text:?}");
    }
    let moved = Jid::parse("romeo@new.example").ok();
    assert_eq!(new_address(301, moved.as_ref()).as_deref(), Some("xmpp:romeo@new.example"));
    assert_eq!(new_address(410, moved.as_ref()), None);
}

#[test]
fn check_106_nothing_becomes_503() {
    for &(name, ..) in TABLE_2 {
        for invite in [false, true] {
            let context = StatusContext { invite, ..StatusContext::default() };
            assert_ne!(status_of(Condition::from_name(name).unwrap(), &context).status, 503, "{name}");
        }
    }
}

#[test]
fn check_107_408_answers_only_an_invite() {
    for &(name, ..) in TABLE_2 {
        let context = StatusContext::default();
        assert_ne!(status_of(Condition::from_name(name).unwrap(), &context).status, 408, "{name}");
    }
    let invite = StatusContext { invite: true, ..StatusContext::default() };
    assert_eq!(status_of(Condition::RemoteServerTimeout, &invite).status, 408);
    assert_eq!(status_of(Condition::UnexpectedRequest, &invite).status, 491);
}

#[test]
fn size_is_413_and_shortage_asks_to_wait() {
    let size = StatusContext { size: true, ..StatusContext::default() };
    assert_eq!(status_of(Condition::PolicyViolation, &size).status, 413);
    let answer = status_of(Condition::ResourceConstraint, &StatusContext::default());
    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0));
}
