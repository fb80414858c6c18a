"""Sessions as Lync has them: INVITE, text inside of the dialog, BYE; between romeo's client and SIP user agents.

alice and bob are behind Kamailio, which stays in the path by Record-Route.
"""
import time

import sip_chat
from rig import ALICE, BOB, ROMEO, wait_for
from usual import UNLIMITED, restart, usual

NEEDS_GATEWAY = True
STATES = "http://jabber.org/protocol/chatstates"
IM = 'identity = ["edge.contoso.example"]'


def scene(rig):
    s = usual(rig, grants=("alice", "bob"), agents=())
    restart(s, changes=[(IM, IM + '\nim = "ms-session"'), ("[metrics]", UNLIMITED + "[metrics]")])
    s.alice, s.bob = sip_chat.user(rig, "alice"), sip_chat.user(rig, "bob")
    return s


def state(stanza):
    """The chat state in what a client got, if there is one."""
    for name in ("active", "composing", "paused", "inactive", "gone"):
        if f"{name} " in stanza["xml"] and STATES in stanza["xml"]:
            return name
    return None


def say_state(client, to, name):
    client.send_xml(f"<message to='{to}' type='chat'><{name} xmlns='{STATES}'/></message>")


def test_a_session_from_lync_delivers_its_first_text_once(s):
    """F81, F82, check 64: the text in the INVITE, then others in the dialog."""
    first, second = "first in the INVITE, äöü", "second in the dialog"
    talk = s.alice.talk(ROMEO, headers=sip_chat.first_text(first))
    assert talk.answer.status == 200, talk.answer.start
    assert "ms-text-format" in " ".join(talk.answer.all("supported")), "or Lync says it again"
    got = s.romeo.wait_body(first)
    assert got["from"].split("/")[0] == ALICE and got["type"] == "chat", got
    assert talk.text(second) == 200
    s.romeo.wait_body(second)
    assert [m["body"] for m in s.romeo.messages() if m.get("body") == first] == [first]
    s.romeo.send(ALICE, "and back")
    talk.wait_text("and back")
    assert talk.bye() == 200


def test_a_first_text_that_comes_again_is_shown_once(s):
    """Check 64: a peer that overlooks our Supported says it again as MESSAGE."""
    first = "said twice, meant once"
    talk = s.alice.talk(ROMEO, headers=sip_chat.first_text(first))
    s.romeo.wait_body(first)
    assert talk.text(first) == 200
    assert talk.text("something else") == 200
    s.romeo.wait_body("something else")
    assert sum(m.get("body") == first for m in s.romeo.messages()) == 1
    assert talk.text(first) == 200, "said later on purpose"
    wait_for("the same text later on purpose", lambda: sum(m.get("body") == first for m in s.romeo.messages()) == 2)
    assert talk.bye() == 200


def test_a_session_without_a_first_text(s):
    talk = s.alice.talk(ROMEO)
    assert talk.answer.status == 200
    assert b"m=message" in talk.answer.body and b"sip null" in talk.answer.body, talk.answer.body
    assert talk.text("hello at last") == 200
    s.romeo.wait_body("hello at last")
    assert talk.bye() == 200


def test_a_session_to_lync_keeps_the_order(s):
    """Check 41, F80: what romeo writes while the INVITE is out arrives, all of it, in order."""
    texts = [f"to bob {n:02}" for n in range(20)]
    s.bob.ringing = lambda message: (101, 180)
    s.bob.decide = lambda message: time.sleep(0.5) or (200, [], sip_chat.ms_sdp())
    for text in texts:
        s.romeo.send(BOB, text)
    talk = s.bob.wait_talk(ROMEO)
    talk.wait_text(texts[-1])
    assert talk.texts() == texts
    assert all(m.get("content-type").startswith("text/plain") for m in talk.requests if m.method == "MESSAGE")
    numbers = [int(m.get("cseq").split()[0]) for m in talk.requests if m.method in ("INVITE", "MESSAGE")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers  # check 65
    assert talk.text("back to romeo") == 200
    s.romeo.wait_body("back to romeo")
    assert talk.bye() == 200
    s.bob.ringing, s.bob.decide = lambda message: (), lambda message: (200, [], sip_chat.ms_sdp())


def test_a_declined_session_returns_the_texts(s):
    """F83: each text comes back once."""
    s.bob.decide = lambda message: (480, [], None)
    for ident in ("declined-1", "declined-2"):
        s.romeo.send(BOB, f"nobody reads {ident}", id=ident)
    for ident in ("declined-1", "declined-2"):
        assert s.romeo.wait_error(ident)["error"]["condition"] == "recipient-unavailable"
    s.bob.decide = lambda message: (200, [], sip_chat.ms_sdp())


def test_gone_ends_the_session(s):
    """Check 52."""
    before = len(s.bob.talks)
    s.romeo.send_xml(f"<message to='{BOB}' type='chat'><body>one word</body><active xmlns='{STATES}'/></message>")
    talk = s.bob.wait_talk(ROMEO, count=before + 1)
    talk.wait_text("one word")
    say_state(s.romeo, BOB, "gone")
    talk.wait_end()
    s.romeo.send_xml(f"<message to='{BOB}' type='chat'><body>one word more</body><active xmlns='{STATES}'/></message>")
    again = s.bob.wait_talk(ROMEO, count=before + 2)
    again.wait_text("one word more")
    assert again.bye() == 200
    s.romeo.wait_for(lambda e: e["event"] == "message" and e["from"].split("/")[0] == BOB and state(e) == "gone",
                     "bob to be gone")


def test_typing_crosses_both_ways_in_a_session(s):
    """KeyboardActivity and chat states."""
    before = len(s.alice.talks)
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat'><body>I can</body><active xmlns='{STATES}'/></message>")
    talk = s.alice.wait_talk(ROMEO, count=before + 1)
    talk.wait_text("I can")
    assert talk.typing("type") == 200
    s.romeo.wait_for(lambda e: e["event"] == "message" and state(e) == "composing" and not e.get("body"), "typing")
    assert talk.typing("idle") == 200
    s.romeo.wait_for(lambda e: e["event"] == "message" and state(e) == "active" and not e.get("body"), "a pause")
    say_state(s.romeo, ALICE, "composing")
    talk.wait(lambda m: (m.method == "INFO" and "type" in m.text) or "composing" in m.text, "romeo typing")
    assert talk.bye() == 200


def test_what_is_no_chat_is_refused(s):
    """F92, F93: one clear answer, and the gateway goes on."""
    audio = "\r\n".join(["v=0", "o=- 0 0 IN IP4 192.0.2.1", "s=session", "c=IN IP4 192.0.2.1", "t=0 0",
                         "m=audio 50000 RTP/SAVP 0", ""])
    assert s.alice.talk(ROMEO, audio).answer.status == 488
    conference = s.alice.talk(ROMEO, headers=[("Require", "com.microsoft.rtc-multiparty")])
    assert conference.answer.status == 420, conference.answer.start
    talk = s.alice.talk(ROMEO)
    assert talk.text("INVITE-command", content_type="text/x-msmsgsinvite") == 415
    assert talk.text("still here") == 200
    s.romeo.wait_body("still here")
    assert talk.invite(sip_chat.ms_sdp(more=("m=audio 50000 RTP/SAVP 0",))).status in (200, 488)
    assert talk.text("and still") == 200
    s.romeo.wait_body("and still")
    assert talk.bye() == 200


def test_ten_thousand_messages_each_way(s):
    """A session of 10,000 messages each way arrives complete, in order, once."""
    count, width = 10_000, 200
    talk = s.alice.talk(ROMEO)
    assert talk.answer.status == 200
    began, before = time.monotonic(), len(s.romeo.messages())
    there, back = [f"there {n:05}" for n in range(count)], [f"back {n:05}" for n in range(count)]
    for n in range(0, count, width):
        for text in back[n:n + width]:
            s.romeo.send(ALICE, text)
        for text in there[n:n + width]:
            assert talk.text(text) == 200
    talk.wait_text(back[-1], 120)
    s.romeo.wait_body(there[-1], 120)
    assert talk.texts() == back
    assert [m["body"] for m in s.romeo.messages()[before:] if m.get("body", "").startswith("there")] == there
    print(f"#   {2 * count} messages in {time.monotonic() - began:.0f} s")
    assert talk.bye() == 200
