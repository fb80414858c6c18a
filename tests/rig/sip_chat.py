"""A SIP user agent for message sessions, from RFC 3261, 3264, 4028 and what is known of Lync's sessions.

It invites and is invited; text goes as MESSAGE and INFO inside of the dialog, or as MSRP where the SDP says so. It
stands on the transports and the transactions of `sip_presence`, and adds INVITE and ACK to them.
"""
import base64
import itertools
import queue
import secrets
import threading
import time

import sip_presence
from rig import EDGE, GATEWAY, SIP, SIP_DOMAIN, SIPS, wait_for
from sip_presence import T1, T2, TIMEOUT, address, parameters, values

ADDRESSES = {"alice": 64, "bob": 65}
ACCEPT_TYPES = ("text/plain multipart/alternative image/gif text/rtf text/html application/x-ms-ink "
                "application/ms-imdn+xml text/x-msmsgsinvite")
TYPING = '<?xml version="1.0"?><KeyboardActivity><status status="{}" /></KeyboardActivity>'


def ms_sdp(ip="192.0.2.1", line="m=message 5060 sip null", more=()):
    """What Lync offers (lync facts §4e): port and address mean nothing."""
    lines = ["v=0", f"o=- 0 0 IN IP4 {ip}", "s=session", f"c=IN IP4 {ip}", "t=0 0", line,
             f"a=accept-types:{ACCEPT_TYPES}", *more]
    return "\r\n".join([*lines, ""])


def first_text(text):
    """The headers in which the first text rides in the INVITE."""
    body = base64.b64encode(text.encode()).decode()
    return [("Supported", "ms-text-format"),
            ("ms-text-format", f"text/plain; charset=UTF-8;msgr=WAAtAE0ATQBTAC0ASQBNAA==;ms-body={body}")]


class Talk(sip_presence.Dialog):
    """One INVITE dialog, from either end: what was said in it stands in `requests`."""

    def __init__(self, agent, call_id, local, remote):
        super().__init__(agent, call_id, local, remote)
        self.requests, self.answer, self.offer, self.ended, self.acked = [], None, None, False, threading.Event()
        self.ack = None

    def ask(self, method, headers=(), body=b""):
        tag = f";tag={self.remote_tag}" if self.remote_tag else ""
        body = body.encode() if isinstance(body, str) else body
        return self.agent.ask(method, self.target or self.remote, f"<{self.local}>;tag={self.local_tag}",
                              f"<{self.remote}>{tag}", self.call_id, next(self.cseq),
                              [("Route", r) for r in self.routes] + list(headers), body)

    # -- as the one who invites -------------------------------------------------------------------------------------

    def invite(self, offer, headers=(), wait=TIMEOUT):
        """INVITE, the first or again; ACK for its final response; returns that (None: nobody answered)."""
        cseq = next(self.cseq)
        headers = [("Contact", self.agent.contact), *headers]
        if offer is not None:
            headers.append(("Content-Type", "application/sdp"))
        self.answer = self.agent.invite(self, cseq, headers, (offer or "").encode(), wait)
        return self.answer

    def take_remote(self, message, reverse):
        self.remote_tag = address(message.get("to" if reverse else "from"))[1].get("tag")
        self.target = address(message.get("contact"))[0]
        self.routes = values(message, "record-route")
        if reverse:
            self.routes.reverse()

    # -- what is said -----------------------------------------------------------------------------------------------

    def text(self, text, content_type="text/plain; charset=UTF-8", headers=()):
        """A MESSAGE in the dialog: the status of its answer."""
        answer = self.ask("MESSAGE", [("Content-Type", content_type), *headers], text)
        return answer.status if answer else None

    def info(self, body, content_type="application/xml"):
        answer = self.ask("INFO", [("Content-Type", content_type)], body)
        return answer.status if answer else None

    def typing(self, state="type"):
        return self.info(TYPING.format(state))

    def bye(self):
        self.ended = True
        answer = self.ask("BYE")
        return answer.status if answer else None

    # -- what came --------------------------------------------------------------------------------------------------

    def texts(self):
        return [m.text for m in self.requests if m.method == "MESSAGE"
                and (m.get("content-type") or "").lower().startswith("text/")]

    def wait(self, wanted, what, timeout=10.0):
        return wait_for(f"{what} in a session with {self.remote}", lambda: next(filter(wanted, list(self.requests)), None),
                        timeout)

    def wait_text(self, text, timeout=10.0):
        return self.wait(lambda m: m.method == "MESSAGE" and m.text == text, repr(text), timeout)

    def wait_end(self, timeout=10.0):
        wait_for(f"BYE from {self.remote}", lambda: self.ended, timeout)


class Agent(sip_presence.Agent):
    """One user agent. `decide(message)` gives status, headers and SDP for an INVITE; `judge(message)` the status of
    what comes inside of a dialog; None: no answer."""

    def __init__(self, *args):
        self.talks, self.pages, self.acks, self.invites = [], [], {}, {}
        self.decide = lambda message: (200, [], ms_sdp())
        self.judge = lambda message: 200
        self.page = lambda message: 200   # a MESSAGE out of a dialog
        self.ringing = lambda message: ()  # provisional statuses before the final answer
        super().__init__(*args)

    def register(self, expires=3600):
        """RFC 3261 §10 at the server that the channel leads to."""
        uri = f"sip:{SIP_DOMAIN}"
        answer = self.ask("REGISTER", uri, f"<{self.uri}>;tag={secrets.token_hex(4)}", f"<{self.uri}>",
                          f"{secrets.token_hex(8)}@{self.host}", 1,
                          [("Contact", self.contact), ("Expires", str(expires))])
        assert answer and answer.status == 200, answer and answer.start
        return self

    def talk(self, target, offer=None, headers=(), **more):
        """Invites "user@domain"; the answer is in the talk's `answer`."""
        talk = Talk(self, f"{secrets.token_hex(8)}@{self.host}", self.uri, f"sip:{target}")
        self.talks.append(talk)
        talk.invite(ms_sdp() if offer is None else offer, headers, **more)
        return talk

    def say_to(self, target, text, content_type="text/plain", headers=()):
        """A MESSAGE out of a dialog: its final response."""
        return self.ask("MESSAGE", f"sip:{target}", f"<{self.uri}>;tag={secrets.token_hex(4)}", f"<sip:{target}>",
                        f"{secrets.token_hex(8)}@{self.host}", 1, [("Content-Type", content_type), *headers],
                        text.encode() if isinstance(text, str) else text)

    # -- INVITE as a client (RFC 3261 §17.1.1, §13.2.2.4) ------------------------------------------------------------

    def invite(self, talk, cseq, headers, body, wait):
        branch = "z9hG4bK" + secrets.token_hex(8)
        tag = f";tag={talk.remote_tag}" if talk.remote_tag else ""
        uri = talk.target or talk.remote
        common = [f"From: <{talk.local}>;tag={talk.local_tag}", f"Call-ID: {talk.call_id}"]
        routes = [f"Route: {r}" for r in talk.routes]

        def build(method, to, more, content=b"", branch=branch, routes=routes, uri=uri):
            lines = [f"{method} {uri} SIP/2.0",
                     f"Via: SIP/2.0/{self.channel.name} {self.channel.sent_by};branch={branch};rport", "Max-Forwards: 70",
                     *routes, *common, f"To: {to}", f"CSeq: {cseq} {method}", *(f"{n}: {v}" for n, v in more)]
            return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content

        octets = build("INVITE", f"<{talk.remote}>{tag}", headers, body)
        answers = self._pending[branch] = queue.Queue()
        talk.cancel = lambda: self.channel.send(build("CANCEL", f"<{talk.remote}>{tag}", []))
        end, pause, silent = time.monotonic() + wait, T1, not self.channel.reliable
        talk.provisional = []
        self.channel.send(octets)
        while (left := end - time.monotonic()) > 0:
            try:
                answer = answers.get(timeout=min(pause, left) if silent else left)
            except queue.Empty:
                if silent:
                    self.channel.send(octets)
                    pause *= 2
                continue
            if answer.status < 200:
                talk.provisional.append(answer.status)
                silent = False
                continue
            if answer.status < 300:
                if not tag:
                    talk.take_remote(answer, reverse=True)
                else:
                    talk.target = address(answer.get("contact"))[0]
                route = [f"Route: {r}" for r in talk.routes]
                talk.ack = self.acks[branch] = build("ACK", answer.get("to"), [], branch="z9hG4bK" + secrets.token_hex(8),
                                                     routes=route, uri=talk.target)
                self.channel.send(talk.ack)
            else:
                self.acks[branch] = build("ACK", answer.get("to"), [])
                self.channel.send(self.acks[branch])
            return answer
        return None

    def _take(self, message, back):
        if message.status is not None and message.status >= 200 and message.get("cseq").endswith("INVITE"):
            branch = parameters(message.get("via").partition(";")[2]).get("branch")
            if branch in self.acks:  # the same answer again
                return self.channel.send(self.acks[branch])
        if message.method == "ACK":
            talk = self.find(message)
            if talk:
                talk.requests.append(message)
                talk.acked.set()
            return None
        if message.method == "INVITE":
            key = (message.all("via")[0], message.get("cseq"))
            if key in self.invites:
                return None
            self.invites[key] = message
            self.requests.append(message)
            threading.Thread(target=self._invited, args=(message, back), daemon=True).start()
            return None
        return super()._take(message, back)

    def find(self, message):
        tag = address(message.get("to"))[1].get("tag")
        return next((t for t in self.talks if t.call_id == message.get("call-id") and t.local_tag == tag), None)

    # -- INVITE as a server (RFC 3261 §13.3.1) -----------------------------------------------------------------------

    def _invited(self, message, back):
        talk = self.find(message)
        fresh = talk is None
        if fresh:
            if address(message.get("to"))[1].get("tag"):
                return back(self.response(message, 481, [], None))
            talk = Talk(self, message.get("call-id"), address(message.get("to"))[0], address(message.get("from"))[0])
            talk.take_remote(message, reverse=False)
        talk.offer = message.body
        talk.requests.append(message)
        for status in self.ringing(message):
            back(self.response(message, status, [("Contact", self.contact)], talk.local_tag))
        verdict = self.decide(message)
        if verdict is None:
            return None
        status, headers, sdp = verdict
        if status < 300:
            headers = [("Contact", self.contact), *headers, *([("Content-Type", "application/sdp")] if sdp else [])]
        answer = self.response(message, status, headers, talk.local_tag)
        if sdp and status < 300:
            answer = answer.replace(b"Content-Length: 0\r\n\r\n", f"Content-Length: {len(sdp)}\r\n\r\n{sdp}".encode())
        talk.acked.clear()
        if fresh and status < 300:
            self.talks.append(talk)
        back(answer)
        pause, end = T1, time.monotonic() + TIMEOUT
        while status < 300 and not talk.acked.wait(pause) and time.monotonic() < end:
            back(answer)
            pause = min(2 * pause, T2)
        return None

    def _answer(self, message):
        if message.method not in ("MESSAGE", "INFO", "BYE", "UPDATE", "CANCEL", "OPTIONS", "REFER"):
            return super()._answer(message)
        if not address(message.get("to"))[1].get("tag"):
            if message.method == "MESSAGE":
                self.pages.append(message)
                status = self.page(message)
            else:
                status = {"OPTIONS": 200, "CANCEL": 200}.get(message.method, 481)
            return self.response(message, status, [], None) if status else b""
        talk = self.find(message)
        if not talk or talk.ended:
            return self.response(message, 481, [], None)
        talk.requests.append(message)
        status = self.judge(message)
        if message.method == "BYE":
            talk.ended = True
        return self.response(message, status, [("Contact", self.contact)], None) if status else b""

    def wait_talk(self, by, timeout=10.0, count=1):
        """The session that `by` opened with us, the `count`th that was accepted."""
        def found():
            mine = [t for t in self.talks if t.remote.partition(";")[0] == f"sip:{by}"]
            return mine[count - 1] if len(mine) >= count else None
        return wait_for(f"{by} to invite {self.uri}", found, timeout)


_number = itertools.count(1)


def user(rig, name):
    """An agent of our SIP domain behind Kamailio, registered."""
    ip = rig.ip(ADDRESSES[name])
    channel = sip_presence.Udp(ip, rig.port(SIP), (rig.ip(EDGE), rig.port(SIP)))
    return Agent(f"sip:{name}@{SIP_DOMAIN}", ip, channel, rig.dir / f"chat-{name}-{next(_number)}.log").register()


def edge(rig, name="alice", certificate="edge"):
    """One who stands where the SIP server of our domain stands, as Lync's Edge does, and speaks for its user `name`."""
    channel = sip_presence.Tls((rig.ip(EDGE), rig.port(SIPS)), (rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, certificate,
                               sip_presence.EDGE_NAME)
    return Agent(f"sip:{name}@{SIP_DOMAIN}", sip_presence.EDGE_NAME, channel, rig.dir / f"chat-edge-{next(_number)}.log")
