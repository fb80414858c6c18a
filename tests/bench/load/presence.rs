//! What the two servers say to what the gateway says of watches, and what counts as right.
//!
//! Every step of a watch must come once, in its order, with the addresses of its couple and the note of the round.
//! What is anything else is a stray: it is counted, and the first one is kept to be shown.

use crate::sip::{header, sip_message};
use crate::tally::Tally;
use crate::texts::{Couple, Dialog, accept, answer, plain, presence};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

/// What is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// XMPP users ask to see SIP users: SUBSCRIBE, `subscribed`, presence.
    AskSip,
    /// SIP users have something new: presence.
    TellXmpp,
    /// The gateway was started anew: SUBSCRIBE, `unavailable`, presence.
    Restart,
    /// SIP users ask to see XMPP users: `subscribe`, NOTIFYs that say pending, active, and what is so.
    AskXmpp,
    /// XMPP users have something new: NOTIFY.
    TellSip,
}

/// How far a watch has come in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begun,
    /// SUBSCRIBE came, or a NOTIFY that says pending.
    Met,
    /// `unavailable` came, before what is so.
    Hidden,
    /// `subscribed` came, or a NOTIFY that says active.
    Allowed,
    /// It shows what it should.
    Shown,
}

/// What is said of watches, and heard of them.
pub struct Watches {
    pub tally: Tally,
    pub state: RefCell<State>,
    /// To the gateway; None while it is down.
    pub stream: RefCell<Option<Writer>>,
    /// What the XMPP server is about to say.
    said: RefCell<Vec<u8>>,
    users: usize,
}

pub struct State {
    pub phase: Phase,
    /// The first watch of this phase.
    pub first: usize,
    /// What is new in this phase.
    pub note: String,
    pub dialogs: Vec<Dialog>,
    steps: Vec<Step>,
    /// XMPP users who were asked, in this phase.
    asked: Vec<bool>,
    /// When SUBSCRIBEs came.
    pub subscribes: Vec<Instant>,
    pub strays: usize,
    pub first_stray: Option<String>,
}

pub type Writer = Rc<Mutex<Box<dyn AsyncWrite + Unpin>>>;

/// All of `octets` goes out at once, and none is left.
pub async fn send(writer: &Writer, octets: &mut Vec<u8>) -> std::io::Result<()> {
    if !octets.is_empty() {
        let mut writer = writer.lock().await;
        writer.write_all(octets).await?;
        writer.flush().await?;
        octets.clear();
    }
    Ok(())
}

impl Watches {
    pub fn new(watches: usize, users: usize) -> Self {
        let state = State {
            phase: Phase::AskSip,
            first: 0,
            note: String::new(),
            dialogs: vec![Dialog::NONE; watches],
            steps: vec![Step::Begun; watches],
            asked: vec![false; watches],
            subscribes: Vec::new(),
            strays: 0,
            first_stray: None,
        };
        Self {
            tally: Tally::default(),
            state: state.into(),
            stream: RefCell::default(),
            said: RefCell::default(),
            users,
        }
    }

    /// All watches are at the beginning of `phase`, which begins with watch number `first`.
    pub fn begin(&self, phase: Phase, first: usize, note: &str) {
        let mut state = self.state.borrow_mut();
        (state.phase, state.first, state.note) = (phase, first, note.to_owned());
        state.steps.fill(Step::Begun);
        state.asked.fill(false);
        state.subscribes.clear();
    }

    pub fn couple(&self, number: usize) -> Couple {
        Couple::of(number, self.users)
    }

    /// The watch whose addresses stand in `octets`, and its number.
    fn watch(&self, octets: &[u8]) -> Option<(Couple, usize)> {
        let couple = Couple::read(octets)?;
        Some((couple, couple.number(self.users)?))
    }

    /// A SIP message: what the SIP server answers is appended to `out`.
    fn on_sip(&self, octets: &[u8], head: &str, out: &mut Vec<u8>) {
        let mut state = self.state.borrow_mut();
        let is_right = match self.watch(octets) {
            None => false,
            Some((_, number)) if head.starts_with("SIP/2.0 ") => self.on_response(&state, number, head),
            Some((couple, number)) if head.starts_with("SUBSCRIBE ") => {
                self.on_subscribe(&mut state, couple, number, octets, out)
            }
            Some((couple, number)) if head.starts_with("NOTIFY ") => {
                answer(octets, "", out);
                self.on_notify(&mut state, couple, number, octets)
            }
            Some(_) => false,
        };
        if !is_right {
            state.stray(octets);
        }
    }

    fn on_response(&self, state: &State, number: usize, head: &str) -> bool {
        let method = header(head, "CSeq").and_then(|cseq| cseq.split(' ').nth(1));
        let wanted = match state.phase {
            Phase::AskSip | Phase::TellXmpp | Phase::Restart => "NOTIFY",
            Phase::AskXmpp => "SUBSCRIBE",
            Phase::TellSip => return false,
        };
        let mut now = self.tally.now.borrow_mut();
        let at = number.checked_sub(state.first);
        let Some((at, false)) = at.and_then(|at| Some((at, *now.answered.get(at)?))) else { return false };
        now.on_answer(at, head.starts_with("SIP/2.0 2"));
        method == Some(wanted)
    }

    /// The presence server lets everybody see everybody.
    fn on_subscribe(
        &self,
        state: &mut State,
        couple: Couple,
        number: usize,
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let now = Instant::now();
        if state.phase == Phase::Restart
            && let Some(sent_at) = self.tally.now.borrow_mut().sent_at.get_mut(number)
        {
            *sent_at = now;
        }
        state.subscribes.push(now);
        let Some(mut dialog) = Dialog::of(octets) else { return false };
        accept(octets, out);
        dialog.notify(couple, &state.note, out);
        state.dialogs[number] = dialog;
        matches!(state.phase, Phase::AskSip | Phase::Restart) && state.step(number, Step::Begun, Step::Met)
    }

    fn on_notify(&self, state: &mut State, couple: Couple, number: usize, octets: &[u8]) -> bool {
        let is_active = says(octets, "Subscription-State: active;");
        let is_new = says(octets, &format!(">{}</", state.note));
        match state.phase {
            Phase::AskXmpp if says(octets, "Subscription-State: pending;") => {
                state.step(number, Step::Begun, Step::Met)
            }
            Phase::AskXmpp if is_active && !is_new => {
                self.say(|out| presence(couple, &state.note, out));
                state.step(number, Step::Met, Step::Allowed)
            }
            Phase::AskXmpp if is_active => {
                self.shown(state, number);
                state.step(number, Step::Allowed, Step::Shown)
            }
            Phase::TellSip if is_active && is_new => {
                self.shown(state, number);
                state.step(number, Step::Begun, Step::Shown)
            }
            Phase::AskSip | Phase::TellXmpp | Phase::Restart | Phase::AskXmpp | Phase::TellSip => false,
        }
    }

    /// A stanza: what the XMPP server says to it waits for [`Watches::flush`].
    fn on_stanza(&self, octets: &[u8]) {
        let mut state = self.state.borrow_mut();
        let is_right = match self.watch(octets).filter(|_| octets.starts_with(b"<presence ")) {
            None => false,
            Some((couple, number)) => self.on_presence(&mut state, couple, number, octets),
        };
        if !is_right {
            state.stray(octets);
        }
    }

    fn on_presence(&self, state: &mut State, couple: Couple, number: usize, octets: &[u8]) -> bool {
        let is_new = !says(octets, " type=") && says(octets, &format!("<status>{}</status>", state.note));
        match state.phase {
            Phase::AskSip if says(octets, "type='subscribed'") => {
                state.step(number, Step::Met, Step::Allowed)
            }
            Phase::AskSip if is_new => {
                self.shown(state, number);
                state.step(number, Step::Allowed, Step::Shown)
            }
            Phase::TellXmpp if is_new => {
                self.shown(state, number);
                state.step(number, Step::Begun, Step::Shown)
            }
            // Nobody knows after a restart who was shown: the first telling begins with the end of all that was.
            Phase::Restart if says(octets, "type='unavailable'") => {
                state.step(number, Step::Met, Step::Hidden)
            }
            Phase::Restart if is_new => {
                self.shown(state, number);
                state.step(number, Step::Hidden, Step::Shown)
            }
            Phase::AskXmpp if says(octets, "type='subscribe'") => {
                self.say(|out| plain(couple, "subscribed", number, out));
                !std::mem::replace(&mut state.asked[number], true)
            }
            Phase::AskSip | Phase::TellXmpp | Phase::Restart | Phase::AskXmpp | Phase::TellSip => false,
        }
    }

    fn shown(&self, state: &State, number: usize) {
        if let Some(at) = number.checked_sub(state.first) {
            self.tally.now.borrow_mut().on_arrival(at);
        }
    }

    /// The XMPP server says something, in a turn that ends with [`Watches::flush`].
    fn say(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.said.borrow_mut());
    }

    async fn flush(&self) -> std::io::Result<()> {
        let mut said = self.said.take();
        let stream = self.stream.borrow().clone();
        match stream {
            Some(stream) => send(&stream, &mut said).await,
            None => Ok(()),
        }
    }
}

impl State {
    /// Whether `number` stood at `from`; it stands at `to` now.
    fn step(&mut self, number: usize, from: Step, to: Step) -> bool {
        std::mem::replace(&mut self.steps[number], to) == from
    }

    fn stray(&mut self, octets: &[u8]) {
        self.strays += 1;
        let phase = self.phase;
        let text = || format!("while {phase:?}: {}", String::from_utf8_lossy(octets));
        self.first_stray.get_or_insert_with(text);
    }
}

fn says(octets: &[u8], what: &str) -> bool {
    memchr::memmem::find(octets, what.as_bytes()).is_some()
}

/// Takes what comes over a link, and answers it there, until it ends.
pub async fn read_link(mut reader: impl AsyncRead + Unpin, writer: Writer, watches: Rc<Watches>) {
    let (mut inbox, mut out) = (Vec::with_capacity(1 << 18), Vec::new());
    while let Ok(1..) = reader.read_buf(&mut inbox).await {
        let mut used = 0;
        while let Some((head, _, length)) = sip_message(&inbox[used..]) {
            watches.on_sip(inbox[used..used + length].trim_ascii_start(), head, &mut out);
            used += length;
        }
        inbox.drain(..used);
        watches.tally.moved.notify_one();
        if send(&writer, &mut out).await.is_err() || watches.flush().await.is_err() {
            return;
        }
    }
}

/// Takes what comes over a stream until it ends.
pub async fn read_stream(mut reader: impl AsyncRead + Unpin, watches: Rc<Watches>) {
    let mut inbox = Vec::with_capacity(1 << 18);
    while let Ok(1..) = reader.read_buf(&mut inbox).await {
        let mut used = 0;
        while let Some(length) = stanza(&inbox[used..]) {
            watches.on_stanza(inbox[used..used + length].trim_ascii_start());
            used += length;
        }
        inbox.drain(..used);
        watches.tally.moved.notify_one();
        if watches.flush().await.is_err() {
            return;
        }
    }
}

/// The octets of the first element and of the space before it; None while it is not whole.
fn stanza(octets: &[u8]) -> Option<usize> {
    let start = octets.iter().position(|octet| !octet.is_ascii_whitespace())?;
    let tag = start + memchr::memchr(b'>', &octets[start..])? + 1;
    let name = octets[start + 1..tag].split(|octet| b" />".contains(octet)).next()?;
    if octets[..tag].ends_with(b"/>") || octets[start..].starts_with(b"</") {
        return Some(tag);
    }
    let end = [b"</", name, b">"].concat();
    Some(tag + memchr::memmem::find(&octets[tag..], &end)? + end.len())
}
