"""Who may see whom: the types of partners, and rights that are taken away in the middle of a watch."""
import itertools
import json
import random

from presence_usual import (GRANTED, PACED, REBUILT, SOON, barrier, both_ways, friend, mark, news, presence_scene,
                            stranger)
from rig import ALICE, ROMEO, run_verb, wait_for

NEEDS_GATEWAY = True
_number = itertools.count(1)


def scene(rig):
    s = presence_scene(rig)
    rig.xmpp_account("mercutio")
    s.mercutio, s.taken = rig.xmpp_client("mercutio@capulet.example/square"), []
    return s


def of_type(s, kind):
    s.rig.policy(GRANTED, partner_type=kind)
    s.gateway.reload()


def test_a_public_verified_partner_sees_no_note(s):
    """F32, F33, F36."""
    of_type(s, "public-verified")
    try:
        since = stranger(s, s.juliet)
        s.alice.publish("busy", "for friends only")
        friend(s, s.juliet, notes=False)
        got = s.juliet.wait_presence(ALICE, None, SOON, since, show="dnd")
        assert "status" not in got, got
        since = mark(s.juliet)
        s.alice.publish("away", "for friends only, too")
        got = s.juliet.wait_presence(ALICE, None, SOON, since, show="away")
        assert "status" not in got, got
        assert not any("for friends" in e.get("xml", "") for e in s.juliet.events())
    finally:
        of_type(s, "federated")


def public_unverified(s, kind):
    """What a partner of that type may do before and after our user has added the contact."""
    of_type(s, kind)
    tybalt = f"tybalt{next(_number)}"
    s.rig.xmpp_account(tybalt)
    try:
        client = s.rig.xmpp_client(f"{tybalt}@capulet.example/street")
        s.alice.publish("busy", "not for strangers")
        s.kamailio.allow("alice", f"{tybalt}@capulet.example")
        client.presence("subscribe", to=ALICE)
        client.send(ALICE, "let me in", id="early")
        error = client.wait_error("early")
        assert (error["error"]["type"], error["error"]["condition"]) == ("auth", "forbidden"), error
        barrier(client)
        assert tybalt not in s.kamailio.log(), "it reached the SIP side before our user had added him"
        assert not client.presences(ALICE, None) and not client.presences(ALICE, "subscribed")
        watch = s.alice.watch(f"{tybalt}@capulet.example")
        assert watch.status == 200, watch.status
        client.wait_presence(ALICE, "subscribe", SOON)
        client.wait_presence(ALICE, "subscribed", SOON)  # the request that waited was carried on
        got = client.wait_presence(ALICE, None, SOON, show="dnd")
        assert "status" not in got and "not for strangers" not in got["xml"], got
        client.send(ALICE, "and now?", id="late")
        s.kamailio.wait_log(rf"MESSAGE sip:{tybalt}@capulet\.example")
        watch.subscribe(0)  # the contact stays added: only its dialog ends
        watch.wait_state("terminated")
        client.send(ALICE, "and still?", id="still")
        s.kamailio.wait_log(rf"MESSAGE sip:{tybalt}@capulet\.example", count=2)
        client.part.stop()
    finally:
        of_type(s, "federated")


def test_a_public_unverified_partner_waits_until_our_user_has_added_him(s):
    """F34, F35, F36."""
    public_unverified(s, "public-unverified")


def test_a_partner_without_a_type_is_public_unverified(s):
    """F37."""
    public_unverified(s, None)


def ended(s, client, take, reason, retry_after=None):
    """A right is taken away in the middle of both watches, and given back."""
    watch, since, who = both_ways(s, client), mark(client), client.jid.split("/")[0]
    s.rig.policy(**take)
    s.gateway.reload()
    try:
        client.wait_presence(ALICE, "unavailable", SOON, since)
        last = watch.wait_state("terminated", reason, SOON)
        assert last["retry_after"] == retry_after and last["shows"] in (None, "offline"), last
        wait_for("Kamailio to have no watcher", lambda: who not in [w[0] for w in s.kamailio.watchers("alice")], SOON)
        assert s.alice.watch(who).status == 403
    finally:
        s.rig.policy(GRANTED)
        s.gateway.reload()
    s.taken.append((client, since))


def test_a_grant_taken_away_mid_watch(s):
    """Check 171."""
    ended(s, s.romeo, {"grants": ("bob",)}, "rejected")


def test_a_partner_taken_away_mid_watch(s):
    """F26."""
    ended(s, s.juliet, {"grants": GRANTED, "partner_type": False}, "rejected")


def test_federation_switched_off_mid_watch(s):
    """F22: it is switched on again some day, so the SIP side may try later."""
    ended(s, s.mercutio, {"grants": GRANTED, "federation": False}, "probation", "300")


def test_what_was_taken_away_comes_back(s):
    """All of them together: no watch asks for a new dialog twice in 30 s."""
    if not s.taken:
        ended(s, s.romeo, {"grants": ("bob",)}, "rejected")
    words = news()
    s.alice.publish("busy", words)
    for client, since in s.taken:
        client.wait_presence(ALICE, None, REBUILT, since, show="dnd", status=words)
        again = s.alice.watch(client.jid.split("/")[0])
        again.wait_state("active", timeout=SOON)
        again.wait_shows("online", PACED)
        assert not client.presences(ALICE, "unsubscribed", since), "the authorization stays"
        assert not client.presences(ALICE, "subscribe", since), "nobody is asked twice"


def test_a_reload_that_takes_nothing_ends_nothing(s):
    watch, since = both_ways(s), mark(s.romeo)
    seen = len(watch.notifies)
    s.gateway.reload()
    s.alice.publish("away")
    s.romeo.wait_presence(ALICE, None, SOON, since, show="away")
    assert not s.romeo.presences(ALICE, "unavailable", since)
    assert watch.state == "active" and "terminated" not in [n["state"] for n in watch.notifies[seen:]]


def test_the_verb_shows_both_halves_of_a_watch(s):
    both_ways(s)
    status, out, err = run_verb("subscriptions", "-c", s.gateway.config, "--user", ALICE)
    assert status == 0 and ROMEO in out and ALICE in out and "active" in out.lower(), (status, out, err)
    status, out, err = run_verb("subscriptions", "-c", s.gateway.config, "--user", ALICE, "--json")
    assert status == 0 and json.loads(out), (status, out, err)
    status, out, _ = run_verb("subscriptions", "-c", s.gateway.config, "--user", "nobody@contoso.example")
    assert status == 0 and ROMEO not in out, out


def test_no_note_is_in_the_log(s):
    """Check 170. Also at level debug."""
    watch, words = both_ways(s), [f"{kind}-{random.getrandbits(64):016x}" for kind in ("hers", "his")]
    s.alice.publish("away", words[0])
    s.romeo.wait_presence(ALICE, None, SOON, status=words[0])
    s.romeo.presence(show="dnd", status=words[1])
    watch.wait(lambda n: n["presence"] and words[1] in n["body"], "his note", PACED)
    log = s.gateway.log()
    assert len(log.splitlines()) > 5, "the log is empty: this proves nothing"
    assert not [word for word in words if word in log]
