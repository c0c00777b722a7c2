"""A target of a VPC link in a process of its own, so that a test can kill it: `target.py PORT [CERTIFICATE KEY CLIENTS]`.

It answers with its port. With a certificate it speaks TLS and lets in only clients with a certificate of CLIENTS."""

import ssl
import sys

from origin import Echo, EchoServer


class Target(Echo):
    wbufsize = 65536  # head and body in one write: whoever is killed has answered, or has not

    def answer(self):
        self.read_body()
        answer = str(self.server.server_port).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = answer


if __name__ == "__main__":
    port, *certificates = sys.argv[1:]
    context = None
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates[:2])
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates[2])
    EchoServer(int(port), Target, context).thread.join()
