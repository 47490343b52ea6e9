"""A real S3 server as a child process: what `demo` and the tests run against.

MiniStack pins a botocore newer than aioboto3 allows, so it can never share an environment with
sealift. It gets a virtual environment of its own below the user's cache directory, made on first
use from `ministack.lock`, where every package is pinned by version and digest.

Every child is tethered: it leads a process group that ends when this process does, even by
`kill -9`. Linux's PDEATHSIG would follow the *thread* that started the child, and worker threads
come and go; so a watcher in the group reads a pipe whose other end only this process holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import importlib.resources
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from sealift.errors import SettingsError

MINISTACK_VERSION = "1.5.33"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0

# It waits for idle connections when asked to stop, and has nothing to save.
_MINISTACK_GRACE = 1.0
_POLL_INTERVAL = 0.05
_LOG_TAIL_SIZE = 2000

# The command replaces the shell, so its pid and exit status are the child's own.
_TETHER = """
exec 3<&0 </dev/null
(trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and key, and the authority a client must trust."""

    cert_file: Path
    key_file: Path
    ca_file: Path


@dataclass(frozen=True)
class S3Server:
    """Where a running server is and how to sign for it."""

    name: str
    endpoint_url: str
    ca_file: Path
    access_key: str
    secret_key: str = field(repr=False)
    region: str


def make_certificate(directory: Path) -> Certificate:
    """Issue a certificate for this machine's loopback names from an authority made for it.

    Buckets may be in the host name below `s3.localhost`: no wildcard is valid for `*.localhost`.
    """
    try:
        import trustme
    except ImportError as missing:
        raise SettingsError(
            "the embedded server needs the package trustme", hint="pip install 'sealift[demo]'"
        ) from missing
    directory.mkdir(parents=True, exist_ok=True)
    certificate = Certificate(
        cert_file=directory / "server.pem",
        key_file=directory / "server.key",
        ca_file=directory / "ca.pem",
    )
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "s3.localhost", "*.s3.localhost", "127.0.0.1", "::1")
    certificate.ca_file.write_bytes(authority.cert_pem.bytes())
    certificate.cert_file.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    certificate.key_file.touch(mode=0o600)
    certificate.key_file.write_bytes(issued.private_key_pem.bytes())
    return certificate


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def log_tail(log_file: Path) -> str:
    """The last lines of a log, for an error message."""
    try:
        return log_file.read_text(errors="replace")[-_LOG_TAIL_SIZE:].strip()
    except OSError:
        return ""


@contextlib.contextmanager
def tethered(
    command: Sequence[str],
    *,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    grace: float = STOP_TIMEOUT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` as the leader of a process group that never outlives this process.

    On exit the command has `grace` seconds to end by itself; then its group is killed.
    """
    with log_file.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - the caller's own command
            ["/bin/sh", "-c", _TETHER, "tether", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        _stop_group(child, grace)


def _stop_group(child: subprocess.Popen[bytes], grace: float) -> None:
    """Stop the child; its group is killed even if the child is gone, for it may have children."""
    assert child.stdin is not None
    try:
        if child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace)
    finally:
        # the watcher holds the group's number until it is killed here, so it is not reused
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdin.close()


def wait_until(
    ready: Callable[[], bool],
    children: Mapping[Path, subprocess.Popen[bytes]],
    *,
    name: str,
    timeout: float = START_TIMEOUT,
) -> None:
    """Poll `ready`; fail at once, with the end of its log, when one of `children` dies."""
    deadline = time.monotonic() + timeout
    while not ready():
        for log_file, child in children.items():
            if child.poll() is not None:
                raise SettingsError(
                    f"{name} ended with status {child.returncode} while it started: "
                    f"{log_tail(log_file)}",
                    hint=f"the whole log is {log_file}",
                )
        if time.monotonic() > deadline:
            logs = ", ".join(str(log_file) for log_file in children)
            raise SettingsError(f"{name} gave no answer in {timeout:.0f} s", hint=f"see {logs}")
        time.sleep(_POLL_INTERVAL)


def answers(port: int, ca_file: Path, path: str = "/") -> bool:
    """Whether an HTTP server whose certificate `ca_file` vouches for serves on this port."""
    context = ssl.create_default_context(cafile=ca_file)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ministack_command() -> list[str]:
    """The command that runs MiniStack; installs it first if this user has never run it.

    SEALIFT_MINISTACK names another executable, for machines without a package index.
    """
    override = os.environ.get("SEALIFT_MINISTACK")
    if override:
        executable = shutil.which(override)
        if executable is None:
            raise SettingsError(
                f"SEALIFT_MINISTACK is no executable file: {override}",
                hint="unset it to have MiniStack installed",
            )
        return [executable]
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    root = platformdirs.user_cache_path("sealift") / f"ministack-{MINISTACK_VERSION}-{python}"
    return [str(_installed(root))]


def _installed(root: Path) -> Path:
    """Path of the executable in the virtual environment at `root`, which is made if need be.

    A virtual environment knows its own path and so cannot be built aside and renamed: the marker
    written last says that it is whole, the file lock that nobody else is building it.
    """
    executable = root / "bin" / "ministack"
    lock_text = importlib.resources.files("sealift").joinpath("ministack.lock").read_bytes()
    digest = hashlib.sha256(lock_text).hexdigest()
    if _is_whole(root, digest):
        return executable
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not _is_whole(root, digest):
            _install(root, lock_text)
            (root / ".complete").write_text(digest)
    return executable


def _is_whole(root: Path, digest: str) -> bool:
    """Whether this very lock was installed in full and its Python is still there."""
    try:
        marker = (root / ".complete").read_text()
    except OSError:
        return False
    return marker == digest and (root / "bin" / "python").exists()


def _install(root: Path, lock_text: bytes) -> None:
    shutil.rmtree(root, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(root))
    requirements = root / "ministack.lock"
    requirements.write_bytes(lock_text)
    pip = [str(root / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run(*pip, "install", "--require-hashes", "--only-binary=:all:", "-r", str(requirements))


def _run(*command: str) -> None:
    result = subprocess.run(  # noqa: S603 - our own Python and pip
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode != 0:
        raise SettingsError(
            f"MiniStack cannot be installed: {result.stdout[-_LOG_TAIL_SIZE:].strip()}",
            hint="install ministack elsewhere and set SEALIFT_MINISTACK to its executable",
        )


@contextlib.contextmanager
def ministack(directory: Path) -> Iterator[S3Server]:
    """Run MiniStack over TLS on a free port; objects live in its memory and end with it."""
    command = ministack_command()
    certificate = make_certificate(directory / "tls")
    port = free_port()
    log_file = directory / "ministack.log"
    environment = _ministack_environment(directory, certificate, port)
    server = tethered(command, log_file=log_file, env=environment, grace=_MINISTACK_GRACE)
    with server as child:
        wait_until(
            lambda: answers(port, certificate.ca_file, "/_ministack/health"),
            {log_file: child},
            name="MiniStack",
        )
        yield S3Server(
            name="ministack",
            endpoint_url=f"https://127.0.0.1:{port}",
            ca_file=certificate.ca_file,
            access_key="test",
            secret_key="test",  # noqa: S106 - the server checks no signature
            region="us-east-1",
        )


def _ministack_environment(directory: Path, certificate: Certificate, port: int) -> dict[str, str]:
    """Everything the server may write goes below `directory`; nothing of ours reaches it.

    MiniStack at its start removes containers it takes for its own, so it is shown no Docker.
    """
    scratch = directory / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(directory),
        "TMPDIR": str(scratch),
        "S3_DATA_DIR": str(directory / "objects"),
        "STATE_DIR": str(directory / "state"),
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",
        "SERVICES": "s3",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificate.cert_file),
        "MINISTACK_SSL_KEY": str(certificate.key_file),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
