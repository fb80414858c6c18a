//! What a presence on one side is on the other, as data (RFC 8048 §6.2, §6.3; RFC 4480 §3.2).
//!
//! XMPP to SIP is [`TO_SIP`]:
//!
//! | show | basic | person's activity | user input | Microsoft's number |
//! |---|---|---|---|---|
//! | none, `chat` | open | none | active | 3500 |
//! | `away`, `xa` | open | away | idle | 15500 |
//! | `dnd` | open | busy | active | 6500 |
//! | `unavailable` | closed | none | none | 18500 |
//!
//! SIP to XMPP goes down `RULES`, for each tuple, to the first one that has something to say:
//! basic status closed; `<show/>`; Microsoft's number; activities of the person, then of the tuple;
//! idle user input; else it is available.

use crate::body::pidf::{Activity, ActivitySet, Basic, Show};

/// The availability of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Available, and no more is known.
    Online,
    /// Interested in chatting.
    Chat,
    /// Away for a while.
    Away,
    /// Away for long.
    Xa,
    /// Busy.
    Dnd,
    /// Not available.
    Offline,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Online, Self::Chat, Self::Away, Self::Xa, Self::Dnd, Self::Offline];

    /// What an available presence with this show is.
    pub const fn of(show: Option<Show>) -> Self {
        match show {
            None => Self::Online,
            Some(Show::Chat) => Self::Chat,
            Some(Show::Away) => Self::Away,
            Some(Show::Xa) => Self::Xa,
            Some(Show::Dnd) => Self::Dnd,
        }
    }

    /// The show that says it, if one does.
    pub const fn show(self) -> Option<Show> {
        match self {
            Self::Online | Self::Offline => None,
            Self::Chat => Some(Show::Chat),
            Self::Away => Some(Show::Away),
            Self::Xa => Some(Show::Xa),
            Self::Dnd => Some(Show::Dnd),
        }
    }

    /// How well somebody is reached there: 0 is best. Of resources with one priority, the best speaks
    /// for the person. One that is busy is at least there.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Chat => 0,
            Self::Online => 1,
            Self::Dnd => 2,
            Self::Away => 3,
            Self::Xa => 4,
            Self::Offline => 5,
        }
    }

    /// What a document says for it.
    pub(super) fn row(self) -> &'static Row {
        match self {
            Self::Online => &TO_SIP[0],
            Self::Chat => &TO_SIP[1],
            Self::Away => &TO_SIP[2],
            Self::Xa => &TO_SIP[3],
            Self::Dnd => &TO_SIP[4],
            Self::Offline => &TO_SIP[5],
        }
    }
}

/// What a document says for a state, besides the show itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The state.
    pub state: State,
    /// The basic status.
    pub basic: Basic,
    /// The activity of the person.
    pub activity: Option<Activity>,
    /// Whether user input is idle.
    pub is_idle: Option<bool>,
    /// Microsoft's availability number.
    pub availability: u32,
}

const fn row(
    state: State,
    basic: Basic,
    activity: Option<Activity>,
    is_idle: Option<bool>,
    availability: u32,
) -> Row {
    Row { state, basic, activity, is_idle, availability }
}

/// XMPP to SIP, in the order of [`State::ALL`].
pub const TO_SIP: [Row; 6] = [
    row(State::Online, Basic::Open, None, Some(false), 3500),
    row(State::Chat, Basic::Open, None, Some(false), 3500),
    row(State::Away, Basic::Open, Some(Activity::Away), Some(true), 15_500),
    row(State::Xa, Basic::Open, Some(Activity::Away), Some(true), 15_500),
    row(State::Dnd, Basic::Open, Some(Activity::Busy), Some(false), 6500),
    row(State::Offline, Basic::Closed, None, None, 18_500),
];

/// SIP to XMPP: states that activities mean, and the activities. The first line that has one of them
/// counts: busy before away, and away for long before away. Any other activity says nothing about
/// availability.
pub const FROM_ACTIVITIES: [(State, &[Activity]); 3] = [
    (
        State::Dnd,
        &[
            Activity::Busy,
            Activity::Meeting,
            Activity::Appointment,
            Activity::OnThePhone,
            Activity::Presentation,
            Activity::Performance,
            Activity::Worship,
        ],
    ),
    (
        State::Xa,
        &[
            Activity::Vacation,
            Activity::Holiday,
            Activity::Travel,
            Activity::Sleeping,
            Activity::PermanentAbsence,
        ],
    ),
    (
        State::Away,
        &[
            Activity::Away,
            Activity::Meal,
            Activity::Lunch,
            Activity::Breakfast,
            Activity::Dinner,
            Activity::InTransit,
            Activity::Steering,
            Activity::Shopping,
        ],
    ),
];

/// SIP to XMPP: the state that Microsoft's numbers mean from each of these on, up to the next. Numbers
/// below the first one say nothing.
pub const FROM_AVAILABILITY: [(u32, State); 5] = [
    (3000, State::Online),
    // Idle.
    (4500, State::Away),
    // Busy, busy and idle, do not disturb.
    (6000, State::Dnd),
    // Be right back, away.
    (12_000, State::Away),
    (18_000, State::Offline),
];

/// The state that activities mean, if any.
pub fn of_activities(set: ActivitySet) -> Option<State> {
    let line =
        FROM_ACTIVITIES.iter().find(|(_, activities)| activities.iter().any(|one| set.contains(*one)))?;
    Some(line.0)
}

/// The state that one of Microsoft's numbers means, if any.
pub fn of_availability(number: u32) -> Option<State> {
    let line = FROM_AVAILABILITY.iter().rev().find(|(from, _)| number >= *from)?;
    Some(line.1)
}

/// What a document says about one tuple: what stands in it, and what holds for the person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The basic status.
    pub basic: Option<Basic>,
    /// The tuple's show.
    pub show: Option<Show>,
    /// Another tuple of the document has a show: its writer knows them, and leaves it out for a reason.
    pub knows_show: bool,
    /// Microsoft's number of the tuple, else of the person.
    pub availability: Option<u32>,
    /// What the person does now.
    pub person: ActivitySet,
    /// Activities in the tuple.
    pub tuple: ActivitySet,
    /// User input is idle.
    pub is_idle: bool,
}

/// From evidence to a state: the first rule that gives one decides.
const RULES: [fn(&Evidence) -> Option<State>; 7] = [
    |seen| (seen.basic == Some(Basic::Closed)).then_some(State::Offline),
    |seen| seen.show.map(|show| State::of(Some(show))),
    |seen| seen.availability.and_then(of_availability),
    |seen| seen.knows_show.then_some(State::Online),
    |seen| of_activities(seen.person),
    |seen| of_activities(seen.tuple),
    |seen| seen.is_idle.then_some(State::Away),
];

/// The state of a tuple. Basic status open alone is available.
pub fn judge(evidence: &Evidence) -> State {
    RULES.iter().find_map(|rule| rule(evidence)).unwrap_or(State::Online)
}

/// An XMPP priority in thousandths: 0 is 0, 127 is 1, and no two are one. Negative ones, which ask
/// for no messages, have none (RFC 8048 §6.2 note 6).
pub fn thousandths(priority: i8) -> Option<u16> {
    let priority = u32::try_from(priority).ok()?;
    u16::try_from((priority * 1000 + 63) / 127).ok()
}

/// The XMPP priority nearest to thousandths.
pub fn priority(thousandths: u16) -> i8 {
    let nearest = (u32::from(thousandths.min(1000)) * 127 + 500) / 1000;
    i8::try_from(nearest).unwrap_or(i8::MAX)
}
