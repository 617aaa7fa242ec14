"""What the runners in tests/autobahn, tests/browser, tests/http2 and tests/interop need: build the examples, start, await and
end processes, install what the other end is made of.

Python 3.8 or later, standard library only.
"""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LISTENING = re.compile(r"listening on (?:wss?|https?)://(\S+):(\d+)")


class Failure(Exception):
    """A reason to stop, already worded for whoever reads the terminal."""


class Unavailable(Failure):
    """Something that the test needs is not on this machine, and cannot be had."""


_running = set()
_lock = threading.Lock()


def end_all():
    with _lock:
        left = list(_running)
    for process in left:
        process.end()


atexit.register(end_all)
# A signal ends this script in the ordinary way, so that it also ends what it started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))


class Process:
    """A child process whose output goes to a file. Only its own pid (and, if asked, its own group) is ever signalled."""

    def __init__(self, name, command, log, cwd=None, env=None, group=False):
        self.name, self.log, self.group = name, log, group
        with open(log, "wb") as out:
            try:
                self.child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                    cwd=cwd, env=env, start_new_session=group,
                )
            except OSError as error:
                raise Failure(f"{name}: cannot be started: {error}") from error
        with _lock:
            _running.add(self)

    def output(self):
        with open(self.log, "r", encoding="utf-8", errors="replace") as file:
            return file.read()

    def tail(self, lines=15):
        return "".join(f"\n    | {line}" for line in self.output().splitlines()[-lines:])

    def exited(self):
        """The exit status, or None while it runs."""
        return self.child.poll()

    def await_output(self, pattern, seconds):
        """The first match of `pattern` in the output. It is a failure to exit, or to stay silent, before it."""
        deadline = time.monotonic() + seconds
        while True:
            gone = self.exited()  # asked before reading, so that its last words are not missed
            match = pattern.search(self.output())
            if match:
                return match
            if gone is not None:
                raise Failure(f"{self.name}: exited with status {gone} before it was ready{self.tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: not ready after {seconds} s{self.tail()}")
            time.sleep(0.02)

    def await_port(self, port, seconds):
        """Until somebody accepts on `port`."""
        deadline = time.monotonic() + seconds
        while True:
            if self.exited() is not None:
                raise Failure(f"{self.name}: exited with status {self.exited()} before it was ready{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure(f"{self.name}: not ready after {seconds} s{self.tail()}") from None
                time.sleep(0.05)

    def await_exit(self, seconds):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: still running after {seconds} s{self.tail()}") from None

    def end(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self.group:  # whatever it started and left behind; the group's id is the pid of its first process
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        with _lock:
            _running.discard(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def free_port():
    """A port that was free a moment ago. Whoever uses it must be ready to try another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def target_directory():
    """cargo's target directory, wherever the environment or the configuration puts it."""
    command = ["cargo", "metadata", "--no-deps", "--format-version=1"]
    try:
        out = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"cargo metadata: {error}") from error
    return json.loads(out)["target_directory"]


def build_examples(names, bin_dir=None):
    """Builds the examples in release mode: a dictionary from name to executable. With `bin_dir`, takes them from there. All
    suites have them built with the same features, so that they are built once."""
    return build(["--features", "tokio,deflate,rustls,proxy-env"], "example", names, bin_dir)


def build_http_examples(names, bin_dir=None):
    """As `build_examples`, of the package examples/http."""
    target = os.path.join(target_directory(), "http-examples")
    manifest = os.path.join("examples", "http", "Cargo.toml")
    return build(["--locked", "--manifest-path", manifest, "--target-dir", target], "bin", names, bin_dir)


def build_web_example(names, bin_dir=None):
    """As `build_examples`, of the package examples/web."""
    target = os.path.join(target_directory(), "web-example")
    manifest = os.path.join("examples", "web", "Cargo.toml")
    return build(["--locked", "--manifest-path", manifest, "--target-dir", target], "bin", names, bin_dir)


def build(arguments, kind, names, bin_dir):
    if bin_dir:
        found = {name: os.path.join(os.path.abspath(bin_dir), name) for name in names}
        missing = [path for path in found.values() if not os.access(path, os.X_OK)]
        if missing:
            raise Failure("not an executable: " + ", ".join(missing))
        return found
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics", *arguments]
    for name in names:
        command += ["--" + kind, name]
    try:
        built = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError as error:
        raise Failure(f"cargo build: {error}") from error
    if built.returncode != 0:
        raise Failure(f"cargo build failed: {' '.join(command)}")
    found = {}
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            if message["target"]["kind"] == [kind]:
                found[message["target"]["name"]] = message["executable"]
    missing = [name for name in names if name not in found]
    if missing:
        raise Failure(f"cargo build made no executable for: {', '.join(missing)}")
    return found


def start_server(name, executable, log, *arguments):
    """Starts an echo server on a port of its choice: the process and the port it printed."""
    server = Process(name, [executable, "--listen", "127.0.0.1:0", *arguments], log)
    try:
        return server, int(server.await_output(LISTENING, 30).group(2))
    except BaseException:
        server.end()
        raise


def command(*words):
    """Runs it to its end; what it has to say is shown if it fails."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=300, env=dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1"))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(words)}: {error}") from error
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(words)} failed (it may need network):\n{output[-2000:]}")
    return output


def find(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def debian_programs(packages):
    """Where these programs are, by name, installed if need be (as root). `packages` says in which package each one is."""
    if not all(map(find, packages)) and os.geteuid() == 0 and shutil.which("apt-get"):
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        for words in (["apt-get", "update", "-qq"],
                      ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages.values()]):
            print("$ " + " ".join(words), flush=True)
            if subprocess.run(words, stdin=subprocess.DEVNULL, env=env).returncode != 0:
                raise Unavailable(f"{' '.join(words)} failed")
    missing = [name for name in packages if not find(name)]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not found (Debian: apt-get install {' '.join(packages.values())})")
    return {name: find(name) for name in packages}


def make_certificate(directory):
    """Writes ca.pem, and server.crt and server.key for 127.0.0.1 that this authority has signed; server.pem has both."""
    path = lambda name: os.path.join(directory, name)
    with open(path("server.ext"), "w", encoding="utf-8") as file:
        file.write("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    for words in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"],
        ["openssl", "x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-CAcreateserial", "-extfile", "server.ext", "-out", "server.crt"],
    ):
        made = subprocess.run(words, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if made.returncode != 0:
            raise Failure(f"{' '.join(words)}: {made.stderr.strip()}")
    with open(path("server.pem"), "w", encoding="utf-8") as pem:
        for part in ("server.crt", "server.key"):
            with open(path(part), encoding="utf-8") as file:
                pem.write(file.read())


def find_node():
    node = shutil.which("node")
    if not node:
        raise Unavailable("node is needed (Debian: apt-get install nodejs npm)")
    return node


def npm_package(directory, name, version):
    """Has this version of a package of npm in the directory, installed if need be: where its modules are."""
    modules = os.path.join(directory, "node_modules")

    def installed():
        try:
            with open(os.path.join(modules, name, "package.json"), encoding="utf-8") as file:
                return json.load(file)["version"]
        except OSError:
            return None

    if installed() != version:
        npm = shutil.which("npm")
        if not npm:
            raise Unavailable("npm is needed (Debian: apt-get install nodejs npm)")
        print(f"installing {name} {version} into {directory}", file=sys.stderr, flush=True)
        os.makedirs(directory, exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        command(npm, "install", "--prefix", directory, *quiet, f"{name}@{version}")
        if installed() != version:
            raise Unavailable(f"npm has installed {name} {installed()}, not {version}")
    return modules
