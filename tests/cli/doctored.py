"""What `doctor` found, as the tests ask for it."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Ended
from tests.faults import FaultServer, Status

DENIED = Status(403, "AccessDenied", "Access Denied")


def findings(ended: Ended) -> dict[str, dict[str, Any]]:
    """What was found, by check, of a run with --json."""
    *found, summary = map(json.loads, ended.stdout.splitlines())
    assert summary.pop("event") == "summary"
    counted = dict.fromkeys(summary, 0)
    for finding in found:
        assert set(finding) == {"event", "check", "status", "text", "advice"}
        assert finding["event"] == "finding"
        counted[finding["status"]] += 1
        assert finding["advice"] or finding["status"] in ("ok", "skipped"), finding
    assert counted == summary
    assert ended.status == (1 if summary["failure"] else 0), ended
    return {finding["check"]: finding for finding in found}


def statuses(found: dict[str, dict[str, Any]], status: str) -> set[str]:
    return {name for name, finding in found.items() if finding["status"] == status}


def assert_clean(server: FaultServer) -> None:
    """Nothing of doctor's is left, and it wrote where it may."""
    assert not server.objects
    assert not server.uploads
