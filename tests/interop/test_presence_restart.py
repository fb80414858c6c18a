"""Presence stays right when each part in turn starts again, ours with kill -9 too."""
import itertools
import os
import signal
import time

import sip_presence
from presence_usual import (JULIET, PACE, PACED, REBUILT, SOON, approved, both_ways, friend, mark, presence_scene,
                            stranger, subscribes)
from rig import ALICE, ROMEO, wait_for
from usual import restart

NEEDS_GATEWAY = True
_number = itertools.count(1)


def scene(rig):
    return presence_scene(rig)


def still_right(s, asked, watch=None):
    """alice and romeo see each other's next states, and nobody was asked or told anything else in between."""
    since = mark(s.romeo)
    word = f"state {next(_number)}"
    s.alice.publish("busy", word)
    s.romeo.wait_presence(ALICE, None, REBUILT, since, show="dnd", status=word)
    if watch is None or watch.state == "terminated" or watch.subscribe() != 200:
        watch = s.alice.watch(ROMEO)
        watch.wait_state("active", timeout=SOON)
        assert "pending" not in [n["state"] for n in watch.notifies], watch.brief()
    s.romeo.presence(show="dnd", status=word)
    watch.wait(lambda n: n["presence"] and word in n["body"], word, PACED)
    for kind in ("subscribe", "unsubscribed", "unsubscribe", "error"):
        assert not s.romeo.presences(ALICE, kind, asked), kind
    assert s.romeo.roster(ALICE)["subscription"] == "both", s.romeo.roster(ALICE)


def test_the_gateway_is_killed(s):
    """Check 99; law 4: what was announced is on disk."""
    watch, asked = both_ways(s), mark(s.romeo)
    os.kill(s.gateway.pid, signal.SIGKILL)
    s.gateway.wait_exit()
    restart(s)
    still_right(s, asked, watch)


def test_the_gateway_is_killed_while_someone_waits(s):
    """A request that was pending is pending afterwards, and its approval arrives."""
    since = stranger(s, s.juliet)
    s.juliet.presence("subscribe", to=ALICE)
    wait_for("Kamailio to hold a pending watcher", lambda: [w for w in s.kamailio.watchers("alice") if w[0] == JULIET])
    os.kill(s.gateway.pid, signal.SIGKILL)
    s.gateway.wait_exit()
    restart(s)
    s.kamailio.allow("alice", JULIET)
    s.alice.publish("away")
    s.juliet.wait_presence(ALICE, "subscribed", REBUILT, since)
    s.juliet.wait_presence(ALICE, None, REBUILT, since, show="away")


def test_the_gateway_is_killed_right_after_each_answer(s):
    """Ten times: alice adds a new contact, he approves, and the gateway dies as soon as she was told so."""
    for n in range(10):
        approved(s, s.juliet)
        asked = mark(s.juliet)
        os.kill(s.gateway.pid, signal.SIGKILL)
        s.gateway.wait_exit()
        restart(s)
        again = s.alice.watch(JULIET)
        again.wait_state("active", timeout=SOON)
        assert "pending" not in [n["state"] for n in again.notifies], (n, again.brief())
        assert not s.juliet.presences(ALICE, "subscribe", asked), n
        s.juliet.presence("unsubscribed", to=ALICE)
        again.wait_state("terminated", "rejected", SOON)


def test_the_gateway_is_drained(s):
    watch, asked = both_ways(s), mark(s.romeo)
    s.gateway.process.send_signal(signal.SIGTERM)
    assert s.gateway.wait_exit(10) == 0
    restart(s)
    still_right(s, asked, watch)


def test_kamailio_starts_again_with_its_memory(s):
    watch, asked = both_ways(s), mark(s.romeo)
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio()
    still_right(s, asked, watch)


def test_kamailio_starts_again_without_its_memory(s):
    """481 to what the gateway thinks it has: a new dialog, the authorization stays (check 75).

    It looks at its dialogs as soon as anything makes a new link; without that, two minutes after the old one was lost.
    """
    watch, asked = both_ways(s), mark(s.romeo)
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio(fresh=True)
    s.kamailio.allow("alice", ROMEO)
    s.romeo.send(ALICE, "is anybody there?")
    still_right(s, asked, watch)


def test_kamailio_stays_away_and_comes_back(s):
    """Check 100: no ghost of alice while nobody knows; and she is back by herself."""
    both_ways(s)
    asked = mark(s.romeo)
    ups = s.gateway.log().count("link up")
    s.kamailio.stop()
    s.romeo.presence("probe", to=ALICE)  # someone is interested
    time.sleep(PACE)  # away for a while: nothing happens that could be waited for
    s.kamailio = s.rig.kamailio()
    # After some refused attempts the next one is up to half a minute away.
    s.gateway.wait_log("link up", timeout=REBUILT, count=ups + 1)
    still_right(s, asked)


def test_kamailio_allows_only_short_times(s):
    """F56: Expires in the 2xx shortens, and the dialog is refreshed before it ends (check 78)."""
    stranger(s, s.juliet)
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio(max_expires=12)  # refreshed after 10 s at the earliest
    try:
        friend(s, s.juliet)
        def refreshed():
            every, first = subscribes(s, JULIET, "alice")
            return len(every) > first
        wait_for("a refresh", refreshed, 15)
        since = mark(s.juliet)
        s.alice.publish("away", "after the refresh")
        s.juliet.wait_presence(ALICE, None, SOON, since, status="after the refresh")
        assert not s.juliet.presences(ALICE, "unsubscribed", since)
    finally:
        s.kamailio.stop()
        s.kamailio = s.rig.kamailio()


def test_kamailio_demands_longer_times(s):
    """423 with Min-Expires (check 75): asked once more with that, and the authorization is kept."""
    stranger(s, s.juliet)
    s.kamailio.stop()
    s.kamailio = s.rig.kamailio(min_expires=36000, max_expires=72000)
    try:
        friend(s, s.juliet)
        assert subscribes(s, JULIET, "alice")[0][-1] >= 36000, subscribes(s, JULIET, "alice")
    finally:
        s.kamailio.stop()
        s.kamailio = s.rig.kamailio()


def test_prosody_starts_again(s):
    watch = both_ways(s)
    s.capulet.stop()
    s.capulet = s.rig.prosody(users=("romeo", "juliet"))
    s.romeo, s.juliet = s.rig.xmpp_client(), s.rig.xmpp_client(JULIET + "/chamber")
    s.romeo.wait_presence(ALICE, None, SOON)  # answered to the probe of his server
    still_right(s, mark(s.romeo), watch)


def test_the_agents_start_again(s):
    both_ways(s)
    asked = mark(s.romeo)
    s.alice.unpublish()
    s.alice.close()
    s.alice = sip_presence.user(s.rig, "alice")
    s.alice.publish("online")
    still_right(s, asked)
