"""Message sessions over MSRP between romeo's client and an endpoint that was written from RFC 4975.

The SIP part goes through Kamailio with Record-Route, the MSRP part from end to end over TLS.
"""
import json
import re
import secrets
import time

import msrp_peer
import sip_chat
from rig import ALICE, BOB, GATEWAY, ROMEO, run_verb, wait_for
from usual import UNLIMITED, restart, usual

NEEDS_GATEWAY = True
IM = 'identity = ["edge.contoso.example"]'
PORT = 2855


def scene(rig):
    s = usual(rig, grants=("alice", "bob"), agents=())
    rig.certificate("edge", "DNS:edge.contoso.example")
    restart(s, changes=[(IM, IM + '\nim = "msrp"'),
                        ("[metrics]", f'{UNLIMITED}[msrp]\nlisten = ["{rig.ip(GATEWAY)}:{PORT}"]\n'
                                     f'host = "{rig.ip(GATEWAY)}"\n[metrics]')])
    s.alice, s.bob = sip_chat.user(rig, "alice"), sip_chat.user(rig, "bob")
    s.far = msrp_peer.Endpoint(rig.ip(66), PORT, rig.pki)
    s.sessions = []
    s.alice.decide = s.bob.decide = lambda message: accept(s, message)
    return s


def accept(s, message):
    """Answers an offer as the passive end: the gateway connects."""
    session = s.far.session()
    offered = session.far(message.body)
    assert offered["setup"] in ("active", "actpass"), offered
    s.sessions.append(session)
    return 200, [], session.sdp("passive")


def opened(s, agent, target=ROMEO, setup="active", **more):
    """A session that our user opens: the dialog and the MSRP session, bound."""
    session = s.far.session()
    talk = agent.talk(target, session.sdp(setup, **more))
    assert talk.answer.status == 200, talk.answer.start
    answer = session.far(talk.answer.body)
    assert answer["m"].split()[2] == "TCP/TLS/MSRP", answer
    if setup == "active":
        assert answer["setup"] == "passive", answer
        assert session.connect() == 200
    return talk, session


def test_texts_cross_both_ways(s):
    """Check 42, 46: INVITE accepted on romeo's behalf, the far end connects."""
    talk, session = opened(s, s.alice)
    sent = session.send("Hallo über MSRP, 你好")
    got = s.romeo.wait_body("Hallo über MSRP, 你好")
    assert got["from"].split("/")[0] == ALICE and got["type"] == "chat", got
    assert session.wait(sent.tids[0]) == 200
    s.romeo.send(ALICE, "Grüße zurück")
    session.wait_text("Grüße zurück")
    assert talk.bye() == 200


def test_cpim_crosses(s):
    talk, session = opened(s, s.alice)
    session.send(msrp_peer.cpim(ALICE, ROMEO, "wrapped up"), "message/cpim")
    s.romeo.wait_body("wrapped up")
    assert talk.bye() == 200


def test_the_gateway_opens_and_connects(s):
    """Check 41: what romeo writes while the INVITE is out arrives in order."""
    texts = [f"msrp {n:02}" for n in range(20)]
    for text in texts:
        s.romeo.send(BOB, text)
    talk = s.bob.wait_talk(ROMEO)
    session = s.sessions[-1]
    session.wait_text(texts[-1])
    assert session.texts() == texts
    first = next(f for f in session.frames if f.method == "SEND")
    assert len(first.tid) >= 11, "64 random bits"
    ident = msrp_peer.session_id(session.remote)
    assert len(ident) >= 14, "80 random bits in six or fewer each"
    session.send("and back")
    s.romeo.wait_body("and back")
    status, out, err = run_verb("sessions", "--json", "--user", BOB, "-c", s.gateway.config)
    rows = [{k: r[k] for k in ("user", "mode", "begun_by", "state", "to_sip", "waiting")} for r in json.loads(out)["sessions"]]
    assert rows == [{"user": BOB, "mode": "msrp", "begun_by": "xmpp", "state": "open", "to_sip": 20, "waiting": 0}], (rows, err)
    assert talk.bye() == 200


def test_chunks_in_any_order(s):
    """Check 44."""
    talk, session = opened(s, s.alice)
    text = secrets.token_hex(5000)
    sent = session.send(text, chunk=1000, order=[9, 0, 5, 4, 1, 2, 8, 3, 7, 6])
    s.romeo.wait_body(text)
    assert [session.wait(tid) for tid in sent.tids] == [200] * 10
    text = secrets.token_hex(100)
    session.send(text, chunk=50, total=False)
    s.romeo.wait_body(text)
    assert talk.bye() == 200


def test_what_is_given_up_is_not_delivered(s):
    """Check 44: "#" discards."""
    talk, session = opened(s, s.alice)
    session._frame("SEND", [("Message-ID", "given-up"), ("Byte-Range", "1-*/20"), ("Content-Type", "text/plain")],
                   b"never mind", "#")
    session.send("after it")
    s.romeo.wait_body("after it")
    assert not any("never mind" in (m.get("body") or "") for m in s.romeo.messages())
    assert talk.bye() == 200


def test_a_long_text_comes_in_chunks(s):
    """Check 49: none above 2048 octets is final, and none holds its own end-line."""
    talk, session = opened(s, s.alice)
    text = "-------" * 1500
    s.romeo.send(ALICE, text)
    session.wait_text(text)
    assert all(len(f.body or b"") <= 2048 for f in session.frames)
    assert talk.bye() == 200


def test_what_is_too_long_is_413(s):
    """Check 45."""
    talk, session = opened(s, s.alice)
    limit = int(msrp_peer.attributes(talk.answer.body)["max-size"])
    sent = session.send("x" * (limit + 1), chunk=2048)
    wait_for("413", lambda: 413 in {session.statuses.get(tid) for tid in sent.tids})
    again = session.send("short enough")
    assert session.wait(again.tids[0]) == 200
    s.romeo.wait_body("short enough")
    assert talk.bye() == 200


def test_unknown_sessions_and_types(s):
    """Check 46: 481, 506, 415; and 501 for a method that nobody knows."""
    talk, session = opened(s, s.alice)
    right = session.remote
    session.remote = right.replace(msrp_peer.session_id(right), "never-heard-of-this")
    assert session.wait(session.send("lost").tids[0]) == 481
    session.remote = right
    other = s.far.session()
    other.remote, other.link = right, s.far.connect(right)
    assert other.wait(other.send("somebody else's").tids[0]) == 506
    other.link.close()
    assert session.wait(session.send("GIF89a", content_type="image/gif").tids[0]) == 415
    assert session.wait(session._frame("NICKNAME", [("Use-Nickname", '"Al"')])) == 501
    assert session.wait(session.send("all is well").tids[0]) == 200
    s.romeo.wait_body("all is well")
    assert talk.bye() == 200


def test_reports(s):
    """Checks 47 and 48."""
    talk, session = opened(s, s.alice)
    sent = session.send("tell me", success="yes")
    s.romeo.wait_body("tell me")
    quiet = session.send("no answer please", failure="no")
    s.romeo.wait_body("no answer please")
    session.report("never-sent", "000 200 OK", "1-1/1")  # is answered by nothing
    last = session.send("last")
    assert session.wait(last.tids[0]) == 200 and session.wait(sent.tids[0]) == 200
    assert quiet.tids[0] not in session.statuses
    assert not [r for r in session.reports if r.get("message-id") == quiet.ident]
    assert talk.bye() == 200


def test_a_lost_connection_returns_what_was_not_acknowledged(s):
    """Check 51."""
    talk, session = opened(s, s.alice)
    session.decide = lambda frame: None
    s.romeo.send(ALICE, "into the void", id="void")
    wait_for("the text", lambda: any(f.body for f in session.frames))
    session.link.close()
    assert s.romeo.wait_error("void")["error"]["condition"] in ("remote-server-timeout", "recipient-unavailable")
    talk.wait_end()


def test_octets_that_are_no_msrp(s):
    """The gateway closes, and goes on."""
    link = s.far.connect(f"msrps://{s.rig.ip(GATEWAY)}:{PORT}/x;tcp")
    link.raw(b"GET / HTTP/1.1\r\n\r\n")
    assert link.over.wait(10)
    link = s.far.connect(f"msrps://{s.rig.ip(GATEWAY)}:{PORT}/x;tcp")
    link.raw(b"MSRP aaaa SEND\r\n" + b"x" * 100_000)
    assert link.over.wait(10)
    talk, session = opened(s, s.alice)
    session.send("still here")
    s.romeo.wait_body("still here")
    assert talk.bye() == 200


def test_nothing_of_a_text_is_in_the_log(s):
    log = s.gateway.log()
    assert "still here" not in log and not re.search(r"wrapped up|tell me", log)


def test_ten_thousand_messages_each_way(s):
    count, width = 10_000, 200
    talk, session = opened(s, s.alice)
    began, before = time.monotonic(), len(s.romeo.messages())
    there, back = [f"there {n:05}" for n in range(count)], [f"back {n:05}" for n in range(count)]
    for n in range(0, count, width):
        for text in back[n:n + width]:
            s.romeo.send(ALICE, text)
        for half in (n, n + width // 2):  # 128 wait for their answers at most, one more is 413
            sent = [session.send(text).tids[0] for text in there[half:half + width // 2]]
            assert all(session.wait(tid, 30) == 200 for tid in sent)
        # What waits for a user is bounded ([limits] queue): so is what romeo says without being heard.
        wait_for(back[n + width - 1], lambda: session.texts()[-1:] == [back[n + width - 1]], 30)
    s.romeo.wait_body(there[-1], 120)
    assert session.texts() == back
    assert [m["body"] for m in s.romeo.messages()[before:] if m.get("body", "").startswith("there")] == there
    print(f"#   {2 * count} messages in {time.monotonic() - began:.0f} s")
    assert talk.bye() == 200
