"""SIGTERM: nothing in flight is lost, nothing new is begun, and the exit code says so."""

import signal
import socket
import threading
import time

import pytest
import requests
from harness import eventually, receive_all
from origin import read_head


@pytest.fixture
def slow(gateway, raw_origin):
    """An API whose answer comes when `release` is set; `asked` tells that the request is in flight."""
    api = gateway.rest_api()
    api.asked, api.release = threading.Event(), threading.Event()

    def play(link):
        read_head(link)
        api.asked.set()
        assert api.release.wait(60)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    api.proxy("GET", "/", raw_origin(play).url)
    api.deploy()
    yield api
    api.release.set()


def refuses(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            # A listener that is closed resets what waited in its queue.
            link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return receive_all(link, 5) == b""
    except OSError:
        return True


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_finish(gateway, slow, which):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(slow.call("GET", "/")))
    thread.start()
    assert slow.asked.wait(10)
    gateway.process.send_signal(which)
    eventually(lambda: refuses(gateway.traffic_port), 5, "refusing new connections")
    assert gateway.process.poll() is None, "it ended with a request in flight"
    slow.release.set()
    thread.join(20)
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "done")]
    assert gateway.process.wait(10) == 0


def test_idle_connections_do_not_hold_it_back(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "ok")
    api.deploy()
    with requests.Session() as session, socket.create_connection(("127.0.0.1", gateway.traffic_port)):
        session.get(gateway.traffic + "/test/", headers={"Host": f"{api.id}.execute-api.localhost"}, timeout=10)
        begun = time.monotonic()
        assert gateway.terminate() == 0
        assert time.monotonic() - begun < 3


def test_a_body_that_nobody_wants_does_not_hold_it_back(gateway):
    """The rest of it is read and dropped, if it comes."""
    api = gateway.rest_api()
    api.mock("GET", "/", "ok")
    api.deploy()
    with socket.create_connection(("127.0.0.1", gateway.traffic_port), timeout=10) as link:
        head = f"POST /test/ HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nContent-Length: 10\r\n\r\n"
        link.sendall(head.encode() + b"12345")
        assert link.recv(65536).startswith(b"HTTP/1.1 403")
        link.sendall(b"67890" + head.replace("POST", "GET").replace("10", "0").encode())
        assert link.recv(65536).startswith(b"HTTP/1.1 200")
        link.sendall(head.encode() + b"12345")
        assert link.recv(65536).startswith(b"HTTP/1.1 403")
        begun = time.monotonic()
        assert gateway.terminate() == 0
        assert time.monotonic() - begun < 3


def test_kept_connection_is_told_to_close(gateway, slow):
    """The last answer on a kept connection says `Connection: close`, so that no client sends into the void."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(slow.call("GET", "/")))
    thread.start()
    assert slow.asked.wait(10)
    gateway.process.send_signal(signal.SIGTERM)
    eventually(lambda: refuses(gateway.traffic_port), 5)
    slow.release.set()
    thread.join(20)
    assert answers[0].headers.get("Connection", "").lower() == "close"


def test_thirty_seconds_at_most(gateway, raw_origin):
    """A client that stopped reading does not hold the gateway for ever."""

    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))

    api = gateway.rest_api()
    api.proxy("GET", "/", raw_origin(play).url)
    api.deploy()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", gateway.traffic_port))
        link.sendall(f"GET /test/ HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\n\r\n".encode())
        assert link.recv(64).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(40) == 0
        assert 25 < time.monotonic() - begun < 35
