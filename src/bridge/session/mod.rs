//! One conversation in session mode, as a machine: opening, open, closing. Pure.
//!
//! The texts of the XMPP contact wait here in their order, each as a `T` that knows where it came from. One of
//! them is in the air (RFC 3428 §8: a UAC should not overlap MESSAGEs inside of a dialog), or several where
//! the way keeps their order itself ([`Machine::overlap`]). Every text that is handed in comes out once: as
//! delivered, as returned, or as one for another session. What carries them, a MESSAGE inside of the dialog
//! or an MSRP SEND, is the gateway's business; so are the addresses, the dialog and the gate.
//!
//! ```text
//!            Text                Established             (idle, gone, stop, no right)
//!  ─────────────────▶ Inviting ──────────────▶ Open ─────────── Bye ───────────▶ Ending ─ Ended ─▶ Over
//!                        │  │ Refused            ▲ │ their BYE: nothing left to hear of       ▲      ▲
//!                        │  └────────────────────┼─┴───────────────────────────────────────── │ ─────┤
//!                 ring-out, no right             │                                            │      │
//!                        └──▶ Cancelling ────────┼──────── Established: Bye ──────────────────┘      │
//!                                   └────────────┼──────── Refused ──────────────────────────────────┤
//!  their INVITE                     Accepted     │                                                   │
//!  ─────────────────▶ Answering ─────────────────┘                Rejected ──────────────────────────┘
//! ```
//!
//! RFC 7573 §4 to §6; who sends what when is in `gateway::sessions`.

pub mod first;
#[cfg(test)]
mod tests;

use crate::now::Mono;
use crate::xmpp::error::Condition;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

/// How long the SIP user may leave an INVITE unanswered. With what a message may wait before, its sender
/// hears within a minute.
pub const RING: Duration = Duration::from_secs(40);
/// How long a state lasts at most whose end the transactions bring about: longer than Timer C leaves them
/// after a CANCEL, and than Timers B, F and H (RFC 3261 §17).
const LINGER: Duration = Duration::from_secs(70);

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Our INVITE waits for its answer.
    Inviting,
    /// Their INVITE waits for ours.
    Answering,
    /// Texts go both ways.
    Open,
    /// Nobody waits for the answer to our INVITE any more.
    Cancelling,
    /// Our BYE, or the last text, waits for its answer.
    Ending,
    /// Nothing is to be done any more.
    Over,
}

impl State {
    /// In lower case, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inviting => "inviting",
            Self::Answering => "answering",
            Self::Open => "open",
            Self::Cancelling => "cancelling",
            Self::Ending => "ending",
            Self::Over => "over",
        }
    }
}

/// Why a text is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What its sender hears.
    pub condition: Condition,
    /// The same in SIP.
    pub status: u16,
    /// Why, for a person.
    pub why: Cow<'static, str>,
}

impl Failure {
    /// A failure.
    pub fn new(condition: Condition, status: u16, why: impl Into<Cow<'static, str>>) -> Self {
        Self { condition, status, why: why.into() }
    }
}

/// Names a text of a session that is in the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What may be in the air at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Texts.
    pub texts: usize,
    /// Octets of them; one text may be longer.
    pub octets: usize,
}

/// What became of a text in the air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The SIP side has it.
    Delivered,
    /// It was refused, or nobody knows where it went. The session goes on.
    Refused(Failure),
    /// The SIP side knows no such dialog (481): it has not got the text.
    NoDialog(Failure),
    /// The SIP side says nothing at all: so it goes with all that waits.
    Silent(Failure),
}

/// What happened.
#[derive(Debug)]
pub enum Input<T> {
    /// The contact wrote this; so many octets of it are sent.
    Text(T, usize),
    /// Our INVITE was answered with a 2xx.
    Established,
    /// Our INVITE was refused, or not answered.
    Refused(Failure),
    /// Their INVITE was answered with a 2xx.
    Accepted,
    /// Their INVITE was refused, or taken back.
    Rejected,
    /// A text in the air has its answer.
    Answered(Ticket, Fate),
    /// The SIP user wrote, or is about to.
    Heard,
    /// The SIP user's BYE.
    Bye,
    /// The contact has left the conversation (XEP-0085 `<gone/>`), or the gateway is to stop: what waits is
    /// still delivered.
    Leave,
    /// It must not go on, and nothing may be sent any more but a BYE.
    Revoke(Failure),
    /// Our BYE has its answer, or will not get one.
    Ended,
    /// A deadline may have come.
    Timeout,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<T> {
    /// Send the text of [`Machine::in_air`].
    Send(Ticket),
    /// This text was delivered.
    Delivered(T),
    /// This text's sender hears of the failure.
    Return(T, Failure),
    /// Our INVITE was refused, and these texts waited for it: they go another way, or back.
    Refused(Vec<T>, Failure),
    /// These texts go to the next session, in this order. So many of the first were in the air.
    Again(Vec<T>, usize),
    /// Send CANCEL.
    Cancel,
    /// Send BYE.
    Bye,
    /// The session is over: nothing of it is needed any more.
    Forget,
}

/// What a turn is given.
pub struct Turn<'a, T> {
    /// It is now.
    pub now: Mono,
    /// After how long without a word a session ends.
    pub idle: Duration,
    /// What is to be done, in order.
    pub actions: &'a mut Vec<Action<T>>,
}

/// A text.
#[derive(Debug)]
struct Waiting<T> {
    text: T,
    ticket: Ticket,
    octets: usize,
    /// It was sent in an earlier session whose dialog was gone.
    again: bool,
    /// It was sent in this one, whose dialog is gone.
    was_sent: bool,
}

/// One conversation.
#[derive(Debug)]
pub struct Machine<T> {
    state: State,
    /// In their order, as those in the air are, which were before them.
    waiting: VecDeque<Waiting<T>>,
    in_air: VecDeque<Waiting<T>>,
    window: Window,
    next_ticket: u64,
    /// It ends when nothing waits.
    leaving: bool,
    /// When somebody wrote last, or when the state began.
    last: Mono,
    /// The text that came in their INVITE, until it can't come again.
    first: Option<(first::Print, Mono)>,
}

impl<T> Machine<T> {
    /// A session that we invite to, for the sake of a text that follows.
    pub fn inviting(now: Mono) -> Self {
        Self::new(State::Inviting, now)
    }

    /// A session that the SIP user invites to.
    pub fn answering(now: Mono) -> Self {
        Self::new(State::Answering, now)
    }

    fn new(state: State, now: Mono) -> Self {
        Self {
            state,
            waiting: VecDeque::new(),
            in_air: VecDeque::new(),
            window: Window { texts: 1, octets: usize::MAX },
            next_ticket: 0,
            leaving: false,
            last: now,
            first: None,
        }
    }

    /// Its texts need not wait for each other's answers: the way keeps their order.
    pub fn overlap(&mut self, window: Window) {
        self.window = window;
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Does it take texts of the contact?
    pub fn takes_texts(&self) -> bool {
        matches!(self.state, State::Inviting | State::Answering | State::Open) && !self.leaving
    }

    /// A text that is in the air, or is to be sent now.
    pub fn in_air(&self, ticket: Ticket) -> Option<&T> {
        let place = self.place_of(ticket)?;
        self.in_air.get(place).map(|waiting| &waiting.text)
    }

    fn place_of(&self, ticket: Ticket) -> Option<usize> {
        self.in_air.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }

    /// The same, to note how it was sent.
    pub fn in_air_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let place = self.place_of(ticket)?;
        self.in_air.get_mut(place).map(|waiting| &mut waiting.text)
    }

    /// How many texts are not delivered.
    pub fn unsent(&self) -> usize {
        self.waiting.len() + self.in_air.len()
    }

    /// When somebody wrote last, or when the state began.
    pub fn last(&self) -> Mono {
        self.last
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self, idle: Duration) -> Option<Mono> {
        match self.state {
            State::Inviting => Some(self.last + RING),
            // The texts in the air have their own deadlines.
            State::Open if self.in_air.is_empty() => Some(self.last + idle),
            State::Open => Some(self.last + idle.max(LINGER)),
            State::Answering | State::Cancelling | State::Ending => Some(self.last + LINGER),
            State::Over => None,
        }
    }

    /// Their INVITE carried this text, which was delivered. It may come once more, as the first MESSAGE.
    pub fn expect_again(&mut self, now: Mono, text: &str) {
        self.first = Some((first::Print::of(text), now + first::AGAIN_WITHIN));
    }

    /// Their INVITE is answered now: from now on its text may come again.
    pub fn expect_within(&mut self, now: Mono) {
        if let Some((_, until)) = &mut self.first {
            *until = now + first::AGAIN_WITHIN;
        }
    }

    /// Is this text of theirs the one that their INVITE carried? Asked of every text, and true once at most.
    pub fn is_again(&mut self, now: Mono, text: &str) -> bool {
        let Some((print, until)) = self.first.take() else { return false };
        now <= until && print == first::Print::of(text)
    }

    /// Hands in what happened; what is to be done is appended to the turn's actions.
    pub fn handle(&mut self, turn: &mut Turn<'_, T>, input: Input<T>) {
        match input {
            Input::Text(text, octets) => self.on_text(turn, text, octets),
            Input::Established => match self.state {
                State::Inviting => self.open(turn),
                State::Cancelling => self.bye(turn),
                State::Answering | State::Open | State::Ending | State::Over => {}
            },
            Input::Refused(failure) => match self.state {
                State::Inviting => {
                    let texts = self.take_waiting();
                    turn.actions.push(Action::Refused(texts, failure));
                    self.over(turn);
                }
                State::Cancelling => self.over(turn),
                State::Answering | State::Open | State::Ending | State::Over => {}
            },
            Input::Accepted if self.state == State::Answering => self.open(turn),
            Input::Rejected if self.state == State::Answering => self.close(turn),
            Input::Accepted | Input::Rejected => {}
            Input::Answered(ticket, fate) => self.on_answered(turn, ticket, fate),
            Input::Heard => self.touch(turn.now),
            Input::Bye => match self.state {
                // Before the answer to its INVITE nobody has a dialog to end.
                State::Inviting | State::Cancelling | State::Over => {}
                State::Answering | State::Open | State::Ending => self.on_bye(turn),
            },
            Input::Leave => {
                self.leaving = true;
                self.pump(turn);
            }
            Input::Revoke(failure) => self.revoke(turn, &failure),
            // Answers are still to come while texts are in the air.
            Input::Ended if self.state == State::Ending && self.in_air.is_empty() => self.close(turn),
            Input::Ended => {}
            Input::Timeout => self.on_timeout(turn),
        }
    }

    fn on_text(&mut self, turn: &mut Turn<'_, T>, text: T, octets: usize) {
        if !self.takes_texts() {
            return turn.actions.push(Action::Again(vec![text], 0));
        }
        if self.state != State::Inviting {
            self.touch(turn.now);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.push_back(Waiting { text, ticket, octets, again: false, was_sent: false });
        self.pump(turn);
    }

    /// The last text was in the air before, in a session whose dialog was gone: it is not sent a third time.
    pub fn mark_again(&mut self) {
        if let Some(last) = self.waiting.back_mut().or(self.in_air.back_mut()) {
            last.again = true;
        }
    }

    fn on_answered(&mut self, turn: &mut Turn<'_, T>, ticket: Ticket, fate: Fate) {
        let Some(sent) = self.place_of(ticket).and_then(|place| self.in_air.remove(place)) else { return };
        let is_ending = self.state == State::Ending;
        match fate {
            Fate::Delivered => turn.actions.push(Action::Delivered(sent.text)),
            Fate::Refused(failure) => turn.actions.push(Action::Return(sent.text, failure)),
            Fate::NoDialog(failure) if sent.again => turn.actions.push(Action::Return(sent.text, failure)),
            Fate::NoDialog(_) => {
                let place = self.waiting.partition_point(|waiting| waiting.ticket < ticket);
                self.waiting.insert(place, Waiting { was_sent: true, ..sent });
                if !is_ending {
                    // Those in the air behind it will be answered likewise: then all of them go, in order.
                    self.enter(turn.now, State::Ending);
                }
                return self.close_if_answered(turn);
            }
            Fate::Silent(failure) => {
                turn.actions.push(Action::Return(sent.text, failure.clone()));
                self.return_waiting(turn, &failure);
                if !is_ending {
                    return self.bye(turn);
                }
            }
        }
        if is_ending {
            return self.close_if_answered(turn);
        }
        self.touch(turn.now);
        self.pump(turn);
    }

    fn on_bye(&mut self, turn: &mut Turn<'_, T>) {
        if self.state != State::Ending {
            self.enter(turn.now, State::Ending);
        }
        self.close_if_answered(turn);
    }

    fn close_if_answered(&mut self, turn: &mut Turn<'_, T>) {
        if self.in_air.is_empty() {
            self.close(turn);
        }
    }

    fn revoke(&mut self, turn: &mut Turn<'_, T>, failure: &Failure) {
        self.leaving = true;
        self.return_waiting(turn, failure);
        match self.state {
            State::Inviting => self.cancel(turn),
            State::Open => self.bye(turn),
            // Their first text is on its way or is bounced: then this ends, too.
            State::Answering | State::Cancelling | State::Ending | State::Over => {}
        }
    }

    fn on_timeout(&mut self, turn: &mut Turn<'_, T>) {
        if self.deadline(turn.idle).is_none_or(|at| at > turn.now) {
            return;
        }
        match self.state {
            State::Inviting => {
                let why = "the recipient did not take the conversation";
                self.return_waiting(turn, &Failure::new(Condition::RecipientUnavailable, 480, why));
                self.cancel(turn);
            }
            State::Open => self.bye(turn),
            State::Answering | State::Cancelling | State::Ending => {
                // No transaction lasts that long: nothing will be heard of it.
                let failure =
                    Failure::new(Condition::RemoteServerTimeout, 504, "the SIP server did not answer");
                let unknown = std::mem::take(&mut self.in_air).into_iter();
                turn.actions.extend(unknown.map(|sent| Action::Return(sent.text, failure.clone())));
                self.close(turn);
            }
            State::Over => {}
        }
    }

    fn open(&mut self, turn: &mut Turn<'_, T>) {
        self.enter(turn.now, State::Open);
        self.pump(turn);
    }

    /// Sends the next texts, if it is their turn; ends what is to end when nothing waits.
    fn pump(&mut self, turn: &mut Turn<'_, T>) {
        if self.state != State::Open {
            return;
        }
        while let Some(next) = self.waiting.pop_front_if(|next| fits(&self.window, &self.in_air, next)) {
            turn.actions.push(Action::Send(next.ticket));
            self.in_air.push_back(next);
        }
        if self.leaving && self.unsent() == 0 {
            self.bye(turn);
        }
    }

    fn bye(&mut self, turn: &mut Turn<'_, T>) {
        self.enter(turn.now, State::Ending);
        turn.actions.push(Action::Bye);
    }

    fn cancel(&mut self, turn: &mut Turn<'_, T>) {
        self.enter(turn.now, State::Cancelling);
        turn.actions.push(Action::Cancel);
    }

    /// Nothing is to be heard any more: what waits goes to the next session.
    fn close(&mut self, turn: &mut Turn<'_, T>) {
        let were_sent = self.waiting.iter().take_while(|waiting| waiting.was_sent).count();
        let texts = self.take_waiting();
        if !texts.is_empty() {
            turn.actions.push(Action::Again(texts, were_sent));
        }
        self.over(turn);
    }

    fn over(&mut self, turn: &mut Turn<'_, T>) {
        self.enter(turn.now, State::Over);
        turn.actions.push(Action::Forget);
    }

    fn return_waiting(&mut self, turn: &mut Turn<'_, T>, failure: &Failure) {
        let texts = self.take_waiting().into_iter();
        turn.actions.extend(texts.map(|text| Action::Return(text, failure.clone())));
    }

    fn take_waiting(&mut self) -> Vec<T> {
        std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.text).collect()
    }

    fn enter(&mut self, now: Mono, state: State) {
        self.state = state;
        self.last = now;
    }

    fn touch(&mut self, now: Mono) {
        if self.state == State::Open {
            self.last = now;
        }
    }
}

/// Has the next text room beside those in the air?
fn fits<T>(window: &Window, in_air: &VecDeque<Waiting<T>>, next: &Waiting<T>) -> bool {
    let octets = in_air.iter().map(|sent| sent.octets).sum::<usize>().saturating_add(next.octets);
    in_air.is_empty() || in_air.len() < window.texts && octets <= window.octets
}
