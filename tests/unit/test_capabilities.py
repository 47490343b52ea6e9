"""What is remembered of servers: for a week, privately, and never more than was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sealift.capabilities import FILE_NAME, LIFETIME, UNKNOWN, Capabilities, recall, remember

SCOPE = "https://localhost:1/bucket"
LEARNED = Capabilities(keeps_whole_crc=False, copies_sealed=True)
NOW = 1_800_000_000.0


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def test_it_is_recalled_for_every_bucket_of_the_server(directory: str) -> None:
    remember(directory, SCOPE, LEARNED, NOW)

    found = recall(directory, "https://localhost:1/other", NOW + 1)

    assert found == Capabilities(NOW, keeps_whole_crc=False, copies_sealed=True)
    assert recall(directory, "https://localhost:2/bucket", NOW) == UNKNOWN
    assert recall(directory + "x", SCOPE, NOW) == UNKNOWN


def test_it_is_private_and_nothing_else_is_left(directory: str) -> None:
    before = os.umask(0)
    try:
        remember(directory, SCOPE, LEARNED, NOW)
    finally:
        os.umask(before)
    (path,) = Path(directory).iterdir()
    assert path.name == FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("age", "known"), [(0, True), (LIFETIME - 1, True), (LIFETIME, False),
                                            (-1, False)])  # fmt: skip
def test_it_is_a_week_good(directory: str, age: float, known: bool) -> None:
    remember(directory, SCOPE, LEARNED, NOW)
    assert (recall(directory, SCOPE, NOW + age) != UNKNOWN) is known


def test_servers_do_not_push_each_other_out_but_stale_ones_go(directory: str) -> None:
    remember(directory, "https://a/b", LEARNED, NOW)
    remember(directory, "https://c/d", LEARNED, NOW + 1)
    assert recall(directory, "https://a/b", NOW + 1) != UNKNOWN
    remember(directory, "https://c/d", LEARNED, NOW + LIFETIME)
    document = json.loads(Path(directory, FILE_NAME).read_text())
    assert list(document["servers"]) == ["https://c"]


def entry(row: bytes) -> bytes:
    return b'{"version": 1, "servers": {"https://localhost:1": %s}}' % row


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"\xff", b"[]", b"null", b'{"version": 1}', b'{"version": 2, "servers": {}}',
        b'{"version": 1, "servers": []}',
        entry(b'{"learned_at": true}'),
        entry(b'{"learned_at": NaN}'),
        entry(b'{"learned_at": 1800000000.0, "copies_sealed": 0}'),
        entry(b'{"learned_at": 1800000000.0, "copies_sealed": "no"}'),
        entry(b"1"),
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_file_says_nothing_and_is_replaced(directory: str, damage: bytes) -> None:
    Path(directory).mkdir()
    Path(directory, FILE_NAME).write_bytes(damage)
    assert recall(directory, SCOPE, NOW) == UNKNOWN
    remember(directory, SCOPE, LEARNED, NOW)
    assert recall(directory, SCOPE, NOW) != UNKNOWN


def test_a_failed_write_leaves_what_was_there(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(directory, SCOPE, LEARNED, NOW)

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError):  # noqa: PT011
        remember(directory, SCOPE, UNKNOWN, NOW)
    assert os.listdir(directory) == [FILE_NAME]
    assert recall(directory, SCOPE, NOW).copies_sealed is True
