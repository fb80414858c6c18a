//! Every (state, input) of the four machines, on both transports, as tables.
//!
//! A cell is `next state:action`; `.` is the same state and nothing to do. Input `timer` is the
//! machine's first deadline, `end` a time after all of its deadlines.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::Reliability::{Reliable, Unreliable};
use super::*;
use crate::now::{Mono, Now};
use std::fmt::Debug;

/// An input of machine `M`.
type Input<'i, M, A> = &'i dyn Fn(&mut M) -> A;

const END: Mono = Now::at(1000).mono;

/// Renders the matrix of a machine: `rows` name a state and reach it, `inputs` name an input and
/// apply it.
fn matrix<M: Copy, S: Debug + PartialEq, A: Debug>(
    rows: &[(&str, M)],
    state: impl Fn(&M) -> S,
    inputs: &[(&str, Input<'_, M, A>)],
) -> String {
    let mut out = String::new();
    for (name, machine) in rows {
        assert_eq!(format!("{:?}", state(machine)), *name, "the row starts where it says");
        for (input, apply) in inputs {
            let mut after = *machine;
            let action = apply(&mut after);
            let (before, now) = (state(machine), state(&after));
            let action = format!("{action:?}");
            if before == now && action == "Nothing" {
                continue;
            }
            let to = if before == now { ".".to_owned() } else { format!("{now:?}") };
            out.push_str(&format!("{name} + {input} = {to}:{action}\n"));
        }
    }
    out
}

fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

fn client_invite(reliability: Reliability) -> String {
    let now = Now::at(0).mono;
    let new = ClientInvite::new(now, reliability);
    let after = |statuses: &[u16]| {
        let mut machine = new;
        statuses.iter().for_each(|status| {
            machine.on_response(now, *status);
        });
        machine
    };
    let mut ended = new;
    ended.on_timer(END);
    let mut rows = vec![("Calling", new), ("Proceeding", after(&[180])), ("Accepted", after(&[200]))];
    if reliability == Unreliable {
        rows.push(("Completed", after(&[486])));
    }
    rows.push(("Terminated", ended));
    matrix(
        &rows,
        ClientInvite::state,
        &[
            ("99", &|m: &mut ClientInvite| m.on_response(now, 99)),
            ("100", &|m| m.on_response(now, 100)),
            ("199", &|m| m.on_response(now, 199)),
            ("200", &|m| m.on_response(now, 200)),
            ("299", &|m| m.on_response(now, 299)),
            ("300", &|m| m.on_response(now, 300)),
            ("699", &|m| m.on_response(now, 699)),
            ("700", &|m| m.on_response(now, 700)),
            ("error", &|m| m.on_transport_error()),
            ("timer", &|m| m.on_timer(m.deadline().unwrap_or(now))),
            ("end", &|m| m.on_timer(END)),
            ("early", &|m| m.on_timer(now)),
        ],
    )
}

#[test]
fn check_150_client_invite_walks_every_state_and_input() {
    let common = "
        Calling + 100 = Proceeding:Deliver
        Calling + 199 = Proceeding:Deliver
        Calling + 200 = Accepted:Deliver
        Calling + 299 = Accepted:Deliver
    ";
    let unreliable = [
        common,
        "
        Calling + 300 = Completed:DeliverAndAck
        Calling + 699 = Completed:DeliverAndAck
        Calling + error = Terminated:TransportFailed
        Calling + timer = .:Retransmit
        Calling + end = Terminated:Timeout
        Proceeding + 100 = .:Deliver
        Proceeding + 199 = .:Deliver
        Proceeding + 200 = Accepted:Deliver
        Proceeding + 299 = Accepted:Deliver
        Proceeding + 300 = Completed:DeliverAndAck
        Proceeding + 699 = Completed:DeliverAndAck
        Proceeding + error = Terminated:TransportFailed
        Proceeding + timer = Terminated:Timeout
        Proceeding + end = Terminated:Timeout
        Accepted + 200 = .:Deliver
        Accepted + 299 = .:Deliver
        Accepted + timer = Terminated:Terminated
        Accepted + end = Terminated:Terminated
        Completed + 300 = .:Ack
        Completed + 699 = .:Ack
        Completed + error = Terminated:TransportFailed
        Completed + timer = Terminated:Terminated
        Completed + end = Terminated:Terminated
        ",
    ];
    let reliable = [
        common,
        "
        Calling + 300 = Terminated:DeliverAndAck
        Calling + 699 = Terminated:DeliverAndAck
        Calling + error = Terminated:TransportFailed
        Calling + timer = Terminated:Timeout
        Calling + end = Terminated:Timeout
        Proceeding + 100 = .:Deliver
        Proceeding + 199 = .:Deliver
        Proceeding + 200 = Accepted:Deliver
        Proceeding + 299 = Accepted:Deliver
        Proceeding + 300 = Terminated:DeliverAndAck
        Proceeding + 699 = Terminated:DeliverAndAck
        Proceeding + error = Terminated:TransportFailed
        Proceeding + timer = Terminated:Timeout
        Proceeding + end = Terminated:Timeout
        Accepted + 200 = .:Deliver
        Accepted + 299 = .:Deliver
        Accepted + timer = Terminated:Terminated
        Accepted + end = Terminated:Terminated
        ",
    ];
    assert_eq!(client_invite(Unreliable), lines(&unreliable.concat()));
    assert_eq!(client_invite(Reliable), lines(&reliable.concat()));
}

fn client_non_invite(reliability: Reliability) -> String {
    let now = Now::at(0).mono;
    let new = ClientNonInvite::new(now, reliability);
    let after = |status| {
        let mut machine = new;
        machine.on_response(now, status);
        machine
    };
    let mut ended = new;
    ended.on_timer(END);
    let mut rows = vec![("Trying", new), ("Proceeding", after(100))];
    if reliability == Unreliable {
        rows.push(("Completed", after(200)));
    }
    rows.push(("Terminated", ended));
    matrix(
        &rows,
        ClientNonInvite::state,
        &[
            ("99", &|m: &mut ClientNonInvite| m.on_response(now, 99)),
            ("100", &|m| m.on_response(now, 100)),
            ("199", &|m| m.on_response(now, 199)),
            ("200", &|m| m.on_response(now, 200)),
            ("300", &|m| m.on_response(now, 300)),
            ("699", &|m| m.on_response(now, 699)),
            ("700", &|m| m.on_response(now, 700)),
            ("error", &|m| m.on_transport_error()),
            ("timer", &|m| m.on_timer(m.deadline().unwrap_or(now))),
            ("end", &|m| m.on_timer(END)),
            ("early", &|m| m.on_timer(now)),
        ],
    )
}

#[test]
fn check_150_client_non_invite_walks_every_state_and_input() {
    let table = |last: &str, timer: &str, completed: &str| {
        lines(&format!(
            "
            Trying + 100 = Proceeding:Deliver
            Trying + 199 = Proceeding:Deliver
            Trying + 200 = {last}:Deliver
            Trying + 300 = {last}:Deliver
            Trying + 699 = {last}:Deliver
            Trying + error = Terminated:TransportFailed
            Trying + timer = {timer}
            Trying + end = Terminated:Timeout
            Proceeding + 100 = .:Deliver
            Proceeding + 199 = .:Deliver
            Proceeding + 200 = {last}:Deliver
            Proceeding + 300 = {last}:Deliver
            Proceeding + 699 = {last}:Deliver
            Proceeding + error = Terminated:TransportFailed
            Proceeding + timer = {timer}
            Proceeding + end = Terminated:Timeout
            {completed}"
        ))
    };
    let completed = "Completed + timer = Terminated:Terminated
        Completed + end = Terminated:Terminated";
    assert_eq!(client_non_invite(Unreliable), table("Completed", ".:Retransmit", completed));
    assert_eq!(client_non_invite(Reliable), table("Terminated", "Terminated:Timeout", ""));
}

fn server_invite(reliability: Reliability) -> String {
    let now = Now::at(0).mono;
    let new = ServerInvite::new(now, reliability);
    let after = |status| {
        let mut machine = new;
        machine.on_respond(now, status);
        machine
    };
    let mut confirmed = after(486);
    confirmed.on_ack(now);
    let mut ended = new;
    ended.on_timer(END);
    let mut rows = vec![("Proceeding", new), ("Accepted", after(200)), ("Completed", after(486))];
    if reliability == Unreliable {
        rows.push(("Confirmed", confirmed));
    }
    rows.push(("Terminated", ended));
    matrix(
        &rows,
        ServerInvite::state,
        &[
            ("INVITE", &|m: &mut ServerInvite| m.on_request()),
            ("ACK", &|m| m.on_ack(now)),
            ("99", &|m| m.on_respond(now, 99)),
            ("100", &|m| m.on_respond(now, 100)),
            ("183", &|m| m.on_respond(now, 183)),
            ("200", &|m| m.on_respond(now, 200)),
            ("300", &|m| m.on_respond(now, 300)),
            ("699", &|m| m.on_respond(now, 699)),
            ("700", &|m| m.on_respond(now, 700)),
            ("error", &|m| m.on_transport_error()),
            ("timer", &|m| m.on_timer(m.deadline().unwrap_or(now))),
            ("end", &|m| m.on_timer(END)),
            ("early", &|m| m.on_timer(now)),
        ],
    )
}

#[test]
fn check_150_server_invite_walks_every_state_and_input() {
    let table = |ack: &str, timer: &str, confirmed: &str| {
        lines(&format!(
            "
            Proceeding + INVITE = .:Retransmit
            Proceeding + 99 = .:Refused
            Proceeding + 100 = .:Send
            Proceeding + 183 = .:Send
            Proceeding + 200 = Accepted:Send
            Proceeding + 300 = Completed:Send
            Proceeding + 699 = Completed:Send
            Proceeding + 700 = .:Refused
            Proceeding + error = .:TransportFailed
            Proceeding + timer = .:SendTrying
            Proceeding + end = Terminated:Expired
            Accepted + ACK = .:DeliverAck
            Accepted + 99 = .:Refused
            Accepted + 100 = .:Refused
            Accepted + 183 = .:Refused
            Accepted + 200 = .:Send
            Accepted + 300 = .:Refused
            Accepted + 699 = .:Refused
            Accepted + 700 = .:Refused
            Accepted + error = .:TransportFailed
            Accepted + timer = Terminated:Terminated
            Accepted + end = Terminated:Terminated
            Completed + INVITE = .:Retransmit
            Completed + ACK = {ack}:Nothing
            Completed + 99 = .:Refused
            Completed + 100 = .:Refused
            Completed + 183 = .:Refused
            Completed + 200 = .:Refused
            Completed + 300 = .:Refused
            Completed + 699 = .:Refused
            Completed + 700 = .:Refused
            Completed + error = .:TransportFailed
            Completed + timer = {timer}
            Completed + end = Terminated:Timeout
            {confirmed}
            Terminated + 99 = .:Refused
            Terminated + 100 = .:Refused
            Terminated + 183 = .:Refused
            Terminated + 200 = .:Refused
            Terminated + 300 = .:Refused
            Terminated + 699 = .:Refused
            Terminated + 700 = .:Refused"
        ))
    };
    let confirmed = "Confirmed + 99 = .:Refused
        Confirmed + 100 = .:Refused
        Confirmed + 183 = .:Refused
        Confirmed + 200 = .:Refused
        Confirmed + 300 = .:Refused
        Confirmed + 699 = .:Refused
        Confirmed + 700 = .:Refused
        Confirmed + timer = Terminated:Terminated
        Confirmed + end = Terminated:Terminated";
    assert_eq!(server_invite(Unreliable), table("Confirmed", ".:Retransmit", confirmed));
    assert_eq!(server_invite(Reliable), table("Terminated", "Terminated:Timeout", ""));
}

fn server_non_invite(reliability: Reliability) -> String {
    let now = Now::at(0).mono;
    let new = ServerNonInvite::new(now, reliability);
    let mut proceeding = new;
    proceeding.on_timer(Now::at_millis(3500).mono);
    let mut completed = new;
    completed.on_respond(now, 200);
    let mut ended = new;
    ended.on_timer(END);
    let mut rows = vec![("Trying", new), ("Proceeding", proceeding)];
    if reliability == Unreliable {
        rows.push(("Completed", completed));
    }
    rows.push(("Terminated", ended));
    matrix(
        &rows,
        ServerNonInvite::state,
        &[
            ("request", &|m: &mut ServerNonInvite| m.on_request()),
            ("99", &|m| m.on_respond(now, 99)),
            ("100", &|m| m.on_respond(now, 100)),
            ("183", &|m| m.on_respond(now, 183)),
            ("200", &|m| m.on_respond(now, 200)),
            ("408", &|m| m.on_respond(now, 408)),
            ("699", &|m| m.on_respond(now, 699)),
            ("700", &|m| m.on_respond(now, 700)),
            ("error", &|m| m.on_transport_error()),
            ("timer", &|m| m.on_timer(m.deadline().unwrap_or(now))),
            ("end", &|m| m.on_timer(END)),
            ("early", &|m| m.on_timer(now)),
        ],
    )
}

#[test]
fn check_150_server_non_invite_walks_every_state_and_input() {
    let refusals = |state: &str| {
        ["99", "100", "183", "200", "408", "699", "700"]
            .iter()
            .map(|status| format!("{state} + {status} = .:Refused\n"))
            .collect::<String>()
    };
    let table = |trying: &str, last: &str, completed: &str| {
        lines(&format!(
            "
            Trying + 99 = .:Refused
            Trying + 100 = {trying}
            Trying + 183 = .:Refused
            Trying + 200 = {last}:Send
            Trying + 408 = .:Refused
            Trying + 699 = {last}:Send
            Trying + 700 = .:Refused
            Trying + timer = Proceeding:SendTrying
            Trying + end = Terminated:Expired
            Proceeding + request = .:Retransmit
            Proceeding + 99 = .:Refused
            Proceeding + 100 = .:Refused
            Proceeding + 183 = .:Refused
            Proceeding + 200 = {last}:Send
            Proceeding + 408 = .:Refused
            Proceeding + 699 = {last}:Send
            Proceeding + 700 = .:Refused
            Proceeding + error = .:TransportFailed
            Proceeding + timer = Terminated:Expired
            Proceeding + end = Terminated:Expired
            {completed}
            {}",
            refusals("Terminated")
        ))
    };
    let completed = format!(
        "Completed + request = .:Retransmit
        {}Completed + error = .:TransportFailed
        Completed + timer = Terminated:Terminated
        Completed + end = Terminated:Terminated",
        refusals("Completed")
    );
    assert_eq!(server_non_invite(Unreliable), table(".:Refused", "Completed", &completed));
    assert_eq!(server_non_invite(Reliable), table("Proceeding:Send", "Terminated", ""));
}

/// When a machine acts on its own, in milliseconds, until it has nothing more to do.
fn agenda<M, A: Debug>(
    mut machine: M,
    deadline: impl Fn(&M) -> Option<Mono>,
    timer: impl Fn(&mut M, Mono) -> A,
) -> Vec<(u64, String)> {
    let mut acts = Vec::new();
    while let Some(at) = deadline(&machine) {
        let action = format!("{:?}", timer(&mut machine, at));
        assert_ne!(action, "Nothing", "a deadline that does nothing would be due for ever");
        acts.push((at.as_micros() / 1000, action));
    }
    acts
}

fn times(acts: &[(u64, String)], action: &str) -> Vec<u64> {
    acts.iter().filter(|(_, act)| act == action).map(|(at, _)| *at).collect()
}

#[test]
fn check_150_timers_a_and_b_run_to_64_t1() {
    let at = Now::at(0).mono;
    let run =
        |r| agenda(ClientInvite::new(at, r), ClientInvite::deadline, |m: &mut ClientInvite, t| m.on_timer(t));
    let acts = run(Unreliable);
    assert_eq!(times(&acts, "Retransmit"), [500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(times(&acts, "Timeout"), [32_000]);
    assert_eq!(run(Reliable), [(32_000, "Timeout".to_owned())]);
}

#[test]
fn check_150_timers_e_and_f_double_up_to_t2() {
    let at = Now::at(0).mono;
    let run = |m| agenda(m, ClientNonInvite::deadline, |m: &mut ClientNonInvite, t| m.on_timer(t));
    let acts = run(ClientNonInvite::new(at, Unreliable));
    assert_eq!(
        times(&acts, "Retransmit"),
        [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    );
    assert_eq!(times(&acts, "Timeout"), [32_000]);
    assert_eq!(run(ClientNonInvite::new(at, Reliable)), [(32_000, "Timeout".to_owned())]);
    // After a provisional response the pace is T2 at once, from the next firing on.
    let mut tried = ClientNonInvite::new(at, Unreliable);
    tried.on_response(at, 100);
    assert_eq!(times(&run(tried), "Retransmit")[..3], [500, 4500, 8500]);
    assert_eq!(times(&run(tried), "Timeout"), [32_000], "a 100 does not stop Timer F");
}

#[test]
fn check_150_timers_d_k_and_m_end_what_lingers() {
    let at = Now::at(0).mono;
    let invite = |status, reliability| {
        let mut machine = ClientInvite::new(at, reliability);
        machine.on_response(at, status);
        agenda(machine, ClientInvite::deadline, |m: &mut ClientInvite, t| m.on_timer(t))
    };
    let ended = |millis| vec![(millis, "Terminated".to_owned())];
    assert_eq!(invite(486, Unreliable), ended(32_000), "Timer D");
    assert_eq!(invite(486, Reliable), [], "Timer D is zero");
    assert_eq!(invite(200, Unreliable), ended(32_000), "Timer M");
    assert_eq!(invite(200, Reliable), ended(32_000), "Timer M, whatever the transport");
    assert_eq!(invite(180, Reliable), [(181_000, "Timeout".to_owned())], "Timer C");
    let mut machine = ClientNonInvite::new(at, Unreliable);
    machine.on_response(at, 200);
    let acts = agenda(machine, ClientNonInvite::deadline, |m: &mut ClientNonInvite, t| m.on_timer(t));
    assert_eq!(acts, ended(5000), "Timer K");
}

#[test]
fn check_150_timers_g_h_i_and_l_of_the_server() {
    let at = Now::at(0).mono;
    let run = |m| agenda(m, ServerInvite::deadline, |m: &mut ServerInvite, t| m.on_timer(t));
    let answered = |status, reliability| {
        let mut machine = ServerInvite::new(at, reliability);
        machine.on_respond(at, status);
        machine
    };
    let acts = run(answered(486, Unreliable));
    assert_eq!(
        times(&acts, "Retransmit"),
        [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500],
        "Timer G"
    );
    assert_eq!(times(&acts, "Timeout"), [32_000], "Timer H");
    assert_eq!(run(answered(486, Reliable)), [(32_000, "Timeout".to_owned())], "no Timer G");
    let mut acked = answered(486, Unreliable);
    acked.on_ack(at);
    assert_eq!(run(acked), [(5000, "Terminated".to_owned())], "Timer I");
    for reliability in [Reliable, Unreliable] {
        assert_eq!(run(answered(200, reliability)), [(32_000, "Terminated".to_owned())], "Timer L");
        let acts = run(ServerInvite::new(at, reliability));
        assert_eq!(acts, [(200, "SendTrying".to_owned()), (181_000, "Expired".to_owned())]);
    }
}

#[test]
fn check_151_a_100_goes_out_when_timer_e_reaches_t2_and_not_before() {
    let at = Now::at(0).mono;
    for reliability in [Reliable, Unreliable] {
        let acts = agenda(
            ServerNonInvite::new(at, reliability),
            ServerNonInvite::deadline,
            |m: &mut ServerNonInvite, t| m.on_timer(t),
        );
        assert_eq!(acts, [(3500, "SendTrying".to_owned()), (32_000, "Expired".to_owned())]);
    }
    let late = |millis, reliability| {
        ServerNonInvite::new(at, reliability).on_respond(Now::at_millis(millis).mono, 100)
    };
    assert_eq!(late(3499, Unreliable), ServerAction::Refused);
    assert_eq!(late(3500, Unreliable), ServerAction::Send);
    assert_eq!(late(0, Reliable), ServerAction::Send);
    for status in 101..200 {
        let mut machine = ServerNonInvite::new(at, Reliable);
        assert_eq!(machine.on_respond(Now::at(10).mono, status), ServerAction::Refused);
    }
}

#[test]
fn check_151_a_non_invite_is_never_answered_408() {
    for reliability in [Reliable, Unreliable] {
        let mut machine = ServerNonInvite::new(Now::at(0).mono, reliability);
        assert_eq!(machine.on_respond(Now::at(1).mono, 408), ServerAction::Refused);
        assert_eq!(machine.on_respond(Now::at(1).mono, 504), ServerAction::Send, "it can still be answered");
    }
}

#[test]
fn check_156_an_invite_is_cancelled_after_its_first_provisional_response_alone() {
    let at = Now::at(0).mono;
    let mut machine = ClientInvite::new(at, Reliable);
    assert_eq!(machine.on_cancel(at), CancelStep::AfterProvisional);
    machine.on_response(at, 100);
    assert_eq!(machine.on_cancel(Now::at(5).mono), CancelStep::Send);
    assert_eq!(machine.on_cancel(Now::at(6).mono), CancelStep::Already);
    machine.on_response(Now::at(7).mono, 180);
    assert_eq!(machine.deadline(), Some(Now::at(37).mono), "64 T1 after the CANCEL, whatever comes");
    machine.on_response(Now::at(8).mono, 487);
    assert_eq!(machine.on_cancel(Now::at(9).mono), CancelStep::TooLate);
}
