#!/usr/bin/env python3
"""A machine on the wire that has an address, or wants it: speaks ARP and neighbour discovery from a packet socket, so that no kernel
needs the address. For tests that run it inside of a node, on its switch, or in a pod.

Usage: rival.py [--netns PATH] [--mac MAC] [--delay MS] [--count N] [--time S] [--announce | --probe] [--unasked] ADDRESS INTERFACE

Without a mode it answers whoever asks for the address; --announce says that the address is its own; --probe asks for it, as one that
has none yet. Each --delay milliseconds (0) after somebody else's question; the latter two with --unasked: after the start.
--netns enters that network namespace first. --mac is the rival's MAC (02:00:00:00:00:99).

Prints `ready` when it hears, then a line for each frame that it sends. Ends after --count frames (default: 1; answers: any number), at
the latest after --time seconds (30). Exit status 0 if it has sent a frame, else 1.
"""
import argparse
import ctypes
import ipaddress
import select
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL, ARP, IPV6 = 3, 0x0806, 0x86DD
SOLICITATION, ADVERTISEMENT = 135, 136
OVERRIDE = 0x20000000
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
PACKET_OUTGOING = 4
ALL_NODES = ipaddress.ip_address("ff02::1").packed


def enter(path):
    with open(path, "rb") as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def group_mac(group):
    return b"\x33\x33" + group[12:]


def solicited_group(addr):
    return ipaddress.ip_address("ff02::1:ff00:0").packed[:13] + addr[13:]


def checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp(mac, operation, sender, to_mac, target):
    head = (b"\xff" * 6 if to_mac == bytes(6) else to_mac) + mac + struct.pack("!H", ARP)
    return head + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + sender + to_mac + target


def neighbour(mac, kind, sender, group, target):
    """A solicitation, or an advertisement with the target's MAC."""
    advert = kind == ADVERTISEMENT
    body = struct.pack("!I", OVERRIDE if advert else 0) + target + (b"\x02\x01" + mac if advert else b"")
    length = 4 + len(body)
    total = checksum(sender + group + struct.pack("!II", length, socket.IPPROTO_ICMPV6) + bytes([kind, 0, 0, 0]) + body)
    packet = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, 255) + sender + group
    return group_mac(group) + mac + struct.pack("!H", IPV6) + packet + struct.pack("!BBH", kind, 0, total) + body


class Rival:
    def __init__(self, args):
        self.addr = args.address.packed
        self.six = args.address.version == 6
        self.mac = bytes.fromhex(args.mac.replace(":", ""))
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.wire.bind((args.interface, ETH_P_ALL))
        # Answers go to a MAC that the interface does not have, and it is in no group of the address.
        request = struct.pack("iHH8s", socket.if_nametoindex(args.interface), PACKET_MR_PROMISC, 0, b"")
        self.wire.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
        self.end = time.monotonic() + args.time

    def hear(self):
        """MAC and address of the next one that asks for the address; nothing when the time is over."""
        while select.select([self.wire], [], [], max(0, self.end - time.monotonic()))[0]:
            frame, origin = self.wire.recvfrom(2048)
            kind = int.from_bytes(frame[12:14], "big")
            if origin[2] == PACKET_OUTGOING or frame[6:12] == self.mac:
                continue
            if not self.six and kind == ARP and frame[20:22] == b"\0\1" and frame[38:42] == self.addr and frame[28:32] != self.addr:
                return frame[22:28], frame[28:32]
            if self.six and kind == IPV6 and frame[20] == socket.IPPROTO_ICMPV6 and frame[54] == SOLICITATION and frame[62:78] == self.addr:
                return frame[6:12], frame[22:38]
        return None

    def answer(self, asked):
        if self.six:
            # To all, whoever asked: one without an address can be told in no other way.
            return neighbour(self.mac, ADVERTISEMENT, self.addr, ALL_NODES, self.addr)
        return arp(self.mac, 2, self.addr, *asked)

    def announcement(self):
        if self.six:
            return neighbour(self.mac, ADVERTISEMENT, self.addr, ALL_NODES, self.addr)
        return arp(self.mac, 1, self.addr, bytes(6), self.addr)

    def probe(self):
        if self.six:
            return neighbour(self.mac, SOLICITATION, bytes(16), solicited_group(self.addr), self.addr)
        return arp(self.mac, 1, bytes(4), bytes(6), self.addr)

    def say(self, what, frame):
        self.wire.send(frame)
        print(what, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netns")
    parser.add_argument("--mac", default="02:00:00:00:00:99")
    parser.add_argument("--delay", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--time", type=float, default=30)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--announce", action="store_true")
    mode.add_argument("--probe", action="store_true")
    parser.add_argument("--unasked", action="store_true")
    parser.add_argument("address", type=ipaddress.ip_address)
    parser.add_argument("interface")
    args = parser.parse_args()
    if args.unasked and not (args.announce or args.probe):
        parser.error("--unasked needs --announce or --probe")
    count = args.count if args.count is not None else int(args.announce or args.probe)
    if args.netns:
        enter(args.netns)
    rival = Rival(args)
    print("ready", flush=True)
    sent = 0
    while (count == 0 or sent < count) and time.monotonic() < rival.end:
        asked = (b"", b"") if args.unasked else rival.hear()
        if asked is None:
            break
        time.sleep(min(args.delay / 1000, max(0, rival.end - time.monotonic())))
        if args.announce:
            rival.say("announced", rival.announcement())
        elif args.probe:
            rival.say("asked", rival.probe())
        else:
            rival.say("answered", rival.answer(asked))
        sent += 1
    return 0 if sent else 1


if __name__ == "__main__":
    sys.exit(main())
