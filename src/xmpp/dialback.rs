//! Server Dialback (XEP-0220): keys (XEP-0185), questions and answers, their elements.
//!
//! Three roles meet here. The *receiving* server is offered a key in `<db:result/>` and asks the
//! *authoritative* server about it in `<db:verify/>`; the *initiating* server waits for the result.
//! Everything here is stateless; who asked what on which stream is `stream`'s to remember.

use super::StreamId;
use super::error::{Condition, StanzaError};
use super::terms::Pair;
use crate::xml;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The length of a key of ours: HMAC-SHA256 in hexadecimal.
const KEY_LEN: usize = 64;
/// The longest key of a peer's that we ask about, in octets.
pub const PEER_KEY_MAX: usize = 512;
/// The longest stream id of a peer's that keys are made for, in octets.
pub const PEER_ID_MAX: usize = 256;

/// A dialback key of ours, 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The key that proves `originating` to `receiving` on the stream `stream_id`, which the receiving
/// server named: HMAC-SHA256 over the three, keyed with the hexadecimal SHA-256 of the secret
/// (XEP-0185 §2).
///
/// The parts are joined by a space, as the recommendation says. That is unambiguous because no part
/// holds one: domains are canonical, and an id that has one [is not usable](is_usable).
pub fn key(secret: &[u8], receiving: &str, originating: &str, stream_id: &str) -> Key {
    let mut hashed = [0; KEY_LEN];
    hex(&Sha256::digest(secret), &mut hashed);
    let mut out = [0; KEY_LEN];
    // HMAC takes keys of every length, so this arm is always taken.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&hashed) {
        for part in [receiving, " ", originating, " ", stream_id] {
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes(), &mut out);
    }
    Key(out)
}

/// Whether keys are made for a stream of that id: one of plain characters and sensible length.
pub fn is_usable(stream_id: &str) -> bool {
    (1..=PEER_ID_MAX).contains(&stream_id.len()) && stream_id.bytes().all(|octet| octet.is_ascii_graphic())
}

/// A key without the white space that may stand around it.
pub fn trimmed(key: &str) -> &str {
    key.trim_matches([' ', '\t', '\r', '\n'])
}

/// Whether `offered` is exactly the key for these three, compared in constant time. What can't be one
/// of ours by its length, or by an id that is not usable, is not hashed for.
pub fn check(secret: &[u8], receiving: &str, originating: &str, stream_id: &str, offered: &str) -> bool {
    let offered = trimmed(offered);
    let plain = is_usable(stream_id) && !receiving.contains(' ') && !originating.contains(' ');
    plain
        && offered.len() == KEY_LEN
        && key(secret, receiving, originating, stream_id).0.as_slice().ct_eq(offered.as_bytes()).into()
}

fn hex(octets: &[u8], out: &mut [u8; KEY_LEN]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, octet) in out.chunks_exact_mut(2).zip(octets) {
        if let [high, low] = pair {
            *high = DIGITS[usize::from(octet >> 4)];
            *low = DIGITS[usize::from(octet & 15)];
        }
    }
}

/// A key that a receiving stream of ours was offered, to be asked about at the authoritative server
/// of `pair.remote` (XEP-0220 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// The receiving stream that wants to know.
    pub stream: StreamId,
    /// Our domain and the sender domain that has to be proven.
    pub pair: Pair,
    /// The id that we gave the receiving stream.
    pub id: Box<str>,
    /// What was offered. A secret of the peer's until it is used.
    pub key: Box<str>,
}

/// What became of a [`Verify`]; everything but the key is the question's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyAnswer {
    /// The receiving stream that wanted to know.
    pub stream: StreamId,
    /// The pair that was asked about.
    pub pair: Pair,
    /// The id of the receiving stream.
    pub id: Box<str>,
    /// The answer.
    pub outcome: Outcome,
}

impl Verify {
    /// The answer to this question.
    pub fn answer(self, outcome: Outcome) -> VerifyAnswer {
        VerifyAnswer { stream: self.stream, pair: self.pair, id: self.id, outcome }
    }
}

/// The `type` of a dialback answer (XEP-0220 §2.1, §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The key is the right one.
    Valid,
    /// It is not.
    Invalid,
    /// It could not be found out.
    Error(Condition),
}

impl Outcome {
    /// The stanza error for what was queued for a pair that ended so: `internal-server-error` for an
    /// invalid key (XEP-0220 §2.1.1), `remote-server-timeout` for an error (§2.5).
    pub fn bounce(self) -> Option<Condition> {
        match self {
            Self::Valid => None,
            Self::Invalid => Some(Condition::InternalServerError),
            Self::Error(_) => Some(Condition::RemoteServerTimeout),
        }
    }
}

/// Appends `<db:result/>` with a key: the initiating server's first step.
pub(super) fn write_result(out: &mut Vec<u8>, from: &str, to: &str, key: &Key) {
    open(out, "result", from, to, None);
    out.push(b'>');
    out.extend_from_slice(&key.0);
    out.extend_from_slice(b"</db:result>");
}

/// Appends `<db:verify/>` with a key: the receiving server's question.
pub(super) fn write_verify(out: &mut Vec<u8>, question: &Verify) {
    open(out, "verify", question.pair.local.as_str(), question.pair.remote.as_str(), Some(&question.id));
    out.push(b'>');
    xml::write::text(out, &question.key);
    out.extend_from_slice(b"</db:verify>");
}

/// Appends an answer: `<db:result/>` without an id, `<db:verify/>` with one.
pub(super) fn write_answer(out: &mut Vec<u8>, from: &str, to: &str, id: Option<&str>, outcome: Outcome) {
    let name = if id.is_some() { "verify" } else { "result" };
    open(out, name, from, to, id);
    match outcome {
        Outcome::Valid => out.extend_from_slice(b" type='valid'/>"),
        Outcome::Invalid => out.extend_from_slice(b" type='invalid'/>"),
        Outcome::Error(condition) => {
            out.extend_from_slice(b" type='error'>");
            StanzaError::from(condition).write(out);
            out.extend_from_slice(b"</db:");
            out.extend_from_slice(name.as_bytes());
            out.push(b'>');
        }
    }
}

fn open(out: &mut Vec<u8>, name: &str, from: &str, to: &str, id: Option<&str>) {
    out.extend_from_slice(b"<db:");
    out.extend_from_slice(name.as_bytes());
    xml::write::attr(out, "from", from);
    xml::write::attr(out, "to", to);
    if let Some(id) = id {
        xml::write::attr(out, "id", id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_129_the_published_vectors_reproduce() {
        for (secret, receiving, originating, id, expected) in [
            (
                "s3cr3tf0rd14lb4ck",
                "xmpp.example.com",
                "example.org",
                "D60000229F",
                "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
            ),
            (
                "s3cr3tf0rd14lb4ck",
                "montague.example",
                "capulet.example",
                "D60000229F",
                "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
            ),
            (
                "d14lb4ck43v3r",
                "capulet.example",
                "montague.example",
                "417GAF25",
                "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
            ),
        ] {
            assert_eq!(key(secret.as_bytes(), receiving, originating, id).as_str(), expected);
            assert!(check(secret.as_bytes(), receiving, originating, id, expected));
            assert!(check(secret.as_bytes(), receiving, originating, id, &format!("\n  {expected}\n")));
        }
    }

    #[test]
    fn threat_056_a_key_is_good_for_exactly_its_three_values() {
        let good = key(b"secret", "a.example", "b.example", "id1");
        assert!(check(b"secret", "a.example", "b.example", "id1", good.as_str()));
        for (secret, receiving, originating, id, offered) in [
            ("secre", "a.example", "b.example", "id1", good.as_str()),
            ("secret", "c.example", "b.example", "id1", good.as_str()),
            ("secret", "a.example", "c.example", "id1", good.as_str()),
            ("secret", "b.example", "a.example", "id1", good.as_str()),
            ("secret", "a.example", "b.example", "id2", good.as_str()),
            ("secret", "a.example", "b.example", "", good.as_str()),
            ("secret", "a.example", "b.example", "id1", ""),
            ("secret", "a.example", "b.example", "id1", " "),
            ("secret", "a.example", "b.example", "id1", &good.as_str()[1..]),
            ("secret", "a.example", "b.example", "id1", &good.as_str().to_uppercase()),
            ("secret", "a.example", "b.example", "id1", &format!("{}0", good.as_str())),
        ] {
            assert!(!check(secret.as_bytes(), receiving, originating, id, offered), "{offered:?}");
        }
    }

    #[test]
    fn threat_059_fields_can_not_be_shifted_into_each_other() {
        // Every way to cut the same octets into three fields: only the one without separators
        // inside a field can be right.
        for text in ["a.example b.example id1", "a.example b.example c id1", "a b c d e"] {
            let spaces: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
            let mut right = 0;
            for (n, first) in spaces.iter().enumerate() {
                for second in &spaces[n + 1..] {
                    let fields = (&text[..*first], &text[first + 1..*second], &text[second + 1..]);
                    let offered = key(b"secret", fields.0, fields.1, fields.2);
                    right += usize::from(check(b"secret", fields.0, fields.1, fields.2, offered.as_str()));
                }
            }
            assert_eq!(right, usize::from(spaces.len() == 2), "{text}");
        }
        assert!(!check(b"s", "a", "b", "x\ny", key(b"s", "a", "b", "x\ny").as_str()));
    }
}
