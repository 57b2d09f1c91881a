#!/usr/bin/env python3
"""An API server that fails as it is told, for the unit tests: answers are played from a script. For faults only.

    api.py FOLDER

FOLDER has ca.pem, server.pem, server-key.pem and server-other.pem, server-other-key.pem (certs.sh makes them). Listens on loopback, on
ports that the kernel chooses, and writes FOLDER/ports when it does: {"tls", "plain", "other" (a certificate of another authority),
"client" (asks for a client certificate)}. Ends with its standard input.

FOLDER/script.json, read at each request: {KEY: [ANSWER, ...]}. KEY is a method and a path with its query string ("PATCH /x"), the path
alone, or "*" for all others; the first request gets the first answer, and so on; the last one is repeated. Each request is a line of
FOLDER/log: {"key", "method", "path", "authorization", "accept", "agent", "type", "body"}; to remove it is to begin anew. An ANSWER
(nothing but `json` is usual):

    json         the body, as JSON               body    the body, as text
    status       200 when it is left out         headers {NAME: VALUE}; Date is now unless it is given, null leaves it out
    size         this many bytes of white space come before the body
    cut          this many bytes less than announced, then the connection ends
    reset        the connection ends before an answer
    hold         no answer at all, for as long as the client stays
    raw          these bytes in place of an answer
"""
import http.server
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
from email.utils import formatdate

FOLDER = sys.argv[1]
LOCK = threading.Lock()


def choose(method, path, headers, body):
    """The answer that is next for this method and path. Notes the request."""
    with LOCK:
        with open(f"{FOLDER}/script.json", encoding="utf-8") as file:
            script = json.load(file)
        key = next((key for key in (f"{method} {path}", path) if key in script), "*")
        line = {"key": key, "method": method, "path": path, "authorization": headers.get("Authorization"), "accept": headers.get("Accept"),
                "agent": headers.get("User-Agent"), "type": headers.get("Content-Type"), "body": body}
        with open(f"{FOLDER}/log", "a+", encoding="utf-8") as file:
            file.seek(0)
            before = sum(json.loads(other)["key"] == key for other in file)
            file.write(json.dumps(line) + "\n")
    answers = script[key]
    return answers[min(before, len(answers) - 1)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        answer = choose(self.command, self.path, self.headers, body)
        if answer.get("hold"):
            self.connection.settimeout(60)
            self.rfile.read(1)
            return self.end()
        if answer.get("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self.end()
        if "raw" in answer:
            self.wfile.write(answer["raw"].encode())
            return self.end()
        self.reply(answer)

    do_PATCH = do_POST = do_PUT = do_GET

    def end(self):
        self.close_connection = True
        self.connection.close()

    def reply(self, answer):
        body = (json.dumps(answer["json"]) if "json" in answer else answer.get("body", "")).encode()
        size = answer.get("size", 0)
        headers = {"Content-Type": "application/json", "Date": formatdate(time.time(), usegmt=True)}
        headers.update(answer.get("headers", {}), **{"Content-Length": str(len(body) + size)})
        self.send_response_only(answer.get("status", 200))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        cut = answer.get("cut", 0)
        for left in range(size, 0, -65536):
            self.wfile.write(b" " * min(left, 65536))
        self.wfile.write(body[:len(body) - cut])
        if cut:
            self.end()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        """In the connection's own thread: nobody waits for another's handshake."""
        with self.context.wrap_socket(request, server_side=True) if self.context else request as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, *_):
        """A client that leaves, or that does not take the certificate: both are meant."""


def tls(name, wants_client=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{FOLDER}/{name}.pem", f"{FOLDER}/{name}-key.pem")
    if wants_client:
        context.load_verify_locations(f"{FOLDER}/ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main():
    servers = {"tls": Server(tls("server")), "plain": Server(), "other": Server(tls("server-other")),
               "client": Server(tls("server", wants_client=True))}
    with open(f"{FOLDER}/ports.new", "w", encoding="utf-8") as file:
        json.dump({name: server.server_port for name, server in servers.items()}, file)
    os.rename(f"{FOLDER}/ports.new", f"{FOLDER}/ports")
    sys.stdin.read()


main()
