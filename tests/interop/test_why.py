"""stoxd trace and stoxd why: an administrator learns what became of a message without reading packets."""
import json
import re
import subprocess

from rig import ALICE, BOB, ROMEO, gateway_binary, run_verb, wait_for
from usual import delivered, partner, usual

NEEDS_GATEWAY = True
CAROL = "carol@contoso.example"
MERCUTIO = "mercutio@montague.example"


def scene(rig):
    s = usual(rig, grants=("alice", "carol"), agents=("alice", "bob"), more_policy=partner("lost.example"))
    s.number = 0
    return s


def stoxd(s, *words):
    return run_verb(*words, "-c", s.gateway.config)


def why(s, sender, target, code, *more):
    """What `stoxd why` says of the two, once it ends with that code."""
    def found():
        status, out, err = stoxd(s, "why", "--from", sender, "--to", target, *more)
        assert not err, err
        return out if status == code else None
    return wait_for(f"stoxd why to end with {code} for {sender} to {target}", found)


def why_json(s, sender, target, code):
    return json.loads(why(s, sender, target, code, "--json"))


def steps(told):
    return [step["what"] for step in told["crossings"][-1]["steps"]]


def test_before_anything_has_crossed_the_policy_is_told(s):
    out = why(s, f"sip:{ALICE}", f"xmpp:{ROMEO}", 1)
    assert "Nothing from sip:alice@contoso.example to xmpp:romeo@capulet.example is on record" in out, out
    assert "ALLOW" in out and "did not get here" in out, out
    out = why(s, f"sip:{BOB}", f"xmpp:{ROMEO}", 1)
    assert "DENY" in out and "to allow: stoxd policy grant" in out, out


def test_a_delivered_message_each_way(s):
    ident = s.alice.send(ROMEO, "the secret word is rosemary")
    s.romeo.wait_body("the secret word is rosemary")
    assert delivered(s.alice, ident)
    out = why(s, f"sip:{ALICE}", f"xmpp:{ROMEO}", 0)
    for line in (r"^Delivered: ", r"MESSAGE from edge by link in#[\d.]+ [\d.]+:\d+, TLS, by certificate",
                 r"allowed: policy XMPP users \(policy\.toml:\d+\)",
                 r"<message> written to capulet\.example by stream out#[\d.]+ [\d.:]+, TLS \S+, SASL EXTERNAL",
                 r"the sender was answered 202"):
        assert re.search(line, out, re.M), (line, out)
    s.romeo.send(ALICE, "and rue")
    s.alice.wait_body("and rue")
    out = why(s, f"xmpp:{ROMEO}", f"sip:{ALICE}", 0)
    assert re.search(r"edge answered 20[02]", out) and "SASL EXTERNAL" in out, out
    told = why_json(s, f"xmpp:{ROMEO}", f"sip:{ALICE}", 0)
    assert steps(told)[:2] == ["came", "allowed"] and steps(told)[-2:] == ["sent", "answered"], told
    assert told["verdict"] == "delivered" and told["exit"] == 0
    assert "rosemary" not in json.dumps(told) + out and "rue" not in json.dumps(told).split(), told


def test_what_policy_refuses(s):
    assert s.bob.status(s.bob.send(ROMEO, "bob may not")) == 403
    out = why(s, f"sip:{BOB}", f"xmpp:{ROMEO}", 3)
    assert re.search(r"^Denied by policy \(policy-\w+, policy Global\)", out), out
    assert "← this decided" in out and "to allow: stoxd policy grant 'XMPP users' --to sip:bob@contoso.example" in out, out
    assert "the sender was answered 403" in out, out
    s.romeo.send(BOB, "nor may romeo", id="denied")
    s.romeo.wait_error("denied")
    out = why(s, f"xmpp:{ROMEO}", f"sip:{BOB}", 3)
    assert "the sender was told: forbidden" in out, out


def test_an_unknown_partner(s):
    assert s.alice.status(s.alice.send(MERCUTIO, "unlisted")) == 403
    out = why(s, f"sip:{ALICE}", f"xmpp:{MERCUTIO}", 3)
    assert "Denied by policy (unlisted)" in out and "stoxd partner new montague.example" in out, out


def test_what_fails_on_the_sip_side(s):
    s.romeo.send(CAROL, "is carol there?", id="no-carol")
    s.romeo.wait_error("no-carol", 15)
    told = why_json(s, f"xmpp:{ROMEO}", f"sip:{CAROL}", 3)
    assert steps(told)[-3:] == ["answered", "failed", "told"], told
    status = told["crossings"][-1]["steps"][-3]["status"]
    assert status in (404, 480), told
    out = why(s, f"xmpp:{ROMEO}", f"sip:{CAROL}", 3)
    assert f"edge answered {status}" in out and "From tag" in out, out


def test_what_comes_back_from_the_xmpp_side(s):
    assert delivered(s.alice, s.alice.send("nobody@capulet.example", "anybody?"))
    out = why(s, f"sip:{ALICE}", "xmpp:nobody@capulet.example", 3)
    assert "capulet.example returned an error later: " in out and "the stanza id" in out, out


def test_a_partner_that_is_away(s):
    assert s.alice.status(s.alice.send("x@lost.example", "to nobody's port"), 20) == 504
    out = why(s, f"sip:{ALICE}", "xmpp:x@lost.example", 3)
    assert "waits for a stream to lost.example" in out and "no stream is up" in out, out
    assert re.search(r"XMPP, lost\.example\n.*\n  last error \d+ s ago: ", out), out
    assert "STOXD_EVENT=stream.down STOXD_PARTNER=lost.example" in out, out


def test_one_name_for_both_legs_is_found_in_the_log_and_by_why(s):
    told = why_json(s, f"sip:{ALICE}", f"xmpp:{ROMEO}", 0)
    name = told["crossings"][-1]["trace"]
    assert re.search(rf"message\.delivered.*{name}", s.gateway.log()), name
    assert name in s.capulet.log() or f"id='{name}'" in json.dumps(s.romeo.events()), "the stanza has that id"
    status, out, _ = stoxd(s, "why", name)
    assert status == 0 and f"trace {name}" in out, out
    assert stoxd(s, "why", name[:10])[1] == out
    assert stoxd(s, "why", "0000000000")[0] == 1


def test_a_watch_between_the_two(s):
    s.romeo.presence("subscribe", to=ALICE)
    out = why(s, f"xmpp:{ROMEO}", f"sip:{ALICE}", 0)
    assert re.search(r"romeo@capulet\.example sees alice@contoso\.example: authorization \w+, subscription \w+", out), out
    told = why_json(s, f"xmpp:{ROMEO}", f"sip:{ALICE}", 0)
    asked = [one for one in told["crossings"] if one["kind"] == "subscription"]
    assert asked and {"came", "allowed", "watch"} <= {step["what"] for step in asked[-1]["steps"]}, told


def test_trace_shows_what_is_on_record(s):
    status, out, _ = stoxd(s, "trace", "--user", ALICE, "--partner", "capulet.example")
    assert status == 0, out
    for line in (r"^ t\+ms +alice \(SIP\) +edge +stoxd +capulet\.example +romeo \(XMPP\)$",
                 r"^   0\.0 +├─+ MESSAGE ─+▶├─+ MESSAGE ─+▶│ in#[\d.]+ TLS, by certificate +\w{18}$",
                 r"● ALLOW XMPP users \(policy\.toml:\d+\)$", r"├─+ <message> ─+▶│ out#[\d.]+ .*SASL EXTERNAL$",
                 r"│◀─+ 202 ─+┤◀─+ 202 ─+┤$"):
        assert re.search(line, out, re.M), (line, out)
    assert "rosemary" not in out and "lost.example" not in out
    status, out, _ = stoxd(s, "trace", "--user", BOB, "--format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["step"] for line in lines} == {"came", "denied", "told"}, lines
    assert all(BOB in line["from"] + line["to"] for line in lines), lines


def test_trace_follows(s):
    argv = [str(gateway_binary()), "trace", "-f", "--json", "--user", ALICE, "-c", str(s.gateway.config)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
        try:
            def sends():
                # Until it follows nothing is heard of.
                s.number += 1
                assert delivered(s.alice, s.alice.send(ROMEO, f"follow me {s.number}"))
                return s.number >= 3
            wait_for("three messages", sends, 30)
            seen = []
            while not seen or seen[-1]["step"] != "told":
                seen.append(json.loads(follower.stdout.readline()))
            assert [line["step"] for line in seen][-4:] == ["came", "allowed", "sent", "told"], seen
            assert seen[-1]["sip_code"] == 202 and seen[-1]["trace"] == seen[-2]["trace"], seen
        finally:
            follower.terminate()


def test_without_a_daemon_the_files_are_asked_and_the_code_is_4(s):
    s.gateway.stop()
    status, out, err = stoxd(s, "why", "--from", f"sip:{BOB}", "--to", f"xmpp:{ROMEO}")
    assert status == 4 and "DENY" in out and "no answer from the daemon" in err, out + err
    assert stoxd(s, "trace")[0] == 4
