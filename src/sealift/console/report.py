"""The report of a verification as text: for a terminal, a file, an auditor. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sealift.console.text import count, escape, size
from sealift.model import UNSEALED
from sealift.verify.findings import Finding, How, VerifyReport

_WIDTH = 18
_CONTENT = (
    Finding.SIZE, Finding.CONTENT, Finding.CHECKSUM, Finding.ONLY_LOCAL, Finding.ONLY_REMOTE,
)  # fmt: skip
_SEALING = (
    Finding.UNENCRYPTED, Finding.SERVER_SIDE, Finding.UNEXPECTED_KEY, Finding.NOT_PROVEN,
)  # fmt: skip
_HOW = {
    How.CHECKSUM: "stored checksum compared",
    How.READING: "object read whole",
    How.SIZE: "size alone compared",
}


def lines(report: VerifyReport) -> list[str]:
    """The report; the last line begins with VERIFIED or NOT VERIFIED."""
    rows = [*_what(report), *_content(report), *_sealing(report), *_found(report)]
    return [
        "sealift verify report",
        *(f"  {label:<{_WIDTH}}{value}".rstrip() for label, value in rows),
        f"{'VERIFIED' if report.is_verified else 'NOT VERIFIED'}: {_result(report)}",
    ]


def _what(report: VerifyReport) -> Iterator[tuple[str, str]]:
    began = datetime.fromtimestamp(report.began, UTC)
    yield "date", f"{began:%Y-%m-%d %H:%M:%S} UTC, {report.elapsed:.1f} s"
    yield "tool", f"sealift {report.version}"
    yield "endpoint", escape(report.endpoint)
    yield "remote", escape(report.remote)
    if report.manifest is not None:
        yield "manifest", escape(report.manifest)
    elif report.local is not None:
        yield "local", escape(report.local)
    for take, glob in report.rules:
        yield "rule", f"{'include' if take else 'exclude'} {escape(glob)}"
    for line in report.ignore_file:
        yield "ignore file", escape(line)
    yield "objects", f"{count(report.object_count, 'object')}, {size(report.object_size)}"
    if report.is_sealed:
        yield "versions", "all" if report.all_versions else "the current ones"
    for reason, n in report.skipped.items():
        yield "left out", f"{n:,} {escape(reason)}"


def _content(report: VerifyReport) -> Iterator[tuple[str, str]]:
    if report.local is None and report.manifest is None:
        yield "content", "not compared"
        return
    right = sum(report.content.values())
    hows = ", ".join(f"{_HOW[how]} {n:,}" for how, n in report.content.items())
    yield "same content", f"{right:,}{f' ({hows})' if hows else ''}"
    listed = (Finding.ALTERED,) if report.manifest is not None else _CONTENT
    for finding in listed:
        yield _label(finding), f"{report.findings.get(finding, 0):,}"


def _sealing(report: VerifyReport) -> Iterator[tuple[str, str]]:
    if report.is_sealed:
        proven = "refused without a key, echoed with the right one"
        yield "sealed", f"{report.sealed_count:,} ({proven})"
        if report.expected_key is not None:
            yield "expected", f"key {escape(report.expected_key)}"
    else:
        yield "sealed", "not looked at"
    for key_id, n in sorted(report.keys.items()):
        if key_id != UNSEALED:
            yield "under key", f"{escape(key_id)}: {count(n, 'object')}"
        elif not report.is_sealed:
            yield "under no key", count(n, "object")
    if report.is_sealed:
        for finding in _SEALING:
            yield _label(finding), f"{report.findings.get(finding, 0):,}"


def _found(report: VerifyReport) -> Iterator[tuple[str, str]]:
    """What was found that is not in the tables above, then the names."""
    told = {*_CONTENT, *_SEALING, Finding.ALTERED}
    for finding, n in report.findings.items():
        if finding not in told:
            yield _label(finding), f"{n:,}"
    for finding in Finding:
        names = report.names.get(finding, [])
        for name in names:
            yield f"! {_label(finding)}", escape(name)
        more = report.findings.get(finding, 0) - len(names)
        if more > 0:
            yield f"! {_label(finding)}", f"and {more:,} more, each named when it was found"


def _result(report: VerifyReport) -> str:
    if not report.is_verified:
        return ", ".join(f"{n:,} {finding.value}" for finding, n in report.findings.items())
    proven = []
    if report.local is not None or report.manifest is not None:
        proven.append("the same on both sides" if report.local else "as the manifest says")
    if report.is_sealed:
        proven.append("sealed")
    return f"{count(report.object_count, 'object')} {' and '.join(proven)}"


def _label(finding: Finding) -> str:
    return finding.value.replace("-", " ")
