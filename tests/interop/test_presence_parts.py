"""Presence without the gateway: are the parts what the presence tests take them for?

One who stands at the gateway's address, with its certificate, plays its part towards Kamailio.
"""
from types import SimpleNamespace

import pidf
import sip_peer
import sip_presence
from rig import ALICE, BOB, EDGE, MONTAGUE, ROMEO, SIPS, wait_for

NEEDS_GATEWAY = False
JULIET = "juliet@capulet.example"
# Such a document as the gateway sends: two resources, one of them busy, with elements of another namespace.
TWO_RESOURCES = """<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
 xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:romeo@capulet.example">
<tuple id="ID-balcony"><status><basic>open</basic><show xmlns="jabber:client">dnd</show>
<activities xmlns="urn:ietf:params:xml:ns:pidf:status:rpid-status"><activity>busy</activity></activities></status>
<contact priority="0.8">sip:romeo@capulet.example;gr=balcony</contact><note xml:lang="en">wooing</note>
<timestamp>2030-01-01T00:00:00Z</timestamp></tuple>
<tuple id="ID-street"><status><basic>open</basic></status>
<contact priority="0">sip:romeo@capulet.example;gr=street</contact></tuple>
<dm:person id="p1"><rpid:activities><rpid:busy/></rpid:activities><rpid:user-input>active</rpid:user-input></dm:person>
</presence>"""


def scene(rig):
    rig.usual_certificates()
    rig.certificate("stranger", "DNS:elsewhere.example")
    rig.certificate("montague.example", "DNS:montague.example")
    rig.dns(numeric=True)
    s = SimpleNamespace(rig=rig, kamailio=rig.kamailio(), capulet=rig.prosody(users=("romeo", "juliet")))
    s.alice, s.bob = sip_presence.user(rig, "alice"), sip_presence.user(rig, "bob")
    s.gateway, s.romeo = sip_presence.gateway(rig, ROMEO), rig.xmpp_client()
    return s


def test_a_watcher_waits_is_approved_and_follows(s):
    s.alice.publish("away", "on the balcony", lang="en")
    watch = s.gateway.watch(ALICE)
    assert watch.status == 200 and watch.granted == 3600, (watch.status, watch.granted)
    pending = watch.wait_state("pending")
    assert pending["expires"] and not pending["presence"], pending
    s.kamailio.allow("alice", ROMEO)
    active = watch.wait_state("active")
    assert active["content_type"] == "application/pidf+xml", active
    tuples = active["presence"]["tuples"]
    assert [t["basic"] for t in tuples] == ["open"] and active["presence"]["activities"] == ["away"], active
    assert tuples[0]["notes"] == [{"text": "on the balcony", "lang": "en"}], tuples
    s.alice.publish("busy", "Grüße 🎭")
    assert watch.wait_shows("busy")["presence"]["tuples"][0]["notes"][0]["text"] == "Grüße 🎭"
    s.alice.unpublish()
    watch.wait_shows("offline")
    assert watch.subscribe(0) == 200
    watch.wait_state("terminated", "timeout")
    wait_for("Kamailio to forget the dialog", lambda: not s.kamailio.watchers("alice"))


def test_a_watcher_is_denied(s):
    s.kamailio.forget("alice", ROMEO)
    waiting = s.gateway.watch(ALICE)
    waiting.wait_state("pending")
    s.kamailio.deny("alice", ROMEO)
    waiting.wait_state("terminated", "rejected")
    late = s.gateway.watch(ALICE)
    assert late.status == 200
    late.wait_state("terminated", "rejected")
    assert [n["state"] for n in late.notifies] == ["terminated"], late.brief()


def test_an_approval_that_is_taken_away(s):
    s.kamailio.allow("alice", ROMEO)
    watch = s.gateway.watch(ALICE)
    watch.wait_state("active")
    s.kamailio.forget("alice", ROMEO)
    watch.wait_state("terminated", "deactivated")


def test_a_polite_block_is_active_and_says_nothing(s):
    s.alice.publish("online")
    s.kamailio.rule("alice", ROMEO, "polite-block")
    watch = s.gateway.watch(ALICE)
    told = watch.wait_state("active")
    assert told["shows"] in (None, "offline"), told
    watch.subscribe(0)
    watch.wait_state("terminated")


def test_a_fetch(s):
    s.alice.publish("busy")
    s.kamailio.allow("alice", ROMEO)
    watch = s.gateway.watch(ALICE, expires=0)
    assert (watch.status, watch.granted) == (200, 0), (watch.status, watch.granted)
    only = watch.wait_state("terminated", "timeout")
    assert only["shows"] == "busy", "Kamailio's last NOTIFY carries the whole state, not a closed one"


def test_what_the_presence_server_refuses(s):
    assert s.gateway.watch("nobody@contoso.example").status == 404
    link = sip_peer.connect((s.rig.ip(EDGE), s.rig.port(SIPS)), s.rig.pki, "gateway")
    def ask(method="SUBSCRIBE", **more):
        headers = [("Expires", "600"), ("Contact", "<sip:romeo@gw.contoso.example:5061;transport=tls>"),
                   *more.pop("headers", ())]
        return link.ask(sip_peer.request(ROMEO, ALICE, method=method, headers=headers, drop=("Content-Type",))).status
    assert ask(headers=[("Event", "dialog")]) == 489
    assert ask() == 489
    assert ask("NOTIFY", headers=[("Event", "presence"), ("Subscription-State", "active;expires=60")]) == 481
    assert ask("PUBLISH", headers=[("Event", "presence")]) == 403
    stranger = sip_peer.connect((s.rig.ip(EDGE), s.rig.port(SIPS)), s.rig.pki, "stranger")
    answer = stranger.ask(sip_peer.request(ROMEO, ALICE, method="SUBSCRIBE", headers=[("Event", "presence")]))
    assert answer.status == 403, answer.start


def test_a_sip_user_watches_through_kamailio(s):
    s.gateway.watched.clear()
    watch = s.alice.watch(ROMEO)
    assert watch.status == 200, watch.status
    request = (watched := s.gateway.wait_watched(ALICE)).requests[0]
    assert request.start == f"SUBSCRIBE sip:{ROMEO} SIP/2.0", request.start
    assert len(watched.routes) == 2 and "transport=tls" in watched.routes[0], watched.routes
    assert watched.notify("pending") == 200
    assert watched.notify("active", body=TWO_RESOURCES) == 200
    document = watch.wait_state("active")["presence"]
    assert [t["id"] for t in document["tuples"]] == ["ID-balcony", "ID-street"], document
    assert document["tuples"][0]["show"] == "dnd" and document["tuples"][0]["activities"] == ["busy"], document
    assert watched.notify("active", body=pidf.write("pres:" + ROMEO, "away")) == 200
    watch.wait_shows("away")
    assert watch.subscribe(600) == 200, "a refresh goes through the dialog"
    assert [int(r.get("expires")) for r in watched.requests] == [3600, 600]
    watched.local_tag, kept = "another-fork", watched.local_tag
    assert watched.notify("active") == 481
    watched.local_tag = kept
    assert watch.subscribe(0) == 200
    assert watched.notify("terminated", reason="timeout", body=pidf.write("pres:" + ROMEO, "offline")) == 200
    watch.wait_state("terminated", "timeout")
    assert s.gateway.ask("NOTIFY", watched.target, f"<sip:{ROMEO}>;tag=x", f"<sip:{ALICE}>;tag=y", "no-such-dialog", 1,
                         [("Route", r) for r in watched.routes]
                         + [("Event", "presence"), ("Subscription-State", "active;expires=9")]).status == 481


def test_sip_users_watch_each_other(s):
    s.bob.publish("away")
    s.kamailio.allow("bob", ALICE)
    watch = s.alice.watch(BOB)
    watch.wait_shows("away")
    watch.subscribe(0)
    s.bob.unpublish()


def test_linphone_shows_what_it_is_told(s):
    s.gateway.watched.clear()
    s.contacts = s.rig.contact_list("alice")
    s.contacts.watch(ROMEO)
    watched = s.gateway.wait_watched(ALICE)
    assert watched.notify("pending") == 200
    for state, shows in (("online", "Online"), ("away", "Away"), ("busy", "Busy"), ("offline", "Offline")):
        assert watched.notify("active", body=pidf.write("pres:" + ROMEO, state, "a note", "en")) == 200
        s.contacts.wait_shows(ROMEO, shows, notes=[["a note", "en"]])
    assert watched.notify("active", body=TWO_RESOURCES) == 200
    s.contacts.wait_shows(ROMEO, "Busy", notes=[["wooing", "en"]], tuples=2)
    s.contacts.forget(ROMEO)
    wait_for("linphone to end its subscription", lambda: watched.expires == 0)
    assert watched.notify("terminated", reason="timeout") in (200, 481), "linphone has forgotten its dialog by then"


def test_linphone_publishes(s):
    s.alice.unpublish()
    s.kamailio.allow("alice", ROMEO)
    watch = s.gateway.watch(ALICE)
    for state in ("away", "busy", "online", "offline"):
        s.contacts.publish(state, note=f"it is {state}", lang="en")
        told = watch.wait_shows(state, since=len(watch.notifies) - 1)
        assert told["presence"]["tuples"][0]["notes"] == [{"text": f"it is {state}", "lang": "en"}], told
    watch.subscribe(0)


def test_kamailio_starts_again_and_still_knows_its_watchers(s):
    s.alice.publish("away")
    s.kamailio.allow("alice", ROMEO)
    watch = s.gateway.watch(ALICE)
    watch.wait_shows("away")
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio()
    s.alice.publish("busy")
    watch.wait_shows("busy")
    assert watch.subscribe() == 200


def test_kamailio_starts_again_and_knows_nothing(s):
    watch = s.gateway.watches[-1]
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio(fresh=True)
    assert watch.subscribe() == 481
    again = s.gateway.watch(ALICE)
    again.wait_state("pending")
    s.kamailio.allow("alice", ROMEO)
    assert again.wait_state("active")["shows"] in (None, "offline")
    s.alice.publish("online")  # its SIP-If-Match is unknown there: 412, then anew
    again.wait_shows("online")


def test_kamailio_demands_a_longer_time(s):
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio(min_expires=1800, max_expires=7200)
    brief = s.gateway.watch(ALICE, expires=60)
    assert brief.status == 423
    assert s.gateway.watch(ALICE, expires=1800).granted == 1800
    assert s.gateway.watch(ALICE, expires=28800).granted == 7200


def test_ejabberd_and_prosody_tell_each_other(s):
    s.rig.ejabberd()
    mercutio = s.rig.xmpp_client("mercutio@montague.example/street", octet=MONTAGUE)
    s.romeo.presence("subscribe", to="mercutio@montague.example")
    mercutio.wait_presence(ROMEO, "subscribe")
    mercutio.presence("subscribed", to=ROMEO)
    s.romeo.wait_presence("mercutio@montague.example", "subscribed")
    mercutio.presence(show="dnd", status="a plague")
    s.romeo.wait_presence("mercutio@montague.example", show="dnd", status="a plague")
    s.capulet.wait_log("SASL EXTERNAL with montague.example succeeded")


def test_the_xmpp_clients_have_presence(s):
    romeo = s.romeo
    juliet = s.rig.xmpp_client(JULIET + "/chamber")
    other = s.rig.xmpp_client(ROMEO + "/street")
    romeo.presence("subscribe", to=JULIET)
    juliet.wait_presence(ROMEO, "subscribe")
    assert not romeo.presences(JULIET, "subscribed"), "nobody is approved by himself"
    juliet.presence("subscribed", to=ROMEO)
    romeo.wait_presence(JULIET, "subscribed")
    romeo.wait_presence(JULIET)
    romeo.wait_roster(JULIET, "to")
    juliet.presence(show="dnd", status="Grüße", lang="de", priority=5)
    for client in (romeo, other):
        got = client.wait_presence(JULIET + "/chamber", show="dnd", status="Grüße", priority="5")
        assert got["notes"] == [["Grüße", "de"]], got
    juliet.presence("unsubscribed", to=ROMEO)
    romeo.wait_presence(JULIET, "unsubscribed")
    romeo.remove_contact(JULIET)
    romeo.wait_roster(JULIET, "remove")
