"""Fifty times kill -9 under traffic: whatever was announced is on record, and every record was asked for."""
import itertools
import json
import os
import random
import signal
import threading
import time

import pidf
import sip_presence
from presence_usual import JULIET
from rig import ROMEO, RigError, run_verb, wait_for
from usual import restart, usual

NEEDS_GATEWAY = True
KILLS = 50
EACH = 3  # new watches of either kind between two kills
DOMAIN = "contoso.example"


def scene(rig):
    users = tuple(f"user{n}" for n in range(1, 2 * EACH * KILLS + 10))
    s = usual(rig, grants=users, agents=(), users=("romeo", "juliet"), kamailio=False)
    s.edge = sip_presence.edge(rig)
    s.juliet = rig.xmpp_client(JULIET + "/chamber")
    return s


def in_background(act, *args):
    """Runs it, whatever the gateway's end does to it."""
    def run():
        try:
            act(*args)
        except (OSError, RigError, ValueError, AttributeError):
            pass
    threading.Thread(target=run, daemon=True).start()


def watched_by(s, user):
    """One of our users watches juliet."""
    watch = sip_presence.Watch(s.edge, JULIET)
    watch.local = f"sip:{user}@{DOMAIN}"
    s.edge.watches.append(watch)
    in_background(watch.subscribe)
    return watch


def approve_all(s, stop):
    """juliet says yes to everybody who asks."""
    seen = 0
    while not stop.is_set():
        asked = [e for e in s.juliet.events()[seen:] if e["event"] == "presence" and e.get("type") == "subscribe"]
        seen = len(s.juliet.events())
        for one in asked:
            s.juliet.presence("subscribed", to=one["from"])
        time.sleep(0.01)


def test_fifty_kills_lose_and_invent_nothing(s):
    """Check 99; law 4: on disk before anyone hears of it."""
    chance, names = random.Random(3), (f"user{n}" for n in itertools.count(1))
    s.edge.before_answer = lambda watched: in_background(
        lambda: watched.notify("active", body=pidf.write("pres:someone@contoso.example", "online")))
    stop = threading.Event()
    threading.Thread(target=approve_all, args=(s, stop), daemon=True).start()
    asked, watches = set(), []
    for _ in range(KILLS):
        for _ in range(EACH):
            user = next(names)
            asked.add((ROMEO, f"{user}@{DOMAIN}"))
            s.romeo.presence("subscribe", to=f"{user}@{DOMAIN}")
            watches.append(watched_by(s, watcher := next(names)))
            asked.add((f"{watcher}@{DOMAIN}", JULIET))
        time.sleep(chance.uniform(0.01, 0.9))
        os.kill(s.gateway.pid, signal.SIGKILL)
        s.gateway.wait_exit()
        restart(s)
    stop.set()
    events = [e for e in s.romeo.events() if e["event"] == "presence"]
    announced = {(ROMEO, e["from"]) for e in events if e.get("type") == "subscribed"}
    announced |= {(w.local.removeprefix("sip:"), JULIET) for w in watches if "active" in [n["state"] for n in w.notifies]}
    assert not [e for e in events if e.get("type") == "unsubscribed"]
    kinds = [len([one for one in announced if (one[0] == ROMEO) is mine]) for mine in (True, False)]
    assert min(kinds) >= KILLS // 5, f"too little was announced to say anything: {kinds}"

    # What the last run has in its store is what the runs before it left there.
    status, out, err = run_verb("subscriptions", "-c", s.gateway.config, "--json")
    assert status == 0, err
    rows = json.loads(out)["subscriptions"]
    granted = {(r["watcher"], r["presentity"]) for r in rows if r["authorization"] in ("granted", "announced")}
    there = {(r["watcher"], r["presentity"]) for r in rows if r["authorization"] != "none"}
    assert announced <= granted, f"lost: {sorted(announced - granted)}"
    assert there <= asked, f"invented: {sorted(there - asked)}"
    log = s.gateway.log()
    assert "store.broken" not in log and "panic" not in log
    print(f"# {KILLS} kills: {len(asked)} asked, {kinds[0]} + {kinds[1]} announced, {len(there)} on record")
    wait_for("the gateway to serve", lambda: run_verb("status", "-c", s.gateway.config)[0] == 0)
