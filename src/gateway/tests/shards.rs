//! Several gateways: whose an item is.

use super::net::{DAEMON, POLICY, configured};
use crate::addr::Jid;
use crate::gateway::shards::{Common, Place};
use crate::gateway::{Gateway, Secrets};
use crate::ids::shard_of;
use crate::now::Wall;
use crate::sip::frame::{self, Frame, Limits};
use crate::store::record::{Authorization, Consent, Contact, Pending, Record, Watching};
use crate::xml::{Scope, parse};
use crate::xmpp::Iq;
use std::collections::BTreeSet;
use std::sync::Arc;

const SHARDS: u8 = 5;

fn place(shard: u8) -> Place {
    Place::new(shard, SHARDS, [9; 32])
}

/// Whose a request from `from` is, with `more` header lines.
fn of_request(method: &str, from: &str, to: &str, more: &str) -> u8 {
    let mut text = format!(
        "{method} sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TLS a.example;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: {from};tag=1\r\nTo: {to}\r\nCall-ID: 1@a\r\nCSeq: 1 {method}\r\n{more}\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes();
    let Ok(Frame::Message(octets)) = frame::datagram(&mut text, &Limits::default()) else {
        panic!("no message")
    };
    let (settings, _) = configured(DAEMON, POLICY);
    place(3).of_sip(octets, &settings)
}

fn gateways() -> Vec<Gateway> {
    let (settings, table) = configured(DAEMON, POLICY);
    let (settings, common) = (Arc::new(settings.clone()), Common::new(&settings, [1; 32]));
    let gateway = |shard| {
        let secrets = Secrets {
            ids: [shard; 32],
            hashes: [2; 32],
            loops: [3; 32],
            dialback: b"secret".as_slice().into(),
        };
        Gateway::one_of(settings.clone(), table.clone(), &secrets, place(shard), common.clone())
    };
    (0..SHARDS).map(gateway).collect()
}

#[test]
fn a_users_items_have_one_owner_from_both_sides() {
    let mut owners = BTreeSet::new();
    for n in 0..40 {
        let user = format!("user.{n}@contoso.example");
        let owner = place(0).of_user(&user);
        for from in [
            format!("<sip:{user}>"),
            format!("\"N. N.\" <sip:{user};transport=tls>"),
            format!("<sip:user.{n}@CONTOSO.example>"),
        ] {
            assert_eq!(of_request("MESSAGE", &from, "<sip:romeo@fabrikam.example>", ""), owner, "{from}");
        }
        let jid = Jid::parse(&format!("User.{n}@contoso.example/phone")).unwrap();
        assert_eq!(place(4).of_user(jid.bare_str()), owner);
        owners.insert(owner);
    }
    assert_eq!(owners.len(), usize::from(SHARDS), "and each owns some");
}

#[test]
fn what_names_an_id_of_ours_is_for_who_minted_it() {
    let alice = "<sip:alice@contoso.example>";
    for (shard, gateway) in (0..SHARDS).zip(&mut gateways()) {
        let id = gateway.ids.mint();
        let stamp = gateway.guard.stamp(gateway.ids.mint());
        for tag in [id.to_string(), stamp.to_string(), format!("{stamp}1z")] {
            let to = format!("<sip:romeo@fabrikam.example>;tag={tag}");
            assert_eq!(of_request("NOTIFY", alice, &to, ""), shard, "a dialog's tag: {tag}");
        }
        let mut response = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS gw.example;branch=z9hG4bK{stamp}z\r\nFrom: {alice};tag=1\r\nTo: \
             {alice};tag=2\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes();
        let Ok(Frame::Message(octets)) = frame::datagram(&mut response, &Limits::default()) else { panic!() };
        let (settings, _) = configured(DAEMON, POLICY);
        assert_eq!(place(0).of_sip(octets, &settings), shard, "a response's branch");
        for (type_, owner) in [("result", shard), ("error", shard), ("get", 2)] {
            let text = format!("<iq type='{type_}' id='{id}' from='fabrikam.example' to='contoso.example'/>");
            let element = parse(&text, &Scope::server(), &Default::default()).unwrap();
            let jid = |text| Jid::parse(text).unwrap();
            let iq = Iq { from: jid("fabrikam.example"), to: jid("contoso.example"), element };
            assert_eq!(place(2).of_iq(&iq), owner, "{type_}");
        }
        assert_eq!(shard_of(gateway.mint_link().0), shard);
        assert_eq!(shard_of(gateway.mint_stream().0), shard);
    }
}

#[test]
fn a_tag_that_is_nobodys_says_nothing_of_the_owner() {
    let alice = "<sip:alice@contoso.example>";
    let owner = place(0).of_user("alice@contoso.example");
    // Another node's, a shard that there is not, another daemon's.
    for tag in ["1000000000000000000", "0z0000000000000000", "as83kdh"] {
        let to = format!("<sip:romeo@fabrikam.example>;tag={tag}");
        assert_eq!(of_request("BYE", alice, &to, ""), owner, "{tag}");
    }
    assert_eq!(of_request("MESSAGE", "<http://nobody>", alice, ""), 3, "anybody can refuse it");
}

#[test]
fn a_record_is_its_users() {
    let (user, contact) = (Jid::parse("alice@contoso.example").unwrap(), Jid::parse("r@f.example").unwrap());
    let owner = place(0).of_user(user.bare_str());
    let watch = |direction, watcher: &Jid, presentity: &Jid| {
        Record::Authorization(Authorization {
            direction,
            watcher: watcher.clone(),
            presentity: presentity.clone(),
            state: Consent::Granted,
            created: Wall::default(),
            used: Wall::default(),
        })
    };
    let (added, since) = (Wall::default(), Wall::default());
    for record in [
        watch(Watching::XmppWatchesSip, &contact, &user),
        watch(Watching::SipWatchesXmpp, &user, &contact),
        Record::Contact(Contact { user: user.clone(), contact: contact.clone(), added }),
        Record::Pending(Pending { user: user.clone(), contact: contact.clone(), since }),
    ] {
        assert_eq!(place(1).of_record(&record), owner, "{record:?}");
    }
}

#[test]
fn what_bounds_memory_is_divided_and_what_is_one_users_is_not() {
    let (settings, _) = configured(DAEMON, POLICY);
    let shared = settings.clone().share(4);
    assert_eq!(shared.targets, settings.targets.div_ceil(4));
    assert_eq!(shared.pairs.octets, settings.pairs.octets.div_ceil(4));
    assert_eq!(shared.pairs.queue, settings.pairs.queue, "a burst is of few users: one shard has all of it");
    assert_eq!(shared.presence.pending, settings.presence.pending.div_ceil(4));
    assert_eq!(shared.presence.per_user, settings.presence.per_user);
    assert_eq!(shared.presence.watches, settings.presence.watches, "they count these together");
    assert_eq!(shared.sessions.all, settings.sessions.all);
    assert_eq!(shared.user_rate, settings.user_rate);
    assert_eq!(format!("{:?}", settings.clone().share(1)), format!("{settings:?}"));
}
