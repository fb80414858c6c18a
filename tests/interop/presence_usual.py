"""The network of the presence tests, and what they start from.

alice is the scripted SIP agent, bob is liblinphone; both are behind Kamailio's presence server. romeo and juliet are
slixmpp behind Prosody. Each test makes the state that it starts from, so any of them can be run alone.
"""
import contextlib
import itertools
import re

import sip_presence
from rig import ALICE, ROMEO, RigError, wait_for
from usual import usual

JULIET = "juliet@capulet.example"
PACE = 5.0       # one NOTIFY in this time for each presentity, RFC 3856 §6.10
SOON = 5.0       # what crosses at once
PACED = 15.0     # what may wait for the next NOTIFY
REBUILT = 70.0   # a watch whose dialog was lost: 60 s with jitter, and some
GRANTED = ("alice", "bob")
_number = itertools.count(1)


def presence_scene(rig):
    s = usual(rig, grants=GRANTED, agents=(), users=("romeo", "juliet"))
    s.alice, s.bob = sip_presence.user(rig, "alice"), rig.contact_list("bob")
    s.juliet = rig.xmpp_client(JULIET + "/chamber")
    s.alice.publish("online")
    return s


def barrier(client, timeout=10.0):
    """Whatever the gateway sent to this client before has arrived after it."""
    ident = f"barrier-{next(_number)}"
    client.send_xml(f"<iq type='get' to='contoso.example' id='{ident}'><ping xmlns='urn:xmpp:ping'/></iq>")
    client.wait_for(lambda e: e["event"] == "iq" and e.get("id") == ident, "an answer to a ping", timeout)


def mark(client):
    return len(client.events())


def server_got(s, kind, sender, target, since=0, timeout=SOON):
    """Waits until Prosody got that presence from the gateway: what it knows already it does not pass on to a client."""
    def found():
        stanzas = re.findall(r"Received\[s2sin\]: <presence ([^>]*)>", s.capulet.log()[since:])
        return next((p for p in stanzas if f"type='{kind}'" in p and f"from='{sender}'" in p and f"to='{target}'" in p),
                    None)
    return wait_for(f"Prosody to get {kind} from {sender} for {target}", found, timeout)


def stranger(s, client, user="alice"):
    """`client` does not watch our user, and nobody remembers that it did."""
    contact, watcher, logged = f"{user}@contoso.example", client.jid.split("/")[0], len(s.capulet.log())
    client.presence("unsubscribe", to=contact)
    if (client.roster(contact) or {}).get("subscription") in ("to", "both"):
        server_got(s, "unsubscribed", contact, watcher, logged)
    client.remove_contact(contact)
    wait_for(f"Kamailio to have no watcher {watcher} of {user}",
             lambda: not [w for w in s.kamailio.watchers(user) if w[0] == watcher])
    s.kamailio.forget(user, watcher)
    barrier(client)
    return mark(client)


def news():
    """Words that nobody said before: a state with them is another one, whatever the last was."""
    return f"news {next(_number)}"


def seen(s, client, user="alice", state="online", timeout=SOON):
    """Our user publishes something new, and `client` sees it."""
    since, word = mark(client), news()
    getattr(s, user).publish(state, note=word)
    client.wait_presence(f"{user}@contoso.example", None, timeout, since, status=word)


def friend(s, client, user="alice", notes=True):
    """`client` watches our user with his approval, and sees him online (with news, if he may see `notes`)."""
    contact, watcher = f"{user}@contoso.example", client.jid.split("/")[0]
    s.kamailio.allow(user, watcher)
    if notes and (client.roster(contact) or {}).get("subscription") in ("to", "both"):
        try:
            return seen(s, client, user)
        except RigError:  # a test before this one has left the watch without a dialog
            if not hasattr(s, "capulet"):
                raise
            stranger(s, client, user)
            s.kamailio.allow(user, watcher)
    since = mark(client)
    client.presence("subscribe", to=contact)
    client.wait_presence(contact, "subscribed", since=since)
    wait_for(f"{client.jid}'s roster to know it",
             lambda: (client.roster(contact) or {}).get("subscription") in ("to", "both"))
    if notes:
        seen(s, client, user)


def approved(s, client, agent=None, timeout=10.0):
    """Our user watches `client`, with his approval; returns the watch. Those of tests before end."""
    agent, watched = agent or s.alice, client.jid.split("/")[0]
    contact, since = agent.uri.removeprefix("sip:"), mark(client)
    end_all(agent, watched)
    watch = agent.watch(watched)
    assert watch.status == 200, watch.status
    def settled():
        return watch.state == "active" or client.presences(contact, "subscribe", since)
    wait_for(f"{watched} to be asked or to have approved before", settled, timeout)
    if watch.state != "active":
        client.presence("subscribed", to=contact)
    watch.wait_state("active", timeout=timeout)
    return watch


def end_all(agent, watched):
    for watch in agent.watches:
        if watch.remote == f"sip:{watched}":
            watch.end()


def unwatched(s, client, agent=None):
    """Our user has no right to see `client`."""
    agent = agent or s.alice
    end_all(agent, client.jid.split("/")[0])
    client.presence("unsubscribed", to=agent.uri.removeprefix("sip:"))
    barrier(client)
    return mark(client)


def fetch(s, client, agent=None):
    """The document that one who asks once gets, after the gateway has heard all that `client` said."""
    barrier(client)
    watch = (agent or s.alice).watch(client.jid.split("/")[0], expires=0)
    assert watch.status == 200, watch.status
    return watch.wait_state("terminated", timeout=SOON)["presence"]


@contextlib.contextmanager
def another(s, resource, user=ROMEO):
    """Another client of an XMPP user."""
    client = s.rig.xmpp_client(f"{user}/{resource}")
    try:
        yield client
    finally:
        client.part.stop()


def tuples(document):
    """The tuples of a document of the gateway by the resource they stand for."""
    found = {}
    for one in document["tuples"]:
        gr = re.search(r";gr=([^;>?]*)", one["contact"] or "")
        found[gr.group(1) if gr else None] = one
    return found


def subscribes(s, watcher, user):
    """The SUBSCRIBE requests that Kamailio got for our user from a watcher outside, oldest first: their Expires."""
    pattern = rf"tls \S+ SUBSCRIBE sip:{re.escape(watcher)}\S* -> \S+ \(presence\S*; (\d+);"
    first = rf"tls \S+ SUBSCRIBE sip:{re.escape(watcher)}\S* -> sip:{user}@contoso\.example"
    return [int(e) for e in re.findall(pattern, s.kamailio.log())], len(re.findall(first, s.kamailio.log()))


def both_ways(s, client=None):
    """alice and romeo (or another) watch each other, and each sees the other online."""
    client = client or s.romeo
    friend(s, client)
    client.presence()
    watch = approved(s, client)
    watch.wait_shows("online", PACED)
    return watch
