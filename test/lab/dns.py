#!/usr/bin/python3
"""A name server for a node's /etc/resolv.conf, by UDP.

dns.py ADDRESS NAMES LOG READY   answers at ADDRESS, port 53, from the file NAMES ("ADDRESS NAME" lines, IPv4), which it reads anew for each
question: a name that is not there does not exist. Without that file it takes questions and never answers. Each question's name is a line of
LOG. READY is made once questions are taken.
"""
import socket
import struct
import sys

TYPE_A = 1
NOT_THERE = 3
# An answer, authoritative, recursion desired and available; behind the question stands one address, or nothing.
FLAGS = 0x8580


def read_name(question):
    """The name, in lower case, and what of the question stands behind it."""
    labels = []
    while size := question[0]:
        labels.append(question[1:1 + size].decode("ascii", "replace").lower())
        question = question[1 + size:]
    return ".".join(labels), question[1:]


def reply(packet, names):
    name, rest = read_name(packet[12:])
    question = packet[12:len(packet) - len(rest) + 4]
    # An IPv6 address is none, of a name that there is.
    answer = b""
    if name in names and struct.unpack("!H", rest[:2])[0] == TYPE_A:
        answer = struct.pack("!HHHIH", 0xc00c, TYPE_A, 1, 1, 4) + socket.inet_aton(names[name])
    flags = FLAGS | (0 if name in names else NOT_THERE)
    return packet[:2] + struct.pack("!HHHHH", flags, 1, 1 if answer else 0, 0, 0) + question + answer


def main():
    address, names_file, log_file, ready = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    with open(ready, "w", encoding="ascii"), open(log_file, "a", buffering=1, encoding="ascii", errors="replace") as log:
        while True:
            packet, client = server.recvfrom(512)
            log.write(read_name(packet[12:])[0] + "\n")
            try:
                with open(names_file, encoding="ascii") as file:
                    names = {name.lower(): number for number, name in map(str.split, file)}
            except FileNotFoundError:
                continue
            server.sendto(reply(packet, names), client)


main()
