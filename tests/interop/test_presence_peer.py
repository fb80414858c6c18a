"""Presence against a SIP server that plays badly: what Kamailio would never send, by the rows of RFC 6665 and 3856.

No Kamailio here: a script with its certificate stands at its address and decides about every byte.
"""
import itertools
import time
from types import SimpleNamespace

import pidf
import sip_presence
from presence_usual import GRANTED, JULIET, PACED, SOON, barrier, mark, server_got
from rig import ROMEO, wait_for
from usual import usual

NEEDS_GATEWAY = True
_number = itertools.count(1)
STORM = 100  # the number of the first user whom the storm is about
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def scene(rig):
    s = usual(rig, grants=(*GRANTED, *(f"user{n}" for n in range(1, STORM + 600))), agents=(), users=("romeo", "juliet"),
              kamailio=False)
    s.edge, s.postponed = sip_presence.edge(rig), None
    s.juliet = rig.xmpp_client(JULIET + "/chamber")
    return s


def asked(s, client=None, answer=None, timeout=SOON):
    """A new SIP user whom romeo asks: his name, romeo's mark, and the dialog (None where `answer` refused it)."""
    client, user = client or s.romeo, f"user{next(_number)}@contoso.example"
    s.edge.answer_subscribe = answer or (lambda message: (200, []))
    since = mark(client)
    client.presence("subscribe", to=user)
    wait_for(f"a SUBSCRIBE for {user}", lambda: requests(s, user), timeout)
    def dialog():
        return next((w for w in reversed(s.edge.watched) if w.local == f"sip:{user}"), None)
    return SimpleNamespace(user=user, since=since,
                           dialog=dialog() if answer else wait_for(f"the dialog of {user}", dialog, timeout))


def requests(s, user):
    """The SUBSCRIBE requests of all dialogs about a user, oldest first."""
    return [r for r in s.edge.requests if r.method == "SUBSCRIBE" and f"sip:{user}" in r.get("to")]


def document(user, state="online", note=None, **more):
    return pidf.write("pres:" + user, state, note, **more)


def active(s, **more):
    """As `asked`, approved and online."""
    a = asked(s, **more)
    assert a.dialog.notify("active", body=document(a.user)) == 200
    s.romeo.wait_presence(a.user, "subscribed", SOON, a.since)
    s.romeo.wait_presence(a.user, None, SOON, a.since)
    a.since = mark(s.romeo)
    return a


def quiet(s, a, *kinds):
    """romeo was told nothing of those kinds."""
    barrier(s.romeo)
    assert not [p for p in s.romeo.presences(a.user, since=a.since) if p.get("type") in kinds]


# -- the SUBSCRIBE and its answers -----------------------------------------------------------------------------------


def test_the_request_itself(s):
    """F56, F91."""
    a = asked(s)
    request = a.dialog.requests[0]
    assert request.start == f"SUBSCRIBE sip:{a.user} SIP/2.0", request.start
    assert request.get("event") == "presence" and request.get("accept") == "application/pidf+xml", request.headers
    assert request.get("expires") == "28800" and request.get("max-forwards") == "70", request.headers
    assert "gw.contoso.example" in request.get("contact") and "transport=tls" in request.get("contact").lower()
    assert f"<sip:{ROMEO}>" in request.get("from") and ";gr=" not in request.get("from"), "bare to bare"


def test_202_is_200(s):
    """Check 69."""
    sip_presence.REASONS[202] = "Accepted"
    a = asked(s, answer=lambda message: (202, [("Expires", "600")]))
    quiet(s, a, "error", "unsubscribed", "subscribed")


def test_a_notify_before_the_answer(s):
    """Check 70."""
    told = []
    s.edge.before_answer = lambda watched: told.append(watched.notify("active", body=document("x@contoso.example")))
    try:
        a = asked(s)
        wait_for("an answer to the NOTIFY", lambda: told, SOON)
    finally:
        s.edge.before_answer = lambda watched: None
    assert told == [200], told
    s.romeo.wait_presence(a.user, "subscribed", SOON, a.since)


def test_a_fork_gets_481(s):
    """Check 71."""
    a = asked(s)
    assert a.dialog.notify("pending") == 200
    fork = sip_presence.Watched(s.edge, a.dialog.requests[0])
    assert fork.notify("active", body=document(a.user)) == 481
    quiet(s, a, "subscribed", None)


def test_codes_that_cancel(s):
    """Check 74."""
    for status in (403, 489, 603):
        a = asked(s, answer=lambda message, status=status: (status, []))
        s.romeo.wait_presence(a.user, "unsubscribed", SOON, a.since)
        assert len(requests(s, a.user)) == 1, status


def test_codes_for_users_who_are_not_there(s):
    for status in (404, 410, 604):
        a = asked(s, answer=lambda message, status=status: (status, []))
        error = s.romeo.wait_presence(a.user, "error", SOON, a.since)
        assert error["error"]["condition"] in ("item-not-found", "gone"), (status, error)


def test_423_is_asked_again_with_more(s):
    """Check 75."""
    answer = lambda message: (200, []) if int(message.get("expires")) >= 50000 else (423, [("Min-Expires", "50000")])
    a = asked(s, answer=answer)
    wait_for("a second request", lambda: len(requests(s, a.user)) == 2, SOON)
    assert [int(r.get("expires")) >= 50000 for r in requests(s, a.user)] == [False, True]
    quiet(s, a, "error", "unsubscribed")


def test_a_server_that_is_out_of_order(s):
    """One error for romeo, and it goes on trying. Until then the server is left alone (RFC 3261 21.5.4)."""
    a = asked(s, answer=lambda message: (503, [("Retry-After", "1")]))
    error = s.romeo.wait_presence(a.user, "error", SOON, a.since)
    assert error["error"]["condition"] == "remote-server-timeout", error
    quiet(s, a, "unsubscribed")
    s.edge.answer_subscribe = lambda message: (200, [])
    asking = itertools.count(STORM + 500)
    def taken():
        user, since = f"user{next(asking)}@contoso.example", mark(s.romeo)
        s.romeo.presence("subscribe", to=user)
        wait_for(f"an answer for {user}", lambda: requests(s, user) or s.romeo.presences(user, "error", since), SOON)
        return requests(s, user)
    assert not taken(), "the server was asked in its pause"
    wait_for("the pause to be over", taken, SOON, every=0.25)


# -- NOTIFY ----------------------------------------------------------------------------------------------------------


def test_pending_says_nothing_and_active_without_a_body_approves(s):
    """Checks 72 and 73."""
    a = asked(s)
    assert a.dialog.notify("pending") == 200
    quiet(s, a, None, "subscribed", "unavailable", "error")
    assert a.dialog.notify("active") == 200
    s.romeo.wait_presence(a.user, "subscribed", SOON, a.since)


def test_a_notify_without_a_body_changes_nothing(s):
    """Check 88."""
    a = active(s)
    assert a.dialog.notify("active") == 200
    quiet(s, a, "unavailable", "unsubscribed")


def test_a_notify_outside_of_every_dialog_gets_481(s):
    """Check 95."""
    a = active(s)
    stray = sip_presence.Watched(s.edge, a.dialog.requests[0])
    stray.call_id = "no-such-call"
    assert stray.notify("active", body=document(a.user, "busy")) == 481
    stray = sip_presence.Watched(s.edge, a.dialog.requests[0])
    stray.remote_tag = "not-its-tag"
    assert stray.notify("active", body=document(a.user, "busy")) == 481
    quiet(s, a, None, "unavailable")


def test_a_notify_with_an_old_cseq(s):
    a = active(s)
    a.dialog.cseq = itertools.count(0)
    assert a.dialog.notify("active", body=document(a.user, "busy")) == 500
    quiet(s, a, None, "unavailable")


def test_subscription_state_that_is_missing_or_oddly_spaced(s):
    a = active(s)
    assert 400 <= a.dialog.notify(header="", body=document(a.user, "away")) < 500
    quiet(s, a, None, "unavailable", "unsubscribed")
    assert a.dialog.notify(header="Active ;  expires = 600 ; x=\"a;b\"", body=document(a.user, "busy")) == 200
    s.romeo.wait_presence(a.user, None, SOON, a.since, show="dnd")


def test_documents_that_are_none(s):
    """Check 89: answered, and the last good state is kept."""
    a = active(s)
    bad = {
        "cut off": document(a.user, "busy")[:-20],
        "DTD": HEAD + '<!DOCTYPE p [<!ENTITY a "b">]>' + document(a.user, "busy", "&a;").removeprefix(HEAD),
        "another root": HEAD + "<presence xmlns='jabber:client'/>",
        "not UTF-8": document(a.user, "busy", "x").encode().replace(b">x<", b">\xff\xfe<"),
        "a prefix of nobody's": document(a.user, "busy").replace("<note", "<no:note").replace("tuple", "no:tuple"),
        "empty": HEAD,
    }
    for name, body in bad.items():
        assert 400 <= a.dialog.notify("active", body=body) < 500, name
        quiet(s, a, "unavailable", "unsubscribed", None)
    assert a.dialog.notify("active", body=document(a.user), content_type="text/plain") == 415
    assert a.dialog.notify("active", body=document(a.user, "away")) == 200, "the dialog lives on"
    s.romeo.wait_presence(a.user, None, SOON, a.since, show="away")


def test_documents_that_are_too_big(s):
    a = active(s)
    many = "".join(f'<tuple id="x{n}"><status><basic>open</basic></status></tuple>' for n in range(1000))
    answer = a.dialog.notify("active", body=document(a.user, more=many))
    barrier(s.romeo)
    told = {p["from"] for p in s.romeo.presences(a.user, None, a.since)}
    assert answer >= 400 and not told or answer == 200 and len(told) <= 100, (answer, len(told))
    try:  # ten megabytes: an answer, or the end of the link
        assert a.dialog.notify("active", body=document(a.user, "busy", "x" * 10_000_000)) in (400, 413)
    except OSError:
        pass
    b = active(s)
    assert b.dialog.notify("active", body=document(b.user, "away")) == 200, "others go on"
    s.romeo.wait_presence(b.user, None, SOON, b.since, show="away")


def test_elements_that_nobody_knows(s):
    """Check 89; 3863 §4.2.3: what must be understood and is not makes its status unknown."""
    a = active(s)
    more = ('<x:weather xmlns:x="urn:example:x">rain</x:weather>'
            '<tuple id="o"><status><x:y xmlns:x="urn:example:x"/></status></tuple>')
    assert a.dialog.notify("active", body=document(a.user, "busy", more=more)) == 200
    s.romeo.wait_presence(a.user, None, SOON, a.since, show="dnd")


def test_microsofts_activities(s):
    """As lync.md has it: the activity is text inside of status."""
    a = active(s)
    body = document(a.user, "online").replace(
        "</basic>", '</basic><ep:activities xmlns:ep="urn:ietf:params:xml:ns:pidf:status:rpid-status">'
                    "<ep:activity>busy</ep:activity></ep:activities>")
    assert a.dialog.notify("active", body=body) == 200
    s.romeo.wait_presence(a.user, None, SOON, a.since, show="dnd")


# -- the ends of a subscription, check 76 ------------------------------------------------------------------------------


def end(s, reason, **more):
    """An active watch whose dialog the server ends for that reason."""
    a = active(s)
    a.before, a.at = len(requests(s, a.user)), time.monotonic()
    assert a.dialog.notify("terminated", reason=reason, **more) == 200
    return a


def again(s, a, timeout=SOON):
    """A new dialog of the same watch."""
    wait_for(f"a new SUBSCRIBE for {a.user}", lambda: len(requests(s, a.user)) > a.before, timeout)
    request = requests(s, a.user)[a.before]
    assert "tag=" not in request.get("to"), "in a new dialog"
    return time.monotonic() - a.at


def test_rejected(s):
    a = end(s, "rejected")
    s.romeo.wait_presence(a.user, "unsubscribed", SOON, a.since)
    s.romeo.wait_presence(a.user, "unavailable", SOON, a.since)
    assert len(requests(s, a.user)) == a.before


def test_noresource(s):
    a = end(s, "noresource")
    s.romeo.wait_presence(a.user, "unsubscribed", SOON, a.since)


def test_deactivated_and_timeout_ask_again_at_once(s):
    for reason in ("deactivated", "timeout"):
        a = end(s, reason)
        again(s, a)
        quiet(s, a, "unsubscribed")


def test_the_document_of_a_last_notify_is_no_presence(s):
    """Kamailio's last NOTIFY carries the open state of someone who is no longer watched."""
    a = end(s, "rejected", body="" or document("x@contoso.example", "busy"))
    s.romeo.wait_presence(a.user, "unavailable", SOON, a.since)
    barrier(s.romeo)
    assert s.romeo.presences(a.user, since=a.since)[-1].get("type") in ("unavailable", "unsubscribed")


def test_probation_keeps_the_authorization(s):
    a = s.postponed = end(s, "probation", retry_after=3)
    s.romeo.wait_presence(a.user, "unavailable", SOON, a.since)
    quiet(s, a, "unsubscribed")


def test_giveup_and_an_unknown_reason_keep_the_authorization(s):
    for reason in ("giveup", "because-i-can"):
        a = end(s, reason)
        quiet(s, a, "unsubscribed")


def test_invariant_keeps_the_state(s):
    a = end(s, "invariant")
    quiet(s, a, "unsubscribed", "unavailable")
    assert len(requests(s, a.user)) == a.before


def test_romeo_takes_it_back(s):
    """Check 79: in the dialog, with its CSeq, and the last NOTIFY is answered."""
    a = active(s)
    logged = len(s.capulet.log())
    s.romeo.presence("unsubscribe", to=a.user)
    wait_for("SUBSCRIBE with Expires 0", lambda: a.dialog.expires == 0, SOON)
    first, last = a.dialog.requests[0], a.dialog.requests[-1]
    assert int(last.get("cseq").split()[0]) > int(first.get("cseq").split()[0])
    server_got(s, "unsubscribed", a.user, ROMEO, logged)
    assert a.dialog.notify("terminated", reason="timeout") == 200


# -- the gateway as the one who tells ----------------------------------------------------------------------------------


def watched_by_user(s):
    """A SIP user whom the script speaks for watches juliet, and she approves."""
    s.edge.uri = f"sip:user{next(_number)}@contoso.example"
    since, contact = mark(s.juliet), s.edge.uri.removeprefix("sip:")
    s.juliet.presence()
    watch = s.edge.watch(JULIET)
    assert watch.status == 200, watch.status
    s.juliet.wait_presence(contact, "subscribe", SOON, since)
    s.juliet.presence("subscribed", to=contact)
    watch.wait_state("active", timeout=SOON)
    watch.wait_shows("online", PACED)
    return watch


def test_codes_to_a_notify_that_end_the_dialog(s):
    """Check 93."""
    watches = {status: watched_by_user(s) for status in (481, 404, 489, 501)}
    codes = {watch.call_id: status for status, watch in watches.items()}
    for status in codes.values():
        sip_presence.REASONS.setdefault(status, "No")
    before = len(s.edge.requests)
    s.edge.answer_notify = lambda message: codes.get(message.get("call-id"))
    try:
        s.juliet.presence(show="away", status="for them all")
        for watch in watches.values():
            wait_for("a NOTIFY", lambda: any(r.method == "NOTIFY" and r.get("call-id") == watch.call_id
                                             for r in s.edge.requests[before:]), PACED)
    finally:
        s.edge.answer_notify = lambda message: None
    for status, watch in watches.items():
        assert watch.subscribe() == 481, status


def test_a_resource_of_1023_octets(s):
    watch = watched_by_user(s)
    long = s.rig.xmpp_client(JULIET + "/" + "r" * 1023)
    told = watch.wait(lambda n: n["presence"] and len([t for t in n["presence"]["tuples"] if t["basic"] == "open"]) == 2,
                      "two tuples", PACED)
    assert "bad" not in told and all(len(t["id"]) < 256 for t in told["presence"]["tuples"]), told
    long.part.stop()


def test_an_error_without_an_error_element(s):
    """It ends nothing but what it is about, and never the stream."""
    watch = watched_by_user(s)
    contact = s.edge.uri.removeprefix("sip:")
    s.juliet.send_xml(f"<presence type='error' to='{contact}'/>")
    s.juliet.presence(show="away")
    barrier(s.juliet)
    assert watch.subscribe() in (200, 481)


def test_a_storm_of_subscribes(s):
    """Capped, answered, and others go on."""
    s.edge.answer_subscribe = lambda message: (200, [])
    for n in range(500):  # Prosody writes its roster anew for each
        s.juliet.presence("subscribe", to=f"user{STORM + n}@contoso.example")
    barrier(s.juliet, 60)
    a = active(s)
    assert a.dialog.notify("active", body=document(a.user, "away")) == 200
    s.romeo.wait_presence(a.user, None, SOON, a.since, show="away")


def test_probation_waits_as_long_as_it_is_told(s):
    """Check 77. The last of this file: what it waits for is under way since the other one."""
    a = s.postponed or end(s, "probation", retry_after=3)
    s.edge.answer_subscribe = lambda message: (200, [])
    assert again(s, a, 90) >= 3
    quiet(s, a, "unsubscribed")
