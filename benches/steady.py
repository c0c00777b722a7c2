"""Sends GET requests at an even rate and prints how long the answers took, counted from when each was due.

usage: steady.py PORT HOST PATH RATE CONNECTIONS SECONDS

Counting from the due time keeps a slow server from hiding its delays by slowing the generator down.
"""

import ctypes
import json
import select
import socket
import sys
import time

PR_SET_TIMERSLACK = 29


def main():
    port, host, path, rate, connections, seconds = sys.argv[1:]
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)  # wake up when asked to, not up to 50 µs later
    idle, due_of, heads = [], {}, {}
    for _ in range(int(connections)):
        link = socket.create_connection(("127.0.0.1", int(port)))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle.append(link)
    count, gap = int(rate) * int(seconds), 1 / int(rate)
    begun, sent, times, clock = time.perf_counter(), 0, [], time.perf_counter
    while len(times) < count:
        now = clock()
        while sent < count and idle and begun + sent * gap <= now:
            link = idle.pop(0)
            link.send(request)
            due_of[link] = begun + sent * gap
            sent += 1
        wait = max(0.0, begun + sent * gap - clock()) if sent < count and idle else 5.0
        ready = select.select(list(due_of), [], [], wait)[0]
        if not ready and wait == 5.0:
            sys.exit("no answer within 5 s")
        for link in ready:
            data = heads.pop(link, b"") + link.recv(65536)
            head, end, body = data.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), -1
            )
            if not end or len(body) < length:
                heads[link] = data
                continue
            if not head.startswith(b"HTTP/1.1 200") or length < 0:
                sys.exit(f"unexpected answer: {head[:200]!r}")
            times.append(clock() - due_of.pop(link))
            idle.append(link)
    took = clock() - begun
    times.sort()
    shares = {"p50": times[count // 2], "p99": times[count * 99 // 100]}
    print(json.dumps({"requests": count, "rps": count / took, **shares}))


main()
