"""Where customer keys are found, which is the default, and that nothing is read too early."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.kit import SECRET, assert_secret

from sealift.errors import CustomerKeyError, SettingsError
from sealift.key_sources.files import write_key_file
from sealift.key_sources.gathering import KeySources
from sealift.keyring import HeldKey
from sealift.keys import CustomerKey
from sealift.model import Location
from sealift.settings import read_settings

KEYS = [CustomerKey(bytes([first, *range(31)])) for first in range(100, 107)]
ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN = KEYS
NAME, MD5_NAME = "SSE_CUSTOMER_KEY_BASE64", "SSE_CUSTOMER_KEY_MD5"


def text_of(key: CustomerKey) -> str:
    return "".join(dict(key.headers())["x-amz-server-side-encryption-customer-key"])


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "sealift").mkdir(parents=True)
    return work


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's configuration directory."""
    return tmp_path / "config" / "sealift"


def put(path: Path, key: CustomerKey, label: str = "") -> str:
    path.parent.mkdir(exist_ok=True)
    write_key_file(str(path), HeldKey(key, "", label))
    return str(path)


def printing(text: str) -> str:
    """A key command that prints `text`."""
    return shlex.join([sys.executable, "-c", f"print({text!r})"])


def held(sources: KeySources) -> dict[str, str]:
    """The label of each key, by its id."""
    return {one.key.key_id: one.label for one in sources.keyring}


def test_all_places_at_once(own: Path, work: Path) -> None:
    put(own / "keys" / "five.env", FIVE)
    sources = KeySources(
        {NAME: text_of(TWO), f"{NAME}_LAB": text_of(SIX), f"{MD5_NAME}_LAB": SIX.md5},
        {NAME: text_of(THREE), f"{NAME}_OLD": text_of(SEVEN)},
        key_file=put(work / "one", ONE),
        key_command=printing(text_of(FOUR)),
    )
    assert {key.key_id for key in KEYS} == set(held(sources))
    assert held(sources)[SIX.key_id] == "LAB"
    assert held(sources)[SEVEN.key_id] == "OLD"
    assert held(sources)[FIVE.key_id] == "five"
    assert [one.source for one in sources.keyring] == [
        str(work / "one"),
        f"{NAME} in the environment",
        f"{NAME} in .env",
        f"{NAME}_LAB in the environment",
        f"{NAME}_OLD in .env",
        "key command",
        str(own / "keys" / "five.env"),
    ]


def test_the_first_place_with_a_key_names_the_default(own: Path, work: Path) -> None:
    put(own / "keys" / "six.env", SIX)
    (own / "sealift.toml").write_text(f'default-key = "{SIX.key_id}"\n')
    put(own / "keys" / "seven.env", SEVEN)
    arguments = {
        "key_file": put(work / "one", ONE),
        "environ": {NAME: text_of(TWO)},
        "file": {NAME: text_of(THREE)},
        "key_command": printing(text_of(FOUR)),
    }
    absent = {"key_file": None, "environ": {}, "file": {}, "key_command": None}
    for taken_away, expected in (
        ((), ONE),
        (("key_file",), TWO),
        (("environ",), THREE),
        (("file",), FOUR),
        (("key_command",), SIX),
    ):
        arguments |= {name: absent[name] for name in taken_away}  # type: ignore[misc]
        sources = KeySources(**arguments)  # type: ignore[arg-type]
        assert sources.require_default() == expected == sources.keyring.default
    (own / "sealift.toml").unlink()
    with pytest.raises(SettingsError, match=r"2 customer keys are at hand, and none .*default-key"):
        KeySources({}, {}).require_default()
    (own / "keys" / "six.env").unlink()
    assert KeySources({}, {}).require_default() == SEVEN
    (own / "keys" / "seven.env").unlink()
    with pytest.raises(SettingsError, match=r"no customer key; .*key new"):
        KeySources({}, {}).require_default()
    assert not len(KeySources({}, {}).keyring)


def test_labelled_keys_are_no_default_beside_others() -> None:
    sources = KeySources({f"{NAME}_A": text_of(ONE)}, {f"{NAME}_B": text_of(TWO)})
    assert sources.keyring.default is None
    assert KeySources({f"{NAME}_A": text_of(ONE)}, {}).keyring.default == ONE


def test_a_default_that_is_not_at_hand_is_named(own: Path) -> None:
    (own / "sealift.toml").write_text(f'default-key = "{TWO.key_id}"\n')
    put(own / "keys" / "one.env", ONE)
    sources = KeySources({}, {})
    assert sources.keyring.default is None
    with pytest.raises(CustomerKeyError, match=rf"{TWO.key_id}, default-key of .*sealift\.toml"):
        sources.require_default()


def test_one_key_in_several_places_is_one_key(own: Path) -> None:
    put(own / "keys" / "label.env", ONE)
    sources = KeySources({}, {NAME: text_of(ONE)})
    (one,) = sources.keyring
    assert one == HeldKey(ONE, f"{NAME} in .env, {own}/keys/label.env", "label")
    assert sources.keyring.default == ONE


def test_rules_come_with_the_keys(own: Path) -> None:
    (own / "sealift.toml").write_text(f'[[key]]\nprefix = "s3://b/x/"\nid = "{TWO.key_id}"\n')
    ring = KeySources({NAME: text_of(ONE)}, {f"{NAME}_X": text_of(TWO)}).keyring
    assert ring.rule_for(Location("b", "x/y")) == TWO.key_id
    assert ring.rule_for(Location("b", "y")) is None
    assert ring.default == ONE


# What is wrong


@pytest.mark.parametrize("key_file", [True, False])
def test_a_key_that_is_overridden_does_not_have_to_be_right(work: Path, key_file: bool) -> None:
    environ = {NAME: "rubbish" if key_file else text_of(ONE)}
    path = put(work / "one", ONE) if key_file else None
    sources = KeySources(environ, {NAME: "rubbish"}, key_file=path)
    assert sources.require_default() == ONE
    assert len(sources.keyring) == 1


@pytest.mark.parametrize(
    ("environ", "file", "message"),
    [
        ({NAME: "rubbish"}, {NAME: text_of(ONE)}, f"{NAME} is not base64|decodes to"),
        ({f"{NAME}_A": "rub"}, {NAME: text_of(ONE)}, f"{NAME}_A "),
        ({f"{NAME}_A": text_of(ONE), f"{MD5_NAME}_A": TWO.md5}, {}, f"belong to {NAME}_A"),
        ({}, {NAME: text_of(ONE), f"{NAME}_A": text_of(TWO)[:9]}, f"{NAME}_A "),
    ],
)
def test_a_wrong_key_is_named(environ: dict[str, str], file: dict[str, str], message: str) -> None:
    with pytest.raises(CustomerKeyError, match=message):
        _ = KeySources(environ, file).keyring


def break_mode(path: Path) -> None:
    path.chmod(0o644)


def break_content(path: Path) -> None:
    path.write_text(text_of(ONE)[:-9])


def break_md5(path: Path) -> None:
    path.write_text(f"{NAME}={text_of(ONE)}\n{MD5_NAME}={TWO.md5}\n")


@pytest.mark.parametrize("spoil", [break_mode, break_content, break_md5])
def test_a_wrong_file_in_the_directory_is_named(own: Path, spoil: Callable[[Path], None]) -> None:
    path = own / "keys" / "one.env"
    put(path, ONE)
    put(own / "keys" / "two.env", TWO)
    spoil(path)
    sources = KeySources({NAME: text_of(THREE)}, {})
    with pytest.raises(CustomerKeyError, match=rf"{path}") as caught:
        sources.require_default()
    assert text_of(ONE)[:-9] not in str(caught.value)
    ring, (problem,) = sources.survey()
    assert str(problem) == str(caught.value)
    assert {one.key for one in ring} == {TWO, THREE}


def test_a_survey_goes_round_what_is_wrong(own: Path, work: Path) -> None:
    (work / "sealift.toml").write_text("[unknown]\n")
    put(own / "keys" / "one.env", ONE)
    os.mkfifo(own / "keys" / "pipe")
    sources = KeySources(
        {NAME: "rubbish", f"{NAME}_A": "rubbish"}, {NAME: text_of(TWO)}, key_command="false"
    )
    ring, problems = sources.survey()
    assert len(problems) == 5
    assert {one.key for one in ring} == {ONE, TWO}
    assert ring.default is None, "the key that is broken was to be the default"


def test_another_directory_must_be_there(work: Path) -> None:
    for sources in (
        KeySources({}, {}, key_directory="missing"),
        KeySources({"SEALIFT_KEY_DIR": "missing"}, {}),
    ):
        with pytest.raises(CustomerKeyError, match="cannot read the key directory missing"):
            _ = sources.keyring
    put(work / "there" / "one", ONE)
    assert KeySources({"SEALIFT_KEY_DIR": "there"}, {}).require_default() == ONE
    chosen = KeySources({"SEALIFT_KEY_DIR": "missing"}, {}, key_directory="there")
    assert chosen.require_default() == ONE


def test_env_names_no_program_and_no_directory(work: Path) -> None:
    """It lies where the data lie; whoever wrote it is not to run programs here."""
    command = shlex.join(["touch", str(work / "ran")])
    Path(".env").write_text(f"SEALIFT_KEY_COMMAND={command}\nSEALIFT_KEY_DIR=missing\n")
    assert not len(read_settings(None, None, {}).keyring)
    assert not (work / "ran").exists()


# When


def test_nothing_is_read_before_it_is_asked_for(own: Path, work: Path) -> None:
    command = shlex.join(["touch", str(work / "ran")])
    put(own / "keys" / "bad.env", ONE)
    (own / "keys" / "bad.env").chmod(0o644)
    (work / "sealift.toml").write_text("rubbish")
    environ = {NAME: "rubbish", "SEALIFT_KEY_COMMAND": command, "SEALIFT_KEY_DIR": "missing"}
    settings = read_settings(None, None, environ)
    assert settings.bucket_name is None
    assert not (work / "ran").exists()
    with pytest.raises(SettingsError):
        _ = settings.keyring


def test_the_command_runs_once(work: Path) -> None:
    program = work / "program"
    program.write_text(f"#!/bin/sh\necho x >>{work}/ran\necho {text_of(ONE)}\n")
    program.chmod(0o700)
    settings = read_settings(None, None, {"SEALIFT_KEY_COMMAND": str(program)})
    assert settings.require_customer_key() == ONE
    assert len(settings.keyring) == 1
    assert settings.customer_key == ONE
    assert (work / "ran").read_text() == "x\n"


def test_a_flag_goes_before_the_environment_and_both_before_the_file(own: Path) -> None:
    (own / "sealift.toml").write_text(f"key-command = '''{printing(text_of(ONE))}'''\n")
    environ = {"SEALIFT_KEY_COMMAND": printing(text_of(TWO))}
    assert KeySources({}, {}).require_default() == ONE
    assert KeySources(environ, {}).require_default() == TWO
    chosen = KeySources(environ, {}, key_command=printing(text_of(THREE)))
    assert chosen.require_default() == THREE
    assert len(chosen.keyring) == 1


def test_the_first_key_of_a_command_is_the_default() -> None:
    lines = f"{NAME}_A={text_of(TWO)}\n{ONE.env_lines()}"
    sources = KeySources({}, {}, key_command=printing(lines))
    assert sources.require_default() == ONE
    assert held(sources) == {ONE.key_id: "", TWO.key_id: "A"}


def test_keys_taken_out_of_the_environment_are_known_still() -> None:
    environ = {NAME: text_of(ONE), f"{NAME}_A": text_of(TWO), "HOME": "/"}
    sources = KeySources(environ, {})
    environ.clear()
    assert set(held(sources)) == {ONE.key_id, TWO.key_id}


def test_it_shows_no_key() -> None:
    key = CustomerKey(SECRET)
    settings = read_settings(None, None, {NAME: text_of(key)})
    for shown in (repr(settings), repr(settings.keys), repr(list(settings.keyring))):
        assert_secret(shown)
