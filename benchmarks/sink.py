"""nginx as an S3 server that costs next to nothing: what benchmarks measure sealift against.

It checks no signature, no checksum and no customer key, but answers what a careful client looks
for. Bodies are moved by nginx itself; the rest is `sink.lua`, whose head says what is kept.
Never a place for data: parts of a multipart upload are not joined.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sealift.embedded import (
    Certificate,
    S3Server,
    answers,
    free_port,
    make_certificate,
    tethered,
    wait_until,
)

_MODULES = Path("/usr/lib/nginx/modules")
_LUA_MODULES = ("ndk_http_module.so", "ngx_http_lua_module.so")
# No upload is worth waiting for.
_GRACE = 0.5
# Enough for 16384 connections, each with a file.
_DESCRIPTORS = 32768
_ASK_TIMEOUT = 60.0

_CONFIGURATION = """
{load_modules}
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
worker_processes {workers};
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    default_type binary/octet-stream;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 65s;
    tcp_nodelay on;
    sendfile on;
    output_buffers 2 256k;
    etag off;
    if_modified_since off;
    merge_slashes off;

    lua_package_path "{lua_directory}/?.lua;;";
    lua_shared_dict index 512m;
    lua_shared_dict uploads 64m;
    lua_shared_dict counters 1m;
    lua_socket_buffer_size 64k;
    lua_socket_log_errors off;
    init_by_lua_block {{
        require("sink").configure({{
            directory = "{directory}", delay = {delay}, discard = {discard},
        }})
    }}

    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;
        location / {{
            root {directory};
            dav_methods PUT;
            rewrite_by_lua_block {{ return require("sink").route() }}
            header_filter_by_lua_block {{ require("sink").finish() }}
        }}
    }}
}}
"""


def sink_available() -> str | None:
    """None when the sink can be started here, else what to install."""
    missing = [name for name in _LUA_MODULES if not (_MODULES / name).exists()]
    if _nginx() is not None and not missing:
        return None
    return "nginx with Lua is not here: apt-get install nginx libnginx-mod-http-lua"


def _nginx() -> str | None:
    """Debian keeps it where only root's PATH leads."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextlib.contextmanager
def sink(
    directory: Path, *, delay: float = 0.0, discard: bool = False, workers: int = 1
) -> Iterator[S3Server]:
    """Run the sink over TLS on a free port.

    `discard` reads bodies and throws them away, so that any amount can be put. `delay` is the
    wait in seconds before each answer (before a body is taken, when it is stored).
    """
    directory = directory.resolve()
    for name in ("objects", "parts", "zeros"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    certificate = make_certificate(directory / "tls")
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(_configuration(directory, certificate, port, delay, discard, workers))
    nginx = _nginx()
    assert nginx is not None, sink_available()
    log_file = directory / "nginx.log"
    command = [nginx, "-p", str(directory), "-e", str(log_file), "-c", str(configuration)]
    with tethered(command, log_file=log_file, grace=_GRACE) as child:
        wait_until(lambda: answers(port, certificate.ca_file), {log_file: child}, name="nginx")
        yield S3Server(
            name="sink",
            endpoint_url=f"https://127.0.0.1:{port}",
            ca_file=certificate.ca_file,
            access_key="sink",
            secret_key="sink",
            region="us-east-1",
        )


@dataclass(frozen=True, slots=True)
class Activity:
    """What a sink has been asked so far: requests other than GET and HEAD, names shown by LIST."""

    changes: int
    listed: int

    def __sub__(self, earlier: Activity) -> Activity:
        return Activity(self.changes - earlier.changes, self.listed - earlier.listed)


def activity(server: S3Server) -> Activity:
    """Ask the sink `server`; this is not counted."""
    context = ssl.create_default_context(cafile=str(server.ca_file))
    url = f"{server.endpoint_url}/?activity"
    with urllib.request.urlopen(url, timeout=_ASK_TIMEOUT, context=context) as reply:
        changes, listed = reply.read().split()
    return Activity(int(changes), int(listed))


def _configuration(
    directory: Path, certificate: Certificate, port: int, delay: float, discard: bool, workers: int
) -> str:
    descriptors = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], _DESCRIPTORS)
    return _CONFIGURATION.format(
        descriptors=descriptors,
        connections=descriptors // 2,
        load_modules="\n".join(f"load_module {_MODULES / name};" for name in _LUA_MODULES),
        # without it root's workers would become nobody, who cannot write here
        user="user root;" if os.geteuid() == 0 else "",
        directory=directory,
        workers=workers,
        lua_directory=Path(__file__).resolve().parent,
        delay=delay,
        discard="true" if discard else "false",
        port=port,
        cert=certificate.cert_file,
        key=certificate.key_file,
    )
