"""What the policy refuses, and how a change of it takes effect."""
import re

from rig import ALICE, BOB, MONTAGUE, ROMEO, run_verb
from usual import delivered, never_came, partner, usual

NEEDS_GATEWAY = True


def scene(rig):
    s = usual(rig, grants=("alice",), agents=("alice", "bob"))
    rig.certificate("montague.example", "DNS:montague.example")
    s.montague = rig.prosody("montague.example", octet=MONTAGUE, users=("mercutio",))
    s.mercutio = rig.xmpp_client("mercutio@montague.example/street", octet=MONTAGUE)
    return s


def test_a_sip_user_without_a_grant_gets_403(s):
    ident = s.bob.send(ROMEO, "bob may not")
    assert s.bob.status(ident) == 403
    assert not delivered(s.bob, ident)
    ident = s.alice.send(ROMEO, "alice may")
    s.romeo.wait_body("alice may")
    assert delivered(s.alice, ident)
    never_came(s.romeo.messages(), "bob may not")


def test_an_xmpp_user_who_writes_to_them_gets_forbidden(s):
    s.romeo.send(BOB, "not for bob", id="no-grant")
    error = s.romeo.wait_error("no-grant")
    assert (error["error"]["type"], error["error"]["condition"]) == ("auth", "forbidden"), error
    assert error["from"] == BOB, error
    never_came(s.bob.messages(), "not for bob")


def test_a_refusal_does_not_tell_whether_the_user_exists(s):
    answers = {}
    for user in ("bob", "no-such-user"):
        s.romeo.send(f"{user}@contoso.example", "hello?", id=f"oracle-{user}")
        answers[user] = s.romeo.wait_error(f"oracle-{user}")["error"]
    assert answers["bob"] == answers["no-such-user"], answers


def test_an_unlisted_domain_gets_403_and_is_not_looked_up(s):
    ident = s.alice.send("mercutio@montague.example", "unlisted")
    assert s.alice.status(ident) == 403
    questions = re.findall(r"query\[\w+\] (\S+)", next(p for p in s.rig.parts if p.name == "dnsmasq").log())
    assert questions, "no question was seen at all: this proves nothing"
    assert not [q for q in questions if q.endswith("montague.example")], questions


def test_a_stream_from_an_unlisted_domain_is_refused(s):
    s.mercutio.send(ALICE, "let me in", id="unlisted-stream")
    s.mercutio.wait_error("unlisted-stream", 15)
    s.montague.wait_log("policy-violation", 5)
    never_came(s.alice.messages(), "let me in")


def test_policy_test_explains(s):
    words = ["policy", "test", "-c", s.gateway.config, "--to", "xmpp:" + ROMEO, "--from"]
    status, out, err = run_verb(*words, "sip:" + ALICE)
    assert status == 0 and "ALLOW" in out, out + err
    assert re.search(r"policy\.toml:\d+", out), out
    status, out, err = run_verb(*words, "sip:" + BOB)
    assert status == 3 and "DENY" in out, out + err
    assert "403" in out, out


def test_a_grant_is_in_force_after_sighup(s):
    s.rig.policy(("alice", "bob"))
    s.gateway.reload()
    ident = s.bob.send(ROMEO, "now bob may")
    s.romeo.wait_body("now bob may")
    assert delivered(s.bob, ident)
    s.romeo.send(BOB, "welcome, bob")
    s.bob.wait_body("welcome, bob")


def test_a_revoked_grant_too(s):
    s.rig.policy(("alice",))
    s.gateway.reload()
    assert s.bob.status(s.bob.send(ROMEO, "no longer")) == 403
    s.romeo.send(BOB, "no longer either", id="revoked")
    assert s.romeo.wait_error("revoked")["error"]["condition"] == "forbidden"
    never_came(s.bob.messages(), "no longer either")


def test_a_bad_policy_changes_nothing(s):
    s.rig.policy(("alice",), more='\n[[grant]]\nuser = "sip:bob@contoso.example"\npolicy = "No such policy"\n')
    s.gateway.reload()
    assert s.gateway.running()
    assert "No such policy" in s.gateway.log()
    assert s.bob.status(s.bob.send(ROMEO, "still not")) == 403
    ident = s.alice.send(ROMEO, "still alice may")
    s.romeo.wait_body("still alice may")
    assert delivered(s.alice, ident)


def test_a_policy_whose_own_tests_fail_changes_nothing(s):
    s.rig.policy(("alice", "bob"), more=f'\n[[test]]\nfrom = "sip:{BOB}"\nto = "xmpp:{ROMEO}"\nexpect = "deny"\n')
    s.gateway.reload()
    assert s.bob.status(s.bob.send(ROMEO, "a failing policy test")) == 403


def test_a_blocked_person_and_a_blocked_domain(s):
    s.rig.policy(("alice",), more=f'\n[[blocked]]\naddress = "{ROMEO}"\n')
    s.gateway.reload()
    assert s.alice.status(s.alice.send(ROMEO, "blocked person")) == 403
    s.romeo.send(ALICE, "from a blocked person", id="blocked")
    assert s.romeo.wait_error("blocked")["error"]["condition"] == "forbidden"
    s.rig.policy(("alice",), more='\n[[blocked]]\ndomain = "capulet.example"\n')
    s.gateway.reload()
    assert s.alice.status(s.alice.send(ROMEO, "blocked domain")) == 403
    never_came(s.alice.messages(), "from a blocked person")


def test_a_public_unverified_partner_may_not_write_first(s):
    s.rig.policy(("alice",), more=partner("montague.example", type="public-unverified"))
    s.gateway.reload()
    s.mercutio.send(ALICE, "unasked", id="unasked")
    assert s.mercutio.wait_error("unasked", 15)["error"]["condition"] == "forbidden"
    never_came(s.alice.messages(), "unasked")


def test_federation_switched_off_refuses_everyone(s):
    text = (s.rig.dir / "policy.toml").read_text()
    (s.rig.dir / "policy.toml").write_text(text.replace("enabled = true", "enabled = false"))
    s.gateway.reload()
    assert s.alice.status(s.alice.send(ROMEO, "switched off")) == 403
    s.romeo.send(ALICE, "switched off as well", id="off")
    s.romeo.wait_error("off", 15)
    never_came(s.romeo.messages(), "switched off")
    never_came(s.alice.messages(), "switched off as well")
