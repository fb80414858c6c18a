//! The states of a session and what each input does in each of them.
//!
//! ```text
//!  our INVITE                                     the peer's
//!  Inviting ──2xx──▶ Established ◀──ACK── Accepted ◀──2xx── Invited
//!    │ ╲              │   │ ▲               │ │               │
//!    │  end           │   │ (refreshed)     │ end             │ refused, CANCEL,
//!    │   ╲            │   │                 │ │               │ expired, BYE
//!    │    ▼           │   │                 │ ▼               │
//!    │  Leaving       │   │              Parting             │
//!    │    │ 2xx: ACK, BYE │ BYE             │ ACK, 64·T1: BYE │
//!    ▼    ▼           ▼   ▼                 ▼                 ▼
//!    └──────────────────▶ Over ◀──────────────────────────────┘
//! ```

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Our INVITE is out.
    Inviting,
    /// The same, and it is not wanted any more: CANCEL after the first 1xx.
    Leaving,
    /// The peer's INVITE waits for our answer.
    Invited,
    /// It has our 2xx, and the ACK is not there.
    Accepted,
    /// The same, and the session is not wanted any more: BYE after the ACK (RFC 3261 §15).
    Parting,
    /// Confirmed.
    Established,
    /// Ended.
    Over,
}

/// What a session hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// 1xx to our INVITE.
    Progress,
    /// 2xx to our INVITE.
    Success,
    /// 300-699 to our INVITE, or none at all.
    Failure,
    /// Our user accepts the INVITE.
    Accept,
    /// The INVITE is refused, cancelled or expired.
    Decline,
    /// ACK of our 2xx.
    Ack,
    /// 64·T1 without ACK.
    NoAck,
    /// BYE of the peer.
    Bye,
    /// Our side wants it over.
    End,
    /// The peer does not know the dialog, does not answer, or did not refresh it.
    Lost,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// The INVITE goes on.
    Ring,
    /// Cancel our INVITE.
    Cancel,
    /// ACK; it is established.
    Establish,
    /// ACK again.
    AckAgain,
    /// ACK, and BYE at once.
    AckAndBye,
    /// The INVITE failed.
    Refuse,
    /// 2xx, and wait for its ACK.
    Answer,
    /// Answer the INVITE with a refusal.
    TurnDown,
    /// It is established.
    Confirm,
    /// BYE when the ACK is there.
    Wait,
    /// BYE.
    SendBye,
    /// 200 to the BYE.
    TakeBye,
    /// 481.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Inviting,
        Self::Leaving,
        Self::Invited,
        Self::Accepted,
        Self::Parting,
        Self::Established,
        Self::Over,
    ];
}

impl Input {
    /// Every input.
    pub const ALL: [Self; 10] = [
        Self::Progress,
        Self::Success,
        Self::Failure,
        Self::Accept,
        Self::Decline,
        Self::Ack,
        Self::NoAck,
        Self::Bye,
        Self::End,
        Self::Lost,
    ];
}

/// What `input` does in `state`, and where it leads.
pub fn next(state: State, input: Input) -> (State, Step) {
    use Input::{Accept, Ack, Bye, Decline, End, Failure, Lost, NoAck, Progress, Success};
    use State::{Accepted, Established, Invited, Inviting, Leaving, Over, Parting};
    match (state, input) {
        (Inviting, Progress) => (Inviting, Step::Ring),
        (Inviting, Success) => (Established, Step::Establish),
        (Inviting | Leaving, Failure) => (Over, Step::Refuse),
        (Inviting, End | Lost) => (Leaving, Step::Cancel),
        // It came before the 2xx that makes it right.
        (Inviting | Leaving, Bye) => (Leaving, Step::TakeBye),
        (Leaving, Progress) => (Leaving, Step::Cancel),
        (Leaving, Success) => (Over, Step::AckAndBye),
        (Invited, Accept) => (Accepted, Step::Answer),
        (Invited, Decline | End | Lost) => (Over, Step::TurnDown),
        (Invited | Accepted | Parting | Established, Bye) => (Over, Step::TakeBye),
        (Accepted, Ack) => (Established, Step::Confirm),
        (Accepted, End | Lost) => (Parting, Step::Wait),
        (Accepted | Parting, NoAck) | (Parting, Ack) => (Over, Step::SendBye),
        (Established, End | Lost | NoAck) => (Over, Step::SendBye),
        (Established | Over, Success) => (state, Step::AckAgain),
        (Over, Bye) => (Over, Step::Unknown),
        (Inviting | Leaving, Accept | Decline | Ack | NoAck)
        | (Leaving, End | Lost)
        | (Invited, Progress | Success | Failure | Ack | NoAck)
        | (Accepted, Progress | Success | Failure | Accept | Decline)
        | (Parting, Progress | Success | Failure | Accept | Decline | End | Lost)
        | (Established, Progress | Failure | Accept | Decline | Ack)
        | (Over, Progress | Failure | Accept | Decline | Ack | NoAck | End | Lost) => (state, Step::Nothing),
    }
}
