"""HTTP/2 on the same port: prior knowledge, many streams, bodies both ways."""

import itertools
import json
import re
import signal
import socket
import subprocess
import threading

import hpack
import pytest
from harness import eventually
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from origin import read_head


def curl(*arguments, **options):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--http2-prior-knowledge", *arguments],
        capture_output=True,
        timeout=30,
        **options,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def api(gateway, echo):
    api = gateway.rest_api()
    api.mock("GET", "/", "small")
    api.proxy("ANY", "/echo", echo.url)
    api.proxy("GET", "/bytes", echo.url + "/bytes/3000000")
    api.deploy()
    return api


def url(api, path):
    return f"http://{api.id}.execute-api.localhost:{api.gateway.traffic_port}/test{path}"


def test_get(api):
    assert curl("-w", " %{http_version} %{http_code}", url(api, "/")) == b"small 2 200"
    assert curl("-w", " %{http_code}", "-o", "/dev/null", url(api, "/nothing")) == b" 403"


def test_header_names_are_lower_case_and_hop_by_hop_ones_absent(api):
    head = curl("-D", "-", "-o", "/dev/null", url(api, "/echo")).decode()
    names = [line.split(":")[0] for line in head.splitlines()[1:] if line]
    assert names and all(name == name.lower() for name in names), names
    assert not {"connection", "transfer-encoding", "keep-alive"} & set(names)


def test_cookies_are_one_header(api):
    """Clients send them one by one (RFC 9113, section 8.2.3), and nobody behind the gateway expects that."""
    sent = ["-H", "cookie: a=1", "-H", "x-y: z", "-H", "cookie: b=2", "-H", "cookie: c=3"]
    told = json.loads(curl(*sent, url(api, "/echo")))["headers"]
    assert (told["cookie"], told["x-y"]) == ("a=1; b=2; c=3", "z")
    assert json.loads(curl(*sent[:2], url(api, "/echo")))["headers"]["cookie"] == "a=1"


def test_bodies(api):
    text = "0123456789" * 300_000
    assert json.loads(curl("--data-binary", "@-", url(api, "/echo"), input=text.encode()))["body"] == text
    assert curl(url(api, "/bytes")) == bytes(3_000_000)


def test_body_over_the_limit(api, tmp_path):
    """nghttp, because curl 7.88 drops an answer that ends before the upload does."""
    path = tmp_path / "body"
    path.write_bytes(bytes(10 * 1024 * 1024 + 1))
    done = subprocess.run(
        ["nghttp", "-v", "-d", path, "-H", f":authority: {api.id}.execute-api.localhost",
         f"{api.gateway.traffic}/test/echo"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ":status: 413" in done.stdout and '{"message":"Request Too Long"}' in done.stdout, done.stdout[-3000:]


def test_many_streams(api):
    done = subprocess.run(
        [
            "h2load",
            "-n",
            "2000",
            "-c",
            "4",
            "-m",
            "32",
            "-H",
            f":authority: {api.id}.execute-api.localhost",
            f"{api.gateway.traffic}/test/",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search(r"2000 succeeded, 0 failed", done.stdout), done.stdout + done.stderr
    assert re.search(r"2000 2xx", done.stdout), done.stdout


def test_http1_on_the_same_port(api):
    assert api.call("GET", "/").text == "small"


def test_control_plane_too(gateway):
    assert b"200" in curl("-w", "%{http_code}", "-o", "/dev/null", gateway.control + "/_stagedoor/health")


class Attacker:
    """A connection whose frames are written one by one."""

    def __init__(self, api):
        self.link = socket.create_connection(("127.0.0.1", api.gateway.traffic_port), timeout=10)
        self.encoder = hpack.Encoder()
        host = f"{api.id}.execute-api.localhost"
        self.fields = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", "/test/echo")]
        self.link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())

    def head(self, stream, *flags, fields=()):
        frame = HeadersFrame(stream, data=self.encoder.encode([*self.fields, *fields]), flags=flags)
        return frame.serialize()

    def frames(self):
        """The frames that come, to the end."""
        received = b""
        while True:
            try:
                more = self.link.recv(65536)
            except OSError:
                return
            received += more
            while len(received) >= 9 and len(received) >= (length := 9 + int.from_bytes(received[:3], "big")):
                frame, _ = Frame.parse_frame_header(memoryview(received[:9]))
                frame.parse_body(memoryview(received[9:length]))
                yield frame
                received = received[length:]
            if not more:
                return

    def types(self, *until):
        """The types of the frames that come, to the first of these or the end."""
        types = []
        for frame in self.frames():
            types.append(frame.type)
            if frame.type in until:
                break
        return types

    def ending(self):
        """How the server ends the connection or a stream: which of both, and the code."""
        for frame in self.frames():
            if isinstance(frame, GoAwayFrame | RstStreamFrame):
                return type(frame).__name__, frame.error_code
        return None


def resets(attacker):
    for stream in range(1, 400_000, 2):
        yield attacker.head(stream, "END_HEADERS", "END_STREAM") + RstStreamFrame(stream, 8).serialize()


def continuations(attacker):
    yield attacker.head(1)
    for number in range(20_000):
        yield ContinuationFrame(1, data=attacker.encoder.encode([(f"x{number}", "a" * 8000)])).serialize()


def empty_continuations(attacker):
    yield attacker.head(1)
    yield from itertools.repeat(ContinuationFrame(1).serialize() * 50, 20_000)


def empty_pieces(attacker):
    yield attacker.head(1, "END_HEADERS")
    yield from itertools.repeat(DataFrame(1).serialize() * 50, 20_000)


@pytest.mark.parametrize("flood", [resets, continuations, empty_continuations, empty_pieces])
def test_floods_end_the_connection(api, flood):
    attacker = Attacker(api)
    with pytest.raises(OSError):  # it has had enough before everything is sent
        for frame in flood(attacker):
            attacker.link.sendall(frame)
    assert GoAwayFrame.type in (types := attacker.types()) or not types
    assert api.call("GET", "/").text == "small"


@pytest.mark.parametrize(
    "frame",
    [PingFrame(opaque_data=b"12345678"), SettingsFrame(settings={3: 1}), PriorityFrame(1, depends_on=3)],
    ids=lambda frame: type(frame).__name__,
)
def test_floods_of_frames_that_ask_for_nothing(api, frame):
    attacker, told = Attacker(api), []
    reader = threading.Thread(target=lambda: told.append(attacker.ending()))
    reader.start()
    attacker.link.sendall(frame.serialize() * 15_000)
    reader.join(10)
    assert told == [("GoAwayFrame", 11)]


@pytest.mark.parametrize(
    "fields",
    [[("connection", "close")], [("transfer-encoding", "chunked")], [("upgrade", "h2c")], [("te", "gzip")], [("X-Up", "1")],
     [("x", "a\r\nb: c")], [("x", "a\0b")], [("x y", "z")], [(":path", "/evil")], [(":evil", "1")], [("content-length", "5")],
     [("content-length", "+0")], [("content-length", "0"), ("content-length", "1")]],
)  # fmt: skip
def test_malformed_heads(api, echo, fields):
    """They could be read in another way behind the gateway, and never get there."""
    attacker = Attacker(api)
    attacker.link.sendall(attacker.head(1, "END_HEADERS", "END_STREAM", fields=fields))
    refusals = {RstStreamFrame.type, GoAwayFrame.type}
    types = attacker.types(HeadersFrame.type, *refusals)
    assert HeadersFrame.type not in types and refusals & set(types), types
    assert not echo.seen


def broken_rules():
    go_away, reset = "GoAwayFrame", "RstStreamFrame"
    window = lambda stream, by: WindowUpdateFrame(stream, window_increment=by).serialize()  # noqa: E731
    whole = ("END_HEADERS", "END_STREAM")
    yield "data on no stream", lambda _: DataFrame(1, data=b"x").serialize(), go_away, 1
    yield "an even stream", lambda attacker: attacker.head(2, *whole), go_away, 1
    yield "a promise", lambda _: PushPromiseFrame(1, 2).serialize(), go_away, 1
    yield "a long frame", lambda _: bytes([0, 0x40, 1, 0, 0, 0, 0, 0, 1]) + bytes(0x4001), go_away, 6
    yield "a short ping", lambda _: bytes([0, 0, 1, 6, 0, 0, 0, 0, 0, 0]), go_away, 6
    yield "no field", lambda _: HeadersFrame(1, data=b"\xfe", flags=whole).serialize(), go_away, 9
    yield "a large table", lambda _: HeadersFrame(1, data=b"\x3f\xe2\x1f", flags=whole).serialize(), go_away, 9
    yield "an interrupted block", lambda attacker: attacker.head(1) + window(0, 1), go_away, 1
    yield "a stream twice", lambda attacker: attacker.head(3, *whole) + attacker.head(1, *whole), go_away, 5
    yield "a window too large", lambda _: window(0, 0x7FFFFFFF), go_away, 3
    yield "a window of one stream too large", lambda attacker: attacker.head(1, "END_HEADERS") + window(1, 0x7FFFFFFF), reset, 3
    yield "data behind the end", lambda attacker: attacker.head(1, *whole) + DataFrame(1, data=b"x").serialize(), reset, 5
    yield (
        "more than its length",
        lambda attacker: (
            attacker.head(1, "END_HEADERS", fields=[("content-length", "2")]) + DataFrame(1, data=b"abc").serialize()
        ),
        reset,
        1,
    )


@pytest.mark.parametrize("name, frames, ending, code", [*broken_rules()], ids=lambda value: value if isinstance(value, str) else "")
def test_broken_rules(api, name, frames, ending, code):
    """Each ends what RFC 9113 says: the stream or the connection, with the right code."""
    attacker = Attacker(api)
    attacker.fields[3] = (":path", "/test/echo?" + name.replace(" ", "-"))
    attacker.link.sendall(frames(attacker))
    assert attacker.ending() == (ending, code)


def test_control_frames_are_answered(api):
    attacker = Attacker(api)
    attacker.link.sendall(PingFrame(opaque_data=b"are you?").serialize())
    answered = []
    for frame in attacker.frames():
        answered.append((frame.type, "ACK" in frame.flags))
        if isinstance(frame, PingFrame):
            assert (frame.opaque_data, set(frame.flags)) == (b"are you?", {"ACK"})
            break
    assert (SettingsFrame.type, True) in answered and (SettingsFrame.type, False) in answered


def test_a_cancelled_request_is_given_up(gateway, raw_origin):
    """The backend's connection closes as soon as the client does not want the answer any more."""
    asked, closed = threading.Event(), threading.Event()

    def play(link):
        read_head(link)
        asked.set()
        assert link.recv(1) == b""
        closed.set()

    api = gateway.rest_api()
    api.proxy("POST", "/echo", raw_origin(play).url)
    api.deploy()
    attacker = Attacker(api)
    attacker.link.sendall(attacker.head(1, "END_HEADERS", "END_STREAM"))
    assert asked.wait(10) and not closed.is_set()
    attacker.link.sendall(RstStreamFrame(1, 8).serialize())
    assert closed.wait(10)


def test_what_is_under_way_ends_before_the_process(gateway, raw_origin):
    asked, go = threading.Event(), threading.Event()

    def play(link):
        read_head(link)
        asked.set()
        go.wait(10)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    api = gateway.rest_api()
    api.proxy("POST", "/echo", raw_origin(play).url)
    api.deploy()
    attacker = Attacker(api)
    attacker.link.sendall(attacker.head(1, "END_HEADERS", "END_STREAM"))
    assert asked.wait(10)
    gateway.process.send_signal(signal.SIGTERM)
    told, body = [], b""
    for frame in attacker.frames():
        if isinstance(frame, PingFrame):
            attacker.link.sendall(PingFrame(opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
        if isinstance(frame, GoAwayFrame):
            told.append((frame.last_stream_id, frame.error_code))
            go.set() if len(told) == 2 else None
        if isinstance(frame, DataFrame):
            body += frame.data
    assert (told, body) == ([(0x7FFFFFFF, 0), (1, 0)], b"late")
    assert gateway.process.wait(10) == 0


def test_one_upload_does_not_hold_up_others(api):
    """A body that is sent slowly has its own window."""
    attacker = Attacker(api)
    attacker.link.sendall(attacker.head(1, "END_HEADERS") + DataFrame(1, data=b"slow").serialize())
    assert eventually(lambda: api.call("GET", "/").text == "small")
    attacker.link.sendall(attacker.head(3, "END_HEADERS", "END_STREAM"))
    assert HeadersFrame.type in attacker.types(HeadersFrame.type)
    attacker.link.sendall(DataFrame(1, data=b" end", flags=["END_STREAM"]).serialize())
    body = b""
    for frame in attacker.frames():
        body += frame.data if isinstance(frame, DataFrame) and frame.stream_id == 1 else b""
        if frame.stream_id == 1 and "END_STREAM" in frame.flags:
            break
    assert json.loads(body)["body"] == "slow end"
