"""nginx, HAProxy and Caddy in front of two servers, each with the few lines that it needs, in three ways: in the clear, with
TLS in front, and with TLS on both sides. Their time limits are the defaults: 60 s in nginx, 50 s in Debian's haproxy.cfg, none
in Caddy. README.md has the same lines for people."""

import os

from support import Failure, Process

PATIENCE = 60  # seconds that anything may take; only a failure waits so long

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;

  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  upstream web {{ server 127.0.0.1:{one}; server 127.0.0.1:{two}; }}
  server {{
    listen 127.0.0.1:{port}{front};
    location / {{
      proxy_pass {scheme}://web;
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
  bind 127.0.0.1:{port}{front}
  balance roundrobin
  server one 127.0.0.1:{one} check{behind}
  server two 127.0.0.1:{two} check{behind}
"""

CADDY = """
{{
	admin off
	auto_https off
}}
{scheme_in_front}://:{port} {{
	bind 127.0.0.1{front}
	reverse_proxy {scheme}://127.0.0.1:{one} {scheme}://127.0.0.1:{two} {{
		lb_try_duration 5s{behind}
	}}
}}
"""

# The name of each: its configuration, what it says of TLS in front and behind, and its command with the file. Behind, none of
# them asks whose certificate it is: each start of the server makes a new one, and the way to it is the machine's own.
PROXIES = {
    "nginx": (NGINX, " ssl http2;\n    ssl_certificate {certificates}/server.crt;\n    ssl_certificate_key {certificates}/server.key",
              "", lambda program, file: [program, "-c", file, "-e", "stderr"]),
    "haproxy": (HAPROXY, " ssl crt {certificates}/server.pem alpn h2,http/1.1", " ssl verify none",
                lambda program, file: [program, "-f", file]),
    "caddy": (CADDY, "\n\ttls {certificates}/server.crt {certificates}/server.key",
              "\n\t\ttransport http {{\n\t\t\ttls_insecure_skip_verify\n\t\t}}",
              lambda program, file: [program, "run", "--config", file, "--adapter", "caddyfile"]),
}
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "redis-server": "redis-server", "openssl": "openssl"}
# Where there is TLS: in front of the proxy, and behind it.
WAYS = {"in the clear": (False, False), "TLS in front": (True, False), "TLS on both sides": (True, True)}


class Proxy:
    """One of them, at a port that stays the same. `certificates` is a directory as `support.make_certificate` fills it."""

    def __init__(self, kind, way, program, port, one, two, scratch, certificates):
        front, behind = WAYS[way]
        self.name, self.port, self.tls, self.count = f"{kind}, {way}", port, front, 0
        self.directory = os.path.join(scratch, self.name.replace(", ", "-").replace(" ", "-"))
        os.makedirs(self.directory)
        self.ca = os.path.join(certificates, "ca.pem")
        text, in_front, at_back, command = PROXIES[kind]
        text = text.format(
            port=port, one=one, two=two, directory=self.directory,
            scheme="https" if behind else "http", scheme_in_front="https" if front else "http",
            front=in_front.format(certificates=certificates) if front else "", behind=at_back.format() if behind else "")
        file = os.path.join(self.directory, "configuration")
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
        self.command = command(program, file)
        self.url = f"{'https' if front else 'http'}://127.0.0.1:{port}"
        self.start()

    def start(self):
        self.count += 1
        env = dict(os.environ, HOME=self.directory, XDG_DATA_HOME=self.directory, XDG_CONFIG_HOME=self.directory)
        log = os.path.join(self.directory, f"log-{self.count}")
        self.process = Process(self.name, self.command, log, env=env, group=True)
        self.process.await_port(self.port, PATIENCE)

    def stop(self):
        self.process.end()
        if self.process.exited() is None:
            raise Failure(f"{self.name} does not end")
