"""stoxd trace as packets: Wireshark's own reader says what a capture holds, and a capture server gets HEP by UDP."""
import json
import os
import pty
import shutil
import socket
import struct
import subprocess
import threading

from rig import ALICE, CAPULET, EDGE, GATEWAY, ROMEO, RigError, Skip, gateway_binary, run_verb, wait_for
from usual import delivered, usual

NEEDS_GATEWAY = True
REBUILT = "rebuilt from stoxd's record"


def scene(rig):
    if not shutil.which("tshark"):
        raise Skip("not installed: tshark (tests/rig/install gets it)")
    s = usual(rig)
    s.number = 0
    s.peer, s.ours, s.partner = rig.ip(EDGE), rig.ip(GATEWAY), rig.ip(CAPULET)
    ident = s.alice.send(ROMEO, "the secret word is rosemary")
    s.romeo.wait_body("the secret word is rosemary")
    assert delivered(s.alice, ident)
    s.romeo.send(ALICE, "and rue")
    s.alice.wait_body("and rue")
    return s


def trace(s, *words, **more):
    argv = [str(gateway_binary()), "trace", "-c", str(s.gateway.config), *words]
    return subprocess.run(argv, timeout=20, check=False, **more)


FIELDS = ("frame.time_epoch", "_ws.col.Protocol", "_ws.col.Source", "_ws.col.Destination", "sip.Method",
          "sip.Status-Code", "sip.Call-ID", "xmpp.message", "xmpp.id", "frame.comment", "sip.from.addr", "sip.to.addr")


def read(octets):
    """What tshark reads in a capture: one dictionary a packet."""
    argv = ["tshark", "-n", "-r", "-", "-T", "fields", "-E", "separator=/t"]
    for field in FIELDS:
        argv += ["-e", field]
    done = subprocess.run(argv, input=octets, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RigError(f"tshark: {done.stderr.decode()}")
    return [dict(zip(FIELDS, line.split("\t"))) for line in done.stdout.decode().splitlines()]


def local(s, direction):
    """Our own address of what we sent on, as the record has it."""
    out = trace(s, "--json", capture_output=True, text=True).stdout
    steps = [json.loads(line) for line in out.splitlines()]
    way = next(step["way"] for step in steps if step["direction"] == direction and step["step"] == "sent")
    return way["local"].rsplit(":", 1)[0]


def brief(packet):
    kind = packet["sip.Method"] or packet["sip.Status-Code"] or packet["_ws.col.Protocol"]
    return kind, packet["_ws.col.Source"], packet["_ws.col.Destination"]


def test_tshark_reads_a_message_each_way_in_a_capture(s):
    done = trace(s, "--format", "pcapng", "--user", ALICE, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    packets = read(done.stdout)
    there, back = packets[:3], packets[3:]
    near = local(s, "sip-to-xmpp")
    assert [brief(one) for one in there] == [("MESSAGE", s.peer, s.ours), ("XMPP/XML", near, s.partner),
                                             ("202", s.ours, s.peer)], there
    assert there[0]["sip.from.addr"] == f"sip:{ALICE}" and there[0]["sip.to.addr"] == f"sip:{ROMEO}", there
    near = local(s, "xmpp-to-sip")
    assert [brief(one)[2] for one in back] == [s.ours, s.peer, near] and brief(back[1])[1] == near, back
    assert back[1]["sip.Method"] == "MESSAGE" and back[2]["sip.Status-Code"] in ("200", "202"), back
    for leg in (there, back):
        # One name for both legs, and it is the stanza's id.
        names = {one["sip.Call-ID"] or one["xmpp.id"] for one in leg}
        assert len(names) == 1, leg
        times = [float(one["frame.time_epoch"]) for one in leg]
        assert times == sorted(times) and times[-1] - times[0] < 60, times
    assert all(one["frame.comment"].startswith(REBUILT) for one in packets), packets
    assert b"rosemary" not in done.stdout and b"rue<" not in done.stdout


def test_a_capture_server_gets_each_packet_in_a_datagram(s):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((s.ours, 0))
        server.settimeout(10)
        to = f"{s.ours}:{server.getsockname()[1]}"
        done = trace(s, "--format", "hep", "--user", ALICE, "--to", to, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"6 packets sent to {to}\n", ""), done
        frames = [chunks(server.recv(65536)) for _ in range(6)]
    assert [frame[11] for frame in frames[:3]] == [b"\1", b"\2", b"\1"], "SIP, XMPP, SIP"
    near = local(s, "sip-to-xmpp")
    assert [socket.inet_ntoa(frame[3]) for frame in frames[:3]] == [s.peer, near, s.ours], frames
    assert [socket.inet_ntoa(frame[4]) for frame in frames[:3]] == [s.ours, s.partner, s.peer], frames
    assert frames[0][15].startswith(b"MESSAGE sip:romeo@capulet.example SIP/2.0\r\n"), frames[0]
    assert frames[1][15].startswith(b"<message from='alice@contoso.example'"), frames[1]
    assert frames[2][15].startswith(b"SIP/2.0 202 Accepted\r\n"), frames[2]
    assert len({frame[17] for frame in frames[:3]}) == 1 and all(b"ebuilt" in frame[15] for frame in frames), frames
    # Nobody listens there any more.
    done = trace(s, "--format", "hep", "--to", to, capture_output=True, text=True)
    assert done.returncode == 1 and "refused" in done.stderr and to in done.stderr, done


def chunks(frame):
    """The chunks of a HEP3 frame by their type."""
    magic, length = struct.unpack_from("!4sH", frame)
    assert magic == b"HEP3" and length == len(frame), frame
    at, found = 6, {}
    while at < length:
        vendor, kind, size = struct.unpack_from("!HHH", frame, at)
        assert vendor == 0 and size >= 6, frame
        found[kind] = frame[at + 6:at + size]
        at += size
    return found


def test_frames_on_the_standard_output_stand_one_behind_the_other(s):
    done = trace(s, "--format", "hep", "--user", ALICE, capture_output=True)
    rest, count = done.stdout, 0
    while rest:
        length = struct.unpack_from("!H", rest, 4)[0]
        chunks(rest[:length])
        rest, count = rest[length:], count + 1
    assert done.returncode == 0 and count == 6, done


def test_a_terminal_gets_no_octets(s):
    for form, said in (("pcapng", "trace.pcapng"), ("hep", "--to HOST:9060")):
        near, far = pty.openpty()
        try:
            done = trace(s, "--format", form, stdout=far, stderr=subprocess.PIPE, text=True)
            os.close(far)
            far = None
            assert done.returncode == 2 and "terminal" in done.stderr and said in done.stderr, done
            try:
                shown = os.read(near, 100)
            except OSError:
                shown = b""
            assert not shown, shown
        finally:
            os.close(near)
            if far is not None:
                os.close(far)


def test_what_does_not_go_together_is_a_usage_error(s):
    for words in (("--format", "hep", "--json"), ("--format", "pcapng", "--json"),
                  ("--format", "pcapng", "--to", "127.0.0.1:9"), ("--to", "127.0.0.1:9"),
                  ("--format", "hep", "--to", "nowhere")):
        status, out, err = run_verb("trace", *words, "-c", s.gateway.config)
        assert status == 2 and not out and err.startswith("error: "), (words, status, out, err)


class Follower:
    """stoxd trace -f with its output in memory; it is there once its first octets, or the first of all, have come."""

    def __init__(self, s, *words):
        argv = [str(gateway_binary()), "trace", "-f", "-c", str(s.gateway.config), "--user", ALICE, *words]
        self.octets = b""
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        while part := os.read(self.process.stdout.fileno(), 65536):
            self.octets += part

    def end(self):
        self.process.terminate()
        self.reader.join(10)
        self.process.wait(10)
        self.process.stderr.close()
        self.process.stdout.close()


def cross(s, has_enough):
    """Messages each way until the follower has some: until it follows, nothing is copied."""
    def both():
        s.number += 1
        ident = s.alice.send(ROMEO, f"the secret word is rosemary {s.number}")
        assert delivered(s.alice, ident)
        s.romeo.send(ALICE, f"and rue {s.number}")
        s.alice.wait_body(f"and rue {s.number}")
        return has_enough()
    wait_for("the follower to have packets", both, 30)


def test_who_follows_gets_real_heads_and_no_bodies(s):
    follower = Follower(s, "--format", "pcapng")
    try:
        cross(s, lambda: len(follower.octets) > 4000)
    finally:
        follower.end()
    octets = follower.octets
    packets = read(octets)
    assert b"rosemary" not in octets and b"and rue" not in octets and b"xxxxxxxx" in octets
    assert not any(REBUILT in one["frame.comment"] for one in packets), packets
    assert all(", body masked; by " in one["frame.comment"] for one in packets), packets
    kinds = [brief(one)[0] for one in packets]
    assert {"MESSAGE", "202", "XMPP/XML"} <= set(kinds), kinds
    asked = next(one for one in packets if brief(one) == ("MESSAGE", s.peer, s.ours))
    answered = next(one for one in packets if brief(one) == ("202", s.ours, s.peer))
    # The Call-ID is the agent's own, and so are its headers.
    assert asked["sip.Call-ID"] == answered["sip.Call-ID"], packets
    names = {line["trace"] for line in map(json.loads, trace(s, "--json", capture_output=True, text=True).stdout.splitlines())}
    assert asked["sip.Call-ID"] not in names and b"User-Agent: " in octets, asked
    assert any(one["_ws.col.Destination"] == s.partner and one["xmpp.id"] in names for one in packets), packets


def test_a_capture_server_gets_what_comes_as_it_comes(s):
    frames = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((s.ours, 0))
        server.setblocking(False)

        def has():
            while True:
                try:
                    frames.append(chunks(server.recv(65536)))
                except BlockingIOError:
                    return len(frames) >= 12
        follower = Follower(s, "--format", "hep", "--to", f"{s.ours}:{server.getsockname()[1]}")
        try:
            cross(s, has)
        finally:
            follower.end()
    assert not follower.octets
    legs = {}
    for frame in frames:
        legs.setdefault(frame[17], set()).add((frame[11], frame[15].split(b" ")[0]))
    assert {(b"\1", b"MESSAGE"), (b"\2", b"<message"), (b"\1", b"SIP/2.0")} in legs.values(), legs
    assert not any(b"ebuilt" in frame[15] or b"rosemary" in frame[15] for frame in frames), frames
