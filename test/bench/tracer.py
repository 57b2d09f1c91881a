"""Follows a program and all that it starts with ptrace: what it needed, where nothing is timed."""
import collections
import ctypes
import os
import signal
import sys

TRACEME, CONT, SYSCALL, SETOPTIONS, GETEVENTMSG = 0, 7, 24, 0x4200, 0x4201
FOLLOW = 0x2 | 0x4 | 0x8  # fork, vfork, clone
SYSGOOD, TRACE_EXEC, TRACE_EXIT, EXITKILL = 0x1, 0x10, 0x40, 0x100000
EVENT_EXEC, EVENT_EXIT = 4, 6
WALL = 0x40000000

# own_kib and largest_kib: the highest resident memory, of the program itself and of the largest process. programs: how many were
# started, itself included. calls: system calls of all threads of all processes.
Needs = collections.namedtuple("Needs", "status own_kib largest_kib programs calls")


def ptrace(request, pid, data=None):
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    if function(request, pid, None, data) == -1 and request != TRACEME and ctypes.get_errno() != 3:
        raise OSError(ctypes.get_errno(), f"ptrace({request})")


def read_peak(pid):
    """VmHWM in KiB; wait4's maximum would begin with the memory that the starter had until the program was executed."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)


class Tracer:
    def __init__(self):
        self.own = None
        self.peaks = collections.Counter()
        self.programs, self.stops = 0, 0

    def stopped(self, pid, status):
        """One stop of one thread; the signal that is to be handed on to it."""
        reason, event = os.WSTOPSIG(status), status >> 16
        if reason == signal.SIGTRAP | 0x80:
            self.stops += 1
        elif event == EVENT_EXEC:
            self.programs += 1
        elif event == EVENT_EXIT:
            # The memory is still there. That of a child before its execve is its parent's, and that is larger already.
            self.peaks[pid] = max(self.peaks[pid], read_peak(pid))
        elif event == 0 and reason not in (signal.SIGSTOP, signal.SIGTRAP):
            return reason
        return None

    def follow(self, pid):
        """To the end of the last process."""
        self.own, ended = pid, None
        while True:
            try:
                who, status = waitpid()
            except ChildProcessError:
                return ended
            if os.WIFSTOPPED(status):
                ptrace(SYSCALL, who, self.stopped(who, status))
            elif who == pid:
                ended = status


def waitpid():
    """os.waitpid takes the bits of events away."""
    status = ctypes.c_int()
    pid = ctypes.CDLL(None, use_errno=True).waitpid(-1, ctypes.byref(status), WALL)
    if pid < 0:
        raise ChildProcessError(ctypes.get_errno(), "waitpid")
    return pid, status.value


def begin(program, environment, stdin, stdout):
    """What the child does. ptrace has its parent find it stopped behind its execve."""
    try:
        os.dup2(os.open(stdin, os.O_RDONLY), 0)
        os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        ptrace(TRACEME, 0)
        os.execve(program, [program], environment)
    finally:
        os._exit(127)


def trace(program, environment, stdin, stdout):
    """Runs the program with its standard input and output from and to these files."""
    pid = os.fork()
    if pid == 0:
        begin(program, environment, stdin, stdout)
    os.waitpid(pid, 0)
    tracer = Tracer()
    ptrace(SETOPTIONS, pid, FOLLOW | SYSGOOD | TRACE_EXEC | TRACE_EXIT | EXITKILL)
    ptrace(SYSCALL, pid)
    status = tracer.follow(pid)
    if not tracer.peaks[pid]:
        sys.exit(f"tracer.py: the memory of {program} could not be read")
    # Each call stops twice, when it begins and when it returns, but for the one that ends a process.
    return Needs(status, tracer.peaks[pid], max(tracer.peaks.values()), tracer.programs + 1, (tracer.stops + 1) // 2)
