//! What the tables say to streams.

use super::net::{Net, POLICY};
use super::world::World;
use crate::xmpp::{Realm, Ways};

#[test]
fn threat_002_a_stranger_may_do_what_some_partner_may() {
    let mut world = World::new(Net::works());
    let sasl = Ways { sasl: true, ..Ways::default() };
    assert_eq!(world.gateway.realm().any_ways(), sasl, "what new partners have");
    let weak = "[[partner]]\ndomain = \"weak.example\"\ntls = \"optional\"\nsasl = \"not-supported\"\n";
    let with = format!("{POLICY}{weak}");
    world.reload(&with);
    let all = Ways { sasl: true, tls_dialback: true, tcp_dialback: true };
    assert_eq!(world.gateway.realm().any_ways(), all);
    // A partner that is blocked is nobody.
    world.reload(&format!("{with}[[blocked]]\ndomain = \"weak.example\"\n"));
    assert_eq!(world.gateway.realm().any_ways(), sasl);
    world.reload(&with.replace("enabled = true", "enabled = false"));
    assert_eq!(world.gateway.realm().any_ways(), Ways::default());
}
