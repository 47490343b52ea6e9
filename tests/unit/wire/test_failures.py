"""A refusal is told in the server's words, but for the customer keys in them."""

from __future__ import annotations

import base64

import pytest
from tests.kit import OTHER_KEY, SECRET, assert_secret

from sealift.keys import CustomerKey
from sealift.wire.failures import error_of
from sealift.wire.http1 import Head
from sealift.wire.receiving import Reply

TEXT = base64.b64encode(SECRET).decode()
KEY = CustomerKey(SECRET)


def reply(message: str, **headers: str) -> Reply:
    body = f"<Error><Code>InvalidArgument</Code><Message>{message}</Message></Error>".encode()
    fields = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Reply(Head(1, 400, "Bad Request", fields), len(body), body)


@pytest.mark.parametrize("sent", [KEY.headers(), KEY.copy_source_headers()])
def test_a_key_that_is_said_back_is_not_told(sent: tuple[tuple[str, str], ...]) -> None:
    for said in (TEXT, f"..{TEXT[3:20]}..", SECRET.hex()):
        refusal = reply(f"not {said}", x_amz_request_id=said, date="now", location=said)
        error = error_of("PutObject", refusal, dict(sent))
        assert_secret(str(error) + repr(vars(error)))
        assert "InvalidArgument: (not shown: the server says the customer key)" in str(error)
        assert error.date == "now"


def test_other_words_are_told() -> None:
    other = base64.b64encode(OTHER_KEY).decode()
    for sent in (dict(KEY.headers()), {}):
        error = error_of("PutObject", reply(f"not {other}", x_amz_request_id="R7"), sent)
        assert f"InvalidArgument: not {other}" in str(error)
        assert "R7" in str(error)
