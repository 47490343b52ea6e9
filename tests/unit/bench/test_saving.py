"""--save changes one table of sealift.toml, and config reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealift.bench.saving import save_transfer, with_transfer
from sealift.config import Transfer, parse_config
from sealift.errors import SettingsError
from sealift.model import MiB

BOTH = Transfer(64, 16 * MiB)
OTHERS = """# mine
default-key = "0123456789abcdef"   # the one

[[key]]
prefix = "s3://b/x/"
id = "fedcba9876543210"
"""


@pytest.mark.parametrize("before", ["", OTHERS, "# only a comment\n"])
def test_what_is_saved_is_read_and_all_else_is_kept(before: str) -> None:
    text = with_transfer(before, BOTH, "sealift.toml")
    assert parse_config(text, "x").transfer == BOTH
    assert text.startswith(before)
    assert 'concurrency = 64\npart-size = "16MiB"\n' in text
    assert with_transfer(text, BOTH, "x") == text


def test_what_is_not_recommended_any_more_goes() -> None:
    before = OTHERS + '\n[transfer]  # by hand\nconcurrency = 7 # seven\npart-size = "8MiB"\n'
    text = with_transfer(before, Transfer(None, 32 * MiB), "x")
    assert text == OTHERS + '\n[transfer]  # by hand\npart-size = "32MiB"\n'
    assert parse_config(with_transfer(before, Transfer(), "x"), "x").transfer == Transfer()


def test_no_table_is_made_for_nothing() -> None:
    assert with_transfer(OTHERS, Transfer(), "x") == OTHERS


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sealift.toml"
    path.write_text("rubbish")
    with pytest.raises(SettingsError, match="not TOML"):
        save_transfer(BOTH, str(path))
    assert path.read_text() == "rubbish"


def test_mode_and_link_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "sealift.toml"
    real.write_text(OTHERS)
    real.chmod(0o600)
    link.symlink_to(real)
    assert save_transfer(BOTH, str(link)) == str(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert parse_config(real.read_text(), "x").transfer == BOTH
    assert sorted(os.listdir(tmp_path)) == ["real.toml", "sealift.toml"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot save to"):
        save_transfer(BOTH, str(tmp_path / "missing" / "sealift.toml"))


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert save_transfer(BOTH, "") == "sealift.toml"
    assert parse_config(Path("sealift.toml").read_text(), "x").transfer == BOTH
