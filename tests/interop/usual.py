"""The network that most tests want, and the words they share."""
from types import SimpleNamespace

from rig import RigError

# Budgets that no test of many messages meets.
UNLIMITED = "[limits]\nuser_rate = 0\npartner_rate = 0\n"


def usual(rig, grants=("alice",), more_policy="", agents=("alice",), users=("romeo",), kamailio=True):
    """DNS, a Prosody with romeo, a Kamailio with `agents`, and the gateway."""
    rig.usual_certificates()
    rig.dns()
    s = SimpleNamespace(rig=rig, capulet=rig.prosody(users=users))
    s.kamailio = rig.kamailio() if kamailio else None
    rig.policy(grants, more_policy)
    s.gateway = rig.gateway()
    s.romeo = rig.xmpp_client()
    for user in agents:
        setattr(s, user, rig.sip_agent(user))
    return s


def restart(s, **more):
    """Ends the gateway if it runs and starts it again."""
    if s.gateway:
        s.gateway.stop()
    s.gateway = s.rig.gateway(**more)


def partner(domain, **settings):
    """A [[partner]] entry; federated unless told."""
    settings = {"domain": domain, "type": "federated", **settings}
    lines = [f"{k} = {str(v).lower() if isinstance(v, bool) else v if isinstance(v, int) else repr(v)}".replace("'", '"')
             for k, v in settings.items()]
    return "\n".join(["", "[[partner]]", *lines, ""])


def delivered(agent, ident, timeout=15.0):
    """True when the SIP sender was told that its message was delivered."""
    return agent.wait_state(ident, timeout) == "Delivered"


def never_came(messages, body):
    """Fails if a message with that body is among `messages`."""
    if any(m.get("body") == body for m in messages):
        raise RigError(f"{body!r} was delivered")
