"""Pages of ListObjectVersions, as servers write them and as they should not."""

from __future__ import annotations

import pytest

from sealift.errors import ProtocolError
from sealift.wire.versions import Version, VersionPage, parse_versions

ROW = (
    "<Version><Key>a%2Fb+c%0A</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>"
    "<Size>5</Size><Owner><ID>o</ID></Owner></Version>"
)
OLD = "<Version><Key>x</Key><IsLatest>false</IsLatest><Size>0</Size></Version>"
MARKER = (
    "<DeleteMarker><Key>d</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest></DeleteMarker>"
)
MORE = "<IsTruncated>true</IsTruncated><NextKeyMarker>a+b</NextKeyMarker>"


def page(*parts: str, end: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    inside = f"{end}<EncodingType>url</EncodingType>{''.join(parts)}"
    return f'<ListVersionsResult xmlns="{xmlns}">{inside}</ListVersionsResult>'.encode()


def test_versions_are_read_and_markers_passed_over() -> None:
    assert parse_versions(page(ROW, MARKER, OLD)) == VersionPage(
        [Version("a/b c\n", "v1", True, 5), Version("x", "null", False, 0)], None
    )


def test_the_next_page_begins_behind_both_markers() -> None:
    end = f"{MORE}<NextVersionIdMarker>v9</NextVersionIdMarker>"
    assert parse_versions(page(ROW, end=end)).following == ("a b", "v9")
    assert parse_versions(page(end=MORE)).following == ("a b", "")


@pytest.mark.parametrize("row", [OLD, MARKER])
def test_a_marker_that_is_the_last_name_is_taken_as_it_is(row: str) -> None:
    """So Ceph 16 writes it, although it encodes all other names."""
    last = row.replace("<Key>d<", "<Key>a%2Bb<").replace("<Key>x<", "<Key>a%2Bb<")
    assert parse_versions(page(last, end=MORE)).following == ("a+b", "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Other/>",
        page(end=""),
        page(end="<IsTruncated>true</IsTruncated>"),
        page(ROW.replace("<Size>5</Size>", "")),
        page(ROW.replace("<Size>5</Size>", "<Size>-5</Size>")),
        page(ROW.replace("<Key>a%2Fb+c%0A</Key>", "")),
        page(ROW.replace("<IsLatest>true</IsLatest>", "")),
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_versions(body)
