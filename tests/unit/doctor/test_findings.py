"""Checks are made in order, each on what the ones before it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from sealift.doctor.findings import Check, Finding, Round, Status, failure, ok, skipped, warning
from sealift.errors import SealiftError

GOOD, SOSO, BAD, NONE = ok("good"), warning("so so", "do"), failure("bad", "do"), skipped("none")


def find(finding: Finding) -> Callable[[str], Awaitable[Finding]]:
    async def check(what: str) -> Finding:
        assert what == "it"
        return finding

    return check


def made(*checks: Check[str]) -> list[tuple[str, str, str]]:
    heard: list[tuple[str, str, str]] = []
    checking = Round(lambda name, finding: heard.append((name, finding.status, finding.text)))
    for check in checks:  # a table each: what was found goes on
        anyio.run(checking.make, [check], "it")
    return heard


def test_what_ends_well_lets_others_be_made() -> None:
    assert made(
        Check("a", find(GOOD)), Check("b", find(SOSO), ("a",)), Check("c", find(GOOD), ("a", "b"))
    ) == [("a", "ok", "good"), ("b", "warning", "so so"), ("c", "ok", "good")]


def test_what_does_not_is_named_by_all_that_need_it() -> None:
    for finding in (BAD, NONE):
        heard = made(
            Check("a", find(finding)), Check("b", find(GOOD), ("a",)),
            Check("c", find(GOOD), ("b",)), Check("d", find(GOOD)),
        )  # fmt: skip
        assert heard[1:] == [
            ("b", "skipped", "needs a"), ("c", "skipped", "needs a"), ("d", "ok", "good"),
        ]  # fmt: skip


def test_an_error_is_a_finding() -> None:
    async def fail(_: str) -> Finding:
        raise SealiftError("it broke", hint="mend it")

    async def fail_dumbly(_: str) -> Finding:
        raise SealiftError("it broke")

    heard: list[Finding] = []
    anyio.run(Round(lambda _, finding: heard.append(finding)).make, [Check("a", fail)], "it")
    assert heard == [Finding(Status.FAILURE, "it broke", "mend it")]
    anyio.run(Round(lambda _, finding: heard.append(finding)).make, [Check("a", fail_dumbly)], "it")
    assert heard[1].advice, "a failure says what to do"
