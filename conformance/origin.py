"""Upstreams for the tests: one that tells what it was asked, and one that a test plays byte by byte."""

import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Echo(BaseHTTPRequestHandler):
    """Answers any request with a JSON account of it; `/status/N` answers N, `/bytes/N` answers N zero bytes, `/count` the
    number of body bytes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(self):
        body, url, status = self.read_body(), urlsplit(self.path), 200
        self.server.seen.append((self.command, self.path, self.headers.items(), body))
        parts = url.path.strip("/").split("/")
        if parts[0] == "status":
            status = int(parts[1])
        if parts[0] == "bytes":
            content, answer = "application/octet-stream", bytes(int(parts[1]))
        elif parts[0] == "count":
            content, answer = "text/plain", str(len(body)).encode()
        else:
            account = {
                "method": self.command,
                "path": url.path,
                "query": parse_qs(url.query, keep_blank_values=True),
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body.decode("utf-8", "replace"),
            }
            content, answer = "application/json", json.dumps(account).encode()
        self.send_response(status)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Origin", "echo")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class EchoServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port=0, handler=Echo, tls=None):
        super().__init__(("127.0.0.1", port), handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url, self.seen = f"http://127.0.0.1:{self.server_port}", []
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, *_):
        pass  # a client that goes away is part of some tests

    def close(self):
        self.shutdown()
        self.server_close()


class RawOrigin:
    """Hands each accepted connection, as a socket, to `play`, in a thread of its own."""

    def __init__(self, play):
        self.play = play
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        with suppress(OSError), link:
            link.settimeout(30)
            self.play(link)

    def close(self):
        self.listener.close()


def read_head(link):
    """Reads up to the end of a head; returns the head and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(65536)
        if not piece:
            break
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest
