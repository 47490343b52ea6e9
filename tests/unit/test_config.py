"""sealift.toml: which file is read, what it may say, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealift.config import Config, Transfer, parse_config, read_config
from sealift.errors import SettingsError
from sealift.keyring import Keyring, Rule
from sealift.model import Location, MiB

ONE, TWO = "0123456789abcdef", "fedcba9876543210"


def rule(prefix: str, key_id: str = ONE) -> str:
    return f'[[key]]\nprefix = "{prefix}"\nid = "{key_id}"\n'


def test_reads_what_it_may_say() -> None:
    text = f'default-key = "{ONE}"\nkey-command = "pass show x"\n' + rule("s3://b/finance/", TWO)
    assert parse_config(text, "f") == Config(
        "f", ONE, "pass show x", (Rule(Location("b", "finance/"), TWO),)
    )
    assert parse_config("", "f") == Config("f")


def test_the_longest_prefix_wins_in_any_order() -> None:
    texts = [rule("s3://b/"), rule("s3://b/x/y", TWO), rule("s3://b/x/")]
    for order in (texts, texts[::-1]):
        ring = Keyring(rules=parse_config("".join(order), "f").rules)
        assert ring.rule_for(Location("b", "x/yz")) == TWO
        assert ring.rule_for(Location("b", "x/z")) == ONE
        assert ring.rule_for(Location("c", "x/y")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "f is not TOML: "),
        ("default_key = 1", "f: unknown default_key; known are default-key, key-command, key"),
        ("[bench]\n[other]", "f: unknown bench, other"),
        ("default-key = 7", "f: default-key is no text"),
        ('default-key = ""', "f: default-key is no text"),
        ('default-key = "ABC"', "f: default-key is no key id"),
        (f'default-key = "{ONE.upper()}"', "f: default-key is no key id"),
        ("key-command = ['a']", "f: key-command is no text"),
        ("key = 'x'", r"f: key is no list of tables; write \[\[key\]\]"),
        ("[key]", "f: key is no list of tables"),
        ("key = ['x']", "f: key is no list of tables"),
        ("[[key]]\nprefix = 's3://b/'", r"f: \[\[key\]\] number 1 has no id"),
        (f"[[key]]\nid = '{ONE}'", r"number 1 has no prefix"),
        (rule("s3://b/") + rule("b/x"), r"number 2: .*is not an s3:// URI"),
        (rule("s3://b/", "12"), "number 1: id is no key id"),
        (rule("s3://b/") + "label = 'x'", "number 1: unknown label; known are prefix, id"),
        (rule("s3://b/x") + rule("s3://b/x", TWO), "number 2: s3://b/x is there already"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        parse_config(text, "f")
    assert caught.value.hint


# Which file


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file, which is not there yet."""
    (tmp_path / "config" / "sealift").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "config" / "sealift" / "sealift.toml"


def test_no_file_is_no_trouble(own: Path) -> None:
    assert read_config(None) == Config()


def test_the_working_directory_goes_before_the_users_own(own: Path) -> None:
    own.write_text(f'default-key = "{ONE}"\nkey-command = "x"\n' + rule("s3://b/"))
    assert read_config(None).default_key == ONE
    Path("sealift.toml").write_text(rule("s3://c/"))
    config = read_config(None)
    assert (config.default_key, config.source) == (None, "sealift.toml")
    assert [one.prefix.bucket for one in config.rules] == ["c"]
    assert config.key_command == "x", "that of the user counts everywhere"
    Path("named").write_text(f'default-key = "{TWO}"\n')
    assert read_config("named").default_key == TWO
    assert read_config("named").key_command == "x"


@pytest.mark.parametrize("name", ["sealift.toml", "named"])
def test_a_directory_of_data_names_no_program(own: Path, name: str) -> None:
    Path(name).write_text('key-command = "touch ran"\n')
    with pytest.raises(SettingsError, match=rf"key-command is taken only .*write it to {own}"):
        read_config(None if name == "sealift.toml" else name)
    assert not Path("ran").exists()


def test_the_users_own_is_known_by_any_path(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text('key-command = "x"\n')
    assert read_config(str(own)).key_command == "x"
    monkeypatch.chdir(own.parent)
    assert read_config(None).key_command == "x"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_others_may_not_change_what_is_run(own: Path, mode: int) -> None:
    own.write_text('key-command = "x"\n')
    own.chmod(mode)
    with pytest.raises(SettingsError, match=f"others can change it; run: chmod go-w {own}"):
        read_config(None)
    own.write_text(f'default-key = "{ONE}"\n')
    assert read_config(None).default_key == ONE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_user_names_no_program(own: Path) -> None:
    own.write_text('key-command = "x"\n')
    os.chown(own, 65534, 65534)
    with pytest.raises(SettingsError, match="others can change it"):
        read_config(None)


def test_what_cannot_be_read_is_named(own: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read missing: No such file"):
        read_config("missing")
    Path("sealift.toml").mkdir()
    with pytest.raises(SettingsError, match=r"cannot read sealift\.toml: Is a directory"):
        read_config(None)
    own.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="is not UTF-8; save it as text"):
        read_config(None)


def test_transfer_settings() -> None:
    config = parse_config('[transfer]\nconcurrency = 64\npart-size = "16MiB"\n', "x")
    assert config.transfer == Transfer(64, 16 * MiB)
    assert parse_config("[transfer]\n", "x").transfer == Transfer()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("concurrency = 0", "concurrency"),
        ("concurrency = true", "concurrency"),
        ('concurrency = "64"', "concurrency"),
        ("part-size = 8", "part-size"),
        ('part-size = "big"', "big"),
        ("other = 1", "unknown other"),
    ],
)
def test_transfer_settings_that_are_wrong(line: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        parse_config(f"[transfer]\n{line}\n", "x")
    assert caught.value.hint
