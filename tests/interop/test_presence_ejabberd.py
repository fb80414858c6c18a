"""The same crossings with ejabberd as the XMPP server: what Prosody does not show."""
from types import SimpleNamespace

import sip_presence
from presence_usual import PACED, SOON, approved, barrier, friend, mark, tuples, unwatched
from rig import ALICE, MONTAGUE, wait_for
from usual import partner

NEEDS_GATEWAY = True
MERCUTIO = "mercutio@montague.example"


def scene(rig):
    rig.usual_certificates()
    rig.certificate("montague.example", "DNS:montague.example")
    rig.dns(numeric=True)
    s = SimpleNamespace(rig=rig, kamailio=rig.kamailio(), montague=rig.ejabberd())
    rig.policy(("alice",), partner("montague.example"))
    s.gateway = rig.gateway()
    s.alice = sip_presence.user(rig, "alice")
    s.alice.publish("online")
    s.mercutio = rig.xmpp_client(MERCUTIO + "/street", octet=MONTAGUE)
    return s


def test_an_xmpp_user_adds_a_sip_user_and_sees_him(s):
    """F86, F87."""
    friend(s, s.mercutio)
    for state, show in (("away", "away"), ("busy", "dnd"), ("vacation", "xa"), ("online", None)):
        since = mark(s.mercutio)
        s.alice.publish(state, f"she is {state}", lang="en")
        got = s.mercutio.wait_presence(ALICE, None, SOON, since, status=f"she is {state}")
        assert got.get("show") == show, got


def test_a_sip_user_adds_an_xmpp_user_and_sees_him(s):
    """F85, F87."""
    unwatched(s, s.mercutio)
    s.mercutio.presence(show="dnd", status="a plague", lang="en")
    watch = approved(s, s.mercutio)
    told = watch.wait(lambda n: n["presence"] and "a plague" in n["body"], "his note", PACED)
    assert tuples(told["presence"])["street"]["show"] == "dnd", told
    s.mercutio.presence("unavailable")
    watch.wait_shows("offline", PACED)
    s.mercutio.presence()
    watch.wait_shows("online", PACED, len(watch.notifies) - 1)


def test_denied_both_ways(s):
    """F90."""
    since = unwatched(s, s.mercutio)
    watch = s.alice.watch(MERCUTIO)
    s.mercutio.wait_presence(ALICE, "subscribe", SOON, since)
    s.mercutio.presence("unsubscribed", to=ALICE)
    watch.wait_state("terminated", "rejected", SOON)
    friend(s, s.mercutio)
    since = mark(s.mercutio)
    s.kamailio.deny("alice", MERCUTIO)
    s.mercutio.wait_presence(ALICE, "unsubscribed", SOON, since)


def test_an_xmpp_user_removes_a_sip_user(s):
    """F89."""
    friend(s, s.mercutio)
    s.mercutio.presence("unsubscribe", to=ALICE)
    wait_for("Kamailio to have no watcher", lambda: not s.kamailio.watchers("alice"), SOON)
    since = mark(s.mercutio)
    s.alice.publish("away")
    barrier(s.mercutio)
    assert not s.mercutio.presences(ALICE, None, since)


def test_ejabberd_starts_again(s):
    friend(s, s.mercutio)
    s.mercutio.presence()
    watch = approved(s, s.mercutio)
    s.montague.stop()
    s.montague = s.rig.ejabberd()
    s.mercutio = s.rig.xmpp_client(MERCUTIO + "/street", octet=MONTAGUE)
    s.mercutio.wait_presence(ALICE, None, 20)
    s.mercutio.presence(show="dnd")
    watch.wait_shows("busy", PACED)
