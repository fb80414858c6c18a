//! What goes with texts, in pager mode: who is writing, receipts, and what no mapping speaks of.

mod beyond;
mod receipts;
mod typing;

use super::net::Net;
use super::texts::{Sent, message_with};
use super::world::World;
use super::{ALICE, BOB, ROMEO};

fn world() -> World {
    World::new(Net::works())
}

/// A stanza of Romeo's orchard with these children.
fn romeo(world: &mut World, id: &str, children: &str) {
    world.romeo(&format!(
        "<message from='{ROMEO}/orchard' to='{ALICE}' id='{id}' type='chat'>{children}</message>"
    ));
}

/// A MESSAGE of Alice's to Romeo. The status that answers it.
#[track_caller]
fn alice(world: &mut World, n: u32, content_type: &str, body: &str) -> u16 {
    world.sip(&message_with(n, ALICE, ROMEO, &format!("Content-Type: {content_type}\r\n"), body));
    let answers: Vec<u16> = world.take_sip().iter().filter_map(Sent::status).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0]
}

/// The name of the child of a stanza of ours that has a chat state.
fn state_of(stanza: &str) -> Option<&str> {
    let (before, _) = stanza.split_once(" xmlns='http://jabber.org/protocol/chatstates'")?;
    before.rsplit('<').next()
}

const ACTIVE: &str = "<active xmlns='http://jabber.org/protocol/chatstates'/>";
const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
const PAUSED: &str = "<paused xmlns='http://jabber.org/protocol/chatstates'/>";
