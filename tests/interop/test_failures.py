"""Partners and peers that are away: an error in time, and nothing delivered later."""
import socket
import threading
import time

from rig import ALICE, BOB, ROMEO, S2S, SILENT
from usual import delivered, never_came, partner, restart, usual

NEEDS_GATEWAY = True
AWAY = ("lost", "silent", "nowhere", "unknown")
QUEUE_TIMEOUT = 10  # limits.queue_timeout


def scene(rig):
    s = usual(rig, grants=("alice", "bob"), more_policy="".join(partner(f"{d}.example") for d in AWAY))
    s.silence = socket.create_server((rig.ip(SILENT), rig.port(S2S)))
    s.accepted = []
    threading.Thread(target=_accept_for_ever, args=(s.silence, s.accepted), daemon=True).start()
    return s


def _accept_for_ever(listener, accepted):
    while True:
        try:
            accepted.append(listener.accept())
        except OSError:
            return


def timed(agent, target, body):
    """(status, seconds) of a message."""
    begun = time.monotonic()
    return agent.status(agent.send(target, body), 20), time.monotonic() - begun


def test_a_partner_that_refuses_connections(s):
    """F84."""
    status, seconds = timed(s.alice, "x@lost.example", "to nobody's port")
    assert status == 504, status
    assert seconds < QUEUE_TIMEOUT + 2, seconds


def test_a_partner_that_says_nothing(s):
    """F84."""
    status, seconds = timed(s.alice, "x@silent.example", "to silence")
    assert status == 504, status
    assert QUEUE_TIMEOUT - 1 < seconds < QUEUE_TIMEOUT + 2, seconds
    assert s.accepted, "the gateway never connected"


def test_others_go_on_meanwhile(s):
    """One dead partner changes nothing for the rest."""
    open_ident = s.alice.send("y@silent.example", "waits")
    begun = time.monotonic()
    ident = s.alice.send(ROMEO, "does not wait")
    s.romeo.wait_body("does not wait")
    assert delivered(s.alice, ident)
    assert time.monotonic() - begun < 2
    assert s.alice.state(open_ident) is None


def test_a_domain_without_the_service_and_one_that_does_not_exist(s):
    for domain in ("nowhere", "unknown"):
        status, seconds = timed(s.alice, f"x@{domain}.example", "to nowhere")
        assert status == 404, (domain, status)
        assert seconds < QUEUE_TIMEOUT + 2, (domain, seconds)


def test_an_xmpp_server_that_is_down_and_comes_back(s):
    s.capulet.stop()
    status, seconds = timed(s.alice, ROMEO, "too late")
    assert status == 504, status
    assert seconds < QUEUE_TIMEOUT + 2, seconds
    s.capulet, s.romeo = s.rig.prosody(), s.rig.xmpp_client()
    ident = s.alice.send(ROMEO, "in time")
    s.romeo.wait_body("in time", 15)
    assert delivered(s.alice, ident)
    never_came(s.romeo.messages(), "too late")


def test_a_message_waits_for_a_server_that_is_just_starting(s):
    """The queue: a stream that comes up within the time carries what waited, in order."""
    s.capulet.stop()
    idents = [s.alice.send("waiter@capulet.example", f"waiting {n}") for n in range(3)]
    s.capulet = s.rig.prosody(users=("romeo", "waiter"))
    states = [s.alice.wait_state(ident, 15) for ident in idents]
    taken = [f"waiting {n}" for n, state in enumerate(states) if state == "Delivered"]
    s.romeo, waiter = s.rig.xmpp_client(), s.rig.xmpp_client("waiter@capulet.example/tray")
    for body in taken:  # Prosody keeps them until the user is there
        waiter.wait_body(body)
    s.romeo.send("waiter@capulet.example", "the last one")
    waiter.wait_body("the last one")
    came = [m["body"] for m in waiter.messages() if m.get("body", "").startswith("waiting")]
    assert came == taken, (came, states)


def test_a_sip_user_who_is_not_registered(s):
    s.romeo.send(BOB, "bob is out", id="out")
    assert s.romeo.wait_error("out")["error"]["condition"] == "recipient-unavailable"


def test_a_sip_server_that_is_down_and_comes_back(s):
    s.kamailio.stop()
    begun = time.monotonic()
    s.romeo.send(ALICE, "too late for alice", id="late")
    error = s.romeo.wait_error("late", QUEUE_TIMEOUT + 3)
    assert error["error"]["condition"] == "remote-server-timeout", error
    assert time.monotonic() - begun < QUEUE_TIMEOUT + 2
    s.kamailio = s.rig.kamailio()
    s.alice.part.stop()
    s.alice = s.rig.sip_agent("alice")
    s.romeo.send(ALICE, "alice is back")
    s.alice.wait_body("alice is back", 15)
    never_came(s.alice.messages(), "too late for alice")


def test_the_gateway_restarts(s):
    restart(s)
    ident = s.alice.send(ROMEO, "after the restart")
    s.romeo.wait_body("after the restart", 15)
    assert delivered(s.alice, ident)
    s.romeo.send(ALICE, "after the restart, back")
    s.alice.wait_body("after the restart, back", 15)


def test_loopback_is_refused_unless_private_addresses_are_allowed(s):
    restart(s, changes=[("private_addresses = true", "private_addresses = false")])
    streams = s.capulet.log().count("Incoming s2s connection")
    assert streams, "Prosody does not log connections as expected: this proves nothing"
    status, seconds = timed(s.alice, ROMEO, "to a private address")
    assert 400 <= status < 600, status
    assert seconds < QUEUE_TIMEOUT + 2, seconds
    assert s.capulet.log().count("Incoming s2s connection") == streams, "it connected all the same"
    never_came(s.romeo.messages(), "to a private address")
