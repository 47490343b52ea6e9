from __future__ import annotations

import base64
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealift.console.log import LogReporter
from sealift.console.logfile import LogFile
from sealift.errors import UsageError
from sealift.events import Skipped

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ([A-Z]+) \[\d+\] (.*)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def logger(path: Path) -> Iterator[logging.Logger]:
    handler = LogFile(str(path))
    logger = logging.Logger("sealift", logging.DEBUG)  # noqa: LOG001 - of this test alone
    logger.addHandler(handler)
    yield logger
    handler.close()


def lines(path: Path) -> list[tuple[str, str]]:
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    return [match.groups() for match in found if match]  # type: ignore[misc]


def test_every_line_says_when_and_who(path: Path, logger: logging.Logger) -> None:
    logger.info("one %s", "x\x1b[31my\r")
    logger.error("two\nlines")
    assert lines(path) == [
        ("INFO", r"one x\x1b[31my"), ("ERROR", "two"), ("ERROR", "lines"),
    ]  # fmt: skip
    assert len(path.read_text().splitlines()) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_traceback_has_no_line_of_its_own_and_no_key(path: Path, logger: logging.Logger) -> None:
    secret = base64.b64encode(bytes(range(32))).decode()
    try:
        raise RuntimeError(f"a bug, with {secret}")
    except RuntimeError:
        logger.exception("crashed")
    text = path.read_text()
    assert "RuntimeError: a bug, with " in text
    assert secret not in text
    assert len(lines(path)) == len(text.splitlines()) > 3


def test_a_log_is_added_to_and_keeps_its_mode(path: Path) -> None:
    for _ in range(2):
        handler = LogFile(str(path))
        handler.emit(logging.LogRecord("sealift", logging.INFO, "", 0, "x", None, None))
        handler.close()
        path.chmod(0o640)
    assert len(lines(path)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("way", ["rename", "copytruncate"])
def test_logrotate_loses_no_line(path: Path, logger: logging.Logger, way: str) -> None:
    logger.info("before")
    old = path.with_suffix(".1")
    if way == "rename":
        path.rename(old)
    else:
        old.write_bytes(path.read_bytes())
        os.truncate(path, 0)
    logger.info("after")
    assert (lines(old), lines(path)) == ([("INFO", "before")], [("INFO", "after")])


@pytest.mark.parametrize("content", [b"a photo", bytes(32), b"SSE_CUSTOMER_KEY_BASE64=x\n"])
def test_what_is_no_log_is_not_written_to(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"is no log of sealift; give --log-file another name"):
        LogFile(str(path))
    assert path.read_bytes() == content


def test_links_directories_and_pipes_are_refused(path: Path) -> None:
    path.symlink_to("elsewhere")
    with pytest.raises(UsageError, match=r"cannot write to .*log"):
        LogFile(str(path))
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match=r"cannot write to .*log"):
        LogFile(str(path))
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="is no file"):
        LogFile(str(path))


def test_a_log_that_cannot_be_opened_again_is_told_once(
    path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    path.rename(path.with_suffix(".1"))
    path.mkdir()
    for _ in range(3):
        logger.info("lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"sealift: cannot write to the log {path}: Is a directory"


def test_of_skips_the_first_of_a_kind_is_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sealift")
    reporter = LogReporter()
    for name, reason in (("a", "link"), ("b", "link"), ("c", "pipe")):
        reporter.emit(Skipped(name, reason))
    assert [record.levelname for record in caplog.records] == ["INFO", "DEBUG", "INFO"]
