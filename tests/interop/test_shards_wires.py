"""Several shards on the wires: SIP over UDP and TCP, dialback, few streams, connections that end early."""
import collections
import json
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager

from rig import EDGE, SIPS, wait_for
from shards_usual import FIRST, SHARDS, USERS, address, statuses, stoxd, told
from sip_peer import Link, request
from usual import UNLIMITED
from wire_usual import Scene, at, udp
from xmpp_peer import Peer

NEEDS_GATEWAY = True
CAPULET, VERONA, MONTAGUE = "capulet.example", "verona.example", "montague.example"
EVERYBODY = "".join(f'[[grant]]\nuser = "sip:{address(user)}"\npolicy = "global"\n' for user in USERS)


CHANGES = [(FIRST, f"{FIRST}shards = {SHARDS}\n"), ("[metrics]", f"{UNLIMITED}[metrics]")]


def scene(rig):
    s = Scene(rig, (CAPULET, VERONA, MONTAGUE), "", CHANGES)
    s.peers = {}
    return s


def partner(s, domain, settings=None, **more):
    """A new partner, alone in the policy."""
    s.load("")
    if domain in s.peers:
        s.peers.pop(domain).close()
    peer = s.peers[domain] = Peer(s.rig, domain, **more)
    s.load(at(peer, **(settings or {})))
    return peer


@contextmanager
def idle_after(s, seconds):
    """A stream is closed when nothing was sent on it for so long."""
    idle = [("[xmpp]\n", f'[xmpp]\nstream_inactivity_timeout = "{seconds}s"\n')]
    s.rig.gateway_config([*udp(s.rig), *CHANGES, *idle])
    s.gateway.reload()
    yield
    s.rig.gateway_config([*udp(s.rig), *CHANGES])
    s.gateway.reload()


def texts(peer):
    return [text for text, _ in list(peer.stanzas)]


def from_all(s, peer, word):
    """A message of each user, by datagram: the Call-ID of each."""
    return {f"{word} {user}": s.say(f"romeo@{peer.domain}", f"{word} {user}", address(user)) for user in USERS}


def each_once(s, peer, word):
    """A message of each user comes, once, and each is answered 202."""
    calls = from_all(s, peer, word)
    wait_for(lambda: f"all of {word!r}; it lacks {sorted(set(calls) - set(texts(peer)))} {peer.faults}",
             lambda: set(calls) <= set(texts(peer)))
    got = [s.status(call) for call in calls.values()]
    assert got == [202] * len(USERS), got
    assert len([text for text in texts(peer) if text.startswith(f"{word} ")]) == len(USERS)


def over_tcp(octets):
    return octets.replace(b"SIP/2.0/TLS", b"SIP/2.0/TCP", 1)


def dial(s):
    return Link(socket.create_connection(s.at, 5, source_address=(s.rig.ip(EDGE), 0)))


def test_by_datagram_both_ways(s):
    """One socket is for all shards: each answers and asks from it."""
    peer = partner(s, CAPULET)
    each_once(s, peer, "datagram")
    stream = peer.up("EXTERNAL")
    for user in USERS:
        stream.message(address(user), f"to {user}")
    for user in USERS:
        s.wait_body(f"to {user}")
    # The last answers end the last messages of all.
    wait_for("all to be delivered", lambda: told(s, "status")["delivered"] == [len(USERS)] * 2)
    asked = [m for m in s.got if m.method == "MESSAGE" and m.text.startswith("to ")]
    assert len(asked) == len({m.text for m in asked}), "no retransmission: each answer finds who asked"
    ports = {m.get("via").split()[1].split(";")[0] for m in asked}
    assert len(ports) == 1, ports
    stream.close()


def test_dialback_in_both_roles(s):
    """A key that one shard made is checked by whichever the question comes to."""
    peer = partner(s, VERONA, {"dialback": True, "sasl": "optional"}, external=False)
    each_once(s, peer, "by dialback")
    assert {wire.how for _, wire in peer.stanzas} == {"TLS-dialback"}
    assert len({wire for _, wire in peer.stanzas}) > 1, "each shard has a stream of its own"
    for n in range(SHARDS):
        stream = peer.up("TLS-dialback")
        for user in USERS:
            stream.message(address(user), f"round {n} for {user}")
        for user in USERS:
            s.wait_body(f"round {n} for {user}")
        stream.close()


def test_a_partner_with_two_connections_serves_users_of_all_shards(s):
    """connection_limit is less than there are shards: a shard without a place has its messages go by another's stream."""
    peer = partner(s, MONTAGUE, {"connection_limit": 2})
    each_once(s, peer, "two streams")
    assert len({wire for _, wire in peer.stanzas}) <= 2
    assert len([wire for wire in peer.streams if not wire.over]) <= 2


def test_a_lent_stream_that_is_lost_is_lost_to_all_who_used_it(s):
    """Each shard makes or borrows another one; what is under way meanwhile is answered, once."""
    peer = partner(s, MONTAGUE, {"connection_limit": 2})
    for n in range(3):
        each_once(s, peer, f"lent {n}")
        for stream in [wire for wire in peer.streams if not wire.over]:
            stream.close()
        wait_for("no stream", lambda: not told(s, "streams")["streams"])
    each_once(s, peer, "lent again")
    # In the middle of it: what is not delivered is refused, and nothing comes twice.
    calls = from_all(s, peer, "amid")
    for stream in [wire for wire in peer.streams if not wire.over]:
        stream.close()
    got = {text: s.status(call) for text, call in calls.items()}
    assert set(got.values()) <= {202, 480, 500, 502, 503, 504}, collections.Counter(got.values())
    twice = [text for text, count in collections.Counter(texts(peer)).items() if count > 1]
    assert not twice, twice
    each_once(s, peer, "lent at last")


def test_who_borrows_a_stream_keeps_it_up(s):
    """What another shard sends on it is traffic of the stream."""
    with idle_after(s, 2):
        peer = partner(s, MONTAGUE, {"connection_limit": 2})
        each_once(s, peer, "lent once more")
        # Of four shards one lends: three of four of them borrow.
        for user in USERS[:3]:
            for n in range(8):
                assert s.status(s.say(f"romeo@{MONTAGUE}", f"{user} {n}", address(user))) == 202
                time.sleep(0.5)
        assert len(peer.streams) == 1, [wire.ended for wire in peer.streams]


def test_what_waited_too_long_on_a_lent_stream_does_not_come_late(s):
    """Who borrows a stream that the partner does not read says 504; what it said that of is not delivered after all."""
    each_once(s, partner(s, MONTAGUE, {"connection_limit": 2}), "who is whose")
    def shard(user):
        """By the name of the stream: out#3 is the first shard's, out#2.3 another's."""
        steps = map(json.loads, stoxd(s, "trace", "--json", "--user", address(user)).splitlines())
        names = [one["way"]["name"] for one in steps if one["step"] == "sent"]
        return names[-1].partition("#")[2].rpartition(".")[0]
    user = next(user for user in USERS if shard(user) != shard(USERS[0]))
    peer = partner(s, MONTAGUE, {"connection_limit": 2})
    for sender in (USERS[0], user):
        assert s.status(s.say(f"romeo@{MONTAGUE}", "lends and borrows", address(sender))) == 202
    assert len(peer.streams) == 1
    peer.reads.clear()
    there = dial(s)
    calls = [f"unread-{n}" for n in range(130)]
    got = statuses(there, [over_tcp(request(address(user), f"romeo@{MONTAGUE}", f"{call} " + 60_000 * "x", call_id=call))
                           for call in calls])
    there.close()
    assert len(got) == len(calls) and {202} < set(got.values()), collections.Counter(got.values())
    peer.reads.set()
    each_once(s, peer, "read again")
    came = collections.Counter(text.split()[0] for text in texts(peer) if text and text.startswith("unread-"))
    assert set(came.values()) == {1} and set(came) <= {call for call in calls if got[call] == 202}, (
        sorted((got[call], count) for call, count in came.items() if got[call] != 202 or count > 1)[:5])


def test_what_comes_while_a_stream_is_being_closed_goes_by_the_next(s):
    """RFC 6120 section 4.4: after our close tag nothing is sent there, and the partner may take its time with its own."""
    for limit in (20, 2, 1):
        with idle_after(s, 2):
            peer = partner(s, MONTAGUE, {"connection_limit": limit}, hold="close")
            each_once(s, peer, f"before {limit}")
            wait_for("all streams to be closed by us", lambda: all(wire.ended == "closed" for wire in peer.streams))
        before = list(peer.streams)
        calls = from_all(s, peer, f"meanwhile {limit}")
        if limit == 1:
            # There is room for one when that one is closed.
            peer.let_go.set()
        got = collections.Counter(s.status(call) for call in calls.values())
        assert got == {202: len(USERS)}, (limit, got)
        assert not {wire for text, wire in peer.stanzas if text.startswith(f"meanwhile {limit}")} & set(before)
        peer.let_go.set()


def test_who_closes_its_side_gets_all_answers(s):
    """Refused at once or delivered, by any shard: whoever has stopped sending hears it."""
    peer = partner(s, CAPULET)
    each_once(s, peer, "the streams are up")
    for n in range(12):
        there = dial(s)
        # Refusals are ready before the end of the connection is seen; the others wait for a stream to be written.
        target = f"romeo@{CAPULET if n % 2 else 'nobody.example'}"
        calls = [f"closed-{n}-{user}" for user in USERS]
        there.send(over_tcp_all([request(address(user), target, call, call_id=call)
                                 for user, call in zip(USERS, calls)]))
        there.sock.shutdown(socket.SHUT_WR)
        got = statuses(there, [b""] * len(USERS))
        there.close()
        assert got == dict.fromkeys(calls, 202 if n % 2 else 403), (n, len(got), set(got.values()))


def over_tcp_all(requests):
    return b"".join(map(over_tcp, requests))


def test_each_of_many_connections_gets_its_own_answers(s):
    peer = partner(s, CAPULET)
    links, failed = [dial(s) for _ in range(9)], []
    def talk(n):
        calls = [f"many-{n}-{user}" for user in USERS]
        got = statuses(links[n], [over_tcp(request(address(user), f"romeo@{CAPULET}", call, call_id=call))
                                  for user, call in zip(USERS, calls)])
        if got != dict.fromkeys(calls, 202):
            failed.append((n, len(got), set(got.values())))
    threads = [threading.Thread(target=talk, args=(n,)) for n in range(len(links))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failed, failed
    many = lambda: [text for text in texts(peer) if text and text.startswith("many-")]
    wait_for("all of them", lambda: len(many()) >= 9 * len(USERS))
    assert len(many()) == len(set(many())) == 9 * len(USERS)
    for there in links:
        there.close()


def test_what_comes_up_when_all_is_being_closed_is_closed_cleanly(s):
    """A partner takes its time with its close tag; who had connected and says something only then hears of the stop."""
    peer = partner(s, CAPULET, hold="close")
    each_once(s, peer, "to hold the stop up")
    sips, context = (s.at[0], s.rig.port(SIPS)), peer.context(False, certificate=False)
    secured = lambda sock: context.wrap_socket(sock, server_hostname="contoso.example", suppress_ragged_eofs=False)
    late, link = peer.connect(), socket.create_connection(sips, 5)
    # Who connects later is served: so they have been accepted.
    after = peer.connect()
    assert isinstance(after.greet(CAPULET, "contoso.example"), frozenset), after.heard()
    after.close()
    secured(socket.create_connection(sips, 5)).close()
    os.kill(s.gateway.pid, signal.SIGTERM)
    wait_for("the streams to be closed by us", lambda: all(wire.ended == "closed" for wire in peer.streams), every=0.005)
    said = late.greet(CAPULET, "contoso.example")
    assert said == "system-shutdown" and late.read() is None and late.ended == "closed", (said, late.heard())
    with secured(link) as there:
        assert there.recv(100) == b"", "a close_notify"
    peer.let_go.set()
    assert s.gateway.wait_exit(8) == 0
    s.gateway = s.rig.gateway([*udp(s.rig), *CHANGES])
