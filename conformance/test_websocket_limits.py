"""WebSocket connections that send too much, wait too long or break the protocol: clean closes, and nothing leaks."""

import contextlib
import json
import os
import socket
import struct
import threading
import time

import pytest
from harness import eventually, receive_all
from sockets import SocketApi
from test_http_api_traffic import new_function  # noqa: F401
from websockets.exceptions import ConnectionClosed

KILO = 1024


@pytest.fixture
def limited(new_gateway, tmp_path):
    """An API that echoes, behind a gateway with these limits."""

    def start(**limits):
        config = tmp_path / "config.toml"
        config.write_text("[websocket]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items()))
        api = SocketApi(new_gateway("--config", str(config)).start())
        api.mock("$default", answer="$input.body")
        return api.deployed()

    return start


@pytest.fixture
def api(gateway):
    api = SocketApi(gateway)
    api.mock("$default", answer="$input.body")
    return api.deployed()


def test_an_answer_too_long_is_an_error(limited):
    api = limited(message_bytes_max=KILO)
    for name, size in ("fits", KILO), ("long", KILO + 1):
        api.mock(name, answer="x" * size)
    api.deployed()
    with api.connect() as link:
        link.send('{"action": "fits"}')
        assert link.recv(timeout=20) == "x" * KILO
        link.send('{"action": "long"}')
        assert json.loads(link.recv(timeout=20))["message"] == "Internal server error"


def closed(link, seconds=20):
    """The code and reason that a connection is closed with."""
    with pytest.raises(ConnectionClosed):
        while True:
            link.recv(timeout=seconds)
    frame = link.protocol.close_rcvd
    return frame and (frame.code, frame.reason)


class Raw:
    """A client that does not mind the protocol."""

    def __init__(self, api):
        self.link = socket.create_connection(("127.0.0.1", api.gateway.traffic_port), 20)
        host = f"{api.id}.execute-api.localhost"
        self.link.sendall(
            f"GET /dev HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.link.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, first, payload, masked=True):
        length = len(payload)
        size = bytes([length]) if length < 126 else struct.pack("!BH", 126, length)
        size = bytes([size[0] | (0x80 if masked else 0)]) + size[1:]
        self.link.sendall(bytes([first]) + size + (bytes(4) if masked else b"") + payload)

    def close_code(self):
        """The code of the close frame that ends everything the server sends."""
        received = receive_all(self.link)
        assert received[-125:].rfind(b"\x88") >= 0, received[-125:]
        frame = received[received.rfind(b"\x88", -127):]
        return struct.unpack("!H", frame[2:4])[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()


class TestSizes:
    def test_the_longest_message_passes_in_frames(self, api):
        message = "x" * 128 * KILO
        frames = [message[at : at + 32 * KILO] for at in range(0, len(message), 32 * KILO)]
        with api.connect() as link:
            link.send(frames)
            received = list(link.recv_streaming())
            assert "".join(received) == message
            assert max(map(len, received)) == 32 * KILO

    def test_a_frame_too_long(self, api):
        with api.connect() as link:
            link.send("x" * (32 * KILO + 1))
            assert closed(link) == (1009, "Frame is too big")

    def test_a_message_too_long(self, api):
        with api.connect() as link:
            # The end may come before all is sent.
            with contextlib.suppress(ConnectionClosed):
                link.send(["x" * 32 * KILO] * 4 + ["x"])
            assert closed(link) == (1009, "Message is too big")

    def test_limits_can_be_raised(self, limited):
        api = limited(message_bytes_max=1024 * KILO, frame_bytes_max=512 * KILO)
        with api.connect() as link:
            assert api.ask(link, "x" * 512 * KILO) == "x" * 512 * KILO

    def test_fragments_without_end(self, api):
        with Raw(api) as client:
            client.send(0x01, b"x")
            for _ in range(200):
                try:
                    client.send(0x00, b"y" * KILO)
                except OSError:
                    break
            assert client.close_code() == 1009


class TestProtocol:
    def test_binary(self, api):
        with api.connect() as link:
            link.send(b"binary")
            assert closed(link)[0] == 1003

    @pytest.mark.parametrize(
        ("frames", "code"),
        [
            ([(0x81, b"text", False)], 1002),
            ([(0x81, b"\xff")], 1007),
            ([(0x01, b"ok"), (0x80, b"\xc3")], 1007),
            ([(0x01, b"\xf4\x90")], 1007),
            ([(0xC1, b"x")], 1002),
            ([(0x83, b"x")], 1002),
            ([(0x80, b"x")], 1002),
            ([(0x01, b"x"), (0x81, b"y")], 1002),
            ([(0x09, b"x")], 1002),
            ([(0x89, b"x" * 126)], 1002),
            ([(0x88, b"x")], 1002),
            ([(0x88, struct.pack("!H", 1005))], 1002),
            ([(0x88, struct.pack("!H", 3000) + b"\xff")], 1007),
        ],
    )
    def test_violations(self, api, frames, code):
        with Raw(api) as client:
            for frame in frames:
                client.send(*frame)
            assert client.close_code() == code

    def test_pings_are_answered_between_fragments_and_while_a_function_works(self, api, new_function):  # noqa: F811
        code = "exports.handler = () => new Promise((done) => setTimeout(() => done({statusCode: 200, body: 'late'}), 1500))"
        api.function("slow", new_function(code), two_way=True)
        with api.connect() as link:
            begun = time.monotonic()
            link.send('{"action":"slow"}')
            assert link.ping("beat").wait(1)
            assert time.monotonic() - begun < 1
            assert link.recv(timeout=20) == "late"

    def test_what_follows_the_handshake_at_once(self, api):
        with Raw(api) as client:
            client.send(0x81, b"one")
            client.send(0x89, b"two")
            client.send(0x88, struct.pack("!H", 1000))
            # The pong need not wait for the answer, and nobody waits for the answer of a client that closes.
            pong, answer, end = b"\x8a\x03two", b"\x81\x03one", b"\x88\x02" + struct.pack("!H", 1000)
            assert receive_all(client.link) in (pong + end, pong + answer + end, answer + pong + end)


class TestTime:
    def test_idle_connections_are_closed(self, limited):
        api = limited(idle_seconds_max=1)
        with api.connect() as idle, api.connect() as busy:
            begun = time.monotonic()
            while time.monotonic() - begun < 1.6:
                assert busy.ping().wait(5)
                threading.Event().wait(0.2)
            assert closed(idle) == (1001, "Going away")
            assert api.ask(busy, "x") == "x"

    def test_no_connection_is_for_ever(self, limited):
        api = limited(lifetime_seconds_max=1)
        with api.connect() as link:
            begun = time.monotonic()
            with pytest.raises(ConnectionClosed):
                while time.monotonic() - begun < 10:
                    api.ask(link, "x")
            assert link.protocol.close_rcvd.code == 1001
            assert 0.9 < time.monotonic() - begun < 5

    def test_a_stage_that_goes_takes_its_connections_along(self, api):
        with api.connect() as link:
            assert api.ask(link, "x") == "x"
            api.client.delete_stage(ApiId=api.id, StageName="dev")
            assert closed(link)[0] == 1001


def resident(api):
    """The gateway's memory, in bytes."""
    with open(f"/proc/{api.gateway.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(api):
    return len(os.listdir(f"/proc/{api.gateway.process.pid}/fd"))


class TestFloods:
    def flood(self, api, frame, seconds=2.0):
        """Sends frames without reading for a while; how many bytes were taken."""
        sent = 0
        with Raw(api) as client:
            client.link.setblocking(False)
            begun, block = time.monotonic(), frame * (64 * KILO // len(frame))
            while time.monotonic() - begun < seconds:
                try:
                    # A frame that is cut would be a violation: what is not taken goes on where it was.
                    taken = client.link.send(block)
                    block = block[taken:] + block[:taken]
                    sent += taken
                except BlockingIOError:
                    threading.Event().wait(0.01)
            with api.connect() as other:
                assert api.ask(other, "still there") == "still there"
        return sent

    @pytest.mark.parametrize("frame", [b"\x89\x80" + bytes(4), b"\x81\x84" + bytes(4) + b"text"])
    def test_a_client_that_does_not_read(self, api, frame):
        before = resident(api)
        self.flood(api, frame)
        assert resident(api) - before < 32 * KILO * KILO

    def test_messages_before_a_slow_function(self, api, new_function):  # noqa: F811
        code = "exports.handler = () => new Promise((done) => setTimeout(() => done({statusCode: 200}), 3000))"
        api.function("$connect", new_function("exports.handler = async () => ({statusCode: 200})"))
        api.function("text", new_function(code, Timeout=10))
        api.client.update_api(ApiId=api.id, RouteSelectionExpression="text")
        before = resident(api)
        with Raw(api) as client:
            client.link.settimeout(1)
            with pytest.raises(TimeoutError):
                for _ in range(100_000):
                    client.link.sendall((b"\x81\x84" + bytes(4) + b"text") * 1000)
            assert resident(api) - before < 32 * KILO * KILO


class TestHalfOpen:
    """Clients that are there in part."""

    def test_a_client_that_says_no_more(self, api):
        before = descriptors(api)
        with Raw(api) as client:
            client.send(0x81, b"last")
            client.link.shutdown(socket.SHUT_WR)
            # It is heard and answered, and then the connection is over.
            assert b"last" in receive_all(client.link)
        eventually(lambda: descriptors(api) <= before, 20, "the connection's descriptor")

    def test_a_handshake_without_an_end(self, api):
        """It waits for no longer than any other head, and keeps nobody from connecting."""
        before = descriptors(api)
        head = f"GET /dev HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nUpgrade: websocket\r\nX-Slow: "
        halves = [socket.create_connection(("127.0.0.1", api.gateway.traffic_port), 10) for _ in range(50)]
        for half in halves:
            half.sendall(head.encode())
        with api.connect() as link:
            assert api.ask(link, "x") == "x"
        for half in halves:
            half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            half.close()
        eventually(lambda: descriptors(api) <= before, 20, "the halves' descriptors")

    def test_a_peer_that_is_reset(self, api):
        before = descriptors(api)
        for _ in range(20):
            with Raw(api) as client:
                client.send(0x01, b"a fragment")
                client.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        eventually(lambda: descriptors(api) <= before, 20, "the connections' descriptors")


class TestLeaks:
    def test_handshakes_that_break_off(self, api, new_function):  # noqa: F811
        code = "exports.handler = () => new Promise((done) => setTimeout(() => done({statusCode: 200}), 1000))"
        api.function("$connect", new_function(code))
        before = descriptors(api)
        head = (
            f"GET /dev HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        for cut in [10, len(head) - 2, len(head)]:
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", api.gateway.traffic_port), 10) as link:
                    link.sendall(head[:cut])
        # Instances of the function keep a few of their own.
        eventually(lambda: descriptors(api) <= before + 24, 20, "the connections' descriptors")
        with api.connect() as link:
            assert api.ask(link, "x") == "x"

    def test_connections_leave_nothing(self, limited):
        api = limited(connections_per_second=100_000)

        def cycle(count):
            for _ in range(count):
                with Raw(api) as client:
                    client.send(0x81, b"text")

        cycle(200)
        before, held = descriptors(api), resident(api)
        cycle(2000)
        eventually(lambda: descriptors(api) <= before + 2, 20, "the connections' descriptors")
        assert resident(api) - held < 8 * KILO * KILO
