"""Pages of ListObjectsV2: real ones, odd ones, and those that no server should send."""

from __future__ import annotations

import time
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import botocore.session
import pytest
from botocore.handlers import decode_list_object_v2
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.errors import ProtocolError
from sealift.model import RemoteObject
from sealift.wire.documents import MAX_DEPTH
from sealift.wire.listing import Page, _page, _plain_page, _read, parse_page

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ETAG = '"9dd4e461268c8034f5c8564e155c67a6"'
MOMENT = 1_795_525_533.75  # 2026-11-24T13:05:33.750Z


def listing(content: str, truncated: str = "false") -> bytes:
    """A page of `content`, as few elements around it as there may be."""
    root = f'<ListBucketResult xmlns="{NAMESPACE}">'
    end = f"<IsTruncated>{truncated}</IsTruncated>{content}</ListBucketResult>"
    return (root + end).encode()


def contents(**changes: str | None) -> str:
    fields = {"Key": "x", "LastModified": "2026-11-24T13:05:33.750Z", "ETag": ETAG, "Size": "1"}
    texts = {**fields, **changes}
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in texts.items() if text is not None)
    return f"<Contents>{inner}</Contents>"


def only(content: str) -> RemoteObject:
    (found,) = parse_page(listing(content)).objects
    return found


# Real replies: AWS's documentation, Ceph 16.2.15 and MiniStack as they came

AWS = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>quotes</Name>\
<Prefix>E+1/</Prefix><NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=\
</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter>\
<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
<Contents><Key>E+1/Ned+%2B+%C3%BC%25</Key><LastModified>2026-11-24T13:05:33.750Z</LastModified>\
<ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag>\
<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>\
<Size>5368709120000</Size><Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f</ID>\
<DisplayName>user</DisplayName></Owner><StorageClass>GLACIER</StorageClass><RestoreStatus>\
<IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus></Contents>\
<CommonPrefixes><Prefix>E+1/a+b/</Prefix></CommonPrefixes></ListBucketResult>"""

CEPH = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/'
    b'2006-03-01/"><EncodingType>url</EncodingType><Name>bbb</Name><Prefix>&#x1b;</Prefix>'
    b"<MaxKeys>1</MaxKeys><IsTruncated>true</IsTruncated><CommonPrefixes><Prefix>%1Bd%2F</Prefix>"
    b"</CommonPrefixes><Contents><Key>%1Bd%2Fe*&apos;%26%3C%3E</Key><LastModified>"
    b"2026-11-24T13:05:33.750Z</LastModified><ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;"
    b"</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass><Type>Normal</Type></Contents>"
    b"<NextContinuationToken>&#x1b;d/e*&apos;&amp;&lt;+%2F</NextContinuationToken>"
    b"<KeyCount>2</KeyCount></ListBucketResult>"
)

MINISTACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/'
    b'2006-03-01/"><Name>bbb</Name><Prefix /><EncodingType>url</EncodingType><MaxKeys>1</MaxKeys>'
    b"<KeyCount>1</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>AWE="
    b"</NextContinuationToken><Contents><Key>a%20b%2B%25/%C3%BC</Key><LastModified>"
    b'2026-11-24T13:05:33.750Z</LastModified><ETag>"9dd4e461268c8034f5c8564e155c67a6"</ETag>'
    b"<Size>1</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
)


@pytest.mark.parametrize(
    ("body", "page"),
    [
        (
            AWS,
            Page(
                [RemoteObject("E 1/Ned + ü%", 5_368_709_120_000, ETAG, MOMENT, "GLACIER")],
                ["E 1/a b/"],
                "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=",
            ),
        ),
        (
            CEPH,
            Page([RemoteObject("\x1bd/e*'&<>", 1, ETAG, MOMENT)], ["\x1bd/"], "\x1bd/e*'&<+%2F"),
        ),
        (MINISTACK, Page([RemoteObject("a b+%/ü", 1, ETAG, MOMENT)], [], "AWE=")),
    ],
    ids=["aws", "ceph", "ministack"],
)
def test_real_pages(body: bytes, page: Page) -> None:
    assert parse_page(body) == page
    room = memoryview(bytearray(body + b"rest"))
    assert parse_page(room[: len(body)]) == page


# What may differ


def test_a_page_of_nothing() -> None:
    assert parse_page(listing("")) == Page([], [], None)
    assert parse_page(listing("", truncated="true")) == Page([], [], "")


def test_a_token_on_the_last_page_is_no_token() -> None:
    page = listing("<NextContinuationToken>t</NextContinuationToken>")
    assert parse_page(page).next_token is None


def test_names_are_literal_without_encoding_type() -> None:
    assert only(contents(Key="a+b%20c")).name == "a+b%20c"
    assert only("<EncodingType>none</EncodingType>" + contents(Key="a+b")).name == "a+b"


def test_the_encoding_type_may_come_last() -> None:
    assert only(contents(Key="a+b%2F") + "<EncodingType>url</EncodingType>").name == "a b/"


def test_any_namespace_will_do() -> None:
    inner = listing(contents(Key="k")).decode()
    prefixed = inner.replace("</", "</s3:").replace("<", "<s3:").replace("<s3:/s3:", "</s3:")
    assert parse_page(prefixed.replace("xmlns=", "xmlns:s3=").encode()) == parse_page(
        inner.replace(f' xmlns="{NAMESPACE}"', "").encode()
    )


def test_unknown_elements_and_what_is_in_them_are_passed_over() -> None:
    odd = (
        "<Odd><Key>no</Key><Contents><Key>no</Key></Contents><IsTruncated>true</IsTruncated></Odd>"
    )
    assert only(odd + contents(Owner="<Key>no</Key><Size>x</Size>", Odd=odd)).name == "x"


def test_text_in_pieces_is_one_text() -> None:
    name = "".join(f"<![CDATA[{index}<]]>&amp;<!-- no --><?no?>" for index in range(3000))
    assert only(contents(Key=name)).name == "".join(f"{index}<&" for index in range(3000))


def test_what_is_not_told_of_an_object() -> None:
    found = only(contents(LastModified=None, ETag=None))
    assert found == RemoteObject("x", 1, "", 0.0, "STANDARD")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-24T13:05:33.750Z", MOMENT),
        ("2026-11-24T13:05:33Z", 1_795_525_533.0),
        ("2026-11-24T14:05:33.75+01:00", MOMENT),
        ("2026-11-24T13:05:33.750", MOMENT),
        ("2026-11-24T13:05:33.750123Z", 1_795_525_533.750123),
        ("1970-01-01T00:00:00.000Z", 0.0),
        ("1969-12-31T23:59:59.000Z", -1.0),
        ("0001-01-01T00:00:00Z", -62_135_596_800.0),
        ("9999-12-31T23:59:59Z", 253_402_300_799.0),
    ],
)
def test_dates(text: str, seconds: float) -> None:
    assert only(contents(LastModified=text)).modified == pytest.approx(seconds, abs=1e-6)


# What is no page

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no XML"),
        (b"\0", "no XML"),
        (b"<html><body>It works!</body></html>", "no ListBucketResult"),
        (b"<Error><Code>InternalError</Code></Error>", "no ListBucketResult"),
        (listing("")[:-1], "no XML"),
        (listing("") + b"<x/>", "no XML"),
        (listing("<Contents>"), "no XML"),
        (listing("&unknown;"), "no XML"),
        (listing("&#xd800;"), "no XML"),
        (listing("").replace(b"List", b"Li\xffst"), "no XML"),
        (listing(contents(Key="?")).replace(b"?", b"\xed\xa0\x80"), "no XML"),
        (listing("&#x1b;\U0010ff1b"), "no XML"),
        (listing("", truncated=""), "last page"),
        (listing("", truncated="perhaps"), "last page"),
        (b"<ListBucketResult/>", "last page"),
        (listing("<Contents/>"), "no Size"),
        (listing(contents(Size=None)), "no Size"),
        (listing(contents(Key=None)), "no Key"),
        (listing(contents(Key="a<b/>c")), "no Key"),
        (listing("<CommonPrefixes/>"), "no Prefix"),
        *((listing(contents(Size=size)), "size") for size in
          ("", "-1", "1.5", "x", " 1", "1_0", "\u0661", "\u00b2", "9" * 5000)),
        *((listing(contents(LastModified=date)), "date") for date in
          ("", "x", "Tue, 24 Nov 2026 13:05:33 GMT", "2026-13-01T00:00:00Z", "1795525533")),
        (listing("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH), "too deeply"),
        (BOMB.encode() + listing("&c;"), "document type"),
        ((BOMB + listing("&c;").decode()).encode("utf-16"), "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + listing(""), "document type"),
        (b"<!DOCTYPE x>" + listing("&#x1b;"), "document type"),
        (listing('<!ENTITY a "b">'), "no XML"),
    ],
    ids=lambda value: repr(value[:60]),
)  # fmt: skip
def test_case_35_no_page(body: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        parse_page(body)


@pytest.mark.parametrize("encoding", ["latin-1", "rot13", "utf-7", "utf-16", "nothing"])
def test_the_encoding_is_utf_8_whatever_the_document_says(encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'.encode()
    (found,) = parse_page(declared + listing(contents(Key="ü"))).objects
    assert found.name == "ü"


def test_case_35_nesting_costs_no_memory_and_no_time() -> None:
    started = time.process_time()
    with pytest.raises(ProtocolError):
        parse_page(b"<ListBucketResult>" + b"<a>" * 1_000_000)
    assert time.process_time() - started < 1.0


# Any name, and a second opinion

ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = ANYTHING | st.text(
    "\0\x01\t\n\r\x1b\x1f\x7f\x85\u2028\ufffe\uffff +%&<>'\"/*;#x2F", max_size=20
)
# What stands for what is no XML cannot be told from it.
TOKENS = NAMES.filter(
    lambda text: not any(letter >= "\U0010ff00" or letter == "\0" for letter in text)
).filter(bool)


def by_reference(text: str) -> str:
    """Text as Ceph writes it: what is no XML either way."""
    return "".join(
        f"&#x{ord(letter):02x};" if letter < " " or letter in "\ufffe\uffff" else letter
        for letter in escape(text)
    )


@cache
def botocore_parser() -> tuple[Any, Any]:
    model = botocore.session.Session().get_service_model("s3")
    return create_parser(model.protocol), model.operation_model("ListObjectsV2").output_shape


def second_opinion(body: bytes) -> Page:
    """The page as botocore reads it."""
    parser, shape = botocore_parser()
    found = parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)
    decode_list_object_v2(found, {"encoding_type_auto_set": True})
    return Page(
        [
            RemoteObject(
                entry["Key"], entry["Size"], entry["ETag"], entry["LastModified"].timestamp()
            )
            for entry in found.get("Contents", ())
        ],
        [entry["Prefix"] for entry in found.get("CommonPrefixes", ())],
        found["NextContinuationToken"],
    )


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=2), TOKENS, st.booleans())
def test_any_name_comes_through(
    names: list[str], prefixes: list[str], token: str, like_ceph: bool
) -> None:
    def encode(name: str) -> str:
        return escape(quote(name, safe="*'") if like_ceph else quote_plus(name, safe="/*"))

    echoed, shown = (by_reference(token),) * 2 if like_ceph else (encode(token), "dG9rZW4=")
    body = listing(
        f"<EncodingType>url</EncodingType><Prefix>{echoed}</Prefix>"
        f"<NextContinuationToken>{shown}</NextContinuationToken>"
        + "".join(contents(Key=encode(name)) for name in names)
        + "".join(f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>"
                  for name in prefixes),
        truncated="true",
    )  # fmt: skip
    page = parse_page(body)
    assert [found.name for found in page.objects] == names
    assert page.prefixes == prefixes
    assert page.next_token == (token if like_ceph else "dG9rZW4=")
    if not like_ceph:
        assert page == second_opinion(body)


@given(st.data())
def test_only_protocol_errors_come_out_of_a_damaged_page(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([AWS, CEPH, MINISTACK])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body) - 1))
        size = data.draw(st.integers(0, 8))
        body[start : start + size] = data.draw(st.binary(max_size=8))
    try:
        page = parse_page(bytes(body))
    except ProtocolError:
        return
    assert all(isinstance(found, RemoteObject) for found in page.objects)


# The plain row

PLAIN_TEXT = st.text("ab/%+2F=\u00e9\U0001f6a2\"'&;<>\r\n\t\x01 ", max_size=6)
ODD = st.sampled_from(
    ["", " ", "<!-- x -->", "<Owner><ID>1</ID><DisplayName>n</DisplayName></Owner>", "<X/>",
     "<Type>Normal</Type>", "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>", "&amp;"]
)  # fmt: skip


@st.composite
def plain_pages(draw: st.DrawFn) -> str:
    """Listings that are plain, or nearly so."""
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        key, etag = draw(PLAIN_TEXT), draw(st.sampled_from(["&quot;e&quot;", "e", "&#34;e", ""]))
        size, before, after = (
            draw(st.sampled_from(["0", "12", "x", "9" * 19])),
            draw(ODD),
            draw(ODD),
        )
        rows.append(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-24T13:05:33Z</LastModified>"
            f"<ETag>{etag}</ETag>{before}<Size>{size}</Size>"
            f"<StorageClass>STANDARD</StorageClass>{after}</Contents>{draw(ODD)}"
        )
    inner = "".join(rows)
    around = draw(st.sampled_from(["{}", "<Odd>{}</Odd>", "<!-- {} -->", "<![CDATA[{}]]>"]))
    coding = draw(st.sampled_from(["", "<EncodingType>url</EncodingType>"]))
    rest = f"{coding}<IsTruncated>false</IsTruncated>{around.replace('{}', inner)}"
    return f"<ListBucketResult>{rest}</ListBucketResult>"


@settings(max_examples=400)
@given(plain_pages())
def test_a_plain_row_says_what_expat_says(document: str) -> None:
    plain = _plain_page(document.encode())
    if plain is not None:
        assert plain == _page(*_read(document.encode()))


CHECKSUM = (
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
)


def test_rows_of_aws_and_ceph_are_plain() -> None:
    rows = "".join(
        f"<Contents><Key>a{number}</Key><LastModified>2026-11-24T13:05:33.750Z</LastModified>"
        f"<ETag>&quot;e&quot;</ETag>{checksum}<Size>1</Size><StorageClass>STANDARD</StorageClass>"
        f"{owner}</Contents>"
        for number, (checksum, owner) in enumerate(
            [
                (CHECKSUM, ""),
                ("", "<Owner><ID>x</ID><DisplayName>y</DisplayName></Owner><Type>Normal</Type>"),
            ]
        )
    )  # fmt: skip
    document = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    plain = _plain_page(document.encode())
    assert plain is not None
    assert [found.name for found in plain.objects] == ["a0", "a1"]
    assert plain.objects[0].etag == '"e"'
