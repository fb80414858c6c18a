"""`im = "auto"`: MESSAGE first, and a session only where that is refused; what it takes is remembered."""
import time

import msrp_peer
import sip_chat
from rig import ALICE, BOB, GATEWAY, ROMEO, wait_for
from usual import UNLIMITED, restart, usual

NEEDS_GATEWAY = True
PORT = 2855


def scene(rig):
    s = usual(rig, grants=("alice", "bob"), agents=())
    s.changes = [("[metrics]", f'{UNLIMITED}[msrp]\nlisten = ["{rig.ip(GATEWAY)}:{PORT}"]\n[metrics]')]
    restart(s, changes=s.changes)
    s.alice, s.bob = sip_chat.user(rig, "alice"), sip_chat.user(rig, "bob")
    s.far, s.sessions = msrp_peer.Endpoint(rig.ip(66), PORT, rig.pki), []
    return s


def invites(agent):
    return [r for r in agent.requests if r.method == "INVITE"]


def test_a_phone_that_takes_messages_never_rings(s):
    for n in range(5):
        s.romeo.send(ALICE, f"page {n}")
    wait_for("all pages", lambda: len(s.alice.pages) >= 5)
    assert [p.text for p in s.alice.pages] == [f"page {n}" for n in range(5)]
    assert not invites(s.alice)


def test_a_refused_message_opens_a_session_and_nothing_is_lost(s):
    """405 to MESSAGE: the same text and those behind it go into a session, in order."""
    s.bob.page = lambda message: 405
    texts = [f"auto {n:02}" for n in range(20)]
    for text in texts:
        s.romeo.send(BOB, text)
    talk = s.bob.wait_talk(ROMEO)
    talk.wait_text(texts[-1])
    assert talk.texts() == texts
    assert len(s.bob.pages) == 1, "one try is enough"
    assert not [e for e in s.romeo.events() if e.get("type") == "error"]
    assert talk.bye() == 200
    s.romeo.send(BOB, "remembered")
    s.bob.wait_talk(ROMEO, count=2).wait_text("remembered")
    assert len(s.bob.pages) == 1, "the next text goes straight into a session"
    assert s.bob.talks[-1].bye() == 200


def test_one_who_knows_msrp_alone_gets_msrp(s):
    def decide(message):
        if b"MSRP" not in message.body:
            return 488, [], None
        session = s.far.session()
        session.far(message.body)
        s.sessions.append(session)
        return 200, [], session.sdp("passive")
    s.alice.page, s.alice.decide = lambda message: 415, decide
    texts = [f"msrp at last {n:02}" for n in range(10)]
    for text in texts:
        s.romeo.send(ALICE, text)
    wait_for("a session over MSRP", lambda: s.sessions, 15)
    s.sessions[-1].wait_text(texts[-1], 15)
    assert s.sessions[-1].texts() == texts
    assert not [e for e in s.romeo.events() if e.get("type") == "error"]
    assert s.alice.wait_talk(ROMEO).bye() == 200


def test_one_who_takes_nothing_is_reported_once_for_each_text(s):
    s.bob.page, s.bob.decide = lambda message: 405, lambda message: (488, [], None)
    for ident in ("nothing-1", "nothing-2"):
        s.romeo.send(BOB, f"by no way {ident}", id=ident)
    for ident in ("nothing-1", "nothing-2"):
        assert s.romeo.wait_error(ident, 20)["error"]["condition"] in ("not-acceptable", "feature-not-implemented")
    assert sum(e.get("id") == "nothing-1" for e in s.romeo.events()) == 1


def test_ten_thousand_pages_each_way(s):
    """The third mode beside the sessions: MESSAGE out of a dialog."""
    restart(s, changes=s.changes)  # it remembers what alice refused
    s.alice.page = lambda message: 200
    count, width = 10_000, 200
    began, pages, before = time.monotonic(), len(s.alice.pages), len(s.romeo.messages())
    there, back = [f"there {n:05}" for n in range(count)], [f"back {n:05}" for n in range(count)]
    for n in range(0, count, width):
        for text in back[n:n + width]:
            s.romeo.send(ALICE, text)
        for text in there[n:n + width]:
            assert s.alice.say_to(ROMEO, text).status == 202
    wait_for("the last page", lambda: any(p.text == back[-1] for p in s.alice.pages[-width:]), 120)
    s.romeo.wait_body(there[-1], 120)
    assert [p.text for p in s.alice.pages[pages:] if p.text.startswith("back")] == back
    assert [m["body"] for m in s.romeo.messages()[before:] if m.get("body", "").startswith("there")] == there
    print(f"#   {2 * count} messages in {time.monotonic() - began:.0f} s")
