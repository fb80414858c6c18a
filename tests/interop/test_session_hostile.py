"""What SIP users send to harm sessions, and what happens to sessions meanwhile: the gateway answers, and goes on."""
import json
import threading
import time

import sip_chat
import sip_peer
from rig import ALICE, BOB, GATEWAY, ROMEO, SIPS, run_verb, wait_for
from test_session_wires import Dialog, final
from usual import UNLIMITED, never_came, restart, usual

NEEDS_GATEWAY = True
STATES = "http://jabber.org/protocol/chatstates"
IM = 'identity = ["edge.contoso.example"]'
AUDIO = "m=audio 50000 RTP/SAVP 0"


def scene(rig):
    s = usual(rig, grants=("alice", "bob"), agents=())
    s.changes = [(IM, IM + '\nim = "ms-session"'), ("[metrics]", UNLIMITED + "[metrics]")]
    restart(s, changes=s.changes)
    s.alice, s.bob = sip_chat.user(rig, "alice"), sip_chat.user(rig, "bob")
    s.said = 0
    return s


def still_works(s):
    """bob and romeo have a conversation, now."""
    s.said += 1
    there, back = f"still there {s.said}", f"still back {s.said}"
    talk = s.bob.talk(ROMEO)
    assert talk.answer.status == 200, talk.answer.start
    assert talk.text(there) == 200
    s.romeo.wait_body(there)
    s.romeo.send(BOB, back)
    talk.wait_text(back)
    assert talk.bye() == 200


def listed(s, *more):
    status, out, err = run_verb("sessions", "--json", "-c", s.gateway.config, *more)
    assert status == 0, err
    return json.loads(out)["sessions"]


def none_of(s, user):
    wait_for(f"no session of {user}", lambda: not [r for r in listed(s) if r["user"] == user])


def test_offers_of_every_shape_have_one_answer(s):
    """RFC 3264 §6; the answer to two media refuses what is no text with port 0."""
    sdp = sip_chat.ms_sdp
    for status, offer in [
            (200, sdp(more=(AUDIO,))), (200, sdp().replace("t=0 0\r\n", f"t=0 0\r\n{AUDIO}\r\n")),
            (200, sdp().replace("IP4 192.0.2.1", "IP6 2001:db8::1")),
            (488, sdp(line="m=message 0 sip null")), (488, sdp(line=AUDIO)),
            (488, sdp(line="m=message 2855 TCP/MSRP *")),
            (400, "no=description\r\n"), (400, "\0\0\0\0"), (400, sdp(more=("a",) * 2000)),
            (400, sdp(more=(AUDIO,) * 40)), (400, sdp(line="m=message 99999999 sip null"))]:
        talk = s.alice.talk(ROMEO, offer)
        assert talk.answer.status == status, (talk.answer.start, offer[:300])
        if status == 200:
            if AUDIO in offer:
                assert b"m=audio 0 " in talk.answer.body, talk.answer.body
            assert talk.text("a word") == 200
            assert talk.bye() == 200
    none_of(s, ALICE)
    still_works(s)


def test_a_description_of_64_kib(s):
    """From the server itself, for no datagram is as long: answered or cut off, and nothing is kept."""
    for n, more in enumerate((("a=x:" + "y" * 63_000,), ("a=x:y",) * 9_000, ("a=x:" + "y" * 200_000,))):
        s.link = sip_peer.connect((s.rig.ip(GATEWAY), s.rig.port(SIPS)), s.rig.pki, "edge")
        dialog = Dialog(f"long{n}")
        answer = final(s, dialog.request("INVITE", sip_chat.ms_sdp(more=more), ["Content-Type: application/sdp"]))
        assert answer.status in (200, 400, 413, 513), answer.start
        if answer.status == 200:
            assert len(answer.body) < 2000, "what we don't know is not repeated"
            dialog.tag = ";tag=" + answer.get("to").split(";tag=")[1]
            s.link.send(dialog.request("ACK"))
            assert final(s, dialog.request("BYE")).status == 200
        s.link.close()
    none_of(s, ALICE)
    still_works(s)


def test_a_first_text_that_is_no_base64_is_left_to_the_message(s):
    for n, wrong in enumerate(("ms-body=%%%%", "ms-body=", "ms-body=gICAgA==", "ms-body=QQ", "charset", "ms-body=" + "QUFB" * 700)):
        value = "text/plain; charset=UTF-8;" + wrong
        talk = s.alice.talk(ROMEO, headers=[("Supported", "ms-text-format"), ("ms-text-format", value)])
        assert talk.answer.status == 200, (wrong[:20], talk.answer.start)
        text = f"said properly {n}"
        assert talk.text(text) == 200
        s.romeo.wait_body(text)
        assert talk.bye() == 200
    still_works(s)


def test_a_bye_in_mid_message_loses_and_doubles_nothing(s):
    """The text that alice refuses with 481 after her BYE is in the next session, those behind it too."""
    texts, before, went = [f"in the middle {n}" for n in range(6)], len(s.alice.talks), threading.Event()

    def judge(message):
        if message.method == "MESSAGE" and message.text == texts[2] and not went.is_set():
            went.set()
            threading.Thread(target=s.alice.talks[before].bye, daemon=True).start()
            return 481
        return 200
    s.alice.judge = judge
    for text in texts:
        s.romeo.send(ALICE, text)
    again = s.alice.wait_talk(ROMEO, count=before + 2)
    again.wait_text(texts[-1])
    first = s.alice.talks[before]
    assert first.texts() == texts[:3] and again.texts() == texts[2:], (first.texts(), again.texts())
    assert len(s.alice.talks) == before + 2, "one next session"
    s.alice.judge = lambda message: 200
    assert again.bye() == 200
    assert not [e for e in s.romeo.events() if e.get("type") == "error"]
    none_of(s, ALICE)


def test_both_invite_each_other(s):
    """romeo's INVITE rings at alice while hers comes: her 491 sends his texts into her session, once."""
    texts, before, came = ["glare 0", "glare 1"], len(s.alice.talks), threading.Event()

    def decide(message):
        came.set()
        wait_for("our own session", lambda: s.mine.answer)
        return 491, [], None
    s.alice.decide = decide
    s.mine = sip_chat.Talk(s.alice, "glare@" + s.alice.host, s.alice.uri, f"sip:{ROMEO}")
    for text in texts:
        s.romeo.send(ALICE, text)
    assert came.wait(10)
    s.alice.talks.append(s.mine)
    assert s.mine.invite(sip_chat.ms_sdp()).status == 200
    s.mine.wait_text(texts[-1])
    assert s.mine.texts() == texts
    s.alice.decide = lambda message: (200, [], sip_chat.ms_sdp())
    assert len(s.alice.talks) == before + 1
    assert s.mine.bye() == 200
    none_of(s, ALICE)


def test_a_change_while_another_is_open(s):
    """RFC 3261 §14.2, §12.2.2: a second re-INVITE before the ACK, a CSeq that goes back, a Call-ID of others."""
    talk = s.alice.talk(ROMEO)
    assert talk.answer.status == 200
    for _ in range(20):
        assert talk.invite(sip_chat.ms_sdp()).status == 200
    low = next(talk.cseq)
    talk.cseq = iter([low + 10, 1, low + 11, low + 12, low + 13])
    assert talk.text("forth") == 200
    assert talk.text("back in time") == 500
    call_id, talk.call_id = talk.call_id, "somebody-elses"
    assert talk.text("in another's dialog") == 481
    talk.call_id = call_id
    assert talk.text("as it should be") == 200
    s.romeo.wait_body("as it should be")
    never_came(s.romeo.messages(), "back in time")
    never_came(s.romeo.messages(), "in another's dialog")
    assert talk.bye() == 200


def test_a_stranger_in_a_dialog_is_481(s):
    """bob has heard of alice's dialog: he can neither speak in it nor end it."""
    talk = s.alice.talk(ROMEO)
    for method in ("MESSAGE", "BYE", "INFO", "UPDATE"):
        spy = sip_chat.Talk(s.bob, talk.call_id, s.bob.uri, talk.remote)
        spy.local_tag, spy.remote_tag, spy.target, spy.routes = talk.local_tag, talk.remote_tag, talk.target, talk.routes
        body = ("text/plain", "I am alice") if method == "MESSAGE" else ("application/xml", sip_chat.TYPING.format("type"))
        answer = spy.ask(method, [("Content-Type", body[0])], body[1])
        assert answer.status == 481, (method, answer.start)
    assert talk.text("I am") == 200
    s.romeo.wait_body("I am")
    never_came(s.romeo.messages(), "I am alice")
    assert talk.bye() == 200


def gone(s, whom, since):
    def fits(e):
        return (e["event"] == "message" and e["from"].split("/")[0] == whom and "gone " in e["xml"]
                and STATES in e["xml"])
    return [e for e in s.romeo.events()[since:] if fits(e)]


def revoked(s, change):
    """alice has a session in which romeo shows states; `change` takes the right away."""
    talk = s.alice.talk(ROMEO)
    assert talk.text("while I may") == 200
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat'><body>I know states</body><active xmlns='{STATES}'/></message>")
    talk.wait_text("I know states")
    since = len(s.romeo.events())
    s.alice.judge = lambda message: None if message.method == "BYE" else 200
    try:
        change()
        s.gateway.reload()
        talk.wait_end()
        wait_for("romeo to hear that she is gone", lambda: gone(s, ALICE, since))
        talk.ended = False
        # The BYE has no answer: so the session is not over, and she says what she can.
        for n in range(5):
            assert talk.text(f"not any more {n}") in (403, 404, 481)
            assert talk.typing() in (403, 404, 481)
        s.romeo.send(ALICE, "are you there", id=f"late-{since}")
        assert s.romeo.wait_error(f"late-{since}")
        assert len(gone(s, ALICE, since)) == 1, "said once"
        assert not [m for m in s.romeo.messages() if "not any more" in (m.get("body") or "")]
    finally:
        s.alice.judge = lambda message: 200
        s.rig.policy(("alice", "bob"))
        s.gateway.reload()


def test_a_grant_that_is_taken_away_ends_the_session(s):
    """Check 171."""
    def change():
        s.rig.policy(("bob",))
    revoked(s, change)
    still_works(s)


def test_a_partner_that_is_removed_ends_its_sessions(s):
    def change():
        s.rig.policy(("alice", "bob"), partner_type=False)
    revoked(s, change)
    still_works(s)


def test_a_flood_of_invitations_is_bounded_and_others_are_served(s):
    """One user has 100 sessions at most, by the defaults; the rest is 480 with Retry-After."""
    talks = [s.alice.talk(ROMEO) for _ in range(130)]
    statuses = [t.answer.status for t in talks]
    mine = [r for r in listed(s) if r["user"] == ALICE and r["state"] == "open"]
    assert 90 < statuses.count(200) == len(mine) <= 100 and set(statuses) == {200, 480}, (statuses.count(200), len(mine))
    assert all(t.answer.get("retry-after") for t in talks if t.answer.status == 480)
    still_works(s)
    for talk in talks:
        if talk.answer.status == 200:
            assert talk.bye() == 200
    wait_for("no session that is open", lambda: not [r for r in listed(s) if r["state"] == "open"])
    talk = s.alice.talk(ROMEO)
    assert talk.answer.status == 200 and talk.bye() == 200


def test_the_gateway_stops_with_50_sessions_open(s):
    """SIGTERM: a BYE in each, texts on their way arrive, and nobody waits for the end of the drain."""
    restart(s, changes=s.changes)
    talks = [s.alice.talk(ROMEO) for _ in range(25)] + [s.bob.talk(ROMEO) for _ in range(25)]
    rows = listed(s)
    assert [r["state"] for r in rows] == ["open"] * 50, rows
    assert {(r["user"], r["contact"], r["mode"], r["begun_by"]) for r in rows} == {
        (u, ROMEO, "ms-session", "sip") for u in (ALICE, BOB)}, rows
    assert [len(listed(s, "--user", user)) for user in (ALICE, BOB, ROMEO, "nobody@contoso.example")] == [25, 25, 50, 0]
    status, out, err = run_verb("sessions", "-c", s.gateway.config)
    assert status == 0 and ALICE in out and BOB in out, out + err
    begin = time.monotonic()
    s.gateway.process.terminate()
    assert s.gateway.process.wait(10) == 0
    assert time.monotonic() - begin < 4, s.gateway.log()[-2000:]
    assert all(t.ended for t in talks), [t.ended for t in talks].count(False)
    restart(s, changes=s.changes)
    assert talks[0].text("in a dialog of the one before") == 481
    still_works(s)
