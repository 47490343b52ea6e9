"""`doctor` says that all is well only of what it has seen, and that it is gone what is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.cli.conftest import Ended
from tests.faults import FaultServer, Match, Status

from .doctored import DENIED, findings

Run = Callable[..., Ended]


@pytest.mark.parametrize(
    ("operation", "check"),
    [
        ("GetBucketEncryption", "sse-c"),
        ("GetBucketVersioning", "versioning"),
        ("GetBucketLifecycleConfiguration", "lifecycle"),
    ],
)
def test_a_server_in_trouble_is_not_one_without_the_setting(
    server: FaultServer, run: Run, operation: str, check: str
) -> None:
    trouble = Status(500, "InternalError")
    server.script(Match(operation=operation, times=None), trouble)
    found = findings(run("doctor", "--json"))[check]
    assert found["status"] == "skipped"
    assert "could not be read" in found["text"]
    assert found["advice"] == "run doctor again"


def test_a_setting_is_asked_for_again(server: FaultServer, run: Run) -> None:
    server.script(Match(operation="GetBucketEncryption"), Status(503, "SlowDown"))
    found = findings(run("doctor", "--json"))["sse-c"]
    assert (found["status"], found["text"][:12]) == ("ok", "not blocked;")


def test_a_server_without_the_setting_blocks_nothing(server: FaultServer, run: Run) -> None:
    server.script(Match(operation="GetBucketEncryption", times=None), Status(501, "NotImplemented"))
    found = findings(run("doctor", "--json"))["sse-c"]
    assert (found["status"], found["text"][:12]) == ("ok", "not blocked:")


def test_versions_that_may_be_left_are_told(server: FaultServer, run: Run) -> None:
    """Who may not read gets to know no version, and a delete marker removes none."""
    server.settings.versioning = "Enabled"
    server.script(Match(operation="HeadObject", times=None), DENIED)
    found = findings(run("doctor", "--json"))["delete"]
    assert found["status"] == "failure"
    assert "hidden by a delete marker" in found["text"]
