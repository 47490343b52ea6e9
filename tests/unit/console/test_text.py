from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from sealift.console import text
from sealift.model import GiB, KiB, MiB, TiB

ANY_TEXT = st.text(st.characters(exclude_categories=()))
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(ANY_TEXT)
@example("a\x1b[2J\x07\r\n\x9b31m\x7f")
@example("x\u202egnp.exe\u2066\u200f")
@example("\udc80\ud800\u2028\u2029\x85")
def test_case_35_nothing_a_terminal_obeys_survives(raw: str) -> None:
    shown = text.escape(raw)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not BIDI & set(shown)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert text.escape(shown) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("日本語 é 👩‍👩‍👧", "日本語 é 👩‍👩‍👧"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\t\n\r", r"\x09\x0a\x0d"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("caf\udce9", r"caf\xe9"),
        ("a\u2028b", r"a\u2028b"),
        ("\U000e0041", r"\U000e0041"),
        ("[red]no markup[/red]", "[red]no markup[/red]"),
    ],
)
def test_escape(raw: str, shown: str) -> None:
    assert text.escape(raw) == shown


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (KiB, "1.0 KiB"),
        (3 * MiB // 2, "1.5 MiB"),
        (MiB - 1, "1.0 MiB"),
        (GiB - 1, "1.0 GiB"),
        (1023 * MiB, "1023.0 MiB"),
        (50 * TiB, "50.0 TiB"),
        (5000 * 1024 * 1024 * TiB, "5000.0 EiB"),
    ],
)
def test_size(n: int, shown: str) -> None:
    assert text.size(n) == shown


@given(st.integers(0, 2**63))
def test_sizes_stay_short(n: int) -> None:
    assert len(text.size(n)) <= len("1023.9 MiB")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (28.9, "0:28"), (3599, "59:59"), (3723, "1:02:03"), (176523, "2d 01:02:03")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_small_formats() -> None:
    assert text.rate(310.2 * MiB) == "310.2 MiB/s"
    assert text.span(8.31) == "8.3 s"
    assert text.span(61) == "1:01"
    assert text.count(1, "retry", "retries") == "1 retry"
    assert text.count(1234, "object") == "1,234 objects"
    assert text.frequency(0.42) == "0.4/s"
    assert text.frequency(4321.9) == "4,322/s"


def test_percent_is_100_only_at_the_end() -> None:
    assert text.percent(99_999, 100_000) == "99.9%"
    assert text.percent(100_000, 100_000) == "100.0%"
    assert text.percent(3, 2) == "100.0%"
    assert text.percent(0, 0) == "0.0%"


@given(ANY_TEXT, st.integers(0, 60))
def test_shorten_fits(raw: str, width: int) -> None:
    name = text.escape(raw)
    short = text.shorten(name, width)
    assert cell_len(short) <= width
    if cell_len(name) <= width:
        assert short == name


def test_shorten_keeps_both_ends() -> None:
    assert text.shorten("photos/2024/summer/img_0001.raw", 20) == "photos/…img_0001.raw"
    assert text.shorten("日本語日本語日本語", 10) == "日…日本語"
