"""An MSRP endpoint, written from RFC 4975 and RFC 6135 alone: the far end of message sessions.

It listens or connects, over TLS or TCP; a `Session` sends messages in chunks as it is told and keeps what comes: whole
messages, responses, reports. `Link.raw` sends octets as they are, for what a well-behaved end would never send.
"""
import secrets
import socket
import threading
from types import SimpleNamespace

import sip_peer
from rig import RigError, wait_for

REASONS = {200: "OK", 400: "Bad Request", 403: "Stop Sending", 408: "Timeout", 413: "Too Large",
           415: "Unsupported Media Type", 481: "No Such Session", 501: "Unknown Method", 506: "Session In Use"}


class Frame:
    """One request or response (RFC 4975 §7): the transaction id, the method or the status, headers, body, flag."""

    def __init__(self, tid, what, headers, body, flag):
        self.tid, self.headers, self.body, self.flag = tid, headers, body, flag
        word = what.split(" ")[0]
        self.status, self.method = (int(word), None) if word.isdigit() else (None, word)

    def get(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def range(self):
        """Byte-Range as (first, last, total); None where it says "*"."""
        first, _, rest = (self.get("byte-range") or "1-*/*").partition("-")
        last, _, total = rest.partition("/")
        return int(first), None if last == "*" else int(last), None if total == "*" else int(total)


def write(tid, what, headers, body=None, flag="$"):
    lines = [f"MSRP {tid} {what}", *(f"{name}: {value}" for name, value in headers)]
    octets = "\r\n".join(lines).encode() + b"\r\n"
    if body is not None:
        octets += b"\r\n" + body + b"\r\n"
    return octets + f"-------{tid}{flag}\r\n".encode()


def parse(octets):
    """The first frame in `octets` and what follows it; (None, octets) where it is not whole yet."""
    start, line_end, _ = octets.partition(b"\r\n")
    if not line_end:
        return None, octets
    words = start.decode().split(" ", 2)
    if len(words) < 3 or words[0] != "MSRP":
        raise RigError(f"not MSRP: {start[:80]}")
    mark, at = b"\r\n-------" + words[1].encode(), 0
    while (at := octets.find(mark, at)) >= 0:
        end = at + len(mark)
        tail = octets[end:end + 3]
        if len(tail) < 3:
            return None, octets
        if tail[:1] in b"$+#" and tail[1:] == b"\r\n":
            # The line end of the last header is also that before the blank line.
            head, blank, body = octets[len(start) + 2:at + 2].partition(b"\r\n\r\n")
            headers = [(n, v.strip()) for n, _, v in (line.partition(":") for line in head.decode().split("\r\n") if line)]
            if blank:
                body = body[:-2]
            return Frame(words[1], words[2], headers, body if blank else None, tail[:1].decode()), octets[end + 3:]
        at += 1
    return None, octets


class Link(sip_peer.Link):
    """One connection; a thread reads it."""

    def __init__(self, sock, endpoint):
        super().__init__(sock)
        self.endpoint, self.over = endpoint, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def raw(self, octets):
        self.send(octets)

    def _run(self):
        import ssl
        import time
        buffer = b""
        try:
            while True:
                frame, buffer = parse(buffer)
                if frame:
                    self.endpoint.take(self, frame)
                    continue
                octets = self._try(lambda: self.sock.recv(65536), time.monotonic() + 3600, reads=True)
                if not octets:
                    break
                buffer += octets
        except (OSError, ssl.SSLError, ValueError):
            pass
        except RigError as why:
            self.endpoint.faults.append(why)
        self.over.set()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        super().close()


class Endpoint:
    """What listens at one address, and the sessions behind it. `pki` None: plain TCP."""

    def __init__(self, ip, port, pki=None, certificate="edge", name=None):
        self.pki, self.certificate, self.name = pki, certificate, name or ip
        self.sessions, self.links, self.faults = {}, [], []
        self._listener = socket.create_server((ip, port))
        self.port = self._listener.getsockname()[1]
        self._context = sip_peer.context(pki, certificate, True) if pki else None
        if self._context:
            import ssl
            self._context.verify_mode = ssl.CERT_OPTIONAL  # the session id is what proves (RFC 4975 §14.1)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            try:
                sock = self._context.wrap_socket(sock, server_side=True) if self._context else sock
            except OSError as why:
                self.faults.append(why)
                continue
            self.links.append(Link(sock, self))

    def session(self):
        session = Session(self)
        self.sessions[session.ident] = session
        return session

    def connect(self, uri):
        """A connection to where an MSRP URI points."""
        scheme, _, rest = uri.partition("://")
        host, _, port = rest.partition("/")[0].rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), 5)
        if scheme == "msrps":
            sock = sip_peer.context(self.pki, self.certificate, False).wrap_socket(sock)
        link = Link(sock, self)
        self.links.append(link)
        return link

    def take(self, link, frame):
        to = frame.get("to-path") or ""
        session = self.sessions.get(session_id(to.split(" ")[0]))
        if frame.status is not None:
            if session:
                session.statuses[frame.tid] = frame.status
            return
        if session is None or (session.link not in (None, link)):
            status = 481 if session is None else 506
            if frame.method != "REPORT":
                link.send(response(frame, status))
            return
        session.link = link
        session.on_request(frame)

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for link in self.links:
            link.close()


def session_id(uri):
    return uri.partition("://")[2].partition("/")[2].partition(";")[0]


def response(frame, status):
    """RFC 4975 §7.2: To-Path is the first URI of From-Path, From-Path that of To-Path."""
    return write(frame.tid, f"{status} {REASONS.get(status, 'Whatever')}",
                 [("To-Path", frame.get("from-path").split(" ")[0]), ("From-Path", frame.get("to-path").split(" ")[0])])


class Session:
    def __init__(self, endpoint):
        self.endpoint, self.ident = endpoint, secrets.token_urlsafe(15)
        scheme = "msrps" if endpoint.pki else "msrp"
        self.path = f"{scheme}://{endpoint.name}:{endpoint.port}/{self.ident};tcp"
        self.remote, self.link = None, None
        self.messages, self.reports, self.frames, self.statuses = [], [], [], {}
        self.decide = lambda frame: 200   # the status for a SEND; None: no response
        self._parts = {}

    # -- what SDP says of it (RFC 4975 §8, RFC 6135) ----------------------------------------------------------------

    def sdp(self, setup=None, accept="message/cpim text/plain application/im-iscomposing+xml", wrapped="*",
            max_size=None, more=()):
        ip = self.endpoint.name if self.endpoint.name[0].isdigit() else "127.0.0.1"
        protocol = "TCP/TLS/MSRP" if self.endpoint.pki else "TCP/MSRP"
        lines = ["v=0", f"o=- {secrets.randbelow(1 << 31)} 1 IN IP4 {ip}", "s=-", f"c=IN IP4 {ip}", "t=0 0",
                 f"m=message {self.endpoint.port} {protocol} *", f"a=accept-types:{accept}",
                 *([f"a=accept-wrapped-types:{wrapped}"] if wrapped else []), f"a=path:{self.path}",
                 *([f"a=max-size:{max_size}"] if max_size else []), *([f"a=setup:{setup}"] if setup else []), *more]
        return "\r\n".join([*lines, ""])

    def far(self, sdp):
        """Takes the other end's path from its SDP; returns its attributes."""
        found = attributes(sdp)
        self.remote = found["path"]
        return found

    def connect(self):
        """The active end: connects and at once sends a SEND, without a body (RFC 4975 §5.4)."""
        self.link = self.endpoint.connect(self.remote.split(" ")[0])
        return self.wait(self.begin())

    def begin(self):
        return self._frame("SEND", [("Message-ID", secrets.token_hex(8)), ("Byte-Range", "1-0/0")])

    # -- sending ----------------------------------------------------------------------------------------------------

    def send(self, body, content_type="text/plain", chunk=2048, success=None, failure=None, ident=None, order=None,
             total=True):
        """Sends one message; its Message-ID and the transaction ids of its chunks.

        `order` is a permutation of the chunks; `total` False says "*" for the total.
        """
        body = body.encode() if isinstance(body, str) else body
        ident = ident or secrets.token_hex(8)
        pieces = [(n, body[n:n + chunk]) for n in range(0, len(body), chunk)] or [(0, b"")]
        frames, tids = [], []
        for index, (start, piece) in enumerate(pieces):
            last = index == len(pieces) - 1
            headers = [("Message-ID", ident)]
            headers += [("Success-Report", success)] if success else []
            headers += [("Failure-Report", failure)] if failure else []
            headers += [("Byte-Range", f"{start + 1}-{start + len(piece)}/{len(body) if total else '*'}"),
                        ("Content-Type", content_type)]
            tid = secrets.token_hex(8)
            tids.append(tid)
            frames.append(self._octets(tid, "SEND", headers, piece, "$" if last else "+"))
        self.link.send(b"".join(frames[n] for n in (order or range(len(frames)))))
        return SimpleNamespace(ident=ident, tids=tids)

    def _octets(self, tid, method, headers, body=None, flag="$"):
        return write(tid, method, [("To-Path", self.remote), ("From-Path", self.path), *headers], body, flag)

    def _frame(self, method, headers, body=None, flag="$"):
        tid = secrets.token_hex(8)
        self.link.send(self._octets(tid, method, headers, body, flag))
        return tid

    def report(self, ident, status="000 200 OK", octets="1-*/*"):
        self._frame("REPORT", [("Message-ID", ident), ("Byte-Range", octets), ("Status", status)])

    def wait(self, tid, timeout=10.0):
        """The status that answers a transaction."""
        return wait_for(f"the response to {tid}", lambda: self.statuses.get(tid), timeout)

    # -- receiving --------------------------------------------------------------------------------------------------

    def on_request(self, frame):
        self.frames.append(frame)
        if frame.method == "REPORT":
            self.reports.append(frame)
            return
        status = 501 if frame.method != "SEND" else self.decide(frame)
        if status is None:
            return
        failure = (frame.get("failure-report") or "yes").lower()
        if failure == "yes" or (failure == "partial" and status != 200):
            self.link.send(response(frame, status))
        if status != 200 or frame.method != "SEND":
            return
        ident, (first, _, total) = frame.get("message-id"), frame.range()
        if frame.flag == "#":
            self._parts.pop(ident, None)
            return
        parts = self._parts.setdefault(ident, {"octets": {}, "end": None, "type": None})
        if frame.body is not None:
            parts["octets"][first] = frame.body
            parts["type"] = frame.get("content-type") or parts["type"]
        if frame.flag == "$":
            parts["end"] = first - 1 + len(frame.body or b"")
        whole, at = b"", 1
        for start in sorted(parts["octets"]):
            if start > at:
                return
            whole += parts["octets"][start][at - start:]
            at = len(whole) + 1
        if parts["end"] is None or len(whole) < parts["end"]:
            return
        del self._parts[ident]
        if frame.body is not None:
            self.messages.append(SimpleNamespace(ident=ident, type=parts["type"], body=whole, frame=frame))
        if (frame.get("success-report") or "no").lower() == "yes":
            self.report(ident, octets=f"1-{len(whole)}/{total or len(whole)}")

    def texts(self):
        """The texts so far, taken out of their CPIM."""
        return [text_of(m) for m in self.messages if not m.type.startswith("application/im-iscomposing")]

    def wait_text(self, text, timeout=10.0):
        return wait_for(f"{text!r} over MSRP", lambda: next((m for m in self.messages if text_of(m) == text), None), timeout)


def text_of(message):
    body = message.body
    if message.type.lower().startswith("message/cpim"):
        body = body.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[2]
    return body.decode()


def cpim(sender, target, text, content_type="text/plain;charset=UTF-8", more=()):
    """A message/cpim document (RFC 3862)."""
    lines = [f"From: <sip:{sender}>", f"To: <sip:{target}>", *more, "", f"Content-Type: {content_type}", "", text]
    return "\r\n".join(lines)


def attributes(sdp):
    """The attributes of the (last) media description of an SDP, with its m-line as "m"."""
    text = sdp.decode() if isinstance(sdp, bytes) else sdp
    found = {}
    for line in text.split("\r\n"):
        if line.startswith("m="):
            found = {"m": line[2:]}
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found[name] = value
    return found
