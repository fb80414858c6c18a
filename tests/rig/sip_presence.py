"""A SIP user agent for presence, from the RFCs: 3261 (what is needed of it), 3856, 3863, 3903, 6665.

It publishes its own state, watches others, is watched, and tells each thing that it saw as one JSON line in its log.
It refreshes nothing by itself: the test says when. `user` is an agent of our SIP domain behind Kamailio; `gateway`
stands at the gateway's address with the gateway's certificate and plays its part; `edge` stands where Kamailio does.
"""
import itertools
import json
import queue
import re
import secrets
import socket
import threading
import time

import pidf
import sip_peer
from rig import EDGE, EDGE_NAME, GATEWAY, GATEWAY_NAME, SIP, SIP_DOMAIN, SIPS, RigError, wait_for

T1, T2, TIMEOUT = 0.5, 4.0, 32.0  # RFC 3261 §17.1.2.2
ADDRESSES = {"alice": 50, "bob": 51}
REASONS = {200: "OK", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
           410: "Gone", 423: "Interval Too Brief", 480: "Temporarily Unavailable", 481: "Subscription Does Not Exist",
           489: "Bad Event", 500: "Server Internal Error", 503: "Service Unavailable", 603: "Decline"}


def address(value):
    """The URI and the parameters of a From, To, Contact or Route value."""
    match = re.match(r'\s*(?:"(?:\\.|[^"])*"\s*|[^<"]*)<([^>]*)>(.*)$', value, re.S)
    uri, rest = match.groups() if match else (value.split(";")[0], value[len(value.split(";")[0]):])
    return uri.strip(), parameters(rest)


def parameters(text):
    """";a=b;c" as a dictionary; a parameter without a value is there with ""."""
    found = {}
    for piece in filter(None, (p.strip() for p in text.split(";"))):
        name, _, value = piece.partition("=")
        found[name.strip().lower()] = value.strip().strip('"')
    return found


def values(message, name):
    """All values of a header that may hold several, comma-separated outside of < > and quotes."""
    return [v.strip() for line in message.all(name) for v in re.split(r',(?=(?:[^<>"]|<[^>]*>|"[^"]*")*$)', line)
            if v.strip()]


class Udp:
    """One socket; everything goes to one server."""

    name, reliable = "UDP", False

    def __init__(self, ip, port, server):
        self.server, self.sock = server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ip, port))
        self.sent_by, self.transport = f"{ip}:{port}", ""

    def start(self, take):
        self._reader = threading.Thread(target=self._read, args=(take,), daemon=True)
        self._reader.start()

    def _read(self, take):
        while True:
            try:
                octets = self.sock.recv(65536)
            except OSError:
                return
            head, blank, body = octets.partition(b"\r\n\r\n")
            if blank:
                take(sip_peer.Message(head, body), self.send)

    def send(self, octets):
        self.sock.sendto(octets, self.server)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        # The address is free when nobody reads there any more.
        if threading.current_thread() is not self._reader:
            self._reader.join(5)


class Tls:
    """A listener, and one link to a server for what is asked here; an answer goes back by the link of its request."""

    name, reliable = "TLS", True

    def __init__(self, listen, server, pki, certificate, name):
        self.server, self.pki, self.certificate, self.link, self.links = server, pki, certificate, None, []
        self.sent_by, self.transport = f"{name}:{listen[1]}", ";transport=tls"
        self._context = sip_peer.context(pki, certificate, True)
        self._listener = socket.create_server(listen)

    def start(self, take):
        self._take = take
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
                link = sip_peer.Link(self._context.wrap_socket(sock, server_side=True))
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            self._serve(link)

    def _serve(self, link):
        self.links.append(link)
        threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link):
        try:
            while message := link.read(3600):
                self._take(message, link.send)
        except (OSError, ValueError, RigError):
            pass
        if self.link is link:
            self.link = None

    def send(self, octets):
        if self.link is None:
            self.link = sip_peer.connect(self.server, self.pki, self.certificate)
            self._serve(self.link)
        self.link.send(octets)

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for link in self.links:
            try:
                link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            link.close()


class Dialog:
    """One subscription's dialog, seen from either end."""

    package = "presence"

    def __init__(self, agent, call_id, local, remote, event_id=None):
        self.agent, self.call_id, self.local, self.remote, self.event_id = agent, call_id, local, remote, event_id
        self.local_tag, self.remote_tag = secrets.token_hex(6), None
        self.target, self.routes, self.cseq, self.remote_cseq = None, [], itertools.count(1), -1

    @property
    def event(self):
        return self.package + (f";id={self.event_id}" if self.event_id else "")

    def ask(self, method, headers=(), body=b""):
        """Sends a request in (or for) this dialog and returns its final response."""
        tag = f";tag={self.remote_tag}" if self.remote_tag else ""
        return self.agent.ask(method, self.target or self.remote, f"<{self.local}>;tag={self.local_tag}",
                              f"<{self.remote}>{tag}", self.call_id, next(self.cseq),
                              [("Route", r) for r in self.routes] + [("Event", self.event), *headers], body)


class Watch(Dialog):
    """We watch someone: what SUBSCRIBE and each NOTIFY said."""

    def __init__(self, agent, target, **more):
        super().__init__(agent, f"{secrets.token_hex(8)}@{agent.host}", agent.uri, f"sip:{target}", **more)
        self.notifies, self.status, self.granted, self.ended = [], None, None, False

    def subscribe(self, expires=3600, accept="application/pidf+xml", headers=()):
        """SUBSCRIBE, the first time or again; returns the status code of the answer."""
        answer = self.ask("SUBSCRIBE", [("Expires", str(expires)), ("Contact", self.agent.contact),
                                        *([("Accept", accept)] if accept else []), *headers])
        self.status = answer.status if answer else None
        self.granted = int(answer.get("expires")) if answer and answer.get("expires") else None
        if self.status and self.status < 300 and self.remote_tag is None:
            self.take_remote(answer, reverse=True)
        self.agent.say("subscribed", to=self.remote, status=self.status, expires=self.granted, call_id=self.call_id,
                       min_expires=answer.get("min-expires") if answer else None)
        return self.status

    def end(self):
        """SUBSCRIBE with Expires 0, unless it was said before or the other end has ended it."""
        if not self.ended and self.remote_tag and self.state != "terminated":
            self.subscribe(0)
        self.ended = True

    def take_remote(self, message, reverse):
        """Learns the other end of the dialog from the 2xx (route set reversed) or the first NOTIFY."""
        self.remote_tag = address(message.get("to" if reverse else "from"))[1].get("tag")
        routes = values(message, "record-route")
        self.routes = routes[::-1] if reverse else routes
        if message.get("contact"):
            self.target = address(values(message, "contact")[0])[0]

    def on_notify(self, message):
        """The status code for a NOTIFY in this dialog."""
        tag, number = address(message.get("from"))[1].get("tag"), int(message.get("cseq").split()[0])
        if self.remote_tag is None:
            self.take_remote(message, reverse=False)
        if tag != self.remote_tag:
            return 481  # a fork; presence has one dialog (RFC 3856 §6.9)
        if number <= self.remote_cseq:
            return 500
        if not message.get("subscription-state"):
            return 400
        self.remote_cseq = number
        if message.get("contact"):
            self.target = address(values(message, "contact")[0])[0]
        state, _, rest = message.get("subscription-state").partition(";")
        told = parameters(rest)
        seen = {"state": state.strip().lower(), "reason": told.get("reason"), "expires": told.get("expires"),
                "retry_after": told.get("retry-after"), "event_header": message.get("event"),
                "content_type": message.get("content-type"), "presence": None, "at": time.monotonic()}
        if message.body:
            try:
                seen["presence"] = pidf.read(message.body)
            except Exception as why:  # noqa: BLE001: whatever it is, the test shall see it
                seen["bad"] = str(why)
            seen["body"] = message.text
        seen["shows"] = pidf.summary(seen["presence"])
        self.notifies.append(seen)
        self.agent.say("notify", **{"from": self.remote}, **seen)
        return 200

    # -- what a test asks -----------------------------------------------------------------------------------------

    @property
    def state(self):
        return self.notifies[-1]["state"] if self.notifies else None

    @property
    def document(self):
        """The last document; a NOTIFY without one keeps the former (RFC 3856 §6.8)."""
        return next((n["presence"] for n in reversed(self.notifies) if n["presence"]), None)

    def wait(self, wanted, what, timeout=10.0, since=0):
        """The first NOTIFY from number `since` on for which `wanted(notify)` holds."""
        return wait_for(lambda: f"{self.agent.uri} to be told of {self.remote}: {what}; so far {self.brief()}",
                        lambda: next((n for n in self.notifies[since:] if wanted(n)), None), timeout)

    def wait_state(self, state, reason=None, timeout=10.0, since=0):
        return self.wait(lambda n: n["state"] == state and reason in (None, n["reason"]),
                         f"{state};reason={reason}" if reason else state, timeout, since)

    def wait_shows(self, shows, timeout=10.0, since=0):
        return self.wait(lambda n: n["shows"] == shows, shows, timeout, since)

    def brief(self):
        return [f"{n['state']}{';' + n['reason'] if n['reason'] else ''} {n['shows']}" for n in self.notifies]


class Watched(Dialog):
    """Someone watches us, and we tell."""

    def __init__(self, agent, request):
        super().__init__(agent, request.get("call-id"), address(request.get("to"))[0], address(request.get("from"))[0],
                         parameters(request.get("event").partition(";")[2]).get("id"))
        self.remote_tag = address(request.get("from"))[1].get("tag")
        self.routes, self.requests = values(request, "record-route"), []
        self.take(request)

    def take(self, request):
        self.requests.append(request)
        self.target = address(values(request, "contact")[0])[0]
        self.expires = int(request.get("expires") or 3600)

    def notify(self, state="active", reason=None, body=None, expires=None, retry_after=None, header=None,
               content_type="application/pidf+xml"):
        """Sends a NOTIFY; returns the status code of its answer.

        `header` is a Subscription-State as it is; "" leaves it out.
        """
        told = [state] + ([f"reason={reason}"] if reason else [])
        told += [f"retry-after={retry_after}"] if retry_after else []
        if state != "terminated":
            told.append(f"expires={self.expires if expires is None else expires}")
        headers = [("Contact", self.agent.contact)]
        if header != "":
            headers.append(("Subscription-State", header or ";".join(told)))
        if body:
            headers.append(("Content-Type", content_type))
        answer = self.ask("NOTIFY", headers, body.encode() if isinstance(body, str) else body or b"")
        return answer.status if answer else None


class Agent:
    """One user agent: its transport, its transactions, its subscriptions."""

    def __init__(self, uri, host, channel, log):
        self.uri, self.host, self.channel, self._log = uri, host, channel, open(log, "a", encoding="utf-8")
        user = uri.split(":")[1].split("@")[0]
        self.contact = f"<sip:{user}@{channel.sent_by}{channel.transport}>"
        self.watches, self.watched, self.requests = [], [], []
        self.etag, self._pending, self._answered, self._publication = None, {}, {}, itertools.count(1)
        self._publish_id, self._publish_tag = f"{secrets.token_hex(8)}@{host}", secrets.token_hex(6)
        self.answer_notify = lambda message: None    # a status code instead of the usual one; 0: no answer
        self.answer_subscribe = lambda message: (200, [])  # status code and headers for those who want to watch us
        self.before_answer = lambda watched: None    # called before the 200 to a new SUBSCRIBE goes out
        channel.start(self._take)

    def say(self, event, **told):
        print(json.dumps({"event": event, **{k: v for k, v in told.items() if v is not None}}, ensure_ascii=False),
              file=self._log, flush=True)

    # -- transactions ---------------------------------------------------------------------------------------------

    def ask(self, method, uri, sender, target, call_id, cseq, headers, body=b""):
        """A client transaction, RFC 3261 §17.1.2: returns the final response, or None after 64*T1."""
        branch = "z9hG4bK" + secrets.token_hex(8)
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/{self.channel.name} {self.channel.sent_by};branch={branch};rport",
                 "Max-Forwards: 70", f"From: {sender}", f"To: {target}", f"Call-ID: {call_id}", f"CSeq: {cseq} {method}"]
        lines += [f"{name}: {value}" for name, value in headers]
        octets = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
        answers = self._pending[branch] = queue.Queue()
        end, pause = time.monotonic() + TIMEOUT, T1
        try:
            self.channel.send(octets)
            while (left := end - time.monotonic()) > 0:
                try:
                    answer = answers.get(timeout=left if self.channel.reliable else min(pause, left))
                except queue.Empty:
                    if not self.channel.reliable:
                        self.channel.send(octets)
                        pause = min(2 * pause, T2)
                    continue
                if answer.status >= 200:
                    return answer
                pause = T2
            return None
        finally:
            del self._pending[branch]

    def _take(self, message, back):
        if message.status is not None:
            waiting = self._pending.get(parameters(message.get("via").partition(";")[2]).get("branch"))
            if waiting:
                waiting.put(message)
            return
        key = (message.all("via")[0], message.get("cseq"))
        if key not in self._answered:  # a retransmission gets the same answer
            self.requests.append(message)
            self._answered[key] = self._answer(message)
        if self._answered[key]:
            back(self._answered[key])
        for watched in [w for w in self.watched if w.requests and w.requests[-1] is message]:
            self.say("watched", by=watched.remote, expires=watched.expires)

    def _answer(self, message):
        headers, tag = [], None
        to_tag = address(message.get("to"))[1].get("tag")
        if message.method == "NOTIFY":
            watch = next((w for w in self.watches if w.call_id == message.get("call-id") and w.local_tag == to_tag), None)
            status = self.answer_notify(message)
            if status is None:
                status = watch.on_notify(message) if watch else 481
        elif message.method == "SUBSCRIBE":
            status, headers, watched = self._subscribed(message, to_tag)
            if watched:
                tag, headers = watched.local_tag, [("Expires", watched.expires), ("Contact", self.contact), *headers]
        else:
            status = 405
        return self.response(message, status, headers, tag) if status else b""

    def _subscribed(self, message, to_tag):
        watched = next((w for w in self.watched if w.call_id == message.get("call-id") and w.local_tag == to_tag), None)
        if to_tag and not watched:
            return 481, [], None
        status, headers = self.answer_subscribe(message)
        if status != 200:
            return status, headers, None
        if watched:
            watched.take(message)
        else:
            watched = Watched(self, message)
            self.watched.append(watched)
            self.before_answer(watched)
        return status, headers, watched

    @staticmethod
    def response(message, status, headers, tag):
        to = message.get("to")
        if "tag" not in address(to)[1]:
            to += f";tag={tag or secrets.token_hex(6)}"
        lines = [f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}"] + [f"Via: {v}" for v in message.all("via")]
        lines += [f"Record-Route: {v}" for v in message.all("record-route")]
        lines += [f"From: {message.get('from')}", f"To: {to}", f"Call-ID: {message.get('call-id')}",
                  f"CSeq: {message.get('cseq')}"] + [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()

    # -- presence -------------------------------------------------------------------------------------------------

    def publish(self, state="online", note=None, expires=3600, body=None, **more):
        """PUBLISH of our own state (RFC 3903 §4): the first, a new one in its place, with Expires 0 the last."""
        if body is None:
            body = pidf.write("pres:" + self.uri.split(":")[1], state, note, **more)
        headers = [("Event", "presence"), ("Expires", str(expires))]
        headers += [("SIP-If-Match", self.etag)] if self.etag else []
        headers += [("Content-Type", "application/pidf+xml")] if expires else []
        answer = self.ask("PUBLISH", self.uri, f"<{self.uri}>;tag={self._publish_tag}", f"<{self.uri}>",
                          self._publish_id, next(self._publication), headers, body.encode() if expires else b"")
        status = answer.status if answer else None
        self.say("published", state=state, note=note, status=status)
        if status == 412 and self.etag:  # the server forgot what we published
            self.etag = None
            return self.publish(state, note, expires, body, **more)
        if status != 200:
            raise RigError(f"PUBLISH of {self.uri} was answered {status}")
        self.etag = answer.get("sip-etag") if expires else None
        return status

    def unpublish(self):
        if self.etag:
            self.publish("offline", expires=0)

    def watch(self, target, expires=3600, **more):
        """A new subscription to "user@domain"; the answer's status code is in its `status`."""
        watch = Watch(self, target, event_id=more.pop("event_id", None))
        self.watches.append(watch)
        watch.subscribe(expires, **more)
        return watch

    def wait_watched(self, by, timeout=10.0, count=1):
        """The dialog of the one who watches us since the `count`th time."""
        def found():
            mine = [w for w in self.watched if w.remote == f"sip:{by}"]
            return mine[count - 1] if len(mine) >= count else None
        return wait_for(f"{by} to watch {self.uri}", found, timeout)

    def close(self):
        self.channel.close()
        self._log.close()


def user(rig, name):
    """An agent of our SIP domain at its own address, beside linphone's."""
    ip = rig.ip(ADDRESSES[name])
    return Agent(f"sip:{name}@{SIP_DOMAIN}", ip, Udp(ip, rig.port(SIP), (rig.ip(EDGE), rig.port(SIP))),
                 rig.dir / f"presence-{name}.log")


def edge(rig, name="alice", certificate="edge"):
    """One who stands where the SIP server of our domain stands, and speaks for its user `name`."""
    channel = Tls((rig.ip(EDGE), rig.port(SIPS)), (rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, certificate, EDGE_NAME)
    return Agent(f"sip:{name}@{SIP_DOMAIN}", EDGE_NAME, channel, rig.dir / "presence-edge.log")


def gateway(rig, who, certificate="gateway"):
    """One who stands where the gateway stands, and speaks for `who` ("romeo@capulet.example")."""
    channel = Tls((rig.ip(GATEWAY), rig.port(SIPS)), (rig.ip(EDGE), rig.port(SIPS)), rig.pki, certificate, GATEWAY_NAME)
    return Agent(f"sip:{who}", GATEWAY_NAME, channel, rig.dir / "presence-gateway.log")
