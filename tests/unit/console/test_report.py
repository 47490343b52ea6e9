"""The report of a verification, as an auditor reads it."""

from __future__ import annotations

from sealift.console.report import lines
from sealift.verify.findings import MAX_NAMED, Finding, How, Noticed, VerifyReport


def _report() -> VerifyReport:
    report = VerifyReport(
        "s3://b/p/",
        "/home/me/t",
        endpoint="https://s3.example",
        version="1.2",
        began=1_800_000_000.0,
        elapsed=2.04,
        is_sealed=True,
        rules=((False, "*.tmp"),),
    )
    for _ in range(1200):
        report.note_object(1024)
        report.note_content(How.CHECKSUM)
        report.note_key("00ff")
    report.sealed_count = 1200
    return report


def test_all_is_well() -> None:
    report = _report()
    report.note_skipped("symbolic link")
    assert lines(report) == [
        "sealift verify report",
        "  date              2027-01-15 08:00:00 UTC, 2.0 s",
        "  tool              sealift 1.2",
        "  endpoint          https://s3.example",
        "  remote            s3://b/p/",
        "  local             /home/me/t",
        "  rule              exclude *.tmp",
        "  objects           1,200 objects, 1.2 MiB",
        "  versions          the current ones",
        "  left out          1 symbolic link",
        "  same content      1,200 (stored checksum compared 1,200)",
        "  size differs      0",
        "  content differs   0",
        "  checksum wrong    0",
        "  only local        0",
        "  only remote       0",
        "  sealed            1,200 (refused without a key, echoed with the right one)",
        "  under key         00ff: 1,200 objects",
        "  unencrypted       0",
        "  server side       0",
        "  unexpected key    0",
        "  not proven        0",
        "VERIFIED: 1,200 objects the same on both sides and sealed",
    ]


def test_what_is_wrong_is_counted_named_and_escaped() -> None:
    report = _report()
    report.note("p/evil\x1b[2J", [Noticed(Finding.UNENCRYPTED, "")])
    for number in range(MAX_NAMED + 3):
        report.note(f"p/{number}", [Noticed(Finding.KEY_UNKNOWN, "")])
    shown = lines(report)
    assert "  unencrypted       1" in shown
    assert "  key unknown       103" in shown
    assert "  ! unencrypted     p/evil\\x1b[2J" in shown
    assert "  ! key unknown     p/99" in shown
    assert "  ! key unknown     and 3 more, each named when it was found" in shown
    assert shown[-1] == "NOT VERIFIED: 1 unencrypted, 103 key-unknown"
    assert all(line.isprintable() for line in shown)


def test_what_was_not_looked_at_is_said() -> None:
    report = VerifyReport("s3://b/p/", manifest="/m")
    report.note_object(1)
    report.note_content(How.SIZE)
    report.note_key("")
    shown = lines(report)
    assert "  sealed            not looked at" in shown
    assert "  same content      1 (size alone compared 1)" in shown
    assert "  under no key      1 object" in shown
    assert "  altered           0" in shown
    assert shown[-1] == "VERIFIED: 1 object as the manifest says"

    alone = VerifyReport("s3://b/p/", is_sealed=True)
    assert "  content           not compared" in lines(alone)
