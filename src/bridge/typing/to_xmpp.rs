//! What the XMPP side was told of the SIP user who writes.

use super::Heard;
use super::wire::ChatState;
use crate::body::iscomposing::State;
use crate::now::Mono;

/// The chat state that was said last, and when `composing` expires.
#[derive(Clone, Debug, Default)]
pub(super) struct ToldXmpp {
    said: Option<ChatState>,
    until: Option<Mono>,
}

impl ToldXmpp {
    pub(super) fn on_status(&mut self, now: Mono, heard: Heard, idle: ChatState) -> Option<ChatState> {
        match heard.state {
            State::Active => {
                self.until = Some(now + heard.lasts);
                // XEP-0085 §5.3: the same state is not said twice in a row.
                self.say(ChatState::Composing)
            }
            State::Idle => self.stop(idle),
        }
    }

    pub(super) fn on_text(&mut self, with_state: bool) {
        self.until = None;
        self.said = with_state.then_some(ChatState::Active);
    }

    /// Whoever was told does not want to hear more: `composing` expires unsaid.
    pub(super) fn forget_writer(&mut self) {
        self.until = None;
    }

    pub(super) fn on_end(&mut self) -> Option<ChatState> {
        self.until = None;
        self.say(ChatState::Gone)
    }

    pub(super) fn on_timer(&mut self, now: Mono, idle: ChatState) -> Option<ChatState> {
        if self.until.is_some_and(|until| until <= now) { self.stop(idle) } else { None }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.until
    }

    fn stop(&mut self, idle: ChatState) -> Option<ChatState> {
        self.until = None;
        if self.said == Some(ChatState::Composing) { self.say(idle) } else { None }
    }

    fn say(&mut self, state: ChatState) -> Option<ChatState> {
        (self.said.replace(state) != Some(state)).then_some(state)
    }
}
