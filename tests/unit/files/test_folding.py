"""Whether a file system folds names is found without writing to it."""

from __future__ import annotations

import os
from pathlib import Path

from sealift.files.folding import folds_case


def test_this_file_system_knows_case_and_is_not_written_to(tmp_path: Path) -> None:
    directory = tmp_path / "Back"
    directory.mkdir()
    assert not folds_case(str(directory))
    assert not folds_case(str(directory / "to be made" / "deeper"))
    assert os.listdir(tmp_path) == ["Back"]


def test_what_is_in_a_directory_tells(tmp_path: Path) -> None:
    """It may be the root of a file system of its own. What one does that folds, a second name of
    the file does here."""
    (tmp_path / "UPPER").mkdir()
    directory = tmp_path / "UPPER" / "123"
    directory.mkdir()
    (directory / "a file").touch()
    assert not folds_case(str(directory))
    os.link(directory / "a file", directory / "A FILE")
    assert folds_case(str(directory))
    assert folds_case(str(directory / "to be made"))


def test_a_directory_that_answers_to_its_name_in_the_other_case_folds(tmp_path: Path) -> None:
    """What a file system does that folds, a link does here."""
    (tmp_path / "Back").mkdir()
    (tmp_path / "bACK").symlink_to("Back")
    assert folds_case(str(tmp_path / "Back"))
    assert folds_case(str(tmp_path / "Back" / "123" / "none yet"))


def test_the_root_has_no_name_to_go_by() -> None:
    assert not folds_case("/")
