"""Finds the Autobahn testsuite's `wstest`, or installs it into the target directory."""

import os
import shutil
import subprocess
import sys

from support import Failure

SUITE = "autobahntestsuite==25.10.1"
VIRTUALENV = "virtualenv<20.16"  # the last that makes environments for Python 2.7
IMAGE = "crossbario/autobahn-testsuite"
HELP = """no way to run the Autobahn testsuite was found. One of these is needed:
  - WSTEST=/path/to/wstest, or wstest on PATH
  - a Python 2.7 with pip (PYTHON27=/path/to/python2.7, python2.7 or python2 on PATH, or any 2.7 that pyenv lists);
    the testsuite is then installed into the target directory
  - a running Docker engine (image """ + IMAGE + ")"


def _says(*command, **more):
    """The standard output of a command that succeeds, else None."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=60, **more)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _works(wstest):
    return "AutobahnTestSuite" in (_says(wstest, "--autobahnversion") or "")


def _python27():
    """A Python that really is 2.7: the name on PATH may be a version manager's stub that only prints an error."""
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7"), shutil.which("python2")]
    for version in (_says("pyenv", "versions", "--bare") or "").split():
        if version.startswith("2.7."):
            prefix = _says("pyenv", "prefix", version)
            candidates.append(prefix and os.path.join(prefix, "bin", "python2.7"))
    for python in candidates:
        if python and _says(python, "-c", "import sys; print(sys.version_info[:2])") == "(2, 7)":
            return python
    return None


def _install(python, venv):
    """Makes the virtual environment. Nothing is installed outside the target directory."""
    tools = venv + "-tools"
    print(f"installing {SUITE} into {venv}", file=sys.stderr, flush=True)
    pip_owner = python if _says(python, "-m", "pip", "--version") else sys.executable
    steps = [
        [pip_owner, "-m", "pip", "install", "--quiet", "--upgrade", "--target", tools, VIRTUALENV],
        [pip_owner, "-m", "virtualenv", "--quiet", "--clear", "--python", python, venv],
        [os.path.join(venv, "bin", "pip"), "install", "--quiet", SUITE],
    ]
    for step in steps:
        env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
        if step[2] == "virtualenv":
            env["PYTHONPATH"] = tools
        done = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        if done.returncode != 0:
            raise Failure(f"{' '.join(step)}\n{done.stdout.decode(errors='replace')}")


def find(target):
    """A function from (working directory, arguments of wstest) to the command that runs it there."""
    named = os.environ.get("WSTEST")
    if named and not _works(named):
        raise Failure(f"WSTEST={named} is not a wstest that works")
    venv = os.path.join(target, "autobahn-venv")
    installed = os.path.join(venv, "bin", "wstest")
    for path in (named, shutil.which("wstest"), installed):
        if path and _works(path):
            return _native(path)
    python = _python27()
    if python:
        _install(python, venv)
        if not _works(installed):
            raise Failure(f"{SUITE} was installed into {venv}, but its wstest does not run")
        return _native(installed)
    if _says("docker", "version", "--format", "{{.Server.Version}}"):
        return _docker
    raise Failure(HELP)


def _native(path):
    return lambda directory, arguments: [path, *arguments]


def _docker(directory, arguments):
    # With --init, the signal that ends `docker run` ends wstest, and --rm then removes the container.
    return ["docker", "run", "--rm", "--init", "--network=host", f"--user={os.getuid()}:{os.getgid()}",
            f"--volume={directory}:/work", "--workdir=/work", IMAGE, "wstest", *arguments]
