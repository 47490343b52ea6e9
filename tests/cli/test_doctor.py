"""`doctor` finds what is wrong, says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import RAW_KEY, Ended
from tests.faults import (
    Certificate,
    Delay,
    FaultServer,
    Match,
    NoEcho,
    Stall,
    Status,
    encryption_document,
    key_md5_of,
)

from sealift.capabilities import recall
from sealift.doctor.visit import CONTENT

from .doctored import DENIED, assert_clean, findings, statuses

Run = Callable[..., Ended]
LIFECYCLE = (
    b"<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter/><AbortIncompleteMultipart"
    b"Upload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
    b"</LifecycleConfiguration>"
)
ALGORITHM = "x-amz-server-side-encryption-customer-algorithm"
ECHO = {ALGORITHM: "AES256", "x-amz-server-side-encryption-customer-key-md5": key_md5_of(RAW_KEY)}


@pytest.fixture(autouse=True)
def private(work: Path) -> None:
    (work / ".env").chmod(0o600)


def test_a_server_as_it_should_be(server: FaultServer, run: Run) -> None:
    server.settings.lifecycle = LIFECYCLE
    server.settings.encryption = encryption_document("NONE")
    server.settings.caller = "arn:aws:iam::1:user/U"

    ended = run("doctor", "s3://bucket/deep/er", "--json")

    found = findings(ended)
    assert statuses(found, "ok") == set(found), found
    assert list(found) == [
        "customer-key", "key-files", "state", "open-files", "disk-space", "disk-sync", "settings",
        "credentials", "endpoint", "certificate", "clock", "identity", "bucket", "sse-c",
        "versioning", "lifecycle", "list", "put", "head", "get", "multipart", "sealing",
        "checksum", "content-md5", "conditions", "copy", "delete",
    ]  # fmt: skip
    assert_clean(server)
    names = {sent.name for sent in server.requests if sent.method == "PUT" and sent.name}
    assert {len(name) for name in names} == {len("deep/er/.sealift-doctor-") + 16 + n
                                             for n in (0, len("-copy"))}  # fmt: skip
    assert all(name.startswith("deep/er/.sealift-doctor-") for name in names)
    known = recall(None, f"{server.endpoint_url}/bucket", time.time())
    assert (known.checks_crc, known.checks_md5, known.keeps_whole_crc) == (True, True, True)
    assert (known.put_if_absent, known.put_if_match, known.complete_if_absent) == (True,) * 3
    assert known.copies_sealed is True


def test_plain_lines_where_nobody_sits(server: FaultServer, run: Run) -> None:
    ended = run("doctor", "--no-progress")
    assert (ended.status, ended.stderr) == (0, "")
    *lines, last = ended.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok", "warning", "skipped"}
    assert {line.index(line.split()[1]) for line in lines} == {9}
    assert last == "25 ok, 1 warning, 0 failures, 1 skipped"
    (warned,) = [line for line in lines if line.startswith("warning")]
    assert warned.endswith("; add a lifecycle rule with AbortIncompleteMultipartUpload, "
                           "for example after 7 days")  # fmt: skip
    assert run("doctor", "--quiet").stdout == ""


def test_a_bucket_that_blocks_sse_c(server: FaultServer, run: Run) -> None:
    server.settings.encryption = encryption_document("SSE-C")

    found = findings(run("doctor", "--json"))

    assert statuses(found, "failure") == {"sse-c", "put"}
    advice = "run: sealift doctor --allow-sse-c s3://bucket"
    assert found["sse-c"]["advice"] == advice
    assert found["put"]["advice"].endswith(advice)
    assert {found[name]["text"] for name in ("get", "sealing", "conditions")} == {"needs put"}
    assert found["delete"]["text"] == "there was nothing to remove"
    assert found["list"]["status"] == "ok"
    assert_clean(server)


def test_a_policy_that_forbids_writes(server: FaultServer, run: Run) -> None:
    server.script(Match(operation="PutObject", times=None), DENIED)
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"put"}
    assert "does not block SSE-C, so a policy refuses it" in found["put"]["advice"]


def test_rights_that_are_missing(server: FaultServer, run: Run) -> None:
    for operation in (
        "ListObjectsV2", "GetBucketEncryption", "GetBucketVersioning", "AbortMultipartUpload",
        "GetBucketLifecycleConfiguration", "GetBucketLocation",
    ):  # fmt: skip
        server.script(Match(operation=operation, times=None), DENIED)

    found = findings(run("doctor", "--json"))

    for name, right in {
        "list": "s3:ListBucket", "sse-c": "s3:GetEncryptionConfiguration",
        "versioning": "s3:GetBucketVersioning", "lifecycle": "s3:GetLifecycleConfiguration",
        "multipart": "s3:AbortMultipartUpload",
    }.items():  # fmt: skip
        assert found[name]["advice"] == f"that needs {right}", found[name]
    assert found["delete"]["status"] == "failure", "the uploads are still there"
    assert len(server.uploads) == 1
    assert found["put"]["status"] == "ok"


def test_a_clock_that_is_wrong(server: FaultServer, run: Run) -> None:
    server.clock_offset = 1200
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == set()
    assert found["clock"]["status"] == "warning"
    assert "1200 s behind" in found["clock"]["text"]
    assert found["sse-c"]["status"] == found["put"]["status"] == "ok"


def test_a_clock_that_is_a_little_wrong(server: FaultServer, run: Run) -> None:
    server.clock_offset = -100
    found = findings(run("doctor", "--json"))
    assert found["clock"]["status"] == "warning"
    assert "100 s ahead" in found["clock"]["text"]


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_wrong_credentials(server: FaultServer, run: Run, code: str) -> None:
    server.script(Match(operation="ListObjectsV2", times=None), Status(403, code))
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"bucket"}
    assert "key of your profile" in found["bucket"]["advice"]


def test_no_credentials(server: FaultServer, run: Run) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"credentials"}
    assert found["endpoint"]["status"] == "ok"
    assert found["put"]["text"] == "needs credentials"


def test_no_bucket(server: FaultServer, run: Run) -> None:
    found = findings(run("doctor", "s3://other", "--json"))
    assert statuses(found, "failure") == {"bucket"}
    assert "NoSuchBucket" in found["bucket"]["text"]


def test_no_bucket_named(server: FaultServer, run: Run, work: Path) -> None:
    (work / ".env").unlink()
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"customer-key"}
    assert list(found)[-1] == "bucket"
    assert "set BUCKET_NAME" in found["bucket"]["advice"]
    assert {sent.operation for sent in server.requests} <= {"Unknown", "HeadBucket"}


def test_a_certificate_of_somebody_else(
    server: FaultServer, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from sealift.embedded import make_certificate

    other = make_certificate(tmp_path_factory.mktemp("other"))
    found = findings(run("doctor", "--json", "--ca-bundle", other.ca_file))
    assert statuses(found, "failure") == {"endpoint"}
    assert "not trusted" in found["endpoint"]["text"]
    assert found["clock"]["text"] == found["put"]["text"] == "needs endpoint"
    assert not server.requests


def test_settings_that_cannot_be(server: FaultServer, run: Run) -> None:
    found = findings(run("doctor", "--json", "--endpoint-url", "http://localhost:1"))
    assert statuses(found, "failure") == {"settings"}
    assert found["endpoint"]["text"] == "needs settings"


@pytest.mark.parametrize("line", ["SSE_CUSTOMER_KEY_BASE64=none", "OTHER=1"])
def test_a_customer_key_that_is_none(server: FaultServer, run: Run, work: Path, line: str) -> None:
    (work / ".env").write_text(f"BUCKET_NAME=bucket\n{line}\n")
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"customer-key"}
    assert found["put"]["text"] == "needs customer-key"
    assert found["list"]["status"] == "ok"
    assert not server.seen("PutObject"), "something was written without a key"


def test_a_settings_file_that_others_can_read(server: FaultServer, run: Run, work: Path) -> None:
    (work / ".env").chmod(0o644)
    found = findings(run("doctor", "--json"))
    assert found["key-files"]["status"] == "warning"
    assert found["key-files"]["advice"] == "run: chmod 600 .env"


# Servers that do not keep what they promise


def test_a_server_that_does_not_seal(server: FaultServer, run: Run) -> None:
    server.script(Match(operation="PutObject", times=None), NoEcho())
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"put"}
    assert "UNENCRYPTED" in found["put"]["text"]
    assert found["delete"]["status"] == "ok"
    assert_clean(server)


def test_a_server_that_gives_out_what_is_sealed(server: FaultServer, run: Run) -> None:
    bare = Match(operation="GetObject", where=lambda sent: ALGORITHM not in sent.headers)
    server.script(bare, Status(206, headers={"etag": '"0"'}, body=b"s"))
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"sealing"}
    assert "without any key" in found["sealing"]["text"]
    assert_clean(server)


def test_a_server_that_confirms_a_checksum_unseen(server: FaultServer, run: Run) -> None:
    """The second write says a wrong CRC64NVME."""
    wrong: list[str] = []

    def is_second(sent: Any) -> bool:
        wrong.append(sent.headers["x-amz-checksum-crc64nvme"])
        return len(wrong) == 2

    class Echo:
        def shape(self, plan: Any) -> None:
            headers = ECHO | {"etag": '"0"', "x-amz-checksum-crc64nvme": wrong[-1]}
            Status(200, headers=headers, body=b"").shape(plan)

    server.script(Match(operation="PutObject", where=is_second, times=None), Echo())
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"checksum"}
    assert "has not compared" in found["checksum"]["text"]


def test_a_server_that_returns_other_bytes(server: FaultServer, run: Run) -> None:
    other = Status(200, headers=ECHO | {"etag": '"0"'}, body=CONTENT.swapcase())
    server.script(Match(operation="GetObject"), other)
    found = findings(run("doctor", "--json"))
    assert found["get"]["status"] == "failure"
    assert_clean(server)


def test_a_server_like_ceph(work: Path, run: Run, certificate: Certificate) -> None:
    with FaultServer(certificate, dialect="ceph") as server:
        os.environ["AWS_ENDPOINT_URL"] = server.endpoint_url
        os.environ["AWS_CA_BUNDLE"] = str(certificate.ca_file)
        found = findings(run("doctor", "--json"))
        assert statuses(found, "warning") == {"lifecycle", "conditions", "copy"}
        assert statuses(found, "failure") == set()
        assert "Content-MD5 goes along" in found["checksum"]["text"]
        known = recall(None, f"{server.endpoint_url}/bucket", time.time())
        assert (known.checks_crc, known.checks_md5, known.copies_sealed) == (False, True, False)
        assert (known.keeps_whole_crc, known.complete_if_absent) == (False, False)
        assert_clean(server)


def test_what_cannot_be_removed_is_named(server: FaultServer, run: Run) -> None:
    server.script(Match(operation="DeleteObject", times=None), DENIED)
    found = findings(run("doctor", "--json"))
    assert statuses(found, "failure") == {"delete"}
    assert {name for _, name in server.objects} == {
        name for name in found["delete"]["text"].replace(":", " ").split() if "doctor-" in name
    }


# Interrupted


@pytest.mark.parametrize(
    ("operation", "fault", "number"),
    [
        ("GetObject", Stall("before_head"), signal.SIGINT),
        ("PutObject", Delay(2.0), signal.SIGINT),
        ("CreateMultipartUpload", Delay(2.0), signal.SIGTERM),
        ("UploadPart", Stall("before_head"), signal.SIGINT),
        ("CompleteMultipartUpload", Delay(2.0), signal.SIGINT),
        ("CopyObject", Delay(2.0), signal.SIGTERM),
    ],
)
def test_nothing_is_left_when_interrupted(
    server: FaultServer, work: Path, operation: str, fault: Any, number: int
) -> None:
    """Also of a request that the server has done and not answered yet."""
    script = server.script(Match(operation=operation), fault)
    words = [sys.executable, "-m", "sealift", "doctor", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 30
        while not script.used or not server.seen(operation):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["check"] == "delete", "it says that it has cleaned up"
    assert b"Traceback" not in err
    assert_clean(server)
