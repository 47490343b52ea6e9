"""A customer key is shown by its id alone, whatever is done to it, and read with care."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import inspect
import io
import json
import logging
import os
import pickle
import pprint
import string
import traceback
import warnings
from collections.abc import Callable

import pytest
import rich
import rich.console
import rich.pretty

from sealift.errors import CustomerKeyError
from sealift.keys import CustomerKey
from sealift.options import Options

RAW = bytes(range(32))
TEXT = base64.b64encode(RAW).decode()
MD5 = base64.b64encode(hashlib.md5(RAW).digest()).decode()


def assert_hidden(shown: str) -> None:
    """Neither the key in any usual form, nor its MD5, by which it could be recognised."""
    for form in (TEXT, TEXT[:12], RAW.hex(), RAW.hex().upper(), repr(RAW), str(list(RAW)), MD5):
        assert form not in shown


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        pprint.pformat,
        rich.pretty.pretty_repr,
        lambda key: f"{key}",
        lambda key: f"{key!r}",
        lambda key: f"{key!s}",
        lambda key: f"{key!a}",
        lambda key: f"{key:>80}",
        lambda key: f"{key=}",
        lambda key: "%s %r %a" % (key, key, key),  # noqa: UP031 - what loggers do
        lambda key: "{0} {0!r} {0:.60}".format(key),  # noqa: UP032
        lambda key: string.Template("$it").substitute(it=key),
        lambda key: str([key, {key: key}, (key,), {key}]),
        lambda key: repr(Options(customer_key=key)),
        lambda key: str(dataclasses.replace(Options(customer_key=key), region="r")),
        lambda key: str(ValueError(key)),
    ],
)
def test_shows_only_its_id(customer_key: CustomerKey, show) -> None:
    shown = show(customer_key)
    assert_hidden(shown)
    assert customer_key.key_id in shown


@pytest.mark.parametrize(
    "show",
    [
        inspect.getmembers,
        lambda key: [getattr(key, name) for name in dir(key) if name != "headers"],
        lambda key: key.headers() + key.copy_source_headers(),
        lambda key: dict(key.headers()) | {"x": "y"},
        lambda key: warnings.WarningMessage(f"{key}", UserWarning, "file", 1, source=key),
        lambda key: rich_text(lambda console: rich.inspect(key, console=console, all=True)),
        lambda key: rich_text(lambda console: console.print(dict(key.headers()))),
        lambda key: rich_text(lambda console: console.log(key.headers(), log_locals=True)),
    ],
)
def test_shows_nothing_of_its_bytes_to_who_looks_inside(customer_key: CustomerKey, show) -> None:
    shown = repr(show(customer_key))
    assert TEXT[:12] not in shown
    assert RAW.hex() not in shown


def rich_text(write: Callable[[rich.console.Console], None]) -> str:
    console = rich.console.Console(record=True, file=io.StringIO(), width=200)
    write(console)
    return console.export_text()


@pytest.mark.parametrize("verb", ["d", "x", "f", "e", "c", "b"])
def test_other_format_verbs_fail_without_showing_it(customer_key: CustomerKey, verb: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        format(customer_key, verb)
    assert_hidden(str(caught.value))
    with pytest.raises((TypeError, ValueError)) as caught:
        f"%{verb.replace('b', 'i')}" % customer_key
    assert_hidden(str(caught.value))


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda key: dataclasses.asdict(Options(customer_key=key))]
    + [lambda key, p=p: pickle.dumps(key, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)],
)
def test_cannot_be_pickled_or_copied(customer_key: CustomerKey, duplicate) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(customer_key)


def test_does_not_become_json(customer_key: CustomerKey) -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps(customer_key)
    assert_hidden(str(caught.value))
    assert not hasattr(customer_key, "__dict__")


def test_case_30_log_records_do_not_show_it(
    customer_key: CustomerKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sealift.test").debug("with %s and %r", customer_key, [customer_key])
    assert_hidden(caplog.text)


def test_case_30_traceback_with_locals_does_not_show_it(customer_key: CustomerKey) -> None:
    def fail(key: CustomerKey) -> None:
        options = Options(customer_key=key)
        raise RuntimeError(f"with {key} and {options}")

    try:
        fail(customer_key)
    except RuntimeError as error:
        details = traceback.TracebackException.from_exception(error, capture_locals=True)
        console = rich.console.Console(record=True, file=open(os.devnull, "w"), width=200)  # noqa: SIM115
        console.print_exception(show_locals=True)
        console.file.close()
    shown = "".join(details.format())
    assert "key = CustomerKey" in shown
    assert_hidden(shown)
    assert_hidden(console.export_text())


def test_headers_are_those_of_s3(customer_key: CustomerKey) -> None:
    headers = customer_key.headers()
    assert dict(headers) == {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": TEXT,
        "x-amz-server-side-encryption-customer-key-md5": MD5,
    }
    assert [name for name, _ in headers] == sorted(name for name, _ in headers)


def test_headers_of_a_copy_source_are_those_of_s3(customer_key: CustomerKey) -> None:
    assert dict(customer_key.copy_source_headers()) == {
        "x-amz-copy-source-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-copy-source-server-side-encryption-customer-key": TEXT,
        "x-amz-copy-source-server-side-encryption-customer-key-md5": MD5,
    }


def test_env_lines_read_back(customer_key: CustomerKey) -> None:
    lines = dict(line.split("=", 1) for line in customer_key.env_lines().splitlines())
    again = CustomerKey.from_base64(
        lines["SSE_CUSTOMER_KEY_BASE64"], lines["SSE_CUSTOMER_KEY_MD5"], source="it"
    )
    assert again == customer_key


def test_key_id_tells_nothing_and_tells_keys_apart() -> None:
    key_id = CustomerKey(RAW).key_id
    assert len(key_id) == 16
    assert set(key_id) <= set(string.hexdigits)
    assert key_id == CustomerKey(RAW).key_id
    plain = [hashlib.new(name, RAW).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]
    assert not any(key_id in digest for digest in [*plain, RAW.hex()])
    assert len({CustomerKey(bytes([*RAW[:-1], last])).key_id for last in range(256)}) == 256


def test_generated_keys_differ() -> None:
    assert len({CustomerKey.generate() for _ in range(100)}) == 100


def test_equality_and_hash(customer_key: CustomerKey) -> None:
    assert customer_key == CustomerKey(RAW)
    assert hash(customer_key) == hash(CustomerKey(RAW))
    assert customer_key != CustomerKey(RAW[::-1])
    assert customer_key != TEXT


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_another_length_is_refused(size: int) -> None:
    with pytest.raises(CustomerKeyError, match=f"{size} bytes instead of 32"):
        CustomerKey(os.urandom(size))
    with pytest.raises(CustomerKeyError, match=f"THE_SETTING decodes to {size} bytes"):
        CustomerKey.from_base64(base64.b64encode(os.urandom(size)).decode(), source="THE_SETTING")


@pytest.mark.parametrize("byte", [0, 255, 65])
def test_one_byte_repeated_is_refused(byte: int) -> None:
    with pytest.raises(CustomerKeyError, match="one byte repeated"):
        CustomerKey(bytes([byte]) * 32)


def test_base64_may_have_space_around_it() -> None:
    assert CustomerKey.from_base64(f" {TEXT}\r\n", f" {MD5}\n", source="it") == CustomerKey(RAW)


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1],
        f"{TEXT[:20]} {TEXT[20:]}",
        TEXT.replace("A", "é"),
        "-_" + TEXT[2:],
        "zz!z",
        "=" * 44,
    ],
)
def test_wrong_base64_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(CustomerKeyError, match=r"^THE_SETTING ") as caught:
        CustomerKey.from_base64(text, source="THE_SETTING")
    assert text not in str(caught.value)
    assert_hidden(str(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("md5", ["AAAA", MD5.lower(), "é", hashlib.md5(RAW).hexdigest()])
def test_an_md5_of_something_else_is_refused(md5: str) -> None:
    with pytest.raises(CustomerKeyError, match="SSE_CUSTOMER_KEY_MD5 does not belong") as caught:
        CustomerKey.from_base64(TEXT, md5, source="it")
    assert_hidden(str(caught.value))


@pytest.mark.parametrize("md5", [None, "", MD5])
def test_the_md5_may_be_left_out(md5: str | None) -> None:
    assert CustomerKey.from_base64(TEXT, md5, source="it").md5 == MD5
