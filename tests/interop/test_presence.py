"""Presence that crosses, both ways, between the real parts: who watches whom, and what they see."""
import sip_presence
from presence_usual import (GRANTED, JULIET, PACE, PACED, SOON, another, approved, barrier, fetch, friend, mark, news,
                            presence_scene, seen, server_got, stranger, subscribes, tuples, unwatched)
from rig import ALICE, BOB, ROMEO, RigError, wait_for

NEEDS_GATEWAY = True


def scene(rig):
    return presence_scene(rig)


# -- an XMPP user watches a SIP user ---------------------------------------------------------------------------------


def test_an_xmpp_user_adds_a_sip_user_and_sees_him(s):
    """F29, F31, F56, F86, F91; checks 72, 73, 102."""
    since = stranger(s, s.romeo)
    s.alice.publish("away", "on the balcony", lang="en")
    s.romeo.presence("subscribe", to=ALICE)
    wait_for("Kamailio to hold a pending watcher", lambda: [w for w in s.kamailio.watchers("alice") if w[0] == ROMEO])
    s.kamailio.wait_log(rf"reply 200 to NOTIFY sip:{ALICE} -> {ROMEO}")
    request = s.kamailio.wait_log(rf"SUBSCRIBE sip:{ROMEO}\S* -> sip:{ALICE} \((.*)\)").group(1)
    assert request == "presence; 28800; <null>; application/pidf+xml", request
    barrier(s.romeo)
    assert not s.romeo.presences(ALICE, since=since), "a pending NOTIFY made a stanza"
    s.kamailio.allow("alice", ROMEO)
    s.romeo.wait_presence(ALICE, "subscribed", SOON, since)
    got = s.romeo.wait_presence(ALICE, None, SOON, since, show="away", status="on the balcony")
    assert got["notes"] == [["on the balcony", "en"]], got
    assert "/" in got["from"], "a tuple is a resource"
    s.romeo.wait_roster(ALICE, "to")
    kinds = [p.get("type") for p in s.romeo.presences(ALICE, since=since)]
    assert kinds[0] == "subscribed" and kinds.count("subscribed") == 1, kinds


def test_states_of_a_sip_user_are_shown(s):
    """F87: SIP to XMPP."""
    friend(s, s.romeo)
    for state, show in (("online", None), ("away", "away"), ("busy", "dnd"), ("meeting", "dnd"), ("vacation", "xa"),
                        ("idle", "away"), ("online", None)):
        since, word = mark(s.romeo), news()  # two of them are shown as one, so the words make the difference
        s.alice.publish(state, word)
        got = s.romeo.wait_presence(ALICE, None, SOON, since, status=word)
        assert got.get("show") == show, (state, got)
    since = mark(s.romeo)
    s.alice.publish("busy")
    s.romeo.wait_presence(ALICE, None, SOON, since, show="dnd")
    s.alice.publish("meeting")
    barrier(s.romeo)
    assert len(s.romeo.presences(ALICE, None, since)) == 1, "what shows the same is not told twice"
    since = mark(s.romeo)
    s.alice.publish("offline")
    s.romeo.wait_presence(ALICE, "unavailable", SOON, since)


def test_notes_of_a_sip_user_are_shown_in_their_language(s):
    """F88; check 85."""
    friend(s, s.romeo)
    since = mark(s.romeo)
    s.alice.publish("online", 'Grüße 🎭 <b>&amp; "quoted"', lang="de")
    got = s.romeo.wait_presence(ALICE, None, SOON, since, status='Grüße 🎭 <b>&amp; "quoted"')
    assert got["notes"][0][1] == "de", got
    since = mark(s.romeo)
    s.alice.publish("online")
    got = s.romeo.wait_presence(ALICE, None, SOON, since)
    assert "status" not in got, got


def test_two_devices_of_a_sip_user_are_two_resources(s):
    """Check 88: the document is the whole state, so what is missing in it has gone."""
    friend(s, s.romeo)
    since = mark(s.romeo)
    second = ('<tuple id="t2"><status><basic>open</basic></status>'
              "<contact>sip:alice@contoso.example;gr=phone</contact></tuple>")
    s.alice.publish("online", more=second)
    first = s.romeo.wait_presence(ALICE + "/t1", None, SOON, since)["from"]
    wait_for("two resources", lambda: len({p["from"] for p in s.romeo.presences(ALICE, None, since)}) == 2, SOON)
    other = next(p["from"] for p in s.romeo.presences(ALICE, None, since) if p["from"] != first)
    since = mark(s.romeo)
    s.alice.publish("online")
    s.romeo.wait_presence(other, "unavailable", SOON, since)
    assert not s.romeo.presences(first, "unavailable", since)


def test_what_a_sip_user_withdraws_ends_in_unavailable(s):
    friend(s, s.romeo)
    since = mark(s.romeo)
    s.alice.unpublish()
    s.romeo.wait_presence(ALICE, "unavailable", SOON, since)
    since = mark(s.romeo)
    s.alice.publish("online")
    s.romeo.wait_presence(ALICE, None, SOON, since)
    assert s.romeo.roster(ALICE)["subscription"] in ("to", "both")


def test_a_denied_xmpp_user_is_told(s):
    """F90; check 74."""
    since = stranger(s, s.juliet)
    s.juliet.presence("subscribe", to=ALICE)
    wait_for("Kamailio to hold a pending watcher", lambda: [w for w in s.kamailio.watchers("alice") if w[0] == JULIET])
    s.kamailio.deny("alice", JULIET)
    s.juliet.wait_presence(ALICE, "unsubscribed", SOON, since)
    assert not s.juliet.presences(ALICE, "subscribed", since) and not s.juliet.presences(ALICE, None, since)
    s.juliet.wait_roster(ALICE, "none")
    _, before = subscribes(s, JULIET, "alice")
    s.kamailio.allow("alice", JULIET)
    barrier(s.juliet)
    assert subscribes(s, JULIET, "alice")[1] == before, "rejected means: no new try"
    s.kamailio.deny("alice", JULIET)
    since = mark(s.juliet)
    s.juliet.presence("subscribe", to=ALICE)  # denied at once this time
    s.juliet.wait_presence(ALICE, "unsubscribed", SOON, since)


def test_an_approval_that_is_denied_later(s):
    """Checks 74 and 76."""
    friend(s, s.juliet)
    since = mark(s.juliet)
    s.kamailio.deny("alice", JULIET)
    s.juliet.wait_presence(ALICE, "unsubscribed", SOON, since)
    s.juliet.wait_presence(ALICE, "unavailable", SOON, since)
    s.juliet.wait_roster(ALICE, "none")


def test_a_deactivated_watch_asks_again_and_nobody_is_unsubscribed(s):
    """Check 76: Kamailio ends the dialog with `deactivated`; the new one is pending, then approved again."""
    stranger(s, s.romeo)  # the second time in 30 s it would wait
    friend(s, s.romeo)
    since, (_, dialogs) = mark(s.romeo), subscribes(s, ROMEO, "alice")
    s.kamailio.forget("alice", ROMEO)
    wait_for("a new dialog", lambda: subscribes(s, ROMEO, "alice")[1] > dialogs, SOON)
    s.kamailio.allow("alice", ROMEO)
    s.alice.publish("busy")
    s.romeo.wait_presence(ALICE, None, SOON, since, show="dnd")
    assert not s.romeo.presences(ALICE, "unsubscribed", since)
    assert s.romeo.roster(ALICE)["subscription"] in ("to", "both")


def test_an_xmpp_user_removes_a_sip_user(s):
    """F89; check 79."""
    friend(s, s.juliet)
    logged = len(s.capulet.log())
    s.juliet.presence("unsubscribe", to=ALICE)
    wait_for("SUBSCRIBE with Expires 0", lambda: subscribes(s, JULIET, "alice")[0][-1:] == [0], SOON)
    wait_for("Kamailio to have no watcher", lambda: JULIET not in [w[0] for w in s.kamailio.watchers("alice")], SOON)
    server_got(s, "unsubscribed", ALICE, JULIET, logged)
    since = mark(s.juliet)
    s.alice.publish("away")
    barrier(s.juliet)
    assert not s.juliet.presences(ALICE, None, since)


def test_a_request_taken_back_while_it_waits(s):
    since = stranger(s, s.juliet)
    s.juliet.presence("subscribe", to=ALICE)
    wait_for("Kamailio to hold a pending watcher", lambda: [w for w in s.kamailio.watchers("alice") if w[0] == JULIET])
    s.juliet.presence("unsubscribe", to=ALICE)
    wait_for("Kamailio to have no watcher", lambda: JULIET not in [w[0] for w in s.kamailio.watchers("alice")], SOON)
    s.kamailio.allow("alice", JULIET)
    barrier(s.juliet)
    assert not s.juliet.presences(ALICE, "subscribed", since)


def test_a_second_request_is_answered_without_a_second_prompt(s):
    """Check 101."""
    friend(s, s.romeo)
    since, (_, dialogs) = mark(s.romeo), subscribes(s, ROMEO, "alice")
    s.alice.publish("away")
    s.romeo.wait_presence(ALICE, None, SOON, since, show="away")
    since, logged = mark(s.romeo), len(s.capulet.log())
    s.romeo.presence("subscribe", to=ALICE)
    server_got(s, "subscribed", ALICE, ROMEO, logged)
    s.romeo.wait_presence(ALICE, None, SOON, since, show="away")
    assert subscribes(s, ROMEO, "alice")[1] == dialogs


def test_a_client_that_comes_online_is_told_at_once(s):
    """A probe is answered from what is known."""
    friend(s, s.romeo)
    since = mark(s.romeo)
    s.alice.publish("busy", "not now")
    s.romeo.wait_presence(ALICE, None, SOON, since, show="dnd")
    with another(s, "street") as street:
        street.wait_presence(ALICE, None, SOON, show="dnd", status="not now")


def test_who_may_not_watch(s):
    """F25; check 98: no grant, no such user."""
    since = mark(s.romeo)
    s.romeo.presence("subscribe", to="carol@contoso.example", id="carol")
    error = s.romeo.wait_presence("carol@contoso.example", "error", SOON, since)
    assert (error["error"]["type"], error["error"]["condition"]) == ("auth", "forbidden"), error
    assert "carol@" not in s.kamailio.log(), "the table is asked before anything is sent"
    s.rig.policy((*GRANTED, "ghost"))
    s.gateway.reload()
    s.romeo.presence("subscribe", to="ghost@contoso.example", id="ghost")
    error = s.romeo.wait_presence("ghost@contoso.example", "error", SOON, since)
    assert error["error"]["condition"] == "item-not-found", error
    s.rig.policy(GRANTED)
    s.gateway.reload()


# -- a SIP user watches an XMPP user ---------------------------------------------------------------------------------


def test_a_sip_user_adds_an_xmpp_user_and_sees_him(s):
    """F85; checks 67, 68, 80, 87, 89."""
    since = unwatched(s, s.romeo)
    s.romeo.presence(show="away", status="in the grove", lang="en")
    watch = s.alice.watch(ROMEO)
    assert watch.status == 200 and 0 < watch.granted <= 3600, (watch.status, watch.granted)
    first = watch.wait_state("pending", timeout=SOON)
    assert first["expires"] and first["event_header"].startswith("presence"), first
    assert not (first["presence"] or {}).get("tuples") or first["shows"] == "offline", "nothing is told before approval"
    asked = s.romeo.wait_presence(ALICE, "subscribe", SOON, since)
    assert asked["from"] == ALICE, "bare to bare"
    s.romeo.presence("subscribed", to=ALICE)
    watch.wait_state("active", timeout=SOON)
    told = watch.wait_shows("away", PACED)
    assert told["content_type"].startswith("application/pidf+xml") and "bad" not in told, told
    document = told["presence"]
    assert document["entity"] == "pres:" + ROMEO, document
    one = tuples(document)["balcony"]
    assert one["contact"] == f"sip:{ROMEO};gr=balcony" and one["id"].startswith("ID-"), one
    assert (one["basic"], one["show"], one["timestamp"] is not None) == ("open", "away", True), one
    assert one["notes"] == [{"text": "in the grove", "lang": "en"}], one
    assert document["activities"] == ["away"] and one["user_input"] == "idle", document


def test_states_of_an_xmpp_user_are_shown(s):
    """F87, checks 84-86: XMPP to SIP. All are asked for, and what changes is told."""
    s.romeo.presence(show="xa", status="before")
    watch = approved(s, s.romeo)
    watch.wait_shows("away", PACED)
    for show, basic, activities, typing in ((None, "open", [], "active"), ("away", "open", ["away"], "idle"),
                                            ("xa", "open", ["away"], "idle"), ("chat", "open", [], "active"),
                                            ("dnd", "open", ["busy"], "active")):
        s.romeo.presence(show=show, priority=127)
        told = fetch(s, s.romeo)
        one = tuples(told)["balcony"]
        assert (one["basic"], one["show"], told["activities"], one["user_input"]) == (basic, show, activities, typing), told
        assert float(one["priority"]) == 1, one
    watch.wait_shows("busy", PACED)
    s.romeo.presence("unavailable")
    told = watch.wait_shows("offline", PACED)
    assert [t["basic"] for t in told["presence"]["tuples"]] == ["closed"], told
    s.romeo.presence(priority=-1)
    told = watch.wait_shows("online", PACED, len(watch.notifies) - 1)
    assert tuples(told["presence"])["balcony"]["priority"] is None, "a negative priority is not mapped"
    s.romeo.presence()


def test_two_resources_are_two_tuples(s):
    """Checks 87 and 88."""
    unwatched(s, s.romeo)
    s.romeo.presence(show="dnd", priority=5)
    with another(s, "street") as street:
        street.presence(priority=10, status="walking")
        barrier(street)
        watch = approved(s, s.romeo)
        told = watch.wait(lambda n: n["presence"] and {"balcony", "street"} <= tuples(n["presence"]).keys()
                          and tuples(n["presence"])["street"]["notes"], "two tuples", PACED)
        both = tuples(told["presence"])
        assert both["balcony"]["show"] == "dnd" and both["street"]["show"] is None, both
        assert both["street"]["priority"] > both["balcony"]["priority"], both
        assert len({t["id"] for t in both.values()}) == 2, both
        before = len(watch.notifies)
        street.presence("unavailable")
        told = watch.wait(lambda n: n["presence"] and tuples(n["presence"]).get("street", {}).get("basic") != "open",
                          "one of them gone", PACED, before)
        assert tuples(told["presence"])["balcony"]["id"] == both["balcony"]["id"], "ids are stable"


def test_many_changes_are_few_notifies(s):
    """Checks 90 and 91: one in 5 s, and the last state wins."""
    watch = approved(s, s.romeo)
    seen = len(watch.notifies)
    for n in range(20):
        s.romeo.presence(show="away" if n % 2 else "dnd", status=f"change {n}")
    s.romeo.presence(show="xa", status="the last")
    watch.wait(lambda n: n["presence"] and "the last" in n["body"], "the last state", PACED, seen)
    told = watch.notifies[seen:]
    assert len(told) <= 3, watch.brief()
    gaps = [b["at"] - a["at"] for a, b in zip(told, told[1:])]
    assert all(gap > PACE - 0.5 for gap in gaps), gaps
    stamps = [tuples(n["presence"])["balcony"]["timestamp"] for n in told]
    assert len(set(stamps)) == len(stamps), stamps


def test_a_denied_sip_user_is_told(s):
    """F90; check 80."""
    since = unwatched(s, s.juliet)
    watch = s.alice.watch(JULIET)
    s.juliet.wait_presence(ALICE, "subscribe", SOON, since)
    s.juliet.presence("unsubscribed", to=ALICE)
    last = watch.wait_state("terminated", "rejected", SOON)
    assert not any(n["shows"] in ("online", "away", "busy") for n in watch.notifies), last


def test_an_approval_that_an_xmpp_user_takes_back(s):
    watch = approved(s, s.juliet)
    s.juliet.presence("unsubscribed", to=ALICE)
    watch.wait_state("terminated", "rejected", SOON)


def test_a_sip_user_removes_an_xmpp_user_and_adds_him_again(s):
    """F89; check 81: the dialog ends, the authorization stays, nobody is asked twice."""
    stranger(s, s.juliet)
    s.juliet.presence()
    watch, since = approved(s, s.juliet), mark(s.juliet)
    watch.wait_shows("online", PACED)
    assert watch.subscribe(0) == 200
    last = watch.wait_state("terminated", "timeout", SOON)
    assert last["shows"] in (None, "offline") and not (last["body"] if "body" in last else "").count(">open<"), last
    s.juliet.wait_presence(ALICE, "unavailable", SOON, since)
    again = s.alice.watch(JULIET)
    again.wait_state("active", timeout=SOON)
    assert "pending" not in [n["state"] for n in again.notifies], again.brief()
    again.wait(lambda n: n["shows"], "a state", PACED)
    assert not s.juliet.presences(ALICE, "subscribe", since), "asked twice"


def test_a_sip_user_who_is_seen_the_other_way_does_not_seem_to_leave(s):
    """RFC 8048 5.3.3 has `unavailable` sent when her watch ends: it would be untrue for one who watches her."""
    friend(s, s.romeo)
    watch, since = approved(s, s.romeo), mark(s.romeo)
    assert watch.subscribe(0) == 200
    watch.wait_state("terminated", "timeout", SOON)
    barrier(s.romeo)
    assert not s.romeo.presences(ALICE, "unavailable", since)
    seen(s, s.romeo)


def test_a_refresh_is_answered_with_the_state(s):
    """Checks 67, 82, 96."""
    watch = approved(s, s.romeo)
    watch.wait(lambda n: n["presence"], "a document", PACED)
    seen = len(watch.notifies)
    assert watch.subscribe(1800) == 200 and watch.granted <= 1800
    told = watch.wait_state("active", timeout=SOON, since=seen)
    assert int(told["expires"]) <= 1800, told
    marked = s.alice.watch(ROMEO, event_id="7")
    assert marked.wait_state("active", timeout=SOON)["event_header"].replace(" ", "") == "presence;id=7"
    marked.event_id = "8"
    assert marked.subscribe(600) >= 400, "another id is another subscription"
    marked.event_id = "7"
    assert marked.subscribe(0) == 200


def test_a_fetch(s):
    """Check 83."""
    approved(s, s.romeo).wait(lambda n: n["presence"], "a document", PACED)
    since = mark(s.romeo)
    fetch = s.alice.watch(ROMEO, expires=0)
    assert (fetch.status, fetch.granted) == (200, 0), (fetch.status, fetch.granted)
    fetch.wait_state("terminated", "timeout", SOON)
    assert len(fetch.notifies) == 1, fetch.brief()
    assert not s.romeo.presences(ALICE, "subscribe", since)


def test_subscribe_requests_that_are_refused(s):
    """F91; checks 92 and 94."""
    assert s.alice.watch(ROMEO, accept="application/xpidf+xml").status == 406
    lync = ("application/msrtc-event-categories+xml, application/xpidf+xml, text/xml+msrtc.pidf, application/pidf+xml, "
            "application/rlmi+xml, multipart/related")
    watch = s.alice.watch(ROMEO, accept=lync)
    assert watch.status == 200, watch.status
    s.alice.watches[-1].subscribe(0)
    assert s.alice.watch(ROMEO, accept=None).status == 200, "no Accept means PIDF"
    s.alice.watches[-1].subscribe(0)
    assert s.alice.watch(ROMEO, headers=[("Require", "nothing-we-know")]).status == 420
    odd = sip_presence.Watch(s.alice, ROMEO)
    odd.package = "dialog"
    assert odd.subscribe() == 489
    s.rig.policy(("bob",))
    s.gateway.reload()
    assert s.alice.watch(ROMEO).status == 403
    assert s.alice.watch("nobody@unlisted.example").status == 403
    s.rig.policy(GRANTED)
    s.gateway.reload()


def test_an_xmpp_user_who_does_not_exist(s):
    """RFC 6121 8.5.1: his server says nothing at all, so that nobody can find out who is there."""
    logged = len(s.capulet.log())
    watch = s.alice.watch("nobody@capulet.example")
    server_got(s, "subscribe", ALICE, "nobody@capulet.example", logged)
    barrier(s.romeo)
    assert watch.status == 200 and {n["state"] for n in watch.notifies} == {"pending"}, watch.brief()
    assert not watch.document, watch.document
    watch.end()
    watch.wait_state("terminated", "timeout", SOON)


def test_a_server_that_says_who_does_not_exist(s):
    """The error has the id of the request; one with another is no answer to it."""
    since = unwatched(s, s.juliet)
    watch = s.alice.watch(JULIET)
    asked = s.juliet.wait_presence(ALICE, "subscribe", SOON, since)
    error = ("<presence type='error' to='{}' id='{}'><error type='cancel'>"
             "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>")
    s.juliet.send_xml(error.format(ALICE, "another"))
    barrier(s.juliet)
    assert watch.state == "pending", watch.brief()
    s.juliet.send_xml(error.format(ALICE, asked["id"]))
    watch.wait_state("terminated", "noresource", SOON)


# -- the real user agent ---------------------------------------------------------------------------------------------


def test_linphone_sees_xmpp_users(s):
    """F85, F87 with liblinphone: dnd, away, offline, and the note."""
    for client, contact in ((s.romeo, ROMEO), (s.juliet, JULIET)):
        since = mark(client)
        client.presence()
        s.bob.watch(contact)
        wait_for(f"{contact} to be asked by bob or to have approved",
                 lambda: client.presences(BOB, "subscribe", since) or (s.bob.shown(contact) or {}).get("open"))
        client.presence("subscribed", to=BOB)
        s.bob.wait_shows(contact, "Online", PACED)
    s.romeo.presence(show="dnd", status="wooing", lang="en")
    s.juliet.presence(show="away")
    s.bob.wait_shows(ROMEO, "Busy", PACED, notes=[["wooing", "en"]])
    s.bob.wait_shows(JULIET, "Away", PACED)
    s.romeo.presence("unavailable")
    s.juliet.presence()
    s.bob.wait_shows(ROMEO, "Offline", PACED)
    s.bob.wait_shows(JULIET, "Online", PACED)
    s.romeo.presence()


def test_linphone_is_seen_by_an_xmpp_user(s):
    """F86, F87 with liblinphone."""
    friend(s, s.romeo, "bob")
    def shown(type_, state, **more):
        """liblinphone forgets a change that comes while its PUBLISH before is not answered: then it is told again."""
        since = mark(s.romeo)
        for patience in (SOON, SOON):
            s.bob.publish(state, **more)
            try:
                told = {"status": more["note"]} if more else {}
                return s.romeo.wait_presence(BOB, type_, patience, since, **told)
            except RigError as why:
                missed = why
        raise missed

    for state, show in (("away", "away"), ("busy", "dnd"), ("online", None)):
        got = shown(None, state, note=f"bob is {state}", lang="en")
        assert got.get("show") == show, got
    shown("unavailable", "offline")


def test_linphone_removes_an_xmpp_user(s):
    """F89."""
    since = mark(s.romeo)
    s.bob.forget(ROMEO)
    s.romeo.wait_presence(BOB, "unavailable", SOON, since)
