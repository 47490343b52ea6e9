"""HTTP/1.x reading: every case whole, byte by byte, and with bytes after it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealift.errors import ProtocolError
from sealift.wire import http1
from sealift.wire.http1 import (
    BodyKind,
    ChunkedDecoder,
    Framing,
    Head,
    body_framing,
    head_of_lines,
    keeps_alive,
    parse_head,
    request_head,
)


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


S3_GET = crlf("""HTTP/1.1 206 Partial Content
x-amz-id-2: eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran
x-amz-request-id: 318BC8BC148832E5
Date: Wed, 28 Oct 2026 22:32:00 GMT
Last-Modified: Wed, 12 Oct 2026 17:50:00 GMT
ETag: "fba9dede5f27731c9771645a39863328-2"
x-amz-server-side-encryption-customer-algorithm: AES256
x-amz-server-side-encryption-customer-key-MD5: 7PXuFm0dMHHmWxPUSrcKBw==
Accept-Ranges: bytes
Content-Range: bytes 0-8388607/16777216
Content-Type: application/octet-stream
Content-Length: 8388608
Server: AmazonS3

""")
S3_PUT = crlf("""HTTP/1.1 200 OK
x-amz-id-2: LriYPLdmOdAiIfgSm/F1YsViT1LW94/xUQxMsF7xiEb1a0wiIOIxl+zbwZ163pt7
x-amz-request-id: 0A49CE4060975EAC
Date: Wed, 12 Oct 2026 17:50:00 GMT
ETag: "1b2cf535f27731c974343645a3985328"
x-amz-checksum-crc64nvme: AAAAAAAAAAA=
Server: AmazonS3
Content-Length: 0

""")
S3_ERROR = crlf("""HTTP/1.1 503 Slow Down
x-amz-request-id: 656c76696e6727732072657175657374
Content-Type: application/xml
Transfer-Encoding: chunked
Date: Wed, 12 Oct 2026 17:50:00 GMT
Connection: close
Server: AmazonS3

""")
CEPH_PUT = crlf("""HTTP/1.1 200 OK
Content-Length: 0
ETag: "9a0364b9e99bb480dd25e1f0284c8555"
Accept-Ranges: bytes
x-amz-request-id: tx00000d1f7c2f3ffb9bca8-0066f2a7f3-1086-default
Date: Tue, 24 Sep 2026 11:50:43 GMT
Connection: Keep-Alive

""")
NGINX_413 = crlf("""HTTP/1.1 413 Request Entity Too Large
Server: nginx/1.26.3
Date: Mon, 05 Jan 2026 09:00:00 GMT
Content-Type: text/html
Content-Length: 183
Connection: close

""")

NONE = Framing(BodyKind.NONE)
CHUNKED = Framing(BodyKind.CHUNKED)
UNTIL_CLOSE = Framing(BodyKind.UNTIL_CLOSE)


def length(size: int) -> Framing:
    return Framing(BodyKind.LENGTH, size)


# method, head, status, reason, framing, whether the connection lives on, some headers
HEADS: dict[str, tuple[str, bytes, int, str, Framing, bool, dict[bytes, str]]] = {
    "s3 get": (
        "GET",
        S3_GET,
        206,
        "Partial Content",
        length(8388608),
        True,
        {b"content-range": "bytes 0-8388607/16777216", b"server": "AmazonS3"},
    ),
    "s3 head": ("HEAD", S3_GET, 206, "Partial Content", NONE, True, {}),
    "s3 put": (
        "PUT",
        S3_PUT,
        200,
        "OK",
        length(0),
        True,
        {b"x-amz-request-id": "0A49CE4060975EAC"},
    ),
    "s3 error": ("PUT", S3_ERROR, 503, "Slow Down", CHUNKED, False, {}),
    "ceph put": ("PUT", CEPH_PUT, 200, "OK", length(0), True, {b"connection": "Keep-Alive"}),
    "nginx 413": (
        "PUT",
        NGINX_413,
        413,
        "Request Entity Too Large",
        length(183),
        False,
        {b"content-type": "text/html"},
    ),
    "continue": ("PUT", crlf("HTTP/1.1 100 Continue\n\n"), 100, "Continue", NONE, True, {}),
    "upgrade": ("GET", crlf("HTTP/1.1 101 Switching\n\n"), 101, "Switching", NONE, False, {}),
    "tunnel": (
        "CONNECT",
        crlf("HTTP/1.1 200 Connection established\nContent-Length: 9\n\n"),
        200,
        "Connection established",
        NONE,
        True,
        {},
    ),
    "proxy asks for a password": (
        "CONNECT",
        crlf("HTTP/1.1 407 No\nContent-Length: 9\n\n"),
        407,
        "No",
        length(9),
        True,
        {},
    ),
    "no content": (
        "DELETE",
        crlf("HTTP/1.1 204 No Content\nContent-Length: 0\n\n"),
        204,
        "No Content",
        NONE,
        True,
        {},
    ),
    "not modified": (
        "GET",
        crlf("HTTP/1.1 304 Not Modified\nContent-Length: 12\n\n"),
        304,
        "Not Modified",
        NONE,
        True,
        {},
    ),
    "no reason": ("GET", crlf("HTTP/1.1 200\nContent-Length: 1\n\n"), 200, "", length(1), True, {}),
    "empty reason": (
        "GET",
        crlf("HTTP/1.1 200 \nContent-Length: 1\n\n"),
        200,
        "",
        length(1),
        True,
        {},
    ),
    "no headers": ("GET", crlf("HTTP/1.1 200 OK\n\n"), 200, "OK", UNTIL_CLOSE, False, {}),
    "bare LF": (
        "GET",
        b"HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\n",
        200,
        "OK",
        length(2),
        True,
        {b"a": "b"},
    ),
    "LF and CRLF": (
        "GET",
        b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\n",
        200,
        "OK",
        length(2),
        True,
        {b"a": "b"},
    ),
    "1.0 until close": (
        "GET",
        crlf("HTTP/1.0 200 OK\nConnection: close\n\n"),
        200,
        "OK",
        UNTIL_CLOSE,
        False,
        {},
    ),
    "1.0": ("GET", crlf("HTTP/1.0 200 OK\nContent-Length: 3\n\n"), 200, "OK", length(3), False, {}),
    "1.0 keep-alive": (
        "GET",
        crlf("HTTP/1.0 200 OK\nContent-Length: 3\nConnection: Keep-Alive\n\n"),
        200,
        "OK",
        length(3),
        True,
        {},
    ),
    "1.1 close in a list": (
        "GET",
        crlf("HTTP/1.1 200 OK\nContent-Length: 3\nConnection: foo\nConnection: x ,\tClose\n\n"),
        200,
        "OK",
        length(3),
        False,
        {b"connection": "foo, x ,\tClose"},
    ),
    "close wins": (
        "GET",
        crlf("HTTP/1.0 200 OK\nContent-Length: 3\nConnection: keep-alive, close\n\n"),
        200,
        "OK",
        length(3),
        False,
        {},
    ),
    "same length twice": (
        "GET",
        crlf("HTTP/1.1 200 OK\nContent-Length: 3\nContent-length:3 \n\n"),
        200,
        "OK",
        length(3),
        True,
        {b"content-length": "3"},
    ),
    "same length in a list": (
        "GET",
        crlf("HTTP/1.1 200 OK\nContent-Length: 3, 3\n\n"),
        200,
        "OK",
        length(3),
        True,
        {},
    ),
    "longest length": (
        "GET",
        crlf(f"HTTP/1.1 200 OK\nContent-Length: {2**63 - 1}\n\n"),
        200,
        "OK",
        length(2**63 - 1),
        True,
        {},
    ),
    "chunked, other case": (
        "GET",
        crlf("HTTP/1.1 200 OK\ntransfer-encoding: Chunked\n\n"),
        200,
        "OK",
        CHUNKED,
        True,
        {},
    ),
    "chunked until close": (
        "GET",
        crlf("HTTP/1.1 200 OK\ntransfer-encoding: chunked\nconnection: close\n\n"),
        200,
        "OK",
        CHUNKED,
        False,
        {},
    ),
    "spaces, empty value, latin-1, colons": (
        "GET",
        crlf("HTTP/1.1 200 \xe9t\xe9 \nA:  \t b c\t \nB:\nC:d:e\nF: \xfc\nContent-Length: 0\n\n"),
        200,
        "\xe9t\xe9 ",
        length(0),
        True,
        {b"a": "b c", b"b": "", b"c": "d:e", b"f": "\xfc"},
    ),
}

# What is refused, and the shortest beginning that is refused already.
MALFORMED: dict[str, bytes] = {
    "another protocol": b"S",
    "TLS alert": b"\x15",
    "HTTP/2": b"HTTP/2",
    "HTTP/0.9": b"<",
    "blank line first": b"\r",
    "lower case": b"h",
    "version of two digits": crlf("HTTP/1.10 200 OK\n\n"),
    "no version": crlf("HTTP/1. 200 OK\n\n"),
    "no status": crlf("HTTP/1.1\n\n"),
    "status 099": crlf("HTTP/1.1 099 OK\n\n"),
    "status 600": crlf("HTTP/1.1 600 OK\n\n"),
    "status of four digits": crlf("HTTP/1.1 2000 OK\n\n"),
    "status of two digits": crlf("HTTP/1.1 20 OK\n\n"),
    "signed status": crlf("HTTP/1.1 +20 OK\n\n"),
    "two spaces": crlf("HTTP/1.1  200 OK\n\n"),
    "tab": crlf("HTTP/1.1\t200 OK\n\n"),
    "folded line": crlf("HTTP/1.1 200 OK\nA: b\n c: d\n\n"),
    "folded line, tab": crlf("HTTP/1.1 200 OK\nA: b\n\tc\n\n"),
    "folded first line": crlf("HTTP/1.1 200 OK\n A: b\n\n"),
    "no colon": crlf("HTTP/1.1 200 OK\nA b\n\n"),
    "no name": crlf("HTTP/1.1 200 OK\n: b\n\n"),
    "space before the colon": crlf("HTTP/1.1 200 OK\nContent-Length : 5\n\n"),
    "control in a name": crlf("HTTP/1.1 200 OK\nA\x01: b\n\n"),
    "NUL in a name": crlf("HTTP/1.1 200 OK\nA\x00: b\n\n"),
    "latin-1 in a name": crlf("HTTP/1.1 200 OK\n\xe9: b\n\n"),
    "NUL in a value": crlf("HTTP/1.1 200 OK\nA: b\x00\n\n"),
    "NUL in the reason": crlf("HTTP/1.1 200 O\x00K\n\n"),
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
    "CR CR LF": b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n",
    "bare CR in the status line": b"HTTP/1.1 200 OK\rA: b\r\n\r\n",
    "two lengths": crlf("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\n"),
    "two spellings of a length": crlf("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 05\n\n"),
}

BAD_FRAMING = {
    "negative": "Content-Length: -1",
    "signed": "Content-Length: +1",
    "empty": "Content-Length:",
    "hex": "Content-Length: 0x10",
    "words": "Content-Length: ten",
    "space inside": "Content-Length: 1 0",
    "fraction": "Content-Length: 1.0",
    "underscore": "Content-Length: 1_0",
    "other digits": "Content-Length: \xb2",
    "list": "Content-Length: 5, 6",
    "list of nothing": "Content-Length: ,",
    "too large": f"Content-Length: {2**63}",
    "absurd": "Content-Length: " + "9" * 5000,
    "both": "Content-Length: 5\nTransfer-Encoding: chunked",
    "gzip": "Transfer-Encoding: gzip, chunked",
    "identity": "Transfer-Encoding: identity",
    "chunked twice": "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
    "hidden chunked": "Transfer-Encoding: \x0bchunked",
    "no coding": "Transfer-Encoding:",
}


def parse_bytewise(wire: bytes) -> tuple[Head, int] | None:
    """Feed one byte at a time, passing the hint; stop at the first answer."""
    buffer = bytearray(len(wire))
    for end in range(1, len(wire) + 1):
        buffer[end - 1] = wire[end - 1]
        parsed = parse_head(buffer, end, end - 1)
        if parsed is not None:
            return parsed
    return None


@pytest.mark.parametrize("case", HEADS)
def test_heads(case: str) -> None:
    method, wire, status, reason, framing, lives, some = HEADS[case]
    parsed = parse_head(wire, len(wire))
    assert parsed is not None
    head, body_start = parsed
    assert (head.status, head.reason, body_start) == (status, reason, len(wire))
    assert head.minor == int(wire[7:8])
    assert body_framing(method, head) == framing
    assert keeps_alive(head, framing) is lives
    assert {name: head.get(name) for name in some} == some
    assert head.get(b"absent") is None
    assert parse_bytewise(wire) == parsed
    for rest in (b"x", b"\r\n\r\n", b"\n\n", wire, bytes(http1.MAX_HEAD_SIZE)):
        longer = wire + rest
        assert parse_head(longer, len(longer)) == parsed
        assert parse_head(bytearray(longer), len(longer)) == parsed
        assert parse_head(memoryview(longer), len(longer)) == parsed
    for end in range(len(wire)):
        assert parse_head(wire, end) is None, "must not look beyond end"


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_heads(case: str) -> None:
    wire = MALFORMED[case]
    for form in (wire, wire + b"HTTP/1.1 200 OK\r\n\r\n", memoryview(wire)):
        with pytest.raises(ProtocolError):
            parse_head(form, len(form))
    with pytest.raises(ProtocolError):
        parse_bytewise(wire)
    assert parse_head(wire, len(wire) - 1) is None, "refused no earlier than can be known"


@pytest.mark.parametrize("case", BAD_FRAMING)
def test_bad_framing(case: str) -> None:
    wire = crlf(f"HTTP/1.1 200 OK\n{BAD_FRAMING[case]}\n\n")
    parsed = parse_head(wire, len(wire))
    assert parsed is not None
    with pytest.raises(ProtocolError):
        body_framing("GET", parsed[0])
    assert body_framing("HEAD", parsed[0]) == NONE


def test_chunked_in_http_1_0_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"HTTP/1\.0"):
        body_framing("GET", Head(0, 200, "OK", {b"transfer-encoding": b"chunked"}))


def head_of_size(size: int) -> bytes:
    start = b"HTTP/1.1 200 OK\r\nA: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


def test_head_size_limit() -> None:
    largest = head_of_size(http1.MAX_HEAD_SIZE)
    assert parse_head(largest, len(largest)) is not None
    larger = head_of_size(http1.MAX_HEAD_SIZE + 1)
    with pytest.raises(ProtocolError, match="longer"):
        parse_head(larger, len(larger))
    assert parse_head(larger, http1.MAX_HEAD_SIZE - 1) is None
    with pytest.raises(ProtocolError, match="longer"):
        parse_head(larger, http1.MAX_HEAD_SIZE, http1.MAX_HEAD_SIZE - 1)


def test_header_count_limit() -> None:
    most = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * http1.MAX_HEADER_COUNT
    assert parse_head(most + b"\r\n", len(most) + 2) is not None
    with pytest.raises(ProtocolError, match="more than"):
        parse_head(most + b"A: b\r\n\r\n", len(most) + 8)


def test_no_error_and_no_repr_shows_a_header_value() -> None:
    wire = crlf("HTTP/1.1 200 OK\nA: hush\nB : hush\nhush\n\n")
    with pytest.raises(ProtocolError) as caught:
        parse_head(wire, len(wire))
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(Head(1, 200, "OK", {b"a": b"hush"}))


fragments = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b": ",
        b" ",
        b"\x00",
        b"Content-Length: 5",
        b"content-length: 6",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
    ]
)
garbage = st.binary(max_size=100) | st.lists(fragments | st.binary(max_size=3), max_size=15).map(
    b"".join
)


@given(garbage | garbage.map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
def test_any_bytes_are_parsed_wanting_or_refused(wire: bytes) -> None:
    """Any bytes: a head, a wish for more or ProtocolError; and the same however they arrive."""

    def outcome(parse: object) -> object:
        assert callable(parse)
        try:
            return parse()
        except ProtocolError:
            return ProtocolError

    whole = outcome(lambda: parse_head(wire, len(wire)))
    assert outcome(lambda: parse_bytewise(wire)) == whole
    assert outcome(lambda: parse_head(memoryview(wire), len(wire))) == whole
    if isinstance(whole, tuple):
        head, body_start = whole
        assert 0 < body_start <= len(wire)
        outcome(lambda: keeps_alive(head, body_framing("GET", head)))


header_values = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True), header_values))
def test_request_head_is_one_line_a_header(fields: dict[str, str]) -> None:
    headers = list(fields.items())
    wire = request_head("PUT", "/a?b=c", headers)
    expected = ["PUT /a?b=c HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    assert bytes(wire).decode().split("\r\n") == expected


@pytest.mark.parametrize("hostile", ["\r", "\n", "\r\n", "\0", "\r\nX: y", "\n\r"])
@pytest.mark.parametrize("place", ["method", "target", "name", "value", "last value"])
def test_request_head_refuses_injection(place: str, hostile: str) -> None:
    def text(here: str) -> str:
        return f"a{hostile}b" if here == place else "a"

    headers = [(text("name"), text("value")), ("z", text("last value"))]
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        request_head(text("method"), "/" + text("target"), headers)


@pytest.mark.parametrize("target", ["", "/a b", "/\xe9", "/a HTTP/1.1"])
def test_request_head_refuses_a_raw_target(target: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded"):
        request_head("GET", target, [])


def test_request_head_refuses_lone_surrogates() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        request_head("GET", "/", [("a", "\udce9")])


# the body on the wire, and the payload
CHUNKED_BODIES: dict[str, tuple[bytes, bytes]] = {
    "empty": (b"0\r\n\r\n", b""),
    "one": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two": (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    "CRLF inside": (b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    "hex case": (b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", b"01234567890123456789a"),
    "leading and many zeros": (b"005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "padding": (b"5  \r\nhello\r\n0 \r\n\r\n", b"hello"),
    "extensions": (b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n', b"hello"),
    "padded extension": (b"5 ; a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": (b"1\r\nx\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\nA:\r\n\r\n", b"x"),
    "largest size line": (b"1;" + b"e" * 252 + b"\r\nx\r\n0\r\n\r\n", b"x"),
}

BAD_CHUNKED: dict[str, bytes] = {
    "no size": b"\r\n",
    "not hex": b"g\r\n",
    "negative": b"-1\r\n",
    "prefix": b"0x5\r\n",
    "underscore": b"1_0\r\n",
    "leading space": b" 5\r\n",
    "two words": b"5 5\r\n",
    "bare LF after the size": b"5\n",
    "bare LF in an extension": b"5;a\n",
    "bare CR in an extension": b"5;a\rb\r\n",
    "NUL in an extension": b"5;\x00\r\n",
    "17 digits": b"00000000000000005\r\n",
    "beyond the largest offset": b"8000000000000000\r\n",
    "size line too long": b"1;" + b"e" * 254,
    "data too long": b"1\r\nxy\r",
    "data ends in LF": b"1\r\nx\n",
    "data ends in CR CR": b"1\r\nx\r\r",
    "trailer without a colon": b"0\r\nabc\r\n",
    "trailer with a folded line": b"0\r\na: b\r\n c: d\r\n",
    "trailer with space before the colon": b"0\r\na : b\r\n",
    "trailer with bare LF": b"0\r\na: b\n",
    "trailer with bare CR": b"0\r\na: b\rc\r\n",
    "end with bare LF": b"0\r\n\n",
    "one trailer too long": b"0\r\na: " + b"b" * (http1.MAX_TRAILER_SIZE - 3),
    "trailers too long": b"0\r\n" + b"a: b\r\n" * (http1.MAX_TRAILER_SIZE // 6) + b"a: b",
}


def decode(*splits: bytes) -> tuple[bytes, int, bool]:
    """Payload, bytes consumed, whether the end was seen."""
    decoder = ChunkedDecoder()
    payload, consumed = b"", 0
    for split in splits:
        pieces, count = decoder.feed(memoryview(split))
        assert all(len(piece) for piece in pieces)
        assert count == len(split) or decoder.finished
        payload += b"".join(pieces)
        consumed += count
    return payload, consumed, decoder.finished


def bytewise(wire: bytes) -> list[bytes]:
    return [wire[at : at + 1] for at in range(len(wire))]


@pytest.mark.parametrize("case", CHUNKED_BODIES)
def test_chunked_bodies(case: str) -> None:
    wire, payload = CHUNKED_BODIES[case]
    expected = (payload, len(wire), True)
    assert decode(wire) == expected
    assert decode(*bytewise(wire)) == expected
    for rest in (b"x", b"\r\n", wire, S3_GET):
        assert decode(wire + rest) == expected
        assert decode(*bytewise(wire + rest)) == expected
    assert not decode(wire[:-1])[2]


@pytest.mark.parametrize("case", BAD_CHUNKED)
def test_bad_chunked_bodies(case: str) -> None:
    wire = BAD_CHUNKED[case]
    for splits in ([wire], [wire + b"\r\n0\r\n\r\n"], bytewise(wire)):
        with pytest.raises(ProtocolError, match=r"chunked body|header"):
            decode(*splits)
    assert not decode(wire[:-1])[2], "refused no earlier than can be known"


def test_pieces_are_views_of_what_was_fed() -> None:
    data = bytearray(b"5\r\nhello\r\n")
    pieces, _ = ChunkedDecoder().feed(memoryview(data))
    data[3:8] = b"HELLO"
    assert bytes(pieces[0]) == b"HELLO"


def cut(wire: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(wire) + 1) for at in cuts), len(wire)]
    return [wire[start:end] for start, end in itertools.pairwise(edges)]


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=10),
    rest=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_chunked_round_trip(chunks: list[bytes], rest: bytes, cuts: list[int]) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decode(*cut(body + rest, cuts)) == (b"".join(chunks), len(body), True)


chunk_fragments = st.sampled_from(
    [b"5", b"0", b"1\r\nx\r\n", b"\r\n", b"\n", b";", b"hello", b": "]
)


@given(
    st.binary(max_size=60)
    | st.lists(chunk_fragments | st.binary(max_size=2), max_size=15).map(b"".join)
)
@example(b"0\r\n\r\n0\r\n\r\n")
def test_any_chunked_bytes_are_read_or_refused(wire: bytes) -> None:
    """Any bytes: payload so far or ProtocolError; and the same however they arrive."""
    try:
        whole = decode(wire)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            decode(*bytewise(wire))
    else:
        assert decode(*bytewise(wire)) == whole


# What is kept of one head for the next


def test_no_value_of_one_reply_shows_up_in_another() -> None:
    """More lines than are kept, some of them again and again, names in any case."""
    for number in range(2000):
        etag, same = b"%d" % number, b"%d" % (number % 3)
        raw = b"HTTP/1.1 20%d OK\r\nETag: %s\r\nX-Same: %s\r\nx-same: %s\r\ndate: now\r\n\r\n" % (
            number % 2,
            etag,
            same,
            etag,
        )
        parsed = parse_head(raw, len(raw))
        assert parsed is not None
        head, _ = parsed
        assert head.status == 200 + number % 2
        assert head.headers == {b"etag": etag, b"x-same": same + b", " + etag, b"date": b"now"}
        head.headers[b"etag"] = b"changed by its owner"


@pytest.mark.parametrize("sign", ["\n", "\r", "\0", "\r\n", "\nx: y\n"])
def test_no_line_smuggles_another(sign: str) -> None:
    for lines in (f"a: {sign}b\n", f"a{sign}: b\n", f"a: b{sign}\n"):
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            head_of_lines("GET", "/x", lines, "", 1)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        head_of_lines("GET", f"/x{sign}", "a: b\n", "", 1)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        head_of_lines(f"GET{sign}", "/x", "a: b\n", "", 1)
