"""No customer key and no credentials are shown, whatever fails and however much is logged."""

from __future__ import annotations

import base64
import io
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dumps import dumped
from tests.faults import (
    ApplyThenReset,
    Complete200Error,
    EarlyReply,
    Garbage,
    Match,
    NoEcho,
    Redirect,
    ResetReply,
    ResetRequest,
    Status,
)
from tests.kit import SECRET, assert_secret

from sealift.errors import SealiftError
from sealift.keys import CustomerKey
from sealift.model import Location

from .conftest import LARGE, Site

pytestmark = pytest.mark.anyio


def assert_secret_state(state_home: Path) -> None:
    """The catalogue and the journal name the key by its id and hold no form of it."""
    files = {path.name: path.read_bytes() for path in state_home.rglob("*") if path.is_file()}
    assert CustomerKey(SECRET).key_id.encode() in files["catalogue.sqlite3"]
    assert len(files) > 1  # objects failed, so there is a journal
    for content in files.values():
        assert_secret(content)
        assert base64.b64decode(CustomerKey(SECRET).md5) not in content
        assert CustomerKey(SECRET).md5.encode() not in content


@pytest.fixture
def loud() -> Iterator[io.StringIO]:
    """Everything at DEBUG: the root, and botocore's loggers by their names."""
    root = logging.getLogger()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def turn_up() -> None:
    """What a user does who wants to see it all: every logger that exists, by name."""
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)


@pytest.fixture
def faulty(site: Site, credentials_file: Path) -> Site:
    """A site on which everything goes wrong once, and some of it for good."""
    credentials_file.write_text(
        "[default]\naws_access_key_id = AK\n"
        "aws_secret_access_key = SECRET-KEY-OF-THE-PROFILE\naws_session_token = TOKEN-1\n"
    )
    server = site.server
    server.store("down", b"down", customer_key=SECRET)
    server.store("down-large", LARGE, customer_key=SECRET)
    server.store("down-other", b"x", customer_key=bytes(range(32)))
    put = "PutObject"
    server.script(Match(operation=put, name="t/a"), Status(403, "AccessDenied"))
    server.script(Match(operation=put, name="t/b"), NoEcho())
    server.script(Match(operation=put, name="t/c"), EarlyReply(400, "InvalidArgument"))
    server.script(Match(operation=put, name="t/d"), Redirect(307, "https://elsewhere.example/"))
    server.script(Match(operation=put, name="t/e"), Garbage(), ResetReply(), Status(503))
    server.script(Match(operation="CreateMultipartUpload"), Status(500), ApplyThenReset())
    server.script(Match(operation="UploadPart"), ResetRequest(1000), Garbage())
    server.script(Match(operation="CompleteMultipartUpload"), Complete200Error())
    server.script(Match(operation="HeadObject"), Status(400), Redirect(301, "http://x.example/"))
    server.script(Match(operation="ListObjectsV2"), Status(503), Garbage())
    return site


async def test_case_30_nothing_shows_the_key(
    faulty: Site, loud: io.StringIO, capfd: pytest.CaptureFixture[str], state_home: Path
) -> None:
    key = CustomerKey(SECRET)
    for name in "abcdef":
        faulty.file(f"tree/{name}", b"content")
    faulty.file("tree/large", LARGE)
    shown: list[str] = [repr(faulty.options(customer_key=key)), str(key), f"{key!r:>40}"]
    turn_up()
    async with faulty.engine(customer_key=key) as engine:
        turn_up()
        await engine.copy(f"{faulty.directory}/tree/", "s3://bucket/t/")
        await engine.copy("s3://bucket/", str(faulty.out))
        for name in ("down-other", "missing", "down-large"):
            try:
                await engine.get(Location("bucket", name), str(faulty.directory / "single"))
            except SealiftError as error:
                shown += ["".join(traceback.format_exception(error)), dumped(error)]
        shown.append(repr(vars(engine)))
    assert {"t/a", "t/b", "t/c", "t/d", "down-other"} <= set(faulty.record.failed)
    assert {"t/e", "t/f", "t/large", "down", "down-large"} <= faulty.record.finished
    assert len(faulty.record.retries) >= 6
    for event in faulty.record.events:
        shown.append(repr(event))
        error = getattr(event, "error", None)
        if error is not None:
            shown += ["".join(traceback.format_exception(error)), dumped(error)]
    captured = capfd.readouterr()
    shown += [captured.out, captured.err, loud.getvalue()]
    assert_secret("\n".join(shown))
    assert_secret_state(state_home)
    carried = {sent.headers.get("x-amz-server-side-encryption-customer-key") for sent in
               faulty.server.requests}  # fmt: skip
    assert base64.b64encode(SECRET).decode() in carried  # or there was nothing to leak


def test_case_30_the_command_shows_no_key(faulty: Site, credentials_file: Path) -> None:
    key_file = faulty.directory / "key"
    key_file.write_bytes(SECRET)
    key_file.chmod(0o600)
    for name in "abcdef":
        faulty.file(f"tree/{name}", b"content")
    done = subprocess.run(
        [
            sys.executable, "-X", "dev", "-m", "sealift", "cp", "tree/", "s3://bucket/t/",
            "--key-file", str(key_file), "--endpoint-url", faulty.server.endpoint_url,
            "--ca-bundle", str(faulty.certificate.ca_file), "--log-level", "debug",
        ],
        cwd=faulty.directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        timeout=20,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr.decode()
    assert b"t/a" in done.stderr
    assert b"DEBUG" in done.stderr  # or there was nothing to search
    assert_secret(done.stdout + done.stderr)
