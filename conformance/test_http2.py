"""HTTP/2 on the same port: prior knowledge, many streams, bodies both ways."""

import itertools
import json
import re
import socket
import subprocess

import hpack
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame


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

    def types(self, *until):
        """The types of the frames that come, to the first of these or the end."""
        received, types = b"", []
        while not set(until) & set(types):
            try:
                more = self.link.recv(65536)
            except OSError:
                break
            received += more
            while len(received) >= 9 and len(received) >= (length := 9 + int.from_bytes(received[:3], "big")):
                types.append(received[3])
                received = received[length:]
            if not more:
                break
        return types


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
