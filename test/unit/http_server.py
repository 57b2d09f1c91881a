#!/usr/bin/env python3
"""Servers for the tests of HTTP and of etcd's client, each with one way to (mis)behave, on ports of 127.0.0.0/8 of this namespace.

http_server.py CERTS   prints "name port" for each, then "ready", and runs until its standard input ends. CERTS is a folder as certs_odd of
test/lab/certs.sh fills it.
"""
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
import warnings

warnings.simplefilter("ignore")
CERTS = sys.argv[1]
COUNTS = {}
LOCK = threading.Lock()
RELEASE = threading.Event()


def read_chunks(conn, data):
    """A body of which nobody said before how long it is."""
    body = b""
    while True:
        while b"\r\n" not in data:
            data += receive(conn)
        size, data = data.split(b"\r\n", 1)
        while len(data) < int(size, 16) + 2:
            data += receive(conn)
        body, data = body + data[:int(size, 16)], data[int(size, 16) + 2:]
        if int(size, 16) == 0:
            return body


def receive(conn):
    piece = conn.recv(65536)
    if not piece:
        raise ConnectionError
    return piece


def read_request(conn):
    """Method, path, headers, body; None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = conn.recv(65536)
        if not piece:
            return None
        data += piece
        if data[0] == 0x16:  # the first byte of TLS
            conn.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return None
    head, body = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines}
    with LOCK:
        COUNTS["heads"] = COUNTS.get("heads", 0) + 1
    if headers.get("transfer-encoding") == "chunked":
        body = read_chunks(conn, body)
    while len(body) < int(headers.get("content-length", 0)):
        body += conn.recv(65536)
    method, path, _ = first.split(" ", 2)
    return method, path, headers, body.decode()


def answer(conn, status, body, headers=""):
    body = body if isinstance(body, bytes) else body.encode()
    conn.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def each(reply):
    """A server that answers each request of a connection by reply(conn, request, number of this request)."""
    def serve(conn, name):
        while (request := read_request(conn)) is not None:
            with LOCK:
                COUNTS[name] += 1
                count = COUNTS[name]
            if reply(conn, request, count) is False:
                return
    return serve


def echo(conn, request, count):
    method, path, headers, body = request
    if path == "/later":
        time.sleep(0.2)
    if path.startswith("/status/"):
        answer(conn, path.split("/")[2], "why", "Date: Tue, 24 Nov 2026 22:00:00 GMT\r\nRetry-After: 7\r\n")
    elif path == "/counts":
        answer(conn, 200, json.dumps(COUNTS))
    elif path == "/redirect":
        answer(conn, 302, "", "Location: /elsewhere\r\n")
    else:
        answer(conn, 200, json.dumps({"method": method, "path": path, "headers": headers, "body": body,
                                      "port": conn.getpeername()[1], "resumed": getattr(conn, "session_reused", None)}))


def text(status, body):
    return each(lambda conn, request, count: answer(conn, status, body))


def silent(conn, name):
    while conn.recv(65536):
        pass


def hasty(conn, name):
    """Answers before it has the body, and ends the connection."""
    conn.recv(65536)
    answer(conn, 408, "too slow", "Connection: close\r\n")


def half(conn, request, count):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b'{"header":{}')
    return False


def endless(conn, request, count):
    conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(100):
        conn.sendall(b"x" * (1 << 20))
    return False


def announced(conn, request, count):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    silent(conn, "")
    return False


def headers(conn, request, count):
    conn.sendall(b"HTTP/1.1 200 OK\r\n")
    for i in range(100000):
        conn.sendall(b"X-Header: 12345678901234567890\r\n" * 100)
    return False


def garbage(conn, request, count):
    conn.sendall(b"SSH-2.0-OpenSSH_9.2\r\nno HTTP\r\n\r\n")
    return False


def resets(conn, request, count):
    reset(conn)
    return False


HEADER = {"cluster_id": "1", "revision": "5"}
GOOD = json.dumps({"header": HEADER, "succeeded": True})


def error(code, message):
    return json.dumps({"error": message, "message": message, "code": code})


def first(status, body):
    """Once that, then good."""
    return each(lambda conn, request, count: answer(conn, *((status, body) if count == 1 else (200, GOOD))))


def slow(conn, request, count):
    time.sleep(0.2)
    answer(conn, 200, GOOD)


def users(conn, request, count):
    """Gives out token-1, token-2, ...; takes only the newest, and only while it is even (so that every first one is too old)."""
    _, path, sent, body = request
    if path == "/v3/auth/authenticate":
        if json.loads(body) != {"name": "lamina", "password": "secret"}:
            answer(conn, 400, error(3, "etcdserver: authentication failed, invalid user ID or password"))
            return
        with LOCK:
            COUNTS["token"] = COUNTS.get("token", 0) + 1
        answer(conn, 200, json.dumps({"header": HEADER, "token": f"token-{COUNTS['token']}"}))
    elif "authorization" not in sent:
        answer(conn, 400, error(3, "etcdserver: user name is empty"))
    elif sent["authorization"] != f"token-{COUNTS.get('token', 0)}" or COUNTS["token"] % 2:
        answer(conn, 401, error(16, "etcdserver: invalid auth token"))
    else:
        answer(conn, 200, GOOD)


def no_users(conn, request, count):
    if request[1] == "/v3/auth/authenticate":
        answer(conn, 400, error(9, "etcdserver: authentication is not enabled"))
    else:
        answer(conn, 200, GOOD)


SERVERS = {
    "echo": each(echo),
    "silent": silent,
    "hasty": hasty,
    "half": each(half),
    "endless": each(endless),
    "announced": each(announced),
    "headers": each(headers),
    "garbage": each(garbage),
    "html": text(200, "<html><body>Welcome to nginx!</body></html>"),
    "reset": each(resets),
    "good": text(200, GOOD),
    "slow": each(slow),
    "other": text(200, '{"kind": "Status"}'),
    "cut": text(200, '{"header": {'),
    "old": text(404, "404 page not found\n"),
    "leaderless": text(503, error(14, "etcdserver: no leader")),
    "leaderless-once": first(503, error(14, "etcdserver: no leader")),
    "timeout": text(503, error(14, "etcdserver: request timed out")),
    "busy-once": first(429, error(8, "etcdserver: too many requests")),
    "full": text(429, error(8, "etcdserver: mvcc: database space exceeded")),
    "users": each(users),
    "no-users": each(no_users),
    "page-503": text(503, "<html>503 Service Unavailable</html>"),
}


def context(cert, mutual=False, newest=None):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{CERTS}/{cert}.pem", f"{CERTS}/{cert}-key.pem")
    if newest:
        tls.maximum_version = newest
        if newest < ssl.TLSVersion.TLSv1_2:
            tls.minimum_version = newest
            tls.set_ciphers("ALL:@SECLEVEL=0")
    if mutual:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(f"{CERTS}/ca.pem")
    return tls


TLS = {
    "tls": context("server"),
    "tls-mutual": context("server", mutual=True),
    "tls-1.2": context("server", mutual=True, newest=ssl.TLSVersion.TLSv1_2),
    "tls-1.1": context("server", newest=ssl.TLSVersion.TLSv1_1),
    "tls-expired": context("server-expired"),
    "tls-other": context("server-other"),
    "tls-forgetful": None,
    "tls-picky": context("server"),
}


def offers_session(hello):
    """Whether the last extension of a ClientHello, where it has to be, is pre_shared_key."""
    at = 43 + 1 + hello[43]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 1 + hello[at] + 2
    kind = None
    while at < len(hello):
        kind = int.from_bytes(hello[at:at + 2], "big")
        at += 4 + int.from_bytes(hello[at + 2:at + 4], "big")
    return kind == 41


def secure(name, conn):
    if name == "tls-forgetful":  # it knows no session of an earlier connection
        return context("server", mutual=True).wrap_socket(conn, server_side=True)
    if name == "tls-picky" and offers_session(conn.recv(65536, socket.MSG_PEEK)):
        with LOCK:
            COUNTS[name] += 100
        conn.recv(65536)
        conn.sendall(b"\x15\x03\x03\x00\x02\x02\x33")  # the alert decrypt_error
        raise ConnectionError
    return TLS[name].wrap_socket(conn, server_side=True)


def serve(name, conn):
    try:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if name in TLS:
            conn = secure(name, conn)
            SERVERS["echo"](conn, name)
        else:
            SERVERS[name](conn, name)
    except (OSError, ValueError):
        pass
    finally:
        conn.close()


def listen(name, sock):
    while True:
        conn, _ = sock.accept()
        threading.Thread(target=serve, args=(name, conn), daemon=True).start()


for server in [*SERVERS, *TLS]:
    COUNTS[server] = 0
    listener = socket.create_server(("0.0.0.0", 0), backlog=64)
    threading.Thread(target=listen, args=(server, listener), daemon=True).start()
    print(server, listener.getsockname()[1])
nobody = socket.create_server(("0.0.0.0", 0))
print("nobody", nobody.getsockname()[1])
nobody.close()
print("ready", flush=True)
os.read(0, 1)
