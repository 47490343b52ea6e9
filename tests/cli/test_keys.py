"""`sealift key`: what its commands write, print and refuse."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import RAW_KEY, Ended
from tests.kit import SECRET, assert_secret, forms

from sealift.catalogue import Catalogue
from sealift.key_sources.files import read_key_file
from sealift.keys import CustomerKey
from sealift.model import Known

TEXT = forms(SECRET)["base64"].decode()
KEY = CustomerKey(SECRET)
OTHER = CustomerKey(RAW_KEY)
Run = Callable[..., Ended]


@pytest.fixture
def directory(work: Path) -> Path:
    """The user's key directory, which is not there yet; nor is there another key."""
    (work / ".env").unlink()
    return Path(os.environ["HOME"]) / ".config" / "sealift" / "keys"


@pytest.fixture
def held(directory: Path) -> Path:
    """The file of a key in the directory."""
    directory.mkdir(parents=True)
    path = directory / "finance.env"
    path.touch(0o600)
    path.write_text(f"{KEY.env_lines()}SSE_CUSTOMER_KEY_CREATED=2026-11-26T04:55:00Z\n")
    return path


def rows(ended: Ended) -> list[dict[str, Any]]:
    assert ended.status == 0, ended
    return [json.loads(line) for line in ended.stdout.splitlines()]


# new


def test_a_new_key_is_in_a_file_of_its_own(run_process: Run, directory: Path) -> None:
    ended = run_process("key", "new")
    assert ended.status == 0, ended
    (path,) = directory.iterdir()
    (made,) = read_key_file(str(path))
    assert path.name == f"{made.key.key_id}.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert made.created is not None
    assert f"key id   {made.key.key_id}\n" in ended.stdout
    assert f"source   {path}\n" in ended.stdout
    assert "back it up now" in ended.stderr
    for line in made.key.env_lines().splitlines():
        assert line.partition("=")[2] not in ended.stdout + ended.stderr
    assert len({run_process("key", "new").stdout for _ in range(3)}) == 3


def test_a_label_is_the_name_of_the_file(run: Run, directory: Path) -> None:
    (row,) = rows(run("key", "new", "--label", "finance-2026", "--json"))
    assert row["source"] == str(directory / "finance-2026.env")
    assert row["label"] == "finance-2026"
    assert read_key_file(row["source"])[0].label == "finance-2026"
    ended = run("key", "new", "--label", "finance-2026")
    assert ended.status == 2
    assert "File exists; no key file is ever overwritten" in ended.stderr
    assert len(list(directory.iterdir())) == 1


def test_a_file_may_be_named(run: Run, directory: Path) -> None:
    assert run("key", "new", "the.env").status == 0
    assert stat.S_IMODE(Path("the.env").stat().st_mode) == 0o600
    assert not directory.exists()
    before = Path("the.env").read_bytes()
    assert run("key", "new", "the.env").status == 2
    assert Path("the.env").read_bytes() == before
    (row,) = rows(run("key", "list", "--key-file", "the.env", "--json"))
    assert row["seals"] == ["default"]


def test_only_show_shows_a_new_key(run: Run, directory: Path) -> None:
    ended = run("key", "new", "the.env", "--show")
    assert Path("the.env").read_text() in ended.stdout
    (row,) = rows(run("key", "new", "json.env", "--show", "--json"))
    assert row["env_lines"] == Path("json.env").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("new", "-"), "a key is made in a file"),
        (("new", "--label", "../x"), "'../x' is no label; give"),
        (("new", "missing/the.env"), "cannot write the key file missing/the.env: No such"),
        (("new", "--key-dir", "name.bin"), "cannot make the key directory name.bin"),
        (("import", "missing"), "cannot read the key file missing"),
        (("import", "name.bin"), "can be read by others; run: chmod 600 name.bin"),
        (("show", "0123"), "the customer key 0123 is not at hand; look with: sealift key list"),
        (("show", ""), "is not at hand"),
        (("check", "s3://bucket/"), "names no object"),
        (("check", "bucket"), "is not an s3:// URI"),
        (("check", "s3://bucket/x", "--key", "0123"), "0123 is not at hand"),
        (("list", "--config", "missing"), "there is no file missing; check --config"),
    ],
)
@pytest.mark.usefixtures("directory", "silent_endpoint")
def test_what_is_refused(run: Run, words: tuple[str, ...], message: str) -> None:
    ended = run("key", *words)
    assert ended.status == 2
    assert ended.stdout == ""
    assert message in ended.stderr


# import


@pytest.mark.parametrize("content", [SECRET, TEXT.encode(), KEY.env_lines().encode()])
def test_a_key_is_imported_from_a_file(run: Run, directory: Path, content: bytes) -> None:
    Path("the.key").write_bytes(content)
    Path("the.key").chmod(0o600)
    (row,) = rows(run("key", "import", "the.key", "--label", "old", "--json"))
    assert row["key_id"] == KEY.key_id
    assert row["source"] == str(directory / "old.env")
    assert read_key_file(row["source"])[0].key == KEY
    again = rows(run("key", "import", "the.key", "--json"))
    assert again == [row], "it is there already"
    assert len(list(directory.iterdir())) == 1


@pytest.mark.parametrize("content", [SECRET, TEXT.encode() + b"\n", KEY.env_lines().encode()])
def test_a_key_is_imported_from_stdin(directory: Path, content: bytes) -> None:
    command = [sys.executable, "-m", "sealift", "key", "import", "-"]
    ended = subprocess.run(command, input=content, capture_output=True, timeout=60, check=True)
    assert read_key_file(str(directory / f"{KEY.key_id}.env"))[0].key == KEY
    assert_secret(ended.stdout + ended.stderr)


def test_several_keys_are_imported_at_once(run: Run, directory: Path) -> None:
    lines = OTHER.env_lines().replace("=", "_OTHER=", 1).replace("MD5=", "MD5_OTHER=")
    Path("the.env").write_text(KEY.env_lines() + lines)
    Path("the.env").chmod(0o600)
    refused = run("key", "import", "the.env", "--label", "x")
    assert (refused.status, directory.exists()) == (2, False)
    assert "holds 2 keys; leave --label out" in refused.stderr
    found = rows(run("key", "import", "the.env", "--json"))
    assert [row["label"] for row in found] == ["", "OTHER"]
    assert {path.name for path in directory.iterdir()} == {f"{KEY.key_id}.env", "OTHER.env"}


def test_a_terminal_does_not_echo_an_imported_key(directory: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sealift", "key", "import", "-"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as child:
        os.close(theirs)
        shown = b""
        while b"base64: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, TEXT.encode() + b"\n")
        assert child.wait(60) == 0
        shown += os.read(ours, 10_000)
    os.close(ours)
    assert KEY.key_id.encode() in shown
    assert_secret(shown)


# list and show


def test_an_empty_list_says_what_to_do(run: Run, directory: Path) -> None:
    ended = run("key", "list")
    assert (ended.status, ended.stdout) == (0, "")
    assert "make one: sealift key new" in ended.stderr
    assert run("key", "list", "--json") == ended


def record_objects() -> None:
    catalogue = Catalogue()
    for key_id, sizes in ((KEY.key_id, (1, 2000)), ("f" * 16, (5,)), (None, (7,))):
        rows = [Known(f"{key_id}{n}", n, "e", None, None, None, key_id) for n in sizes]
        catalogue.record("https://h/b", rows)
    catalogue.close()


def test_the_list_counts_objects_and_names_missing_keys(run: Run, held: Path) -> None:
    record_objects()
    Path(".env").write_text(OTHER.env_lines())
    Path("sealift.toml").write_text(f'[[key]]\nprefix = "s3://b/f/"\nid = "{KEY.key_id}"\n')
    found = {row["key_id"]: row for row in rows(run("key", "list", "--json"))}
    assert found[KEY.key_id] == {
        "key_id": KEY.key_id,
        "label": "finance",
        "created": 1795668900.0,
        "source": str(held),
        "missing": False,
        "seals": ["s3://b/f/"],
        "object_count": 2,
        "object_size": 2001,
    }
    assert found[OTHER.key_id]["seals"] == ["default"]
    assert found[OTHER.key_id]["source"] == "SSE_CUSTOMER_KEY_BASE64 in .env"
    assert (found["f" * 16]["missing"], found["f" * 16]["object_count"]) == (True, 1)
    assert len(found) == 3
    plain = run("key", "list").stdout.splitlines()
    assert f"{KEY.key_id}\tfinance\t2026-11-26 04:55:00Z\t2\t2.0 KiB\ts3://b/f/\t{held}" in plain
    assert f"{'f' * 16}\t-\t-\t1\t5 B\t-\tMISSING" in plain


def test_a_key_that_only_a_rule_names_is_missing(run: Run, held: Path) -> None:
    Path("sealift.toml").write_text(f'[[key]]\nprefix = "s3://b/f/"\nid = "{"a" * 16}"\n')
    (_, row) = rows(run("key", "list", "--json"))
    assert (row["key_id"], row["missing"], row["seals"]) == ("a" * 16, True, ["s3://b/f/"])


def test_a_terminal_gets_a_table(held: Path) -> None:
    record_objects()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sealift", "key", "list"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs) as child:
        assert child.wait(60) == 0
        shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.search(r"key id +label +created +objects +size +seals +source", plain)
    assert re.search(rf"{KEY.key_id} +finance +2026-11-26 04:55:00Z +2 +2\.0 KiB +default ", plain)
    assert re.search(r"f{16} .* 1 +5 B +MISSING", plain)
    assert_secret(shown)


def test_a_wrong_key_file_does_not_hide_the_others(run: Run, held: Path) -> None:
    (held.parent / "bad.env").write_text("rubbish")
    (held.parent / "bad.env").chmod(0o600)
    ended = run("key", "list")
    assert ended.status == 2
    assert ended.stdout.startswith(KEY.key_id)
    assert "bad.env is not base64" in ended.stderr


def test_show_shows_the_key_only_when_asked(run: Run, held: Path) -> None:
    ended = run("key", "show", KEY.key_id[:4].upper())
    assert ended.status == 0
    for text in (KEY.key_id, "finance", "2026-11-26 04:55:00Z", str(held), "default"):
        assert text in ended.stdout
    assert_secret(ended.stdout + ended.stderr)
    assert KEY.env_lines() in run("key", "show", KEY.key_id, "--show").stdout
    (row,) = rows(run("key", "show", KEY.key_id, "--json"))
    assert "env_lines" not in row
    (row,) = rows(run("key", "show", KEY.key_id, "--show", "--json"))
    assert row["env_lines"].startswith(KEY.env_lines())


def test_an_ambiguous_id_is_refused(run: Run, directory: Path) -> None:
    ids = [rows(run("key", "new", "--json"))[0]["key_id"] for _ in range(17)]
    start = next(one for one in {key_id[0] for key_id in ids} if sum(i[0] == one for i in ids) > 1)
    ended = run("key", "show", start)
    assert ended.status == 2
    assert f"several key ids begin with {start}: " in ended.stderr


# Commands that need no key


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "s3://bucket/"),
        ("rm", "s3://bucket/x"),
        ("rm", "s3://bucket/", "--recursive", "--yes"),
        ("jobs",),
        ("clean",),
        ("key", "new", "new.env"),
        ("key", "import", "new.key"),
    ],
)
def test_broken_keys_do_not_stop_what_needs_none(
    run: Run, held: Path, server: Any, words: tuple[str, ...]
) -> None:
    held.chmod(0o644)
    Path("new.key").write_bytes(SECRET)
    Path("new.key").chmod(0o600)
    Path("sealift.toml").write_text("rubbish")
    Path(".env").write_text("SSE_CUSTOMER_KEY_BASE64=rubbish\n")
    os.environ["SSE_CUSTOMER_KEY_BASE64_X"] = "rubbish"
    os.environ["SEALIFT_KEY_COMMAND"] = "touch ran"
    server.store("x", b"content", customer_key=RAW_KEY)
    ended = run(*words)
    assert ended.status == 0, ended
    assert not Path("ran").exists()
    assert "SSE_CUSTOMER_KEY_BASE64_X" not in os.environ or words == ("jobs",)


@pytest.mark.parametrize("words", [("put", "name.bin", "s3://bucket/x"), ("get", "s3://bucket/x")])
@pytest.mark.usefixtures("silent_endpoint")
def test_a_broken_key_stops_what_needs_one(run: Run, held: Path, words: tuple[str, ...]) -> None:
    held.chmod(0o644)
    ended = run(*words)
    assert (ended.status, ended.stdout) == (2, "")
    assert f"sealift: the key file {held} can be read by others; run: chmod 600" in ended.stderr


def test_the_only_key_seals_what_is_put(run: Run, held: Path, server: Any) -> None:
    assert run("put", "name.bin", "s3://bucket/x").status == 0
    (stored,) = server.seen("PutObject")
    assert stored.headers["x-amz-server-side-encryption-customer-key"] == TEXT


def test_a_key_command_does_not_inherit_keys(run_process: Run, directory: Path, work: Path) -> None:
    program = work / "program"
    program.write_text(f"#!/bin/sh\nenv >{work}/seen\necho {TEXT}\n")
    program.chmod(0o700)
    os.environ["SSE_CUSTOMER_KEY_BASE64_OTHER"] = OTHER.env_lines().split("=", 1)[1].split()[0]
    found = rows(run_process("key", "list", "--json", "--key-command", str(program)))
    assert [(row["key_id"], row["source"]) for row in found] == [
        (OTHER.key_id, "SSE_CUSTOMER_KEY_BASE64_OTHER in the environment"),
        (KEY.key_id, "key command"),
    ]
    assert found[1]["seals"] == ["default"]
    seen = (work / "seen").read_text()
    assert "HOME=" in seen
    assert "SSE_CUSTOMER" not in seen
