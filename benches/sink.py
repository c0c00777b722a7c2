"""An upstream that reads each request's whole body and then says how long it was. usage: sink.py PORT"""

import contextlib
import socket
import sys
import threading


@contextlib.contextmanager
def quiet():
    """A load generator that stops in the middle of a request is no news."""
    with contextlib.suppress(ConnectionError):
        yield


@quiet()
def serve(link):
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(1 << 18)
    view = memoryview(buffer)
    while True:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = link.recv(65536)
            if not piece:
                return
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        names = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" in names:
            length = left = int(names[b"content-length"])
            left -= len(rest)
            while left > 0:
                got = link.recv_into(view[: min(left, len(buffer))])
                if not got:
                    return
                left -= got
        else:  # chunked: only the end is looked for
            length, tail = 0, rest
            while not tail.endswith(b"0\r\n\r\n"):
                got = link.recv_into(view)
                if not got:
                    return
                length += got
                tail = (tail + bytes(view[max(0, got - 5) : got]))[-5:]
        answer = b"%d" % length
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))


def main():
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512) as listener:
        while True:
            link, _ = listener.accept()
            threading.Thread(target=serve, args=(link,), daemon=True).start()


main()
