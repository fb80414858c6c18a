"""The parts of message sessions without the gateway: two user agents through Kamailio, two MSRP endpoints."""
from types import SimpleNamespace

import msrp_peer
import sip_chat
from rig import ALICE, BOB, wait_for

NEEDS_GATEWAY = False


def scene(rig):
    rig.usual_certificates()
    rig.dns()
    s = SimpleNamespace(rig=rig, kamailio=rig.kamailio())
    s.alice, s.bob = sip_chat.user(rig, "alice"), sip_chat.user(rig, "bob")
    return s


def test_the_agents_have_a_session_through_kamailio(s):
    talk = s.alice.talk(BOB, headers=sip_chat.first_text("in the INVITE"))
    assert talk.answer.status == 200, talk.answer.start
    assert len(talk.routes) == 1, talk.routes
    far = s.bob.wait_talk(ALICE)
    assert talk.text("Hallo") == 200
    far.wait_text("Hallo")
    assert far.text("Grüße") == 200
    talk.wait_text("Grüße")
    assert far.bye() == 200
    talk.wait_end()


def test_two_msrp_endpoints_over_tls(s):
    """Chunks in any order, a report, a range without a total."""
    one, other = (msrp_peer.Endpoint(s.rig.ip(70 + n), 2855, s.rig.pki) for n in range(2))
    near, far = one.session(), other.session()
    near.far(far.sdp("passive"))
    far.far(near.sdp("active"))
    assert near.connect() == 200
    sent = near.send("hallo" * 1000, chunk=1000, order=[4, 0, 3, 1, 2], success="yes")
    assert [near.wait(tid) for tid in sent.tids] == [200] * 5
    far.wait_text("hallo" * 1000)
    report = wait_for("a report", lambda: next(iter(near.reports), None))
    assert report.get("status") == "000 200 OK" and report.get("message-id") == sent.ident
    back = far.send("x" * 5000, total=False)
    assert {far.wait(tid) for tid in back.tids} == {200}
    near.wait_text("x" * 5000)
    one.close()
    other.close()
