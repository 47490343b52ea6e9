from __future__ import annotations

from tests.docs.reference import FILE, page


def test_the_file_is_what_the_command_line_says() -> None:
    assert FILE.read_text() == page(), "run: make manual"
