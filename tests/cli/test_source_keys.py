"""Which customer keys the server of a copy's source is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealift.cli.engine_options import source_options
from sealift.cli.shared import Shared, SourceSide
from sealift.keys import CustomerKey
from sealift.settings import read_settings

OWN, SECOND, FIRST_THERE, SECOND_THERE = (
    CustomerKey(bytes([first, *range(31)])) for first in (100, 101, 102, 103)
)
ELSEWHERE = "https://elsewhere"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key file of the source, with two keys; two others are at hand."""
    monkeypatch.chdir(tmp_path)
    lines = FIRST_THERE.env_lines() + SECOND_THERE.env_lines().replace("=", "_OLD=", 1)
    lines = lines.replace("SSE_CUSTOMER_KEY_MD5=", "SSE_CUSTOMER_KEY_MD5_OLD=")
    lines = lines.replace("SSE_CUSTOMER_KEY_MD5_OLD=", "SSE_CUSTOMER_KEY_MD5=", 1)
    Path("there").write_text(lines, encoding="ascii")
    Path("there").chmod(0o600)
    second = SECOND.env_lines().replace("BASE64=", "BASE64_B=").replace("MD5=", "MD5_B=")
    Path(".env").write_text(OWN.env_lines() + second, encoding="ascii")
    return "there"


def shown(side: SourceSide, **shared: str) -> tuple[CustomerKey | None, set[str]]:
    options = source_options(side, Shared(**shared), read_settings(None, None, {}), across=True)
    assert options is not None
    keyring = options.keys()
    return options.customer_key, {held.key.key_id for held in keyring}


def ids(*keys: CustomerKey) -> set[str]:
    return {key.key_id for key in keys}


def test_a_server_of_its_own_is_shown_the_keys_of_its_key_file_only(there: str) -> None:
    side = SourceSide(source_endpoint_url=ELSEWHERE, source_key_file=there)
    assert shown(side) == (FIRST_THERE, ids(FIRST_THERE, SECOND_THERE))


def test_the_same_server_is_shown_all_keys_at_hand(there: str) -> None:
    every = ids(OWN, SECOND, FIRST_THERE, SECOND_THERE)
    assert shown(SourceSide(source_key_file=there)) == (FIRST_THERE, every)
    same = SourceSide(source_endpoint_url=ELSEWHERE, source_key_file=there)
    assert shown(same, endpoint_url=ELSEWHERE) == (FIRST_THERE, every)


@pytest.mark.usefixtures("there")
def test_what_is_under_no_customer_key_takes_none_at_all() -> None:
    assert shown(SourceSide(source_endpoint_url=ELSEWHERE, source_sse="none")) == (None, set())


@pytest.mark.usefixtures("there")
def test_what_is_written_without_a_key_is_read_under_those_at_hand() -> None:
    assert shown(SourceSide(), sse="none") == (OWN, ids(OWN, SECOND))
