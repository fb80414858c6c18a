//! RPID activities (RFC 4480 §3.2).

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the words are those of RFC 4480 §3.2, which says what they mean")]
pub enum Activity {
    Appointment,
    Away,
    Breakfast,
    Busy,
    Dinner,
    Holiday,
    InTransit,
    LookingForWork,
    Lunch,
    Meal,
    Meeting,
    OnThePhone,
    Other,
    Performance,
    PermanentAbsence,
    Playing,
    Presentation,
    Shopping,
    Sleeping,
    Spectator,
    Steering,
    Travel,
    Tv,
    Unknown,
    Vacation,
    Working,
    Worship,
}

impl Activity {
    /// All of them, in the order of the RFC.
    pub const ALL: [Self; 27] = [
        Self::Appointment,
        Self::Away,
        Self::Breakfast,
        Self::Busy,
        Self::Dinner,
        Self::Holiday,
        Self::InTransit,
        Self::LookingForWork,
        Self::Lunch,
        Self::Meal,
        Self::Meeting,
        Self::OnThePhone,
        Self::Other,
        Self::Performance,
        Self::PermanentAbsence,
        Self::Playing,
        Self::Presentation,
        Self::Shopping,
        Self::Sleeping,
        Self::Spectator,
        Self::Steering,
        Self::Travel,
        Self::Tv,
        Self::Unknown,
        Self::Vacation,
        Self::Working,
        Self::Worship,
    ];

    /// The name of its element.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appointment => "appointment",
            Self::Away => "away",
            Self::Breakfast => "breakfast",
            Self::Busy => "busy",
            Self::Dinner => "dinner",
            Self::Holiday => "holiday",
            Self::InTransit => "in-transit",
            Self::LookingForWork => "looking-for-work",
            Self::Lunch => "lunch",
            Self::Meal => "meal",
            Self::Meeting => "meeting",
            Self::OnThePhone => "on-the-phone",
            Self::Other => "other",
            Self::Performance => "performance",
            Self::PermanentAbsence => "permanent-absence",
            Self::Playing => "playing",
            Self::Presentation => "presentation",
            Self::Shopping => "shopping",
            Self::Sleeping => "sleeping",
            Self::Spectator => "spectator",
            Self::Steering => "steering",
            Self::Travel => "travel",
            Self::Tv => "tv",
            Self::Unknown => "unknown",
            Self::Vacation => "vacation",
            Self::Working => "working",
            Self::Worship => "worship",
        }
    }

    /// The activity of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activity| activity.name() == name)
    }
}

/// A set of activities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ActivitySet(u32);

impl ActivitySet {
    /// Adds `activity`.
    pub fn insert(&mut self, activity: Activity) {
        self.0 |= 1 << activity as u8;
    }

    /// Whether `activity` is in it.
    pub fn contains(self, activity: Activity) -> bool {
        self.0 & (1 << activity as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The activities, in the order of the RFC.
    pub fn iter(self) -> impl Iterator<Item = Activity> {
        Activity::ALL.into_iter().filter(move |activity| self.contains(*activity))
    }
}

impl FromIterator<Activity> for ActivitySet {
    fn from_iter<I: IntoIterator<Item = Activity>>(activities: I) -> Self {
        let mut set = Self::default();
        activities.into_iter().for_each(|activity| set.insert(activity));
        set
    }
}
