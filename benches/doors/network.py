"""Two network namespaces with a line between them: the server's and the clients'. So packets can be counted, nobody
else's are among them, and the line can be long.

They have no names: they are held by file descriptors of this process and by the processes in them, and the kernel frees
them with the last of these, whatever happens.

Without a delay the line is a veth pair. With one it is a pair of TUN devices and `doors link` between them, which needs
nothing but /dev/net/tun (netem is a module that small kernels leave out).
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SERVER, CLIENT = "10.99.0.1", "10.99.0.2"
# More packets than one measurement ever has at once: a queue that overflows would be another line.
QUEUE = "20000"

libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine, or this user, cannot have it."""


def called(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise Unavailable(f"{what}: {os.strerror(number)}")


def can(delay):
    """Why there can be no such line, or nothing."""
    try:
        Network(delay).close()
    except (Unavailable, OSError, subprocess.CalledProcessError) as error:
        return str(error)
    return None


class Loopback:
    """No line: all processes on the machine's own loopback, for who may not make namespaces."""

    delay = 0
    counts = False
    listen = server = "127.0.0.1"

    def spawn(self, _side, command, core, urgent=False, **pipes):
        return spawn(command, core, None, urgent, **pipes)

    def connect(self, port):
        return socket.create_connection((self.server, port), 10)

    def start(self, _binary, _core):
        return None

    def dropped(self):
        return 0

    def close(self):
        pass


class Network:
    """The two namespaces. `delay`: seconds for one way."""

    counts = True
    listen, server = "0.0.0.0", SERVER

    def __init__(self, delay):
        self.delay = delay
        self.files = []
        self.tuns = []
        try:
            self.home = self.hold(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            # Who may not come back must not go.
            called(libc.setns(self.home, CLONE_NEWNET), "network namespaces")
            self.sides = {side: self.new() for side in ("server", "client")}
            self.tuns = [self.tun(side) for side in self.sides] if delay else []
            if not delay:
                self.ip("server", "link", "add", "doors0", "type", "veth", "peer", "name", "doors1")
                self.ip("server", "link", "set", "doors1", "netns", f"/proc/{os.getpid()}/fd/{self.sides['client']}")
                self.ip("client", "link", "set", "doors1", "name", "doors0")
            for side, here, there in (("server", SERVER, CLIENT), ("client", CLIENT, SERVER)):
                self.ip(side, "link", "set", "lo", "up")
                self.ip(side, "address", "add", here, "peer", there, "dev", "doors0")
                self.ip(side, "link", "set", "doors0", "up", "mtu", "1500", "txqueuelen", QUEUE)
            with self.inside("client"), open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
                file.write("1024 65535")
        except BaseException:
            self.close()
            raise

    def hold(self, file):
        self.files.append(file)
        return file

    def new(self):
        called(libc.unshare(CLONE_NEWNET), "a network namespace")
        try:
            return self.hold(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        finally:
            called(libc.setns(self.home, CLONE_NEWNET), "back to the own namespace")

    @contextlib.contextmanager
    def inside(self, side):
        called(libc.setns(self.sides[side], CLONE_NEWNET), f"the {side}'s namespace")
        try:
            yield
        finally:
            called(libc.setns(self.home, CLONE_NEWNET), "back to the own namespace")

    def tun(self, side):
        with self.inside(side):
            file = self.hold(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", b"doors0", IFF_TUN | IFF_NO_PI))
        return file

    def ip(self, side, *arguments):
        command = ["ip", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              preexec_fn=lambda: libc.setns(self.sides[side], CLONE_NEWNET))
        if done.returncode:
            raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()}")

    def spawn(self, side, command, core, urgent=False, **pipes):
        return spawn(command, core, self.sides[side], urgent, **pipes)

    def connect(self, port):
        """From beside the server."""
        with self.inside("server"):
            return socket.create_connection(("127.0.0.1", port), 10)

    def start(self, binary, core):
        """What carries the packets, if something must."""
        if not self.tuns:
            return None
        command = [binary, "link", "--delay-us", str(round(self.delay * 1e6))]
        return spawn(command, core, None, True, stdin=self.tuns[0], stdout=self.tuns[1])

    def dropped(self):
        """How many packets the line's two ends have thrown away."""
        count = 0
        for side in self.sides:
            with self.inside(side), open("/proc/thread-self/net/dev") as file:
                fields = next(line.split(":")[1].split() for line in file if line.strip().startswith("doors0:"))
                count += int(fields[3]) + int(fields[11])
        return count

    def close(self):
        while self.files:
            os.close(self.files.pop())


def spawn(command, core, namespace, urgent, **pipes):
    """A process that ends with this one. `urgent`: it runs before others on its core, if this user may say so."""

    def before():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if namespace is not None and libc.setns(namespace, CLONE_NEWNET):
            os._exit(126)
        if core is not None:
            os.sched_setaffinity(0, {core})
        if urgent:
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, -10)

    return subprocess.Popen(command, preexec_fn=before, **pipes)
