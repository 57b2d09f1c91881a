#!/usr/bin/python3
"""A proxy that makes trouble, for standing in front of an etcd member or of an API server.

TLS ends here and begins anew to the server behind. One thread serves one connection, with one connection to the server behind,
so that what a client sees of a lost connection is what it would see without the proxy. Nothing is ever sent twice by itself.

What it does is read from files in the folder CONTROL before each request, so a change holds from the next request on:
  fault   what to do with a request, see below (none: pass it on)
  match   a regular expression on `METHOD PATH KIND`: only what matches has the fault; the rest is passed on
  times   how many requests have the fault before all are passed on; counted anew whenever a file changes
  deliver when it is there, requests that are held back are delivered at once
Faults:
  delay S         passes it on S seconds later        delay-reply S   passes it on, hands the reply back S seconds later
  cut-before      ends the connection instead of passing it on
  cut-after       passes it on and ends the connection without a reply
  cut-after-once  the same, but only the first time that this very request comes
  cut-half        passes it on and ends the connection within the reply
  hold [S]        ends the connection, and passes the request on S seconds later (without S: when told to deliver)
  replay [S]      passes it on and hands the reply back, and passes it on again S seconds later
  status N [S]    answers with status N (and Retry-After: S) and a body as Kubernetes and etcd send them
  garbage, html, half-json, huge
                  answers 200 with noise, a page, half a reply, 100 MB
  hang            never answers                       mute            accepts connections and never says a word, not even of TLS
LOG gets one JSON object a line: {time, n, method, path, kind, fault} when a request has come in (kind: for a transaction, what it
would do: put, delete_range, range), {event: "answer", n, status} when the server behind has answered it, {event: "held", n} and
{event: "delivered", n, status, text} for what is passed on later; and the events "lost" (the server behind), "connect", "tls-error".
"""
import argparse
import hashlib
import http.client
import json
import os
import re
import socket
import socketserver
import ssl
import threading
import time
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# These are a connection's own matter.
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade")
HUGE = 100 * 1000 * 1000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", required=True, help="ADDRESS:PORT")
    parser.add_argument("--server", required=True, help="ADDRESS:PORT of the server behind")
    parser.add_argument("--cert", required=True, help="certificate that clients see")
    parser.add_argument("--key", required=True)
    parser.add_argument("--client-ca", help="clients have to show a certificate of this authority")
    parser.add_argument("--server-ca", required=True, help="authority of the server behind")
    parser.add_argument("--server-cert", help="certificate to show to the server behind")
    parser.add_argument("--server-key")
    parser.add_argument("--tls", choices=("1.2", "1.3"), help="the only version of TLS that clients may speak")
    parser.add_argument("--control", required=True, help="folder of the files that say what to do")
    parser.add_argument("--log", required=True)
    parser.add_argument("--ready", required=True, help="file that is made once connections are accepted")
    return parser.parse_args()


def transaction_kind(body):
    """What a transaction would do, whichever way its comparisons turn out."""
    found = set()

    def walk(node):
        for request in [*node.get("success", []), *node.get("failure", [])]:
            for key, value in request.items():
                key = re.sub(r"(?<=[a-z])([A-Z])", lambda match: "_" + match[1].lower(), key)
                if key == "request_txn":
                    walk(value)
                else:
                    found.add(key.removeprefix("request_"))

    try:
        walk(json.loads(body))
    except (ValueError, AttributeError, TypeError):
        return "?"
    return "+".join(sorted(found))


class Request(typing.NamedTuple):
    """What a client has sent."""
    number: int
    method: str
    path: str
    headers: list
    body: bytes


class Control:
    """What is to be done, as the files in a folder say at the moment."""

    def __init__(self, folder):
        self.folder = folder
        self.lock = threading.Lock()
        self.version = None
        self.used = 0
        self.seen = set()

    def read(self):
        values, version = {}, []
        for name in ("fault", "match", "times"):
            try:
                with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                    values[name] = file.read().strip()
                    version.append((name, os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_mtime_ns))
            except FileNotFoundError:
                pass
        if version != self.version:
            self.version, self.used, self.seen = version, 0, set()
        return values

    def fault_of(self, what, body):
        """The fault, as a list of words, that this request is to have. None: pass it on."""
        with self.lock:
            values = self.read()
            words = values.get("fault", "").split()
            if not words or not re.search(values.get("match", ""), what):
                return None
            if words[0] == "cut-after-once":
                digest = hashlib.sha256(what.encode() + b"\n" + body).digest()
                if digest in self.seen:
                    return None
                self.seen.add(digest)
            if self.used >= int(values.get("times") or 1 << 62):
                return None
            self.used += 1
            return words

    def is_mute(self):
        with self.lock:
            return self.read().get("fault") == "mute"

    def await_delivery(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not os.path.exists(os.path.join(self.folder, "deliver")):
            time.sleep(0.02)


class Log:
    def __init__(self, path):
        # Opened to append and written line by line: the tests may empty it.
        self.file = open(path, "a", encoding="utf-8", buffering=1)
        self.lock = threading.Lock()
        self.number = 0

    def write(self, **entry):
        with self.lock:
            self.file.write(json.dumps({"time": time.time(), **entry}) + "\n")

    def request(self, **entry):
        with self.lock:
            self.number += 1
            self.file.write(json.dumps({"time": time.time(), "n": self.number, **entry}) + "\n")
            return self.number


class Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, args):
        self.args = args
        self.control = Control(args.control)
        self.log = Log(args.log)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(args.cert, args.key)
        if args.tls:
            version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[args.tls]
            self.context.minimum_version = self.context.maximum_version = version
        if args.client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(args.client_ca)
        self.behind = ssl.create_default_context(cafile=args.server_ca)
        if args.server_cert:
            self.behind.load_cert_chain(args.server_cert, args.server_key)
        address, _, port = args.listen.rpartition(":")
        super().__init__((address, int(port)), Connection)

    # HTTPServer's own asks DNS for the host's name.
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)

    # In the connection's own thread.
    def finish_request(self, request, client_address):
        request.settimeout(600)
        if self.control.is_mute():
            await_end(request)
            return
        try:
            secure = self.context.wrap_socket(request, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.log.write(event="tls-error", text=str(error))
            return
        self.log.write(event="connect")
        try:
            super().finish_request(secure, client_address)
        except OSError:
            pass
        finally:
            # A client can tell a connection that was ended from one that was lost.
            try:
                secure.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            secure.close()

    def handle_error(self, request, client_address):
        pass


def await_end(connection):
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def setup(self):
        super().setup()
        self.upstream = None
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self):
        super().finish()
        if self.upstream:
            self.upstream.close()

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def connect(self):
        address, _, port = self.server.args.server.rpartition(":")
        connection = http.client.HTTPSConnection(address, int(port), context=self.server.behind, timeout=600)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @staticmethod
    def send(connection, request):
        """Passes a request on. Returns the response and its body."""
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            if name.lower() not in HOP_BY_HOP:
                connection.putheader(name, value)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        return response, response.read()

    def pass_on(self, request):
        """None when the server behind is gone: then the client's connection ends, too."""
        try:
            self.upstream = self.upstream or self.connect()
            response, reply = self.send(self.upstream, request)
        except (OSError, http.client.HTTPException) as error:
            self.server.log.write(event="lost", n=request.number, text=str(error))
            self.close_connection = True
            return None
        self.server.log.write(event="answer", n=request.number, status=response.status)
        if response.will_close:
            self.upstream.close()
            self.upstream = None
        return response, reply

    def pass_on_later(self, request, seconds):
        def run():
            self.server.control.await_delivery(seconds)
            status, text = 0, ""
            try:
                connection = self.connect()
                response, reply = self.send(connection, request)
                status, text = response.status, reply.decode(errors="replace")
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                text = str(error)
            self.server.log.write(event="delivered", n=request.number, status=status, text=text)

        self.server.log.write(event="held", n=request.number)
        threading.Thread(target=run, daemon=True).start()

    def answer(self, status, headers, body, sent=None):
        self.wfile.write(f"HTTP/1.1 {status} {http.client.responses.get(status, 'Status')}\r\n".encode())
        for name, value in headers:
            self.wfile.write(f"{name}: {value}\r\n".encode("latin-1"))
        self.wfile.write(b"\r\n")
        self.wfile.write(body if sent is None else body[:sent])

    def hand_back(self, answer, half=False):
        if not answer:
            return
        response, reply = answer
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
        chunked = (response.getheader("Transfer-Encoding") or "").lower() == "chunked"
        if chunked and reply:
            reply = b"%x\r\n" % len(reply) + reply + b"\r\n0\r\n\r\n"
            headers.append(("Transfer-Encoding", "chunked"))
        elif response.status not in (204, 304):
            headers.append(("Content-Length", response.getheader("Content-Length") or str(len(reply))))
        self.answer(response.status, headers, reply, len(reply) // 2 if half else None)
        self.close_connection = self.close_connection or half

    def answer_status(self, status, retry_after):
        body = json.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
                           "reason": http.client.responses.get(status, ""), "message": "the proxy says so",
                           "error": "the proxy says so"}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if retry_after:
            headers.append(("Retry-After", retry_after))
        self.answer(status, headers, body)

    def answer_nonsense(self, kind):
        body = {"garbage": bytes(range(256)) * 4, "html": b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>\n",
                "half-json": b'{"header":{"cluster_id":"1","member_id":"2","revision":"3"},"kvs":[{"key":"L2V0'}.get(kind, b"")
        length = HUGE if kind == "huge" else len(body)
        mime = "text/html" if kind == "html" else "application/json"
        self.answer(200, [("Content-Type", mime), ("Content-Length", str(length))], body)
        if kind == "huge":
            for _ in range(HUGE // 100000):
                self.wfile.write(b"[" * 100000)

    def serve(self):
        body = self.read_body()
        kind = transaction_kind(body) if self.path.endswith("/txn") else ""
        fault, *rest = self.server.control.fault_of(f"{self.command} {self.path} {kind}", body) or [None]
        number = self.server.log.request(method=self.command, path=self.path, kind=kind, fault=fault)
        request = Request(number, self.command, self.path, self.headers.items(), body)
        if fault == "status":
            self.answer_status(int(rest[0]), rest[1] if len(rest) > 1 else None)
        elif fault in ("garbage", "html", "half-json", "huge"):
            self.answer_nonsense(fault)
        elif fault in ("cut-before", "cut-after", "cut-after-once", "hold", "hang"):
            self.close_connection = True
            self.give_no_reply(request, fault, *map(float, rest))
        else:
            self.give_reply(request, fault, *map(float, rest))

    def give_reply(self, request, fault, seconds=3600.0):
        if fault == "delay":
            time.sleep(seconds)
        answer = self.pass_on(request)
        if fault == "delay-reply":
            time.sleep(seconds)
        self.hand_back(answer, half=fault == "cut-half")
        if fault == "replay":
            self.pass_on_later(request, seconds)

    def give_no_reply(self, request, fault, seconds=3600.0):
        if fault in ("cut-after", "cut-after-once"):
            self.pass_on(request)
        elif fault == "hold":
            self.pass_on_later(request, seconds)
        elif fault == "hang":
            await_end(self.connection)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve


def main():
    args = arguments()
    proxy = Proxy(args)
    with open(args.ready, "w", encoding="utf-8"):
        pass
    proxy.serve_forever()


main()
