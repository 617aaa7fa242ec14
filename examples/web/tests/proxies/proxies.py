"""nginx, HAProxy and Caddy in front of two servers, each with the few lines that it needs. Their time limits are the
defaults: 60 s in nginx, 50 s in Debian's haproxy.cfg, none in Caddy. README.md has the same lines for people."""

import os
import shutil
import subprocess

from support import Failure, Process, Unavailable

PATIENCE = 60  # seconds that anything may take; only a failure waits so long

NGINX = """
daemon off;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {scratch}/nginx-body;
  proxy_temp_path {scratch}/nginx-proxy;
  fastcgi_temp_path {scratch}/nginx-fastcgi;
  uwsgi_temp_path {scratch}/nginx-uwsgi;
  scgi_temp_path {scratch}/nginx-scgi;

  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  upstream web {{ server 127.0.0.1:{one}; server 127.0.0.1:{two}; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5000
  timeout client 50000
  timeout server 50000
  option redispatch
listen web
  bind 127.0.0.1:{port}
  balance roundrobin
  server one 127.0.0.1:{one} check
  server two 127.0.0.1:{two} check
"""

CADDY = """
{{
	admin off
	auto_https off
}}
http://:{port} {{
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:{one} 127.0.0.1:{two} {{
		lb_try_duration 5s
	}}
}}
"""

# The name of each: its configuration, and its command with the file.
PROXIES = {
    "nginx": (NGINX, lambda program, file: [program, "-c", file, "-e", "stderr"]),
    "haproxy": (HAPROXY, lambda program, file: [program, "-f", file]),
    "caddy": (CADDY, lambda program, file: [program, "run", "--config", file, "--adapter", "caddyfile"]),
}
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "redis-server": "redis-server"}


def find_all():
    """The executables by name, installed from Debian if need be."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    look = lambda: {name: shutil.which(name, path=path) for name in PACKAGES}
    missing = [PACKAGES[name] for name, program in look().items() if not program]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        for command in (["apt-get", "update", "-qq"],
                        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
            print("$ " + " ".join(command), flush=True)
            if subprocess.run(command, stdin=subprocess.DEVNULL, env=env).returncode != 0:
                raise Unavailable(f"{' '.join(command)} failed")
    found = look()
    missing = [PACKAGES[name] for name, program in found.items() if not program]
    if missing:
        raise Unavailable(f"not found (Debian: apt-get install {' '.join(missing)})")
    return found


class Proxy:
    """One of them, at a port that stays the same."""

    def __init__(self, name, program, port, one, two, scratch):
        self.name, self.port, self.scratch, self.count = name, port, scratch, 0
        text, command = PROXIES[name]
        file = os.path.join(scratch, f"{name}.conf")
        with open(file, "w", encoding="utf-8") as out:
            out.write(text.format(port=port, one=one, two=two, scratch=scratch))
        self.command = command(program, file)
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self):
        self.count += 1
        env = dict(os.environ, HOME=self.scratch, XDG_DATA_HOME=self.scratch, XDG_CONFIG_HOME=self.scratch)
        log = os.path.join(self.scratch, f"{self.name}-{self.count}.log")
        self.process = Process(self.name, self.command, log, env=env, group=True)
        self.process.await_port(self.port, PATIENCE)

    def stop(self):
        self.process.end()
        if self.process.exited() is None:
            raise Failure(f"{self.name} does not end")
