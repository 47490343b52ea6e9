"""Ceph's RADOS Gateway: real encryption under the customer key, real SigV4, a real TLS rule.

The smallest cluster that serves S3 and starts fast: one monitor, one manager, one OSD that keeps
everything in memory. Each cluster has its own fsid, configuration and directory, so any number
run side by side. Authentication must be cephx: without it the gateway hangs for minutes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sealift.embedded import (
    S3Server,
    answers,
    free_port,
    log_tail,
    make_certificate,
    tethered,
    wait_until,
)

GIB = 1024**3
_DEVICE_SIZE = 8 * GIB
_START_TIMEOUT = 120.0
_TOOL_TIMEOUT = 60.0
# Nothing outlives the cluster, so its daemons have nothing to finish.
_GRACE = 0.0

_PROGRAMS = {
    "ceph": "ceph-common",
    "ceph-mgr": "ceph-mgr",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "monmaptool": "ceph-base",
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
}

_CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": dict.fromkeys(("mon", "mgr", "osd", "mds"), "allow *"),
    "client.rgw": {"mon": "allow rw", "mgr": "allow rw", "osd": "allow rwx"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
}

_CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_port}]
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_allow_insecure_global_id_reclaim = false
keyring = {directory}/keyring
run_dir = {directory}
# a socket's path must be shorter than 108 bytes, which a test's directory often is not
admin_socket =
crash_dir = {directory}
log_file = {directory}/$name.log
log_to_stderr = false
err_to_stderr = true
mon_cluster_log_file = {directory}/cluster.log

osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
# a client that asks before the OSD is up asks again at its next tick: by default in 5 s
objecter_tick_interval = 0.2

[mon]
mon_data = {directory}/mon
mon_data_avail_warn = 0
mon_data_avail_crit = 0
# the default of 1 s is for large clusters: here every step of the start would wait for it
paxos_propose_interval = 0.02
paxos_min_wait = 0.01

[mgr]
mgr_data = {directory}/mgr
mgr_initial_modules =

[osd]
osd_data = {directory}/osd
osd_objectstore = memstore
memstore_device_bytes = {device_size}

[client.rgw]
rgw_data = {directory}/rgw
rgw_frontends = beast ssl_endpoint=127.0.0.1:{port} ssl_certificate={cert} ssl_private_key={key}
rgw_dns_name = s3.localhost
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
# deleted parts free their memory in seconds, not hours
rgw_gc_obj_min_wait = 10
rgw_gc_processor_period = 10
# SSE-KMS with its keys in this file, as Ceph's own tests have it
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_keys}
"""

# Of SSE-KMS, by the ids under which requests name them.
KMS_KEY_IDS = ("testkey-1", "testkey-2")


@dataclass(frozen=True)
class _Cluster:
    directory: Path
    fsid: str

    def command(self, program: str, *arguments: str) -> list[str]:
        path = shutil.which(program)
        assert path is not None, ceph_available()
        return [path, "-c", str(self.directory / "ceph.conf"), *arguments]

    def run(self, program: str, *arguments: str) -> str:
        """Run a tool to its end and return what it prints."""
        log_file = self.directory / f"{program}.err"
        with log_file.open("ab") as log:
            result = subprocess.run(
                self.command(program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=_TOOL_TIMEOUT,
                check=False,
            )
        if result.returncode != 0:
            raise RuntimeError(f"{program} failed: {log_tail(log_file)}")
        return result.stdout.decode()


def ceph_available() -> str | None:
    """None when a cluster can be started here, else what to install."""
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    if not missing:
        return None
    return f"Ceph is not complete here: apt-get install {' '.join(sorted(missing))}"


@contextlib.contextmanager
def ceph(directory: Path) -> Iterator[S3Server]:
    """Run a cluster and its gateway over TLS; all of it ends with this context."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    certificate = make_certificate(directory / "tls")
    cluster = _Cluster(directory, str(uuid.uuid4()))
    mon_port = free_port()
    (directory / "keyring").write_text(_keyring())
    (directory / "ceph.conf").write_text(
        _CONFIGURATION.format(
            directory=directory,
            fsid=cluster.fsid,
            mon_port=mon_port,
            device_size=_DEVICE_SIZE,
            port=port,
            cert=certificate.cert_file,
            key=certificate.key_file,
            kms_keys=" ".join(f"{key_id}={_random_base64()}" for key_id in KMS_KEY_IDS),
        )
    )
    with contextlib.ExitStack() as stack:
        daemons: dict[Path, subprocess.Popen[bytes]] = {}

        def start(program: str, name: str) -> None:
            command = cluster.command(program, "-n", name, "-f", "--no-mon-config")
            log_file = directory / f"{name}.out"
            daemon = tethered(command, log_file=log_file, grace=_GRACE)
            daemons[log_file] = stack.enter_context(daemon)

        _make_monitor(cluster, mon_port)
        start("ceph-mon", "mon.a")
        _make_osd(cluster)
        start("ceph-osd", "osd.0")
        start("ceph-mgr", "mgr.x")
        access_key, secret_key = _make_user(cluster)
        start("radosgw", "client.rgw")
        wait_until(
            lambda: answers(port, certificate.ca_file),
            daemons,
            name="Ceph",
            timeout=_START_TIMEOUT,
        )
        yield S3Server(
            name="ceph",
            endpoint_url=f"https://127.0.0.1:{port}",
            ca_file=certificate.ca_file,
            access_key=access_key,
            secret_key=secret_key,
            region="us-east-1",
        )


def _keyring() -> str:
    lines = []
    for name, capabilities in _CAPABILITIES.items():
        lines += [f"[{name}]", f"\tkey = {_cephx_secret()}"]
        lines += [f'\tcaps {service} = "{grant}"' for service, grant in capabilities.items()]
    return "\n".join(lines) + "\n"


def _cephx_secret() -> str:
    """A secret as `ceph-authtool --gen-print-key` makes it: type AES, time, length, 16 bytes."""
    head = struct.pack("<hiih", 1, int(time.time()), 0, 16)
    return base64.b64encode(head + secrets.token_bytes(16)).decode()


def _random_base64() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _make_monitor(cluster: _Cluster, mon_port: int) -> None:
    monmap = str(cluster.directory / "monmap")
    address = f"[v2:127.0.0.1:{mon_port}]"
    identity = ["--create", "--fsid", cluster.fsid, "--addv", "a", address]
    cluster.run("monmaptool", *identity, monmap)
    (cluster.directory / "mon").mkdir()
    keyring = str(cluster.directory / "keyring")
    cluster.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)


def _make_osd(cluster: _Cluster) -> None:
    """Announce the OSD to the monitor while its store is being made."""
    for name in ("osd", "mgr", "rgw"):
        (cluster.directory / name).mkdir()
    osd_uuid = str(uuid.uuid4())
    with ThreadPoolExecutor() as pool:
        announced = pool.submit(cluster.run, "ceph", "osd", "new", osd_uuid, "0")
        identity = ["-n", "osd.0", "--osd-uuid", osd_uuid, "--fsid", cluster.fsid]
        made = pool.submit(cluster.run, "ceph-osd", "--mkfs", "--no-mon-config", *identity)
        announced.result()
        made.result()


def _make_user(cluster: _Cluster) -> tuple[str, str]:
    """Create the user; the first of these calls also creates the gateway's pools."""
    identity = ["--uid", "sealift", "--display-name", "sealift"]
    reply = cluster.run("radosgw-admin", "-n", "client.rgw", "user", "create", *identity)
    keys = json.loads(reply)["keys"][0]
    return keys["access_key"], keys["secret_key"]
