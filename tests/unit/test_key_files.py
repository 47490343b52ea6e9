"""Key files: what one may hold, who may read it, and how a new one is written."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from tests.kit import SECRET, assert_secret

from sealift.errors import CustomerKeyError
from sealift.key_sources.files import (
    key_directory_files,
    keys_in,
    make_key_directory,
    read_directory_file,
    read_key_file,
    write_key_file,
)
from sealift.keyring import HeldKey
from sealift.keys import CustomerKey

RAW = SECRET
TEXT = base64.b64encode(RAW).decode()
KEY, OTHER = CustomerKey(RAW), CustomerKey(RAW[::-1])


def key_of(path: str) -> CustomerKey:
    (held,) = read_key_file(path)
    assert held.source == path
    return held.key


def key_file(directory: Path, content: bytes, mode: int = 0o600) -> str:
    path = directory / "the.key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("content", [RAW, TEXT.encode(), f"{TEXT}\n".encode()])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_reads_a_key_file(tmp_path: Path, content: bytes, mode: int) -> None:
    assert key_of(key_file(tmp_path, content, mode)) == CustomerKey(RAW)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o644, 0o666])
def test_case_31_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, RAW, mode)
    with pytest.raises(CustomerKeyError, match=f"chmod 600 {path}"):
        key_of(path)


def test_a_link_is_as_good_as_its_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(key_file(tmp_path, RAW))
    assert key_of(str(link)) == CustomerKey(RAW)
    key_file(tmp_path, RAW, 0o644)
    with pytest.raises(CustomerKeyError, match="can be read by others"):
        key_of(str(link))


@pytest.mark.parametrize(
    "content", [b"", RAW + b"\n", RAW[:31], b"\xff" * 40, TEXT.encode() * 2, b"x" * 5000]
)
def test_case_31_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CustomerKeyError, match=r"the key file .*the\.key") as caught:
        key_of(key_file(tmp_path, content))
    assert_secret(str(caught.value))


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CustomerKeyError, match=r"cannot read the key file .*; check --key-file"):
        key_of(str(tmp_path / name))


def test_a_pipe_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, RAW)
    os.close(writing)
    try:
        assert key_of(f"/dev/fd/{reading}") == CustomerKey(RAW)
    finally:
        os.close(reading)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_case_31_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path, RAW)
    os.chown(path, 65534, 65534)
    with pytest.raises(CustomerKeyError, match="belongs to another user"):
        key_of(path)


ENV_LINES = f"""
{KEY.env_lines()}
SSE_CUSTOMER_KEY_LABEL=finance
SSE_CUSTOMER_KEY_CREATED=2026-11-26T04:55:00Z
# a comment
SSE_CUSTOMER_KEY_BASE64_OLD='{OTHER.env_lines().partition("=")[2].partition(chr(10))[0]}'
SSE_CUSTOMER_KEY_MD5_OLD={OTHER.md5}
SSE_CUSTOMER_KEY_BASE64_NONE=
BUCKET_NAME=b
"""


def test_reads_env_lines_the_plain_key_first(tmp_path: Path) -> None:
    lines = ENV_LINES.splitlines()
    lines.append(lines.pop(1))
    path = key_file(tmp_path, "\n".join(lines).encode())
    assert read_key_file(path) == [
        HeldKey(KEY, path, "finance", 1795668900.0),
        HeldKey(OTHER, path, "OLD"),
    ]


def test_labelled_keys_alone_will_do() -> None:
    (held,) = keys_in(ENV_LINES.replace("KEY_BASE64=", "OTHER=").encode(), "it", "it")
    assert held.key == OTHER


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SSE_CUSTOMER_KEY_BASE64=\n", "it holds no customer key"),
        (f"SSE_CUSTOMER_KEY_BASE64={TEXT[:20]}".encode(), "it: SSE_CUSTOMER_KEY_BASE64 "),
        (f"SSE_CUSTOMER_KEY_BASE64_X={TEXT[:20]}".encode(), "it: SSE_CUSTOMER_KEY_BASE64_X "),
        (f"{KEY.env_lines()}SSE_CUSTOMER_KEY_BASE64_X=AAAA".encode(), "decodes to 3 bytes"),
        (KEY.env_lines().encode() + b"X=\xff", "it is not UTF-8"),
        (f"SSE_CUSTOMER_KEY_BASE64={TEXT}\nSSE_CUSTOMER_KEY_MD5={OTHER.md5}".encode(), "MD5"),
        (ENV_LINES.replace(OTHER.md5, KEY.md5).encode(), "does not belong to .*64_OLD"),
        (KEY.env_lines().encode() + b"#" * 70_000, "it is not base64"),
    ],
)
def test_wrong_env_lines_are_refused_without_showing_them(content: bytes, message: str) -> None:
    with pytest.raises(CustomerKeyError, match=message) as caught:
        keys_in(content, "it", "it")
    assert_secret(str(caught.value))
    assert caught.value.hint


@pytest.mark.parametrize("created", ["", "yesterday", "2026-13-01"])
def test_a_date_that_is_none_is_not_known(created: str) -> None:
    text = f"{KEY.env_lines()}SSE_CUSTOMER_KEY_CREATED={created}\n"
    assert keys_in(text.encode(), "it", "it")[0].created is None


# Writing


def test_a_new_file_reads_back(tmp_path: Path) -> None:
    path = str(tmp_path / "the.env")
    written = HeldKey(KEY, "", "finance-2026", 1795668900.0)
    before = os.umask(0)
    try:
        write_key_file(path, written)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert read_key_file(path) == [written._replace(source=path)]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = key_file(tmp_path, RAW)
    with pytest.raises(CustomerKeyError, match="File exists; no key file is ever overwritten"):
        write_key_file(path, HeldKey(OTHER, ""))
    assert key_of(path) == KEY
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CustomerKeyError, match="File exists"):
        write_key_file(str(link), HeldKey(OTHER, ""))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("label", ["", "-x", ".hidden", "a/b", "a b", "a\nb", "é", "x" * 65])
def test_a_label_is_a_name_of_a_file(tmp_path: Path, label: str) -> None:
    path = tmp_path / "the.env"
    if label:
        with pytest.raises(CustomerKeyError, match="is no label; give"):
            write_key_file(str(path), HeldKey(KEY, "", label))
        assert not path.exists()
    else:
        write_key_file(str(path), HeldKey(KEY, "", label))


def test_a_file_that_cannot_be_made_durable_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CustomerKeyError, match=r"cannot write the key file .*No space left"):
        write_key_file(str(tmp_path / "the.env"), HeldKey(KEY, ""))
    assert not list(tmp_path.iterdir())


# A directory of key files


def test_a_new_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    make_key_directory(str(tmp_path / "a" / "keys"))
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "keys").st_mode) == 0o700
    make_key_directory(str(tmp_path / "a" / "keys"))
    (tmp_path / "file").touch()
    with pytest.raises(CustomerKeyError, match="cannot make the key directory"):
        make_key_directory(str(tmp_path / "file"))


def test_the_files_of_a_directory(tmp_path: Path) -> None:
    for name in ("b.env", "a.key", ".swap", "sub/c.env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a.key")
    names = ["a.key", "b.env", "link"]
    assert key_directory_files(str(tmp_path)) == [str(tmp_path / name) for name in names]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("missing", path)])
def test_what_is_no_file_in_a_directory_is_named(tmp_path: Path, make) -> None:
    make(tmp_path / "odd")
    with pytest.raises(CustomerKeyError, match=rf"{tmp_path}/odd is no file"):
        read_directory_file(*key_directory_files(str(tmp_path)))


def test_a_directory_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CustomerKeyError, match=r"cannot read the key directory .*missing: No such"):
        key_directory_files(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("name", "content", "label"),
    [
        ("finance.key", RAW, "finance"),
        ("finance.env", KEY.env_lines().encode(), "finance"),
        (f"{KEY.key_id}.env", KEY.env_lines().encode(), ""),
        ("finance.env", KEY.env_lines().encode() + b"SSE_CUSTOMER_KEY_LABEL=own", "own"),
    ],
)
def test_the_name_of_a_file_is_the_label(
    tmp_path: Path, name: str, content: bytes, label: str
) -> None:
    path = Path(key_file(tmp_path, content)).rename(tmp_path / name)
    assert read_directory_file(str(path)) == [HeldKey(KEY, str(path), label)]
