"""Makes TLS connections one after another, none of which resumes another, and prints how long each took.

usage: handshakes.py PORT HOST SECONDS
"""

import json
import socket
import ssl
import statistics
import sys
import time


def main():
    port, host, seconds = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    times, until = [], time.perf_counter() + float(seconds)
    while (begun := time.perf_counter()) < until:
        with socket.create_connection(("127.0.0.1", int(port))) as link:
            with context.wrap_socket(link, server_hostname=host) as tls:
                assert tls.version() == "TLSv1.3" and not tls.session_reused
        times.append(time.perf_counter() - begun)
    spent, cuts = time.perf_counter() - until + float(seconds), statistics.quantiles(times, n=100)
    print(json.dumps({"requests": len(times), "rps": len(times) / spent, "p50": cuts[49], "p99": cuts[98]}))


main()
