//! The control socket: one question a connection, one line of JSON each way.
//!
//! `stoxd status` asks `{"verb":"status"}`. The socket lies in the runtime directory and only its
//! owner may open it.

pub use super::live::{LinkStatus, StreamStatus};
use super::live::{Links, RouteStatus, Streams, route};
use super::selftest::{Kind, Report};
use super::sessions::Sessions;
use super::subscriptions::Subscriptions;
use super::trace::{Crossings, Watched};
use super::why::Why;
use super::{complain, exit};
use crate::config::settings::LogLevel;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Octets of a question or an answer at most.
pub const LINE_LIMIT: u64 = 4 * 1024 * 1024;
/// Octets of a question at most: two addresses, and the text of a test, each octet of it escaped.
pub const QUESTION_LIMIT: u64 = 16 * 1024;

/// A question to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase", deny_unknown_fields)]
pub enum Question {
    /// What is listening, up and waiting.
    Status,
    /// Read the files again, as SIGHUP does.
    Reload,
    /// The files that it runs with.
    Config,
    /// Who sees whose presence.
    Subscriptions {
        /// Of this user alone, on either side: a bare JID.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// Every stream, and the ways to partners that are not there.
    Streams,
    /// The same of links and peers.
    Links,
    /// The conversations that are open.
    Sessions {
        /// Of this user alone, on either side: a bare JID.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// Stop, as SIGTERM does: the connection stays open until the end.
    Drain {
        /// Only say what would be waited for.
        what_if: bool,
    },
    /// How much is logged.
    LogLevel {
        /// From now on; None: only say what it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<LogLevel>,
        /// For so many seconds, then as the configuration says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        /// Only say what would be done.
        what_if: bool,
    },
    /// Try the way of a message or of presence.
    Test {
        /// Which.
        kind: Kind,
        /// Who seems to ask; else as the configuration says.
        from: Option<String>,
        /// Whom it is for, likewise.
        to: Option<String>,
        /// What a message says.
        text: Option<String>,
    },
    /// The last crossings.
    Trace {
        /// Of this user alone, on either side: a bare JID.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// To or from this partner alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partner: Option<String>,
    },
    /// The same for every step from now on: answers without an end, [`Answer::Trace`] with one step each,
    /// and [`Answer::Failed`] if the reader is cut off.
    Follow {
        /// As for [`Question::Trace`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partner: Option<String>,
    },
    /// What comes and goes from now on for such crossings: answers without an end, [`Answer::Watched`], and
    /// [`Answer::Failed`] if there are too many who ask.
    Watch {
        /// As for [`Question::Trace`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partner: Option<String>,
    },
    /// What became of a crossing, or of those between two people.
    Why {
        /// Its name, or the first six characters of it or more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
        /// Else who sent it, as people write addresses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// How many seconds back.
        since: u64,
    },
    /// Take an authorization away.
    Unsubscribe {
        /// Who sees, a bare JID.
        watcher: String,
        /// Who is seen, a bare JID.
        presentity: String,
        /// Only say what would be done.
        what_if: bool,
    },
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// To [`Question::Status`].
    Status(Box<Status>),
    /// To [`Question::Subscriptions`].
    Subscriptions(Subscriptions),
    /// To [`Question::Streams`].
    Streams(Streams),
    /// To [`Question::Links`].
    Links(Links),
    /// To [`Question::Sessions`].
    Sessions(Sessions),
    /// To [`Question::Config`]: name and text of each file.
    Config(Vec<(String, String)>),
    /// To [`Question::Test`].
    Test(Report),
    /// To [`Question::Trace`], and one step each to [`Question::Follow`].
    Trace(Crossings),
    /// To [`Question::Watch`], some at a time.
    Watched(Watched),
    /// To [`Question::Why`].
    Why(Box<Why>),
    /// To [`Question::LogLevel`] without a level.
    Level {
        /// How much is logged.
        now: LogLevel,
        /// How much the configuration says.
        usual: LogLevel,
    },
    /// Done, with what there is to say.
    Done(String),
    /// Not done, and why.
    Failed(String),
    /// The question is none: what is wrong with it.
    Misused(String),
}

impl Answer {
    /// What came of something that was to be done; None for what was only asked for.
    pub fn outcome(self) -> Option<Result<String, String>> {
        match self {
            Self::Done(said) => Some(Ok(said)),
            Self::Failed(why) | Self::Misused(why) => Some(Err(why)),
            Self::Status(_)
            | Self::Subscriptions(_)
            | Self::Sessions(_)
            | Self::Test(_)
            | Self::Trace(_)
            | Self::Watched(_)
            | Self::Why(_)
            | Self::Streams(_)
            | Self::Links(_)
            | Self::Level { .. }
            | Self::Config(_) => None,
        }
    }
}

/// What the daemon is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the package.
    pub version: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// Threads that carry messages.
    #[serde(default)]
    pub shards: u8,
    /// What it listens on: "xmpp 127.0.0.1:5269", "sip tls 127.0.0.1:5061".
    pub listening: Vec<String>,
    /// Listeners that are missing, and what to do about it.
    #[serde(default)]
    pub not_listening: Vec<String>,
    /// Ways to partners that are up, wanted, or ended with an error.
    #[serde(default)]
    pub partners: Vec<RouteStatus>,
    /// Every SIP peer.
    #[serde(default)]
    pub peers: Vec<RouteStatus>,
    /// Streams that are open.
    pub streams: Vec<StreamStatus>,
    /// Links that are open.
    pub links: Vec<LinkStatus>,
    /// Items that wait for a stream or a link.
    pub waiting: usize,
    /// Messages delivered since the start: SIP to XMPP, XMPP to SIP.
    pub delivered: [u64; 2],
    /// Messages returned to their senders or refused, likewise.
    pub failed: [u64; 2],
    /// Where records are kept: "SQLite, /var/lib/stoxd/stoxd.db".
    pub store: String,
    /// Why they can't be written at the moment.
    pub store_fault: Option<String>,
    /// Watches: of SIP users by XMPP users, of XMPP users by SIP users.
    #[serde(default)]
    pub watches: [usize; 2],
    /// Sessions that are open.
    #[serde(default)]
    pub sessions: usize,
    /// How the last reload went, if there was one.
    pub last_reload: Option<String>,
    /// Whether the organisation's switch is off, so that nothing crosses.
    #[serde(default)]
    pub federation_off: bool,
}

/// The first of `rows` that make no more than `octets` of JSON together.
pub(super) fn fitting<R: Serialize>(rows: impl Iterator<Item = R>, octets: u64) -> Vec<R> {
    let mut left = octets;
    let fits = |row: &R| {
        let octets = serde_json::to_vec(row).map_or(u64::MAX, |octets| octets.len() as u64 + 1);
        let rest = left.checked_sub(octets);
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    rows.take_while(fits).collect()
}

/// After how long whoever waits for a reload is told so.
const SAID_AFTER: Duration = Duration::from_secs(10);

/// Asks the daemon behind `socket`. When a reload takes long, stderr says what is waited for.
///
/// # Errors
/// Nobody is there, or what came back is no answer.
pub fn ask(socket: &Path, question: &Question) -> io::Result<Answer> {
    let asked = || begin(socket, question).map(|(answer, _)| answer);
    if *question != Question::Reload {
        return asked();
    }
    let text = format!(
        "waiting for the daemon behind {}, which does not answer; it is given up 2 minutes after the question\n",
        socket.display()
    );
    late(SAID_AFTER, move || complain(&text), asked)
}

/// Does `work`; when that takes longer than `after`, `say` is called meanwhile.
fn late<T>(after: Duration, say: impl FnOnce() + Send + 'static, work: impl FnOnce() -> T) -> T {
    let (done, waits) = std::sync::mpsc::channel::<()>();
    // Without a thread nothing is said.
    let _ = std::thread::Builder::new().spawn(move || {
        if waits.recv_timeout(after) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            say();
        }
    });
    let result = work();
    drop(done);
    result
}

/// The same, and the connection, which the daemon may keep open.
///
/// # Errors
/// As [`ask`].
pub(super) fn begin(socket: &Path, question: &Question) -> io::Result<(Answer, impl Read + use<>)> {
    let mut stream = UnixStream::connect(socket)?;
    let patience = match question {
        Question::Status
        | Question::Config
        | Question::Streams
        | Question::Links
        | Question::Drain { .. }
        | Question::LogLevel { .. }
        | Question::Subscriptions { .. }
        | Question::Sessions { .. }
        | Question::Trace { .. }
        | Question::Follow { .. }
        | Question::Watch { .. }
        | Question::Why { .. }
        | Question::Unsubscribe { .. } => Duration::from_secs(10),
        // The exchange, and then perhaps a look at why it failed.
        Question::Test { .. } => Duration::from_secs(60),
        // A million grants take a while.
        Question::Reload => Duration::from_secs(120),
    };
    put(&mut stream, question)?;
    answer_of(stream, patience)
}

/// The answer, all of which must come within `patience`; and the connection, the end of which is waited for as long.
fn answer_of(stream: UnixStream, patience: Duration) -> io::Result<(Answer, impl Read + use<>)> {
    let mut answer = String::new();
    stream.set_read_timeout(Some(patience))?;
    let (whole, is_late) = (stream.try_clone()?, Arc::new(AtomicBool::new(false)));
    let mut reader = BufReader::new(Patient { stream, patience }.take(LINE_LIMIT));
    // Octets that come one by one are no silence: nothing more is read when the time is over.
    let cut = is_late.clone();
    let give_up = move || {
        cut.store(true, Ordering::Release);
        let _ = whole.shutdown(Shutdown::Both);
    };
    let read = late(patience, give_up, || reader.read_line(&mut answer));
    if is_late.load(Ordering::Acquire) {
        return Err(nothing_within(patience));
    }
    read?;
    Ok((serde_json::from_str(&answer)?, reader))
}

fn nothing_within(patience: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}"))
}

/// Writes a question.
fn put(stream: &mut UnixStream, question: &Question) -> io::Result<()> {
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    if line.len() as u64 > QUESTION_LIMIT {
        return Err(io::Error::new(io::ErrorKind::ArgumentListTooLong, "the question is too long"));
    }
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&line)
}

/// A stream whose silence says how long it was waited for.
struct Patient {
    stream: UnixStream,
    patience: Duration,
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => nothing_within(self.patience),
            _ => error,
        })
    }
}

/// Asks for what has no end: answers as they come, until the daemon ends or has enough.
///
/// # Errors
/// Nobody is there.
pub fn follow(socket: &Path, question: &Question) -> io::Result<impl Iterator<Item = io::Result<Answer>>> {
    let mut stream = UnixStream::connect(socket)?;
    put(&mut stream, question)?;
    let mut reader = BufReader::new(stream);
    Ok(std::iter::from_fn(move || {
        let mut answer = String::new();
        match (&mut reader).take(LINE_LIMIT).read_line(&mut answer) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&answer).map_err(io::Error::from)),
            Err(error) => Some(Err(error)),
        }
    }))
}

/// Says that nobody answers at `socket`; the exit code.
pub fn unreachable(socket: &Path, error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::ArgumentListTooLong {
        complain(&format!("error: {error}\n"));
        return exit::USAGE;
    }
    complain(&format!(
        "error: no answer from the daemon at {}: {error}\n  is it running? systemctl status stoxd\n",
        socket.display()
    ));
    exit::UNREACHABLE
}

/// The status as a person reads it.
pub fn render(status: &Status) -> String {
    let shards = match status.shards {
        0 | 1 => String::new(),
        shards => format!(", {shards} shards"),
    };
    let mut text = format!("stoxd {}, up {}{shards}\n", status.version, duration(status.uptime));
    if status.federation_off {
        text.push_str("federation is disabled, so nothing crosses: stoxd federation enable\n");
    }
    let mut list = |title: &str, rows: Vec<String>| {
        text.push_str(title);
        text.push('\n');
        if rows.is_empty() {
            text.push_str("  none\n");
        }
        for row in rows {
            text.push_str("  ");
            text.push_str(&row);
            text.push('\n');
        }
    };
    list("LISTEN", status.listening.iter().chain(&status.not_listening).cloned().collect());
    list(
        "STREAMS",
        status
            .streams
            .iter()
            .map(|s| format!("{:<3} {}  {}  {}", s.direction, s.pairs.join(", "), s.address, s.security))
            .collect(),
    );
    list(
        "LINKS",
        status
            .links
            .iter()
            .map(|l| format!("{:<3} {}  {}  {}", l.direction, l.peer, l.address, l.transport))
            .collect(),
    );
    for (title, routes) in [("PARTNERS", &status.partners), ("PEERS", &status.peers)] {
        if !routes.is_empty() {
            text.push_str(&format!("{title}\n"));
            text.extend(routes.iter().map(route));
        }
    }
    text.push_str(&format!(
        "MESSAGES\n  SIP to XMPP: {} delivered, {} not\n  XMPP to SIP: {} delivered, {} not\n  waiting: {}\n",
        status.delivered[0], status.failed[0], status.delivered[1], status.failed[1], status.waiting
    ));
    text.push_str(&format!(
        "PRESENCE\n  XMPP users watch SIP users: {}\n  SIP users watch XMPP users: {}\n",
        status.watches[0], status.watches[1]
    ));
    text.push_str(&format!("SESSIONS\n  {}\n", status.sessions));
    text.push_str(&format!("STORE\n  {}\n", status.store));
    if let Some(fault) = &status.store_fault {
        text.push_str(&format!("  can't be written, so nobody can be authorized anew: {fault}\n"));
    }
    if let Some(reload) = &status.last_reload {
        text.push_str("RELOAD\n");
        for line in reload.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

/// Seconds as a person reads them.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_question_is_one_line_and_unknown_ones_are_refused() {
        assert_eq!(serde_json::to_string(&Question::Status).unwrap(), r#"{"verb":"status"}"#);
        assert!(serde_json::from_str::<Question>(r#"{"verb":"format"}"#).is_err());
        let all = Question::Subscriptions { user: None };
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"verb":"subscriptions"}"#);
        assert_eq!(serde_json::from_str::<Question>(r#"{"verb":"subscriptions"}"#).unwrap(), all);
        assert!(serde_json::from_str::<Question>(r#"{"verb":"subscriptions","usr":"a@b"}"#).is_err());
    }

    #[test]
    fn an_answer_that_comes_octet_by_octet_is_waited_for_no_longer_than_silence() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            for _ in 0..100 {
                if theirs.write_all(b" ").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let begun = Instant::now();
        let answered = answer_of(ours, Duration::from_millis(400)).map(|(answer, _)| answer);
        assert_eq!(answered.unwrap_err().to_string(), "no answer within 400ms");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[test]
    fn whoever_waits_long_is_told_so_and_else_nobody() {
        let (said, heard) = std::sync::mpsc::channel();
        let say = said.clone();
        let moment = Duration::from_millis(20);
        let got = late(moment, move || say.send(()).unwrap(), || heard.recv_timeout(Duration::from_secs(20)));
        assert_eq!(got, Ok(()), "it is said while the work goes on");
        assert_eq!(
            late(
                Duration::from_secs(60),
                move || {
                    let _ = said.send(());
                },
                || 7
            ),
            7
        );
        assert_eq!(heard.recv(), Err(std::sync::mpsc::RecvError), "the thread ends without a word");
    }

    #[test]
    fn the_status_names_what_is_up() {
        let status = Status {
            version: "0.1.0".into(),
            uptime: 3700,
            listening: vec!["xmpp 127.0.0.1:5269".into()],
            links: vec![LinkStatus {
                direction: "out".into(),
                peer: "edge".into(),
                address: "127.0.0.1:5061".into(),
                transport: "tls".into(),
                ..LinkStatus::default()
            }],
            not_listening: vec!["sip: nothing listens: next: look".into()],
            peers: vec![RouteStatus {
                name: "edge".into(),
                state: "down".into(),
                waiting: 1,
                next: Some("stoxd check connectivity".into()),
                ..RouteStatus::default()
            }],
            store: "SQLite, /var/lib/stoxd/stoxd.db".into(),
            store_fault: Some("the disk is full".into()),
            watches: [7, 3],
            ..Status::default()
        };
        let off = render(&Status { federation_off: true, ..status.clone() });
        assert!(
            off.contains("\nfederation is disabled, so nothing crosses: stoxd federation enable\n"),
            "{off}"
        );
        let text = render(&status);
        assert!(!text.contains("federation is disabled"), "{text}");
        assert!(
            text.starts_with(
                "stoxd 0.1.0, up 1 h 1 min\nLISTEN\n  xmpp 127.0.0.1:5269\n  sip: nothing \
                 listens: next: look\nSTREAMS\n  none\n"
            ),
            "{text}"
        );
        assert!(text.starts_with("stoxd 0.1.0, up 1 h 1 min\n"), "{text}");
        let several = render(&Status { shards: 4, ..status });
        assert!(several.starts_with("stoxd 0.1.0, up 1 h 1 min, 4 shards\n"), "{several}");
        assert!(text.contains("out edge  127.0.0.1:5061  tls"), "{text}");
        let peers = "PEERS\n  edge  down, 1 waits\n     next: stoxd check connectivity\n";
        assert!(text.contains(peers), "{text}");
        assert!(
            text.contains("PRESENCE\n  XMPP users watch SIP users: 7\n  SIP users watch XMPP users: 3\n"),
            "{text}"
        );
        let store = "STORE\n  SQLite, /var/lib/stoxd/stoxd.db\n  can't be written, so nobody can be authorized \
                     anew: the disk is full\n";
        assert!(text.ends_with(store), "{text}");
    }
}
