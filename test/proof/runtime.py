"""Calls the plugin kube-ipam as a container runtime does: one process a call, the configuration on its standard input."""
import collections
import json
import os
import select
import signal
import statistics
import time
import typing

ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
VALID = "cni.dev/valid-attachments"
# A call that takes longer hangs: the plugin's own deadlines are shorter.
LONGEST = 120
CODE_TRY_AGAIN = 11

# Steps at which a build with fault points can be told to die.
FAULTS = {
    "ADD": ("record_first", "etcd_before_claim", "etcd_after_claim", "store_before_commit", "store_after_commit", "claimed",
            "record_done"),
    "DEL": ("before_release", "etcd_before_release", "etcd_after_release", "store_before_commit", "store_after_commit", "released"),
}


class Outcome(typing.NamedTuple):
    """status None: killed. answer: what it printed, as JSON; None: nothing, or no JSON. log: what it wrote to stderr."""
    status: int
    answer: object
    seconds: float
    log: str

    @property
    def ok(self):
        return self.status == 0

    @property
    def killed(self):
        return self.status is None

    @property
    def code(self):
        return self.answer.get("code") if isinstance(self.answer, dict) and not self.ok else None

    @property
    def addresses(self):
        return [ip["address"].split("/")[0] for ip in self.answer["ips"]]

    def __str__(self):
        if self.killed:
            return "killed"
        said = self.answer
        if isinstance(said, dict):
            said = " ".join(self.addresses) if "ips" in said else f"{said.get('msg')}"
        return f"status {self.status} {said or ''} {self.log}".rstrip()


class Container:
    """What the environment of a call says: one interface of one sandbox."""

    def __init__(self, cid, ifname, netns, pod=None):
        self.cid, self.ifname, self.netns = cid, ifname, netns
        self.fixed = []  # the addresses that it asked for and got
        self.args = "IgnoreUnknown=1"
        if pod:
            namespace, name, uid = pod
            self.args += (f";K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={cid}"
                          f";K8S_POD_UID={uid}")

    @property
    def name(self):
        return f"{self.cid}.{self.ifname}"

    def environment(self):
        return {"CNI_CONTAINERID": self.cid, "CNI_IFNAME": self.ifname, "CNI_NETNS": self.netns, "CNI_ARGS": self.args}


def environment():
    """What all calls have in theirs."""
    # A build with a sanitizer is told where to report.
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CNI_PATH": "/opt/cni/bin",
            **{key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}}


class Prepared:
    """A call that is ready: start() costs next to nothing beside it."""

    def __init__(self, program, verb, conf, container):
        self.program = program
        self.environment = environment() | {"CNI_COMMAND": verb} | container.environment()
        self.files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        os.pwrite(self.files[0], json.dumps(conf).encode(), 0)
        self.actions = [(os.POSIX_SPAWN_DUP2, fd, i) for i, fd in enumerate(self.files)]

    def start(self):
        """Runs it to its end; whether that was a good one."""
        start = time.monotonic()
        pid = os.posix_spawn(self.program, [self.program], self.environment, file_actions=self.actions)
        _, self.status = os.waitpid(pid, 0)
        self.seconds = time.monotonic() - start
        return self.status == 0

    def outcome(self):
        return Outcome(os.waitstatus_to_exitcode(self.status), read_answer(self.files[1]), self.seconds, read_log(self.files[2]))


class Runtime:
    """Calls a program, one call at a time."""

    def __init__(self, program):
        self.program = program
        with open(program, "rb") as binary:
            self.fault_points = b"LAMINA_FAULT" in binary.read()
        self.files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        self.environment = environment()
        self.took = collections.defaultdict(lambda: collections.deque([0.02], maxlen=50))

    def typical(self, verb):
        """How long a call lasts that nobody kills: what a random moment is one of."""
        return statistics.median(self.took[verb])

    def call(self, verb, conf, container=None, kill_after=None, fault=None):
        """kill_after: seconds; fault: the step at which it kills itself."""
        environment = self.environment | {"CNI_COMMAND": verb}
        if fault:
            environment["LAMINA_FAULT"] = f"{fault}:kill"
        if container:
            environment |= container.environment()
        for fd in self.files:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        os.pwrite(self.files[0], json.dumps(conf).encode(), 0)
        start = time.monotonic()
        pid = os.posix_spawn(self.program, [self.program], environment,
                             file_actions=[(os.POSIX_SPAWN_DUP2, fd, i) for i, fd in enumerate(self.files)])
        status = self.end(pid, start + (LONGEST if kill_after is None else kill_after))
        took = time.monotonic() - start
        if status == -signal.SIGKILL:
            if kill_after is None and fault is None:
                raise TimeoutError(f"{verb} took more than {LONGEST} seconds")
            return Outcome(None, None, took, read_log(self.files[2]))
        self.took[verb].append(took)
        return Outcome(status, read_answer(self.files[1]), took, read_log(self.files[2]))

    @staticmethod
    def end(pid, moment):
        """Its exit status; killed when it has not ended at that moment."""
        fd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0, (moment - time.monotonic()) * 1000)):
            os.kill(pid, signal.SIGKILL)
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read_log(fd):
    said = os.pread(fd, 1 << 20, 0).decode(errors="replace")
    # What a sanitizer's report of undefined behaviour begins with; others have files of their own.
    if "runtime error: " in said:
        raise RuntimeError(said)
    return said.strip()


def read_answer(fd):
    said = os.pread(fd, 1 << 20, 0)
    try:
        return json.loads(said)
    except ValueError:
        return None


def with_annotations(conf, annotations):
    """A configuration as a runtime hands it over for a pod."""
    return {**conf, "runtimeConfig": {ANNOTATIONS: annotations}}
