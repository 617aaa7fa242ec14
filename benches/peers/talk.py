"""A server and its client, as processes."""

import json
import os
import resource
import subprocess
import tempfile
import time


class Trouble(Exception):
    """Why there is no figure."""


def prepared(core):
    """What a process does before it is a program: it goes to its core, and may open as many files as there can be."""

    def prepare():
        if core is not None:
            os.sched_setaffinity(0, {core})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    return prepare


def talk(command, load, cores=(None, None), environment=None, end=subprocess.Popen.kill):
    """One server, one client, and the dictionary that the client prints. `cores`: client's and server's. `end` ends the
    server."""
    client_core, server_core = cores
    with tempfile.TemporaryFile("w+") as complaints:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment,
                                  preexec_fn=prepared(server_core))
        try:
            # A number, or an address that ends with one.
            port = server.stdout.readline().strip().rpartition(":")[2]
            client = subprocess.run([*load, "--port", port, "--pid", str(server.pid)], capture_output=True, text=True,
                                    timeout=300, preexec_fn=prepared(client_core))
            if client.returncode == 0:
                return json.loads(client.stdout)
            time.sleep(0.1)
            complaints.seek(0)
            said = complaints.read().strip().splitlines()
            raise Trouble(f"{client.stderr.strip()} {said[:3]}")
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise Trouble(error) from error
        finally:
            end(server)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            server.stdout.close()
