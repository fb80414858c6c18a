"""Several shards: who follows what crosses sees all of it, as lines and as packets; and a shard that is stuck."""
import collections
import ctypes
import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from rig import ROMEO, Skip, gateway_binary, run_verb, wait_for
from shards_usual import ADDRESSES, USERS, address, all_came, from_all, link, many, stoxd, to_all, told
from test_packets import brief, read

NEEDS_GATEWAY = True
JULIET = "juliet@capulet.example"
STUCK = "shard-2"


def scene(rig):
    return many(rig)


class Follower:
    """stoxd trace -f with its output in memory."""

    def __init__(self, s, *words):
        argv = [str(gateway_binary()), "trace", "-f", "-c", str(s.gateway.config), *words]
        self.octets = b""
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        while part := os.read(self.process.stdout.fileno(), 65536):
            self.octets += part

    def lines(self):
        return self.octets[:self.octets.rfind(b"\n") + 1].decode().splitlines()

    def end(self):
        self.process.terminate()
        self.reader.join(10)
        self.process.wait(10)
        self.process.stdout.close()


@contextmanager
def following(s, *words, has_begun):
    """A follower that follows all shards: nothing is followed that was before."""
    follower = Follower(s, *words)
    try:
        for user in USERS:
            def begun():
                s.romeo.send(address(user), "is it on?")
                return has_begun(follower, user)
            wait_for(f"the follower to hear of {user}", begun, every=0.1)
        yield follower
    finally:
        follower.end()


def cross_all(s, word):
    """A message of each user, and one of juliet's to each."""
    there = link(s)
    assert from_all(there, word, JULIET) == [202] * len(USERS)
    to_all(s.juliet, f"{word} back")
    all_came(s, f"{word} back")
    there.close()


def test_who_follows_has_each_step_of_each_crossing_once(s):
    # What becomes known of a crossing later stands in its later lines.
    facts = ("time", "trace", "direction", "step", "way", "sip_code", "xmpp_error")
    ends = lambda one: (one["from"].split("/")[0], one["to"].split("/")[0])
    def steps(lines):
        return [one for one in map(json.loads, lines) if JULIET in ends(one)]
    with following(s, "--format", "json", has_begun=lambda f, user: address(user).encode() in f.octets) as follower:
        cross_all(s, "followed")
        on_record = lambda: steps(stoxd(s, "trace", "--json").splitlines())
        last = {"sip-to-xmpp": "told", "xmpp-to-sip": "answered"}
        crossings = lambda: collections.Counter(ends(one) for one in on_record() if one["step"] == last[one["direction"]])
        every = collections.Counter([(a, JULIET) for a in ADDRESSES] + [(JULIET, a) for a in ADDRESSES])
        wait_for(lambda: f"all on record; it lacks {every - crossings()}", lambda: crossings() == every)
        same = lambda steps: collections.Counter(json.dumps([one[fact] for fact in facts]) for one in steps)
        wait_for(lambda: f"all to be followed: {list((same(on_record()) - same(steps(follower.lines()))).items())[:3]}",
                 lambda: same(steps(follower.lines())) == same(on_record()))


def test_a_capture_has_the_packets_of_the_crossings_of_all_shards(s):
    if not shutil.which("tshark"):
        raise Skip("not installed: tshark (tests/rig/install gets it)")
    with following(s, "--format", "pcapng", has_begun=lambda f, user: f"<sip:{address(user)}>".encode() in f.octets) as follower:
        cross_all(s, "captured")
        # What a shard has copied comes within a tick; then nothing more does.
        size = lambda: len(follower.octets)
        def quiet():
            before = size()
            threading.Event().wait(0.5)
            return size() == before
        wait_for("the last packet", quiet, 20)
    packets = read(follower.octets)
    ends = lambda one: tuple(one[end].split(";")[0] for end in ("sip.from.addr", "sip.to.addr"))
    asked = collections.Counter(ends(one) for one in packets if one["sip.Method"] == "MESSAGE")
    for user in ADDRESSES:
        for pair in ((f"sip:{user}", f"sip:{JULIET}"), (f"sip:{JULIET}", f"sip:{user}")):
            assert asked[pair] == 1, (pair, asked[pair])
    calls = {one["sip.Call-ID"] for one in packets
             if one["sip.Method"] == "MESSAGE" and f"sip:{JULIET}" in ends(one)}
    answers = collections.Counter(one["sip.Call-ID"] for one in packets if one["sip.Status-Code"] in ("200", "202"))
    assert len(calls) == 2 * len(USERS) and all(answers[call] == 1 for call in calls), answers
    assert len([one for one in packets if brief(one)[0] == "XMPP/XML"]) >= 2 * len(USERS)
    times = [float(one["frame.time_epoch"]) for one in packets]
    assert times == sorted(times), "in the order in which it happened"


# -- a thread that has no end of what it does --------------------------------------------------------------------

SEIZE, INTERRUPT, DETACH, ALL = 0x4206, 0x4207, 17, 0x40000000


@contextmanager
def stopped(pid, name):
    """One thread of a process stands still (ptrace(2)), and the others do not."""
    tasks = Path(f"/proc/{pid}/task")
    thread = next(int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == name)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(SEIZE, thread, None, None) != 0 or libc.ptrace(INTERRUPT, thread, None, None) != 0:
        raise Skip(f"no thread can be stopped here: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, ALL)
    try:
        yield
    finally:
        libc.ptrace(DETACH, thread, None, None)


def health(s, path):
    try:
        with urllib.request.urlopen(f"http://{s.at}/{path}", timeout=8) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_stuck_shard_is_named_and_costs_no_answer(s):
    """Whoever asks hears which thread is silent; when it goes on, nothing is lost."""
    assert health(s, "healthz")[0] == 200
    following = Follower(s, "--json")
    with stopped(s.gateway.pid, STUCK):
        for words in (("status",), ("streams",), ("links",), ("subscriptions",), ("sessions",), ("trace",),
                      ("why", "--from", ROMEO, "--to", ADDRESSES[0]), ("trace", "-f"), ("drain", "--what-if")):
            status, out, err = run_verb(*words, "-c", s.gateway.config)
            assert status == 1 and STUCK in err, (words, status, out, err)
        for path, code in (("healthz", 503), ("metrics", 500)):
            status, said = health(s, path)
            assert status == code and STUCK in said, (path, status, said)
        wait_for("who followed to hear it", lambda: following.process.poll() is not None)
        to_all(s.juliet, "stuck")
    following.end()
    all_came(s, "stuck")
    assert told(s, "status")["shards"] == 4 and health(s, "healthz")[0] == 200
    # Nobody follows any more whom the stuck one had not come to: the places are free.
    for _ in range(2):
        followers = [Follower(s, "--json") for _ in range(4)]
        try:
            def all_hear():
                s.romeo.send(ADDRESSES[0], "is it on?")
                return all(follower.octets for follower in followers)
            wait_for("four to follow", all_hear, every=0.1)
        finally:
            for follower in followers:
                follower.end()
