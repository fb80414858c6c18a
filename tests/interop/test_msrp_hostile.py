"""What an MSRP endpoint or a stranger at the MSRP port may do, and what becomes of texts meanwhile."""
import secrets
import signal
import time

import msrp_peer
from rig import ALICE, BOB, GATEWAY, ROMEO, RigError, wait_for
from test_msrp import IM, PORT, opened, scene as msrp_scene
from usual import UNLIMITED, never_came, restart

NEEDS_GATEWAY = True


def scene(rig):
    s = msrp_scene(rig)
    s.said = 0
    return s


def errors(s, prefix):
    return [e.get("id") for e in s.romeo.events() if e.get("type") == "error" and (e.get("id") or "").startswith(prefix)]


def still_works(s):
    s.said += 1
    talk, session = opened(s, s.bob)
    assert session.wait(session.send(f"still there {s.said}").tids[0]) == 200
    s.romeo.wait_body(f"still there {s.said}")
    s.romeo.send(BOB, f"still back {s.said}")
    session.wait_text(f"still back {s.said}")
    assert talk.bye() == 200


def test_texts_that_nobody_answers_come_back_once_each(s):
    """Check 51, with more in the air than one."""
    talk, session = opened(s, s.alice)
    session.decide = lambda frame: None
    names = [f"unheard-{n:02}" for n in range(40)]
    for name in names:
        s.romeo.send(ALICE, name, id=name)
    wait_for("32 of them", lambda: len([f for f in session.frames if f.body]) >= 32)
    s.alice.decide = lambda message: (480, [], None)
    session.link.close()
    talk.wait_end()
    wait_for("all errors", lambda: len(errors(s, "unheard-")) >= 40)
    assert sorted(errors(s, "unheard-")) == names
    s.alice.decide = s.bob.decide
    still_works(s)


def test_a_session_that_alice_forgets_goes_on_in_the_next(s):
    """481 (RFC 4975 §10.8): what was in the air, and what waits, arrives in order in another session, once."""
    talk, session = opened(s, s.alice)
    texts, since = [f"not known {n:02}" for n in range(60)], len(s.sessions)
    session.decide = lambda frame: 481 if len([f for f in session.frames if f.body]) > 10 else 200
    for text in texts:
        s.romeo.send(ALICE, text)
    again = wait_for("the next session", lambda: s.sessions[since:] and s.sessions[since])
    again.wait_text(texts[-1])
    assert session.texts() + again.texts() == texts, (session.texts(), again.texts())
    talk.wait_end()
    assert s.alice.talks[-1].bye() == 200
    assert len(s.sessions) == since + 1


def test_messages_without_end_are_bounded(s):
    """Four unfinished messages are kept, a fifth is 413; what a Byte-Range promises costs nothing."""
    talk, session = opened(s, s.alice)

    def part(ident, octets, body=b"x", flag="+"):
        return session._frame("SEND", [("Message-ID", ident), ("Byte-Range", octets), ("Content-Type", "text/plain")],
                              body, flag)
    answers = [session.wait(part(f"open-{n}", f"{1 + 2 * n}-{1 + 2 * n}/1000")) for n in range(8)]
    assert answers[:4] == [200] * 4 and set(answers[4:]) == {413}, answers
    for n in range(4):
        assert session.wait(part(f"open-{n}", "1-*/1000", b"", "#")) == 200
    assert session.wait(part("giant", "1-1/99999999999999")) == 413
    far = session.wait(part("far", "99999999999999-99999999999999/*"))
    assert far in (400, 413), far
    assert session.wait(part("liar", "5-4/3", b"abc", "$")) in (200, 400)
    assert session.wait(session.send("and a right one").tids[0]) == 200
    s.romeo.wait_body("and a right one")
    assert talk.bye() == 200


def test_who_guesses_session_ids_is_cut_off_and_nobody_else(s):
    talk, session = opened(s, s.alice)
    guesser = s.far.session()
    guesser.link = s.far.connect(session.remote)
    for _ in range(200):
        if guesser.link.over.is_set():
            break
        guesser.remote = session.remote.replace(msrp_peer.session_id(session.remote), secrets.token_urlsafe(12))
        try:
            tid = guesser.begin()
            wait_for("an answer", lambda: guesser.statuses.get(tid) or guesser.link.over.is_set(), 5)
        except (OSError, RigError):
            break
    assert guesser.link.over.wait(5), "32 are enough"
    assert set(guesser.statuses.values()) == {481} and len(guesser.statuses) <= 33, guesser.statuses
    assert session.wait(session.send("I did not guess").tids[0]) == 200
    s.romeo.wait_body("I did not guess")
    assert talk.bye() == 200


def test_a_grant_that_goes_in_mid_message_stops_it(s):
    """Check 171: half of a message has come."""
    talk, session = opened(s, s.alice)
    head = [("Message-ID", "half"), ("Content-Type", "text/plain")]
    assert session.wait(session._frame("SEND", [*head, ("Byte-Range", "1-5/11")], b"half ", "+")) == 200
    try:
        s.rig.policy(("bob",))
        s.gateway.reload()
        talk.wait_end()
        tid = session._frame("SEND", [*head, ("Byte-Range", "6-11/11")], b"and all", "$")
        wait_for("no", lambda: session.statuses.get(tid) in (403, 481) or session.link.over.is_set())
        still_works(s)
        never_came(s.romeo.messages(), "half and all")
    finally:
        s.rig.policy(("alice", "bob"))
        s.gateway.reload()


def refused(s, ident, sdp):
    """alice answers romeo's offer like this: no text arrives, and he hears so once."""
    count = len(s.alice.talks)
    s.alice.decide = lambda message: (200, [], sdp)
    s.romeo.send(ALICE, f"text {ident}", id=ident)
    try:
        s.romeo.wait_error(ident, 20)
        assert len(errors(s, ident)) == 1
        for talk in s.alice.talks[count:]:
            talk.wait_end()
    finally:
        s.alice.decide = s.bob.decide


def test_an_answer_that_leads_nowhere_returns_the_text(s):
    """Nobody listens, a path of no use, another protocol, a fingerprint of another certificate, no certificate."""
    nowhere = s.far.session()
    nowhere.path = nowhere.path.replace(f":{PORT}/", ":1/")
    refused(s, "nowhere", nowhere.sdp("passive"))
    broken = s.far.session()
    broken.path = "msrps://[::ffff:1]:99999/\x7f;udp"
    refused(s, "broken", broken.sdp("passive"))
    plain = s.far.session()
    refused(s, "plain", plain.sdp("passive").replace("TCP/TLS/MSRP", "TCP/MSRP").replace("msrps:", "msrp:"))
    wrong = s.far.session()
    refused(s, "wrong", wrong.sdp("passive", more=("a=fingerprint:SHA-256 " + ":".join(["AB"] * 32),)))
    refused(s, "refused", s.far.session().sdp("passive").replace(f"m=message {PORT}", "m=message 0"))
    assert not any(sess.texts() for sess in (nowhere, broken, plain, wrong))
    still_works(s)


def test_strangers_who_hold_connections_keep_nobody_out(s):
    links = []
    for _ in range(150):
        try:
            links.append(s.far.connect(f"msrps://{s.rig.ip(GATEWAY)}:{PORT}/x;tcp"))
        except OSError:
            break
    for link in links[:50]:
        try:
            link.raw(b"MSRP slow SEND\r\nTo-Path: ")
        except (OSError, RigError):
            pass
    open_ = [link for link in links if not link.over.is_set()]
    print(f"#   {len(open_)} of 150 connections of one address are open")
    for link in links:
        link.close()
    still_works(s)


def test_the_gateway_stops_while_texts_are_in_the_air(s):
    """SIGTERM: what alice has not answered when time is over comes back, each once; romeo is not left waiting."""
    talk, session = opened(s, s.alice)
    session.decide = lambda frame: None
    names = [f"stopped-{n:02}" for n in range(40)]
    for name in names:
        s.romeo.send(ALICE, name, id=name)
    wait_for("32 of them", lambda: len([f for f in session.frames if f.body]) >= 32)
    begin = time.monotonic()
    s.gateway.process.send_signal(signal.SIGTERM)
    assert s.gateway.process.wait(30) == 0
    print(f"#   stopped after {time.monotonic() - begin:.1f} s")
    wait_for("all errors", lambda: len(errors(s, "stopped-")) >= 40)
    assert sorted(errors(s, "stopped-")) == names
    assert talk.ended
    restart(s, changes=[(IM, IM + '\nim = "msrp"'),
                        ("[metrics]", f'{UNLIMITED}[msrp]\nlisten = ["{s.rig.ip(GATEWAY)}:{PORT}"]\n'
                                     f'host = "{s.rig.ip(GATEWAY)}"\n[metrics]')])
    still_works(s)
