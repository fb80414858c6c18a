"""The administrator's walks with the verbs: what was denied before is delivered after, between real parts."""
import re

from rig import ALICE, BOB, MONTAGUE, ROMEO, RigError, run_verb
from usual import delivered, never_came, usual

NEEDS_GATEWAY = True
MERCUTIO = "mercutio@montague.example"

EMPTY = """# Nothing is allowed yet.
[federation]
enabled = true
"""


def scene(rig):
    s = usual(rig, agents=("alice", "bob"))
    rig.certificate("montague.example", "DNS:montague.example")
    s.montague = rig.prosody("montague.example", octet=MONTAGUE, users=("mercutio",))
    s.mercutio = rig.xmpp_client(MERCUTIO + "/street", octet=MONTAGUE)
    (rig.dir / "policy.toml").write_text(EMPTY)
    stoxd(s, "reload")
    stoxd(s, "partner", "new", "capulet.example", "--type", "federated")
    s.number = 0
    return s


def stoxd(s, *words, code=0):
    """Runs a verb with the gateway's configuration; what it printed."""
    status, out, err = run_verb(*words, "-c", s.gateway.config)
    if status != code:
        raise RigError(f"stoxd {' '.join(words)} ended with {status}: {out}{err}")
    return out + err


def text(s):
    s.number += 1
    return f"message {s.number}"


def crosses(s, agent, client=None, to=ROMEO):
    """The agent's message arrives, and an answer comes back."""
    client, body, user = client or s.romeo, text(s), ALICE if agent is s.alice else BOB
    ident = agent.send(to, body)
    client.wait_body(body)
    assert delivered(agent, ident)
    client.send(user, "re: " + body)
    agent.wait_body("re: " + body)


def is_refused(s, agent, client=None, to=ROMEO):
    """Neither the agent's message nor one to it arrives, and each sender is told."""
    client, body, user = client or s.romeo, text(s), ALICE if agent is s.alice else BOB
    assert agent.status(agent.send(to, body)) == 403
    client.send(user, "re: " + body, id=body)
    client.wait_error(body, 15)
    never_came(client.messages(), body)
    never_came(agent.messages(), "re: " + body)


def test_walk_1_and_3_a_policy_does_nothing_until_it_is_granted(s):
    """F3, F12, F14, F15, F20."""
    is_refused(s, s.alice)
    stoxd(s, "policy", "new", "XmppUsers", "--description", "They may", "--federation", "on", "--xmpp", "on")
    assert re.search(r"^XmppUsers +yes +yes +0 +They may$", stoxd(s, "policy", "list"), re.M)
    is_refused(s, s.alice)
    assert "loaded: 2 policies, 1 grant" in stoxd(s, "policy", "grant", "XmppUsers", "--to", "sip:" + ALICE)
    crosses(s, s.alice)
    is_refused(s, s.bob)
    stoxd(s, "policy", "revoke", "--from", "sip:" + ALICE, "--yes")
    is_refused(s, s.alice)


def test_walk_2_staged_edits_change_nothing_until_they_are_committed(s):
    """F9."""
    stoxd(s, "policy", "grant", "XmppUsers", "--to", "sip:" + ALICE, "--staged")
    is_refused(s, s.alice)
    stoxd(s, "commit", "--discard", "--yes")
    stoxd(s, "policy", "grant", "XmppUsers", "--to", "sip:" + ALICE, "--staged")
    stoxd(s, "commit")
    crosses(s, s.alice)
    stoxd(s, "policy", "rollback", "--yes")
    is_refused(s, s.alice)


def test_walk_4_user_beats_site_beats_global(s):
    """F4, F10, F11, F16."""
    stoxd(s, "policy", "set", "global", "--federation", "on", "--xmpp", "on")
    crosses(s, s.bob)
    stoxd(s, "site", "new", "Branch", "--member", BOB)
    stoxd(s, "policy", "new", "site:Branch")
    is_refused(s, s.bob)
    crosses(s, s.alice)
    stoxd(s, "policy", "grant", "XmppUsers", "--to", "sip:" + BOB)
    crosses(s, s.bob)
    stoxd(s, "policy", "revoke", "--from", "sip:" + BOB, "--yes")
    is_refused(s, s.bob)
    stoxd(s, "policy", "rm", "site:Branch", "--yes")
    crosses(s, s.bob)
    stoxd(s, "policy", "grant", "XmppUsers", "--to", "sip:" + ALICE)
    assert "policy Global has been reset" in stoxd(s, "policy", "rm", "global", "--yes")
    is_refused(s, s.bob)
    crosses(s, s.alice)


def test_walk_5_the_three_twins_of_the_shell(s):
    """F2, F7."""
    stoxd(s, "site", "new", "Redmond", "--member", "*@redmond.example")
    stoxd(s, "policy", "new", "site:Redmond", "--federation", "on")
    stoxd(s, "policy", "set", "global", "--xmpp", "on")
    is_refused(s, s.bob)
    stoxd(s, "policy", "set", "global", "--federation", "on")
    crosses(s, s.bob)
    stoxd(s, "policy", "rm", "global", "--yes")
    is_refused(s, s.bob)


def test_walk_6_and_9_additional_domains_come_and_go(s):
    """F23, F25, F28, F49."""
    is_refused(s, s.alice, s.mercutio, MERCUTIO)
    stoxd(s, "partner", "set", "capulet.example", "--add-domain", "montague.example")
    crosses(s, s.alice, s.mercutio, MERCUTIO)
    crosses(s, s.alice)
    stoxd(s, "partner", "set", "capulet.example", "--remove-domain", "montague.example", "--yes")
    is_refused(s, s.alice, s.mercutio, MERCUTIO)
    stoxd(s, "partner", "set", "capulet.example", "--add-domain", "montague.example")
    stoxd(s, "partner", "set", "capulet.example", "--clear-domains", "--yes")
    is_refused(s, s.alice, s.mercutio, MERCUTIO)
    crosses(s, s.alice)


def test_walk_7_a_bad_combination_is_not_saved(s):
    """F42."""
    before = (s.rig.dir / "policy.toml").read_text()
    said = stoxd(s, "partner", "set", "capulet.example", "--tls", "not-supported", code=3)
    assert "SASL EXTERNAL needs TLS" in said and "nothing was changed" in said, said
    assert (s.rig.dir / "policy.toml").read_text() == before
    crosses(s, s.alice)


def test_walk_8_a_public_unverified_partner_may_not_write_first(s):
    """F34, and F30 when the type is changed."""
    stoxd(s, "partner", "new", "montague.example")
    s.mercutio.send(ALICE, "unasked", id="unasked")
    assert s.mercutio.wait_error("unasked", 15)["error"]["condition"] == "forbidden"
    stoxd(s, "partner", "set", "montague.example", "--type", "federated")
    s.mercutio.send(ALICE, "now I may")
    s.alice.wait_body("now I may")
    never_came(s.alice.messages(), "unasked")


def test_walk_9_a_partner_that_is_removed_gets_nothing_at_once(s):
    """F26."""
    crosses(s, s.alice, s.mercutio, MERCUTIO)
    assert "montague.example" in stoxd(s, "status")
    stoxd(s, "partner", "rm", "montague.example", "--yes")
    is_refused(s, s.alice, s.mercutio, MERCUTIO)
    streams = stoxd(s, "status").split("STREAMS")[1].split("LINKS")[0]
    assert "montague.example" not in streams, streams
    crosses(s, s.alice)


def test_walk_15_settings_are_taken_without_a_restart(s):
    """F59."""
    assert "loaded: " in stoxd(s, "config", "set", "xmpp.connection_limit", "1200")
    assert "connection_limit = 1200" in stoxd(s, "config", "show", "--running")
    assert "is out of range" in stoxd(s, "config", "set", "xmpp.connection_limit", "0", code=3)
    crosses(s, s.alice)


def test_walk_16_the_kill_switch(s):
    """F22."""
    assert "federation is disabled" in stoxd(s, "federation", "disable")
    assert "federation is disabled" in stoxd(s, "status")
    is_refused(s, s.alice)
    assert "capulet.example" not in stoxd(s, "status").split("STREAMS")[1].split("LINKS")[0]
    stoxd(s, "federation", "enable")
    crosses(s, s.alice)
    stoxd(s, "partner", "rm", "*", "--yes")
    is_refused(s, s.alice)
