"""Presence and sessions of users of several shards; connections that carry sessions of several."""
import collections
import os
import secrets
import signal

import msrp_peer
import pidf
import sip_chat
import sip_peer
import sip_presence
from presence_usual import barrier, mark
from rig import GATEWAY, ROMEO, wait_for
from shards_usual import SHARDS, USERS, address, bodies, link, many, statuses, stoxd, told
from usual import restart
from wire_usual import at
from xmpp_peer import Peer

NEEDS_GATEWAY = True
PORT = 2855
IM = 'identity = ["edge.contoso.example"]'
# Of four shards each owns one of them, but for one rig in 200.
SOME = USERS[:20]


def scene(rig):
    msrp = f'[msrp]\nlisten = ["{rig.ip(GATEWAY)}:{PORT}"]\nhost = "{rig.ip(GATEWAY)}"\n'
    s = many(rig, more=msrp, peer=[(IM, IM + '\nim = "ms-session"')])
    s.far = msrp_peer.Endpoint(rig.ip(66), PORT, rig.pki)
    return s


def talk(s, user, offer=None):
    """A session that one of our users opens with romeo."""
    one = sip_chat.Talk(s.edge, f"{secrets.token_hex(8)}@{s.edge.host}", f"sip:{address(user)}", f"sip:{ROMEO}")
    s.edge.talks.append(one)
    one.invite(sip_chat.ms_sdp() if offer is None else offer)
    assert one.answer.status == 200, one.answer.start
    return one


def cancel_of(invite):
    """The CANCEL of an INVITE (RFC 3261 section 9.1)."""
    start, *headers = invite.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    same = [line for line in headers if line.split(":")[0] in ("Via", "Max-Forwards", "From", "To", "Call-ID")]
    return "\r\n".join([start.replace("INVITE", "CANCEL"), *same, "CSeq: 1 CANCEL", "Content-Length: 0", "", ""]).encode()


def opened_to(s, user):
    """The session that romeo opened with one of our users."""
    def found():
        return next((t for t in s.edge.talks if t.local == f"sip:{address(user)}" and not t.ended), None)
    return wait_for(f"romeo to invite {user}", found)


def watching(s, user):
    """One of our users watches romeo."""
    watch = sip_presence.Watch(s.edge, ROMEO)
    watch.local = f"sip:{address(user)}"
    s.edge.watches.append(watch)
    assert watch.subscribe() == 200, watch.status
    return watch


def watched(s, user, since=0):
    """The newest dialog in which romeo watches one of our users."""
    return wait_for(f"a SUBSCRIBE for {user}", lambda: next(
        (w for w in s.edge.watched[since:] if w.local == f"sip:{address(user)}"), None), 20)


def listed(s):
    """Who sees whom, as the gateway tells."""
    rows = told(s, "subscriptions")
    rows = rows["subscriptions"] if isinstance(rows, dict) else rows
    return sorted((row["watcher"], row["presentity"]) for row in rows)


BOTH_WAYS = sorted(pair for user in SOME for pair in ((ROMEO, address(user)), (address(user), ROMEO)))


def befriended(s):
    """romeo and our users see each other; made once."""
    if getattr(s, "friends", False):
        return
    since = mark(s.romeo)
    for user in SOME:
        s.romeo.presence("subscribe", to=address(user))
    for user in SOME:
        document = pidf.write("pres:" + address(user), "busy", f"{user} is busy")
        assert watched(s, user).notify("active", body=document) == 200, user
        s.romeo.wait_presence(address(user), "subscribed", 10, since)
        s.romeo.wait_presence(address(user), None, 10, since, show="dnd", status=f"{user} is busy")
    s.watches = [watching(s, user) for user in SOME]
    for user in SOME:
        s.romeo.wait_presence(address(user), "subscribe", 10, since)
        s.romeo.presence("subscribed", to=address(user))
    for watch in s.watches:
        watch.wait_state("active")
        watch.wait_shows("online")
    s.friends = True


def still_friends(s, asked):
    """Nobody has to be asked again: whoever watches anew sees at once, and romeo hears no question."""
    assert listed(s) == BOTH_WAYS, set(BOTH_WAYS) ^ set(listed(s))
    for user in SOME:
        watch = watching(s, user)
        watch.wait_state("active", timeout=15)
        assert "pending" not in [n["state"] for n in watch.notifies], watch.brief()
    barrier(s.romeo)
    for user in SOME:
        for kind in ("subscribe", "unsubscribed", "unsubscribe", "error"):
            assert not s.romeo.presences(address(user), kind, asked), (user, kind)


def test_presence_of_users_of_all_shards_crosses_both_ways(s):
    befriended(s)
    assert listed(s) == BOTH_WAYS, set(BOTH_WAYS) ^ set(listed(s))
    assert len(set(BOTH_WAYS)) == len(BOTH_WAYS)
    status = told(s, "status")
    assert list(status["watches"]) == [len(SOME)] * 2, status["watches"]


def test_another_number_of_shards_keeps_all_authorizations(s):
    befriended(s)
    for count in (3, 1, 7, SHARDS):
        asked = mark(s.romeo)
        restart(s, changes=s.changes(count))
        still_friends(s, asked)
    # What romeo watches is asked for anew, by whichever shard has it now.
    since = len(s.edge.watched)
    restart(s, changes=s.changes())
    for user in SOME:
        s.romeo.presence("probe", to=address(user))
    for user in SOME:
        watched(s, user, since)


def test_kill_9_keeps_all_authorizations(s):
    befriended(s)
    asked = mark(s.romeo)
    os.kill(s.gateway.pid, signal.SIGKILL)
    s.gateway.wait_exit()
    restart(s, changes=s.changes(2))
    still_friends(s, asked)
    restart(s, changes=s.changes())


def test_an_authorization_that_is_taken_away_by_hand_is_gone_in_its_shard(s):
    befriended(s)
    for user in SOME[:6]:
        stoxd(s, "subscriptions", "remove", "--watcher", ROMEO, "--presentity", address(user), "--yes")
    gone = {(ROMEO, address(user)) for user in SOME[:6]}
    left = set(BOTH_WAYS) - gone
    def ended():
        for dialog in [w for w in s.edge.watched if w.expires == 0]:  # one that was being made just then
            dialog.expires = None
            dialog.notify("terminated", "timeout")
        return set(listed(s)) == left
    wait_for(lambda: f"no more than {len(left)} watches, not {set(listed(s)) ^ left}", ended)
    s.friends = False


def test_sessions_of_users_of_all_shards(s):
    """From both sides; each text comes to its own talk, and a refused one goes back to its sender alone."""
    talks = {user: talk(s, user) for user in SOME[:10]}
    for user in SOME[10:]:
        s.romeo.send(address(user), f"first for {user}")
    talks.update({user: opened_to(s, user) for user in SOME[10:]})
    for user, one in talks.items():
        status = one.text(f"said by {user}")
        assert status == 200, (user, status)
        s.romeo.send(address(user), f"said to {user}")
    for user, one in talks.items():
        one.wait_text(f"said to {user}")
        assert [text for text in one.texts() if text.startswith("said")] == [f"said to {user}"], one.texts()
        wait_for(f"romeo to have {user}'s", lambda: bodies(s.romeo, user, "said by") == [f"said by {user}"])
    rows = told(s, "sessions")["sessions"]
    assert sorted(row["user"] for row in rows) == sorted(map(address, SOME)), rows
    assert told(s, "status")["sessions"] == len(SOME)
    for one in talks.values():
        assert one.bye() == 200
    wait_for("no session", lambda: not told(s, "sessions")["sessions"])


def test_an_invitation_is_cancelled_whichever_shard_has_it(s):
    """Its text waits for a partner that never answers; the CANCEL comes on the same connection, and on another's."""
    peer = Peer(s.rig, "verona.example", hold="header")
    s.rig.policy(USERS, more=at(peer))
    s.gateway.reload()
    here, there = link(s), link(s)
    for other in (here, there):
        word = "here" if other is here else "there"
        invites = {}
        for user in SOME:
            call = f"cancel-{word}-{user}"
            headers = [("Contact", s.edge.contact), *sip_chat.first_text("never mind"),
                       ("Content-Type", "application/sdp")]
            invites[call] = sip_peer.request(address(user), "romeo@verona.example", sip_chat.ms_sdp(), "INVITE", call,
                                             headers, ("Content-Type",))
        here.send(b"".join(invites.values()))
        heard = []
        def hears(way, done):
            while not done() and (answer := way.read(5)) is not None:
                heard.append((answer.get("call-id"), answer.get("cseq").split()[1], answer.status, answer))
            assert done(), collections.Counter(one[1:3] for one in heard)
        count = lambda method, status: len({call for call, m, code, _ in heard if (m, code) == (method, status)})
        hears(here, lambda: count("INVITE", 100) == len(SOME))
        other.send(b"".join(map(cancel_of, invites.values())))
        if other is there:
            hears(there, lambda: count("CANCEL", 200) == len(SOME))
        hears(here, lambda: (count("CANCEL", 200), count("INVITE", 487)) == (len(SOME), len(SOME)))
        assert {code for _, m, code, _ in heard if m == "INVITE"} == {100, 487}, heard
        wait_for("no session", lambda: not told(s, "sessions")["sessions"])
        # Nothing is left to be cancelled.
        answers = statuses(there, list(map(cancel_of, invites.values())))
        assert set(answers.values()) <= {200, 481}, answers
    here.close()
    there.close()
    peer.close()
    s.rig.policy(USERS)
    s.gateway.reload()


def over_msrp(s, user):
    """A session of MSRP that one of our users opens, not bound yet."""
    session = s.far.session()
    one = talk(s, user, session.sdp("active"))
    answer = session.far(one.answer.body)
    assert answer["setup"] == "passive", answer
    return one, session


def test_one_msrp_connection_carries_sessions_of_all_shards(s):
    """RFC 4975 section 5.4; one that ends does not end the others."""
    talks = {user: over_msrp(s, user) for user in SOME}
    first = next(iter(talks.values()))[1]
    assert first.connect() == 200
    there = first.link
    for _, session in talks.values():
        if session is not first:
            session.link = there
            assert session.wait(session.begin()) == 200
    for user, (_, session) in talks.items():
        session.send(f"over the one by {user} " + "x" * 3000, chunk=1000)
        s.romeo.send(address(user), f"over the one to {user}")
    for user, (_, session) in talks.items():
        session.wait_text(f"over the one to {user}")
        assert session.texts() == [f"over the one to {user}"], session.texts()
        assert session.link is there
        wait_for(f"romeo to have {user}'s", lambda: len(bodies(s.romeo, user, "over the one by")) == 1)
        assert bodies(s.romeo, user, "over the one by") == [f"over the one by {user} " + "x" * 3000]
    left = list(talks)
    while len(left) > 1:
        user = left.pop()
        assert talks[user][0].bye() == 200
        stays, session = left[0], talks[left[0]][1]
        text = f"after {user}"
        assert session.wait(session.send(text).tids[0]) == 200
        wait_for(f"{text!r}", lambda: text in bodies(s.romeo, stays, "after"))
        s.romeo.send(address(stays), f"back {text}")
        session.wait_text(f"back {text}")
        assert not there.over.is_set()
    assert talks[left[0]][0].bye() == 200
    # Who has another session to open may do it here for half a minute.
    one, session = over_msrp(s, SOME[-1])
    session.link = there
    assert session.wait(session.begin()) == 200
    assert session.wait(session.send("the next one").tids[0]) == 200
    assert one.bye() == 200
    assert not s.far.faults, s.far.faults


def test_a_connection_that_is_lost_ends_the_sessions_of_all_shards(s):
    talks = [over_msrp(s, user) for user in SOME]
    first = talks[0][1]
    assert first.connect() == 200
    for _, session in talks[1:]:
        session.link = first.link
        assert session.wait(session.begin()) == 200
    first.link.close()
    wait_for("no session", lambda: not told(s, "sessions")["sessions"], 15)
    for one, _ in talks:
        one.wait_end()


def test_a_frame_for_nobody_is_refused_and_ends_no_session(s):
    one, session = over_msrp(s, SOME[0])
    assert session.connect() == 200
    other = s.far.session()
    other.link = session.link
    # A name that a shard could have minted, one of a shard that there is not, one that is nobody's.
    name = msrp_peer.session_id(session.remote)
    for lie in (name[:-1] + ("0" if name[-1] != "0" else "1"), "00" * 10, "zz" * 10):
        other.remote = session.remote.replace(name, lie)
        assert other.wait(other.begin()) == 481, lie
    assert session.wait(session.send("still here").tids[0]) == 200
    wait_for("the text", lambda: "still here" in bodies(s.romeo, SOME[0], "still"))
    assert one.bye() == 200
