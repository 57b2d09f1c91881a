"""What is true whatever a store says: who uses an address is who has the kernel's exclusive lock on the file of that name.

All of it lies in files, so that processes that are killed leave nothing behind but what is so:
held/ADDRESS    locked by the process whose sandbox uses it, with a text that says who that is
kept/ADDRESS    the namespace that the address is kept for
late/ADDRESS    the attachment that had it and was never DELed
valid/NODE/NAME the attachments that the node's runtime knows, each with the number of the worker whose it is
"""
import contextlib
import fcntl
import mmap
import os
import struct
import time

COUNTERS = ("operations", "granted", "refused", "takeovers", "inherited", "repeated", "checked", "collections", "cluster_collections",
            "forgotten", "killed")


class Violation(Exception):
    """Two have one address, or somebody has what is another's."""


class Truth:
    def __init__(self, folder, nodes):
        self.folder = folder
        self.gates = {}
        for name in ["held", "kept", "late", "gate", *(f"valid/{node}" for node in nodes)]:
            os.makedirs(f"{folder}/{name}", exist_ok=True)

    # Addresses.

    def take(self, address, who):
        """From now on until the descriptor is closed, who uses the address."""
        fd = os.open(f"{self.folder}/held/{address}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(fd, 4096, 0).decode()
            os.close(fd)
            raise Violation(f"{address} was given to {who}, and {other} has it") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, who.encode(), 0)
        return fd

    def keep(self, address, namespace, fixed):
        """To be called with the address taken: it was given to a pod of that namespace, who asked for it or not."""
        path = f"{self.folder}/kept/{address}"
        with contextlib.suppress(FileNotFoundError):
            with open(path, encoding="ascii") as file:
                owner = file.read()
            if not fixed or owner != namespace:
                raise Violation(f"{address} is kept for {owner}, and was given to {namespace}, {fixed and 'fixed' or 'dynamic'}")
            return
        if fixed:
            with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:
                file.write(namespace)
            os.rename(file.name, path)

    def leave(self, addresses, name):
        """An attachment is dead, and its DEL is still due."""
        for address in addresses:
            with open(f"{self.folder}/late/{address}", "w", encoding="ascii") as file:
                file.write(name)

    def left(self, address):
        """Whose DEL is still due."""
        with contextlib.suppress(FileNotFoundError), open(f"{self.folder}/late/{address}", encoding="ascii") as file:
            return file.read()
        return None

    def clear(self, addresses, name):
        for address in addresses:
            if self.left(address) == name:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.folder}/late/{address}")

    # Attachments.

    def know(self, node, name, worker):
        with open(f"{self.folder}/valid/{node}/{name}", "w", encoding="ascii") as file:
            file.write(str(worker))

    def forget(self, node, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.folder}/valid/{node}/{name}")

    def known(self, node):
        return os.listdir(f"{self.folder}/valid/{node}")

    def known_of(self, node, worker):
        for name in self.known(node):
            with contextlib.suppress(FileNotFoundError), open(f"{self.folder}/valid/{node}/{name}", encoding="ascii") as file:
                if file.read() == str(worker):
                    yield name

    # A runtime calls GC when nothing else of that node and network is under way.

    @contextlib.contextmanager
    def gate(self, node, how):
        """With LOCK_SH beside other calls of the node, with LOCK_EX alone. In the order of arrival, so that nobody starves."""
        turn, gate = self.gates.get(node) or self.gates.setdefault(node, [
            os.open(f"{self.folder}/gate/{node}.{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) for name in ("turn", "gate")])
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(gate, how)
        fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(gate, fcntl.LOCK_UN)


class Board:
    """Numbers that all processes see, each worker's written by itself alone: nobody can be killed with a lock."""

    def __init__(self, options):
        self.options = options
        self.width = len(COUNTERS)
        self.memory = mmap.mmap(-1, 8 * (1 + options.workers * self.width))
        self.start = time.monotonic()

    def cell(self, index, change=0):
        value = struct.unpack_from("q", self.memory, 8 * index)[0] + change
        if change:
            struct.pack_into("q", self.memory, 8 * index, value)
        return value

    def count(self, name, worker, times=1):
        self.cell(1 + worker * self.width + COUNTERS.index(name), int(times))

    def sums(self):
        cells = struct.unpack_from(f"{self.options.workers * self.width}q", self.memory, 8)
        return {name: sum(cells[i::self.width]) for i, name in enumerate(COUNTERS)}

    def stop(self):
        self.cell(0, 1)

    def stopped(self):
        return self.cell(0) > 0

    def seconds(self):
        return time.monotonic() - self.start

    def finished(self):
        return (self.stopped() or self.seconds() > self.options.seconds
                or self.sums()["operations"] >= self.options.operations)
