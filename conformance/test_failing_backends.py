"""Backends that fail in every way: the client gets AWS's answer in time, memory stays bounded, and nobody else notices."""

import random
import re
import socket
import struct
import threading
import time

import pytest
import requests
from harness import REGION, body_json, receive_all
from origin import read_head
from test_http_api_traffic import HttpApi

ROLE = "arn:aws:iam::000000000000:role/gateway"
TIMEOUT_MS = 400
NETWORK = "Network error communicating with endpoint"
TIMED_OUT = "Endpoint request timed out"


WHOLE = ("HTTP", "AWS")  # kinds whose answers are read whole


class Backend:
    """One backend behind each kind of integration, and a good one beside it."""

    def __init__(self, kind, gateway, echo, url):
        self.kind = kind
        if kind == "HTTP_API":
            self.api = HttpApi(gateway)
            self.api.backend("ANY /", url, TimeoutInMillis=TIMEOUT_MS)
            self.api.backend("GET /good", echo.url)
            return
        self.api = gateway.rest_api()
        for verb, path, where, options in (("GET", "/", url, {"timeoutInMillis": TIMEOUT_MS}), ("GET", "/good", echo.url, {})):
            if kind == "AWS" and path == "/":
                uri = f"arn:aws:apigateway:{REGION}:sns:path//"
                self.api.proxy(verb, path, uri, kind, integrationHttpMethod=verb, credentials=ROLE, **options)
            else:
                self.api.proxy(verb, path, where, kind="HTTP" if kind == "AWS" else kind, **options)
            if kind != "HTTP_PROXY":
                at = {"restApiId": self.api.id, "resourceId": self.api.resource(path), "httpMethod": verb, "statusCode": "200"}
                self.api.client.put_method_response(**at)
                self.api.client.put_integration_response(**at)
        self.api.deploy()

    def fails(self, message):
        """The answer, with the status and message that AWS has for it."""
        begun = time.monotonic()
        answer = self.api.call("GET", "/")
        expected = (503, "Service Unavailable") if self.kind == "HTTP_API" else (504, message)
        assert (answer.status_code, body_json(answer)["message"]) == expected
        assert time.monotonic() - begun < 5

    def is_cut_short(self):
        """The client can tell that it has not got everything."""
        with pytest.raises(requests.exceptions.RequestException):
            self.api.call("GET", "/")


@pytest.fixture(params=["HTTP_PROXY", "HTTP", "HTTP_API", "AWS"])
def backend(request, new_gateway, echo, raw_origin):
    def make(play):
        url = raw_origin(play).url
        gateway = new_gateway("--workers", "1", env={"AWS_ENDPOINT_URL_SNS": url}).start()
        made = Backend(request.param, gateway, echo, url)
        made.gateway = gateway
        return made

    return make


def reset(link):
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def test_reset_before_an_answer(backend):
    backend(lambda link: (read_head(link), reset(link))).fails(NETWORK)


def test_reset_within_the_head(backend):
    backend(lambda link: (read_head(link), link.sendall(b"HTTP/1.1 200 OK\r\nX: "), reset(link))).fails(NETWORK)


def test_closed_after_the_head(backend):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")

    backend(play).fails(NETWORK)


def test_stalled_after_the_head(backend):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        link.recv(1)

    backend(play).fails(TIMED_OUT)


def test_stalled_within_the_body(backend):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        link.recv(1)

    made = backend(play)
    if made.kind in WHOLE:
        made.fails(TIMED_OUT)
    else:
        made.is_cut_short()  # proxies pass on what there is


def test_one_byte_at_a_time(backend):
    """Bytes that keep coming do not lengthen the time that an integration has."""

    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            link.sendall(b"X-Y: z\r\n")
            time.sleep(0.05)

    backend(play).fails(TIMED_OUT)


@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("answers", ["at once", "its head first", "never"])
def test_a_slow_client_takes_no_time_from_its_backend(gateway, echo, raw_origin, framing, answers):
    """AWS calls a backend when it has the whole request: the integration's time begins then."""

    def stall(link):
        while link.recv(65536):
            pass

    def answer_in_two(link):
        _, received = read_head(link)
        while b"d" not in received and (piece := link.recv(65536)):
            received = piece
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n")
        time.sleep(0.05)
        link.sendall(b'"body": "abcd"')

    api = gateway.rest_api()
    backend = {"at once": lambda: echo, "its head first": lambda: raw_origin(answer_in_two), "never": lambda: raw_origin(stall)}
    api.proxy("POST", "/", backend[answers]().url, timeoutInMillis=TIMEOUT_MS)
    api.deploy()
    chunked = framing.startswith("Transfer")
    with socket.create_connection(("127.0.0.1", gateway.traffic_port), timeout=10) as link:
        head = f"POST /test/ HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nConnection: close\r\n{framing}\r\n\r\n"
        link.sendall(head.encode())
        begun = time.monotonic()
        for piece in b"a", b"b", b"c", b"d":
            time.sleep(TIMEOUT_MS / 1000 * 0.7)
            link.sendall(b"1\r\n" + piece + b"\r\n" if chunked else piece)
        if chunked:
            link.sendall(b"0\r\n\r\n")
        received = receive_all(link)
    took = (time.monotonic() - begun) * 1000
    if answers != "never":
        assert received.startswith(b"HTTP/1.1 200") and b'"body": "abcd"' in received
    else:
        assert received.startswith(b"HTTP/1.1 504") and TIMED_OUT.encode() in received
        assert TIMEOUT_MS * 3.5 < took < TIMEOUT_MS * 8


def test_a_body_that_trickles(new_gateway, echo, raw_origin):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            link.sendall(b".")
            time.sleep(0.05)

    Backend("HTTP", new_gateway().start(), echo, raw_origin(play).url).fails(TIMED_OUT)


@pytest.mark.parametrize("more", [b"67890", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"])
def test_more_than_declared(backend, more):
    connections = []

    def play(link):
        connections.append(link)
        while read_head(link)[0]:
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345" + more)

    made = backend(play)
    for _ in range(3):
        assert made.api.call("GET", "/").text == "12345"
    assert len(connections) == 3  # what said too much is not believed again


@pytest.fixture(params=["HTTP_PROXY", "HTTP_API"])
def proxied(request, new_gateway, raw_origin):
    """An API that hands every method on to a backend."""

    def make(play):
        gateway, url = new_gateway("--workers", "1").start(), raw_origin(play).url
        if request.param == "HTTP_API":
            api = HttpApi(gateway)
            api.backend("ANY /", url)
            return api
        api = gateway.rest_api()
        api.proxy("ANY", "/", url, kind="HTTP_PROXY")
        api.deploy()
        return api

    return make


def test_an_answer_that_nobody_asked_for(proxied):
    """It comes while the connection is kept, and must not be taken for that to the next request."""
    forged = threading.Semaphore(0)

    def play(link):
        # Otherwise it would be held until the gateway has acknowledged what was sent before: with its next request.
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while head := read_head(link)[0]:
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            if head.startswith(b"OPTIONS"):
                continue  # asked for by the fixture
            time.sleep(0.02)  # until the connection is kept again
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
            forged.release()

    api = proxied(play)
    for method in "GET", "POST", "GET", "PUT", "GET":
        assert api.call(method, "/").text == "ok"
        assert forged.acquire(timeout=10)


def test_a_short_body_is_sent_again(proxied):
    """To a server that closes a kept connection just when a request comes. Nothing is, that may not be repeated."""
    seen = []

    def play(link):
        answered = False
        while True:
            head, body = read_head(link)
            if not head or answered:
                return  # closed under the request
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) if b"ength:" in head else 0
            while len(body) < length:
                body += link.recv(65536)
            seen.append((head.split()[0], body))
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            answered = True

    api = proxied(play)
    for number in range(6):
        assert api.call("PUT", "/", data=b"%d" % number * 1000).text == "ok"
    puts = [body for method, body in seen if method == b"PUT"]
    assert puts == [b"%d" % number * 1000 for number in range(6)]
    assert api.call("POST", "/", data=b"x").status_code in (503, 504)


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345"])
def test_no_http(backend, answer):
    backend(lambda link: (read_head(link), link.sendall(answer), link.recv(1))).fails(NETWORK)


def resident(gateway):
    with open(f"/proc/{gateway.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def test_a_head_without_end(backend):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            link.sendall(b"X-Long: " + b"x" * 8000 + b"\r\n")

    made = backend(play)
    before = resident(made.gateway)
    made.fails(NETWORK)
    assert resident(made.gateway) - before < 4_000_000


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 100000000000\r\n"])
def test_a_body_without_end(backend, framing):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        while True:
            link.sendall(bytes(1 << 20))

    made = backend(play)
    before = resident(made.gateway)
    if framing and made.kind not in WHOLE or made.kind in WHOLE:
        assert made.api.call("GET", "/").status_code == 500
    else:
        made.is_cut_short()
    # The bounded 10 MB, and what growing to them leaves behind.
    assert resident(made.gateway) - before < 40_000_000


def test_kept_connections_closed_at_random(backend):
    dice = random.Random(7)

    def play(link):
        while read_head(link)[0]:
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            if dice.random() < 0.4:
                reset(link)
                return

    made = backend(play)
    failed = []

    def client():
        for _ in range(50):
            answer = made.api.call("GET", "/")
            if answer.text != "ok":
                failed.append(answer.text)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not failed


def test_others_are_served_meanwhile(backend):
    """One worker has forty calls that hang, and answers everybody else."""
    hanging = threading.Semaphore(0)

    def play(link):
        read_head(link)
        hanging.release()
        link.recv(1)

    made = backend(play)
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(made.api.call("GET", "/"))) for _ in range(40)]
    for thread in clients:
        thread.start()
    assert hanging.acquire(timeout=10)
    for _ in range(10):
        begun = time.monotonic()
        assert made.api.call("GET", "/good").status_code == 200
        assert time.monotonic() - begun < 1
    for thread in clients:
        thread.join()
    assert {answer.status_code for answer in answers} == {503 if made.kind == "HTTP_API" else 504}
