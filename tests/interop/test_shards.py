"""Several shards in one process: whatever crosses does as with one, and they are one to whoever looks from outside."""
import collections
import os
import re
import signal
import subprocess
import threading
import time

from rig import ROMEO, gateway_binary, wait_for
from shards_usual import (ADDRESSES, USERS, address, all_came, bodies, came, errors, from_all, link, many, metric, pages,
                          statuses, stoxd, to_all, told)
from sip_peer import request
from usual import restart

NEEDS_GATEWAY = True
JULIET = "juliet@capulet.example"
EACH = 5
RATE = 8


def scene(rig):
    return many(rig)


def test_all_messages_cross_once_and_in_order_and_each_answer_goes_to_who_asked(s):
    """44 users, both ways at once; the SIP server has three connections, which are three shards'."""
    # While its stream comes up, Prosody lets a stanza overtake those that wait for it.
    s.romeo.send(ADDRESSES[0], "the stream is up")
    wait_for("the first text", lambda: pages(s, USERS[0], "the stream"))
    links = [link(s) for _ in range(3)]
    got, threads = [None] * 3, []
    def talk(n):
        sent = [request(address(user), ROMEO, f"there {k}", call_id=f"order-{n}-{user}-{k}")
                for k in range(EACH) for user in USERS[n::3]]
        got[n] = statuses(links[n], sent)
    for n in range(3):
        threads.append(threading.Thread(target=talk, args=(n,)))
        threads[-1].start()
    for k in range(EACH):
        for user in USERS:
            s.romeo.send(address(user), f"back {k}")
    for thread in threads:
        thread.join(30)
    for n in range(3):
        assert got[n] == {f"order-{n}-{user}-{k}": 202 for k in range(EACH) for user in USERS[n::3]}, got[n]
    wait_for("all of them", lambda: all(len(pages(s, user, "back ")) >= EACH for user in USERS))
    for user in USERS:
        assert pages(s, user, "back ") == [f"back {k}" for k in range(EACH)], (user, pages(s, user, "back "))
        wait_for(f"romeo to have all of {user}", lambda: len(bodies(s.romeo, user, "there ")) >= EACH)
        assert bodies(s.romeo, user, "there ") == [f"there {k}" for k in range(EACH)], user
    for there in links:
        there.close()


def test_what_is_shown_is_of_all_shards(s):
    """status, streams, links, /metrics, trace and why: sums, and every user's crossings."""
    names = {way: f'stoxd_messages_total{{direction="{way}",partner="capulet.example",result="delivered"}}'
             for way in ("sip-to-xmpp", "xmpp-to-sip")}
    before, counted = told(s, "status"), {way: metric(s, name) for way, name in names.items()}
    there = link(s)
    assert from_all(there, "seen") == [202] * len(USERS)
    to_all(s.romeo, "seen as well")
    all_came(s, "seen as well")
    after = lambda: told(s, "status")
    more = lambda status: sorted(now - then for now, then in zip(counts(status), counts(before)))
    wait_for(lambda: f"status to count all, not {more(after())}", lambda: more(after()) == [len(USERS)] * 2)
    for way, name in names.items():
        wait_for(name, lambda: metric(s, name) - counted[way] == len(USERS))
    out = [one for one in told(s, "streams")["streams"] if one["direction"] == "out"]
    assert len(out) > 1, "streams of one shard alone"
    assert metric(s, 'stoxd_xmpp_streams{direction="out",partner="capulet.example",auth="external"}') == len(out)
    links = told(s, "links")
    assert len([one for one in links["links"] if one["direction"] == "out"]) > 1, links
    assert [peer["name"] for peer in links["peers"]] == ["edge"], links
    assert metric(s, 'stoxd_sip_links{peer="edge"}') == len(links["links"])
    status = after()
    assert len(status["streams"]) == len(told(s, "streams")["streams"]) and len(status["partners"]) == 1, status["partners"]
    for user in USERS:
        trace = stoxd(s, "trace", "--user", address(user))
        assert trace.count(f" {user} (SIP)") >= 2, trace
        # What a stream or link is, all shards know of each other's; 1 is a number of the first, 2.1 one of the third.
        ways = re.findall(r"(\w*)#([\d.]+)( ?.*)", trace)
        assert ways and all(end and rest.strip() and len(n) < 8 for end, n, rest in ways), trace
        why = stoxd(s, "why", "--from", ROMEO, "--to", address(user))
        assert why.startswith("Delivered: edge took") and address(user) in why, why
    there.close()


def counts(status):
    return status["delivered"] if isinstance(status["delivered"], list) else list(status["delivered"].values())


def test_a_follower_sees_the_crossings_of_all_shards(s):
    with subprocess.Popen([gateway_binary(), "trace", "--follow", "--json", "-c", s.gateway.config],
                          stdout=subprocess.PIPE, text=True) as following:
        try:
            heard = []
            threading.Thread(target=lambda: heard.extend(iter(following.stdout.readline, "")), daemon=True).start()
            def begun():
                s.romeo.send(ADDRESSES[0], "is it on?")
                return "".join(heard)
            wait_for("the follower to hear something", begun)
            to_all(s.juliet, "followed")
            lacking = lambda: [a for a in ADDRESSES if not any(a in line and JULIET in line for line in list(heard))]
            wait_for(lambda: f"a line for {lacking()}", lambda: not lacking())
        finally:
            following.kill()


def test_trials_of_users_of_all_shards_hear_what_became_of_them(s):
    """The partner's answer comes on a stream of any shard; the one that asked waits for it."""
    for user in USERS[:8]:
        for ends in (("sip:" + address(user), "xmpp:" + ROMEO), ("xmpp:" + ROMEO, "sip:" + address(user))):
            report = told(s, "test", "im", "--from", ends[0], "--to", ends[1])
            assert report["result"] == "Success", report


def test_a_senders_budget_is_one_for_all_shards(s):
    limited(s, f"[limits]\nuser_rate = {RATE}\npartner_rate = 0\n")
    begun = time.monotonic()
    to_all(s.juliet, "budget")
    through(s, {"budget": s.juliet}, begun)
    # Likewise from one of ours to many contacts: the same sender is of one shard, his contacts are not.
    unlimited(s)


def test_a_partners_budget_is_one_for_all_shards(s):
    limited(s, f"[limits]\nuser_rate = 0\npartner_rate = {RATE}\n")
    begun = time.monotonic()
    to_all(s.romeo, "partner-a", USERS[::2])
    to_all(s.juliet, "partner-b", USERS[1::2])
    through(s, {"partner-a": s.romeo, "partner-b": s.juliet}, begun)
    begun, there = time.monotonic(), link(s)
    got = collections.Counter(from_all(there, "the other way"))
    assert RATE <= got[202] <= RATE * (1 + time.monotonic() - begun) + 1, got
    assert sum(got.values()) == len(USERS) and None not in got, got
    there.close()
    unlimited(s)


def through(s, senders, begun):
    """What came and what came back are all; and no more came than one budget lets through."""
    def over():
        back = sum(sum(errors(client, start)[0].values()) for start, client in senders.items())
        return back + sum(len(came(s, start)) for start in senders) == len(USERS)
    wait_for("each to come or to come back", over)
    count = sum(len(came(s, start)) for start in senders)
    most = RATE * (1 + time.monotonic() - begun) + 1
    assert RATE <= count <= most, f"{count} came, at most {most:.0f} may"


def limited(s, limits):
    s.rig.gateway_config(s.changes(limits=limits))
    s.gateway.reload()


def unlimited(s):
    s.rig.gateway_config(s.changes())
    s.gateway.reload()


def test_federation_is_disabled_in_all_shards_at_once(s):
    there = link(s)
    assert from_all(there, "before") == [202] * len(USERS)
    assert told(s, "streams")["streams"]
    stoxd(s, "federation", "disable")
    try:
        assert from_all(there, "disabled") == [403] * len(USERS)
        wait_for("all streams to end", lambda: not told(s, "streams")["streams"])
    finally:
        stoxd(s, "federation", "enable")
    assert from_all(there, "enabled") == [202] * len(USERS)
    to_all(s.romeo, "enabled-too")
    all_came(s, "enabled-too")
    assert not any(body.startswith("disabled") for user in USERS for body in bodies(s.romeo, user))
    there.close()


def test_a_partner_is_removed_in_all_shards_at_once(s):
    there = link(s)
    assert from_all(there, "still there") == [202] * len(USERS)
    s.rig.policy(USERS, partner_type=False)
    s.gateway.reload()
    assert from_all(there, "removed") == [403] * len(USERS)
    wait_for("its streams to end", lambda: not told(s, "streams")["streams"])
    s.rig.policy(USERS)
    s.gateway.reload()
    assert from_all(there, "back again") == [202] * len(USERS)
    there.close()


def test_a_grant_is_revoked_whoever_owns_its_user(s):
    revoked, there = USERS[::4], link(s)
    kept = [user for user in USERS if user not in revoked]
    s.rig.policy(kept)
    s.gateway.reload()
    assert from_all(there, "revoked", users=revoked) == [403] * len(revoked)
    assert from_all(there, "kept", users=kept) == [202] * len(kept)
    to_all(s.romeo, "revoked-too")
    wait_for("each to come back", lambda: sum(errors(s.romeo, "revoked-too")[0].values()) == len(revoked))
    all_came(s, "revoked-too", kept)
    assert not came(s, "revoked-too", revoked)
    s.rig.policy(USERS)
    s.gateway.reload()
    there.close()


def test_the_peers_refusals_go_back_to_their_senders(s):
    s.edge.page = lambda message: 404
    try:
        for client, word in ((s.romeo, "gone-r"), (s.juliet, "gone-j")):
            to_all(client, word)
        for client, word in ((s.romeo, "gone-r"), (s.juliet, "gone-j")):
            wait_for(f"{client.jid} to have all errors", lambda: sum(errors(client, word)[0].values()) >= len(USERS))
            once = {f"{word}-{user}": 1 for user in USERS}
            assert errors(client, word) == (once, {"item-not-found"}), errors(client, word)
    finally:
        s.edge.page = lambda message: 200


def traffic(s, word, over, count=4):
    """Both ways until `over` is set, several rounds at least: what was sent to romeo, with the statuses."""
    there, sent, rounds = link(s), {}, 0
    while rounds < count or not over.is_set():
        try:
            sent.update(statuses(there, [request(address(user), ROMEO, f"{word}-{rounds}-{user}",
                                                 call_id=f"{word}-{rounds}-{user}") for user in USERS]))
        except (OSError, AssertionError):
            break
        rounds += 1
    there.close()
    return sent


def test_reloads_and_verbs_under_traffic_lose_nothing(s):
    over, sent = threading.Event(), {}
    thread = threading.Thread(target=lambda: sent.update(traffic(s, "reloaded", over)))
    thread.start()
    for n in range(4):
        s.gateway.reload()
        to_all(s.juliet, f"reload-{n}")
        stoxd(s, "log-level", "info" if n % 2 else "debug")
        assert "nothing was changed" in stoxd(s, "drain", "--what-if")
    over.set()
    thread.join(30)
    assert set(sent.values()) == {202} and len(sent) >= len(USERS), collections.Counter(sent.values())
    for n in range(4):
        all_came(s, f"reload-{n}")
    expected = collections.Counter(sent.keys())
    got = lambda: collections.Counter(m["body"] for m in s.romeo.messages() if m.get("body", "").startswith("reloaded-"))
    wait_for("romeo to have all", lambda: got() == expected)


def test_sigterm_under_traffic_answers_each_message_once(s):
    """What was answered 202 was delivered, what was refused was not; what juliet sent came, or came back, once."""
    over, sent = threading.Event(), {}
    thread = threading.Thread(target=lambda: sent.update(traffic(s, "stopped", over, 1)))
    thread.start()
    s.romeo.wait_for(lambda e: e.get("body", "").startswith("stopped-"), "the first message")
    for n in range(3):
        to_all(s.juliet, f"stop-{n}")
    wait_for("some to come", lambda: came(s, "stop-0"))
    os.kill(s.gateway.pid, signal.SIGTERM)
    assert s.gateway.wait_exit(8) == 0
    over.set()
    thread.join(30)
    restart(s, changes=s.changes())
    delivered = collections.Counter(m["body"] for m in s.romeo.messages() if m.get("body", "").startswith("stopped-"))
    assert set(delivered.values()) <= {1}, delivered
    assert {body for body, status in sent.items() if status == 202} == set(delivered), (
        sorted(set(delivered) ^ {body for body, status in sent.items() if status == 202})[:5])
    wanted = {f"stop-{n}-{user}" for n in range(3) for user in USERS}
    def fates():
        back = errors(s.juliet, "stop-")[0]
        there = collections.Counter(f"{m.text.split()[0]}-{user}" for user in USERS for m in s.edge.pages
                                    if f"<sip:{address(user)}>" in m.get("to") and m.text.startswith("stop-"))
        return there + back
    wait_for(lambda: f"a fate of {sorted(wanted - set(fates()))[:5]}", lambda: set(fates()) == wanted, 20)
    assert set(fates().values()) == {1}, [one for one, count in fates().items() if count > 1][:5]
