//! The session timer (RFC 4028): how long a session lives without a refresh, and who refreshes it.
//!
//! The one who refreshes does so at half of the interval; both take the session for dead a little before
//! its end (§10). Without Session-Expires in the 2xx there is no timer, and the session has the deadlines of
//! its user alone.

use crate::now::Mono;
use crate::sip::lex::digits;
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::uas::Reject;
use crate::sip::value::Params;
use std::time::Duration;

/// No session interval is shorter, in seconds (RFC 4028 §5).
pub const LEAST: u32 = 90;
/// No Min-SE above this is followed, in seconds.
pub const MOST: u32 = 86_400;

/// What we ask for, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The session interval.
    pub expires: u32,
    /// The shortest that we take, at least [`LEAST`].
    pub least: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self { expires: 1800, least: LEAST }
    }
}

/// Who refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// We do.
    Us,
    /// The peer does.
    Peer,
}

/// What a request of ours says of the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Session-Expires, in seconds.
    pub expires: u32,
    /// Min-SE, in seconds, where it is to be said.
    pub least: Option<u32>,
    /// Who refreshes, where that is settled.
    pub refresher: Option<Refresher>,
}

/// The session timer of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    timing: Timing,
    /// The largest Min-SE that was heard; 0 if none was.
    heard: u32,
    /// The interval, in seconds; 0 without a timer.
    interval: u32,
    refresher: Refresher,
    refresh_at: Option<Mono>,
    ends_at: Option<Mono>,
}

/// A role in one transaction, as the parameter `refresher` names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Uac,
    Uas,
}

impl Timer {
    pub(super) fn new(timing: Timing) -> Self {
        let least = timing.least.clamp(LEAST, MOST);
        let timing = Timing { expires: timing.expires.clamp(least, MOST), least };
        Self { timing, heard: 0, interval: 0, refresher: Refresher::Us, refresh_at: None, ends_at: None }
    }

    /// What a request that begins or refreshes the session says (RFC 4028 §7.1, §7.4).
    pub(super) fn stated(&self) -> Stated {
        let settled = self.interval > 0;
        let wanted = if settled { self.interval } else { self.timing.expires };
        Stated {
            expires: wanted.max(self.heard),
            least: (self.heard > 0).then_some(self.heard),
            refresher: settled.then_some(self.refresher),
        }
    }

    /// A 422 came: false if it asks for nothing that can be given (RFC 4028 §7.3).
    pub(super) fn raise(&mut self, response: &Message<'_>) -> bool {
        let Some(Ok(least)) = response.seconds(Name::MinSe) else { return false };
        if least <= self.stated().expires || least > MOST {
            return false;
        }
        self.heard = least;
        true
    }

    /// A 2xx to such a request (RFC 4028 §7.2). A value that may not be is brought within what may.
    pub(super) fn on_success(&mut self, now: Mono, response: &Message<'_>) {
        let most = self.stated().expires;
        match session_expires(response) {
            Ok(Some((interval, role))) => {
                self.interval = interval.clamp(LEAST, most.max(LEAST));
                self.refresher = if role == Some(Role::Uas) { Refresher::Peer } else { Refresher::Us };
                self.arm(now);
            }
            // A malformed one counts as absent: the peer has agreed to something all the same.
            Ok(None) | Err(_) => self.stop(),
        }
    }

    /// What the timer would be if this request of the peer is accepted (RFC 4028 §9).
    ///
    /// # Errors
    /// 422 with Min-SE if it asks for less than we take, 400 if it is malformed.
    pub(super) fn asked(&self, request: &Message<'_>) -> Result<Self, Reject> {
        let asked = session_expires(request)?;
        let least = match request.seconds(Name::MinSe) {
            Some(Ok(least)) => least.min(MOST),
            Some(Err(_)) => return Err(Reject::status(400, "malformed Min-SE")),
            None => 0,
        };
        let supports = [Name::Supported, Name::Require].into_iter().any(|name| {
            request.tokens(name).flatten().take(64).any(|token| token.eq_ignore_ascii_case("timer"))
        });
        let mut timer = Self { heard: self.heard.max(least), ..*self };
        match asked {
            Some((interval, _)) if interval < self.timing.least && supports => {
                let least = self.timing.least.to_string();
                return Err(Reject::status(422, "the session interval is too short").with(Name::MinSe, least));
            }
            // §9: a UAC without support can't mend it, and below 90 s there is no interval.
            Some((interval, _)) if interval < self.timing.least => timer.interval = 0,
            Some((interval, role)) => {
                timer.interval = self.timing.expires.max(least).min(interval);
                timer.refresher = match (supports, role) {
                    (false, _) | (true, Some(Role::Uas)) => Refresher::Us,
                    (true, Some(Role::Uac)) => Refresher::Peer,
                    (true, None) if self.interval > 0 => self.refresher,
                    (true, None) => Refresher::Peer,
                };
            }
            // It goes on as it was.
            None if self.interval > 0 && (supports || self.refresher == Refresher::Us) => {
                timer.interval = self.interval.max(least);
            }
            None if supports => {
                timer.interval = self.timing.expires.max(least);
                timer.refresher = Refresher::Peer;
            }
            // §9: without support in the peer and without a wish of its proxies there is none.
            None => timer.interval = 0,
        }
        Ok(timer)
    }

    /// The headers of our 2xx to a request that asked for this.
    pub(super) fn answer(&self, headers: &mut Vec<(Name, String)>) {
        if self.interval == 0 {
            return;
        }
        let role = match self.refresher {
            Refresher::Us => "uas",
            Refresher::Peer => {
                headers.push((Name::Require, "timer".to_owned()));
                "uac"
            }
        };
        headers.push((Name::SessionExpires, format!("{};refresher={role}", self.interval)));
    }

    /// The session was begun or refreshed now.
    pub(super) fn arm(&mut self, now: Mono) {
        if self.interval == 0 {
            return self.stop();
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        self.refresh_at = (self.refresher == Refresher::Us).then(|| now + seconds(self.interval / 2));
        self.ends_at = Some(now + seconds(self.interval - (self.interval / 3).min(32)));
    }

    /// A refresh was refused: another one in half of the time that is left, unless that is little.
    pub(super) fn again(&mut self, now: Mono) {
        let left = self.ends_at.map_or(Duration::ZERO, |end| end.since(now));
        let usual = self.refresher == Refresher::Us && left > Duration::from_secs(10);
        self.refresh_at = usual.then(|| now + left / 2);
    }

    /// There is no timer any more.
    pub(super) fn stop(&mut self) {
        (self.interval, self.refresh_at, self.ends_at) = (0, None, None);
    }

    /// A refresh is on its way.
    pub(super) fn refreshing(&mut self) {
        self.refresh_at = None;
    }

    pub(super) fn refresh_at(&self) -> Option<Mono> {
        self.refresh_at
    }

    pub(super) fn ends_at(&self) -> Option<Mono> {
        self.ends_at
    }

    pub(super) fn interval(&self) -> u32 {
        self.interval
    }

    pub(super) fn refresher(&self) -> Refresher {
        self.refresher
    }
}

/// Session-Expires: its seconds, and who refreshes. An unknown refresher counts as none.
fn session_expires(message: &Message<'_>) -> Result<Option<(u32, Option<Role>)>, Reject> {
    let Some(value) = message.header(Name::SessionExpires) else { return Ok(None) };
    let malformed = || Reject::status(400, "malformed Session-Expires");
    let (seconds, params) = value.split_at(value.find([';', ' ', '\t']).unwrap_or(value.len()));
    let seconds = digits(seconds).ok_or_else(malformed)?;
    let params = Params::parse(params.trim_start_matches([' ', '\t'])).map_err(|_| malformed())?;
    let role = match params.value("refresher") {
        Some(role) if role.eq_ignore_ascii_case("uac") => Some(Role::Uac),
        Some(role) if role.eq_ignore_ascii_case("uas") => Some(Role::Uas),
        Some(_) | None => None,
    };
    Ok(Some((seconds, role)))
}
