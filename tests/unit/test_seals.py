"""What a rekey makes of each object, and where it looks first."""

from __future__ import annotations

import pytest

from sealift.encryption import KMS, S3, ServerSide
from sealift.rekey.seals import (
    ANY_KEY,
    KINDS,
    From,
    RekeyOptions,
    Seal,
    Verdict,
    decide,
    first_guess,
    is_proof,
    not_taken,
)

OLD, NEW, THIRD = Seal("01d"), Seal("2e3"), Seal("314")
NONE, SSE_S3 = Seal(), Seal("", ServerSide(S3))
KMS_X, KMS_Y, KMS_ANY = (Seal("", ServerSide(KMS, one)) for one in ("x", "y", None))
ALL = [OLD, NEW, THIRD, NONE, SSE_S3, KMS_X, KMS_Y]
ANY = From(None, KINDS)


@pytest.mark.parametrize(
    ("target", "same"),
    [
        (NEW, [NEW]),
        (NONE, [NONE, SSE_S3]),  # AWS encrypts by SSE-S3 whatever asks for nothing
        (SSE_S3, [SSE_S3]),
        (KMS_X, [KMS_X]),
        (KMS_ANY, [KMS_X, KMS_Y]),
    ],
)
def test_what_is_as_wanted_is_the_same_whatever_is_taken(target: Seal, same: list[Seal]) -> None:
    for source in (ANY, ANY_KEY, From("01d")):
        options = RekeyOptions(target, source)
        assert [seal for seal in ALL if decide(seal, options) is Verdict.SAME] == same


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        (ANY_KEY, [OLD, THIRD]),
        (ANY, [OLD, THIRD, NONE, SSE_S3, KMS_X, KMS_Y]),
        (From("01d"), [OLD]),
        (From("", frozenset({"none"})), [NONE]),
        (From("", frozenset({"s3"})), [SSE_S3]),
        (From("", frozenset({"kms"})), [KMS_X, KMS_Y]),
    ],
)
def test_what_is_taken_is_moved_and_the_rest_is_left(source: From, taken: list[Seal]) -> None:
    verdicts = {seal: decide(seal, RekeyOptions(NEW, source)) for seal in ALL}
    assert verdicts.pop(NEW) is Verdict.SAME
    assert [seal for seal, found in verdicts.items() if found is Verdict.MOVE] == taken
    assert set(verdicts.values()) <= {Verdict.MOVE, Verdict.OTHER}


@pytest.mark.parametrize(
    ("seal", "text", "option"),
    [
        (OLD, "the customer key 01d", "--from-key 01d"),
        (NONE, "no encryption", "--from-key none"),
        (SSE_S3, "SSE s3", "--from-key s3"),
        (KMS_X, "SSE kms:x", "--from-key kms,"),
    ],
)
def test_what_is_left_is_told_with_the_option_that_takes_it(
    seal: Seal, text: str, option: str
) -> None:
    error = not_taken(seal)
    assert text in error.message
    assert option in error.hint


def test_the_catalogue_proves_customer_keys_only() -> None:
    assert is_proof(NEW, "2e3")
    assert not is_proof(NEW, "01d")
    assert not is_proof(NEW, None)
    assert not is_proof(NONE, "")


def test_the_first_guess_is_the_likeliest_that_is_at_hand() -> None:
    keys = ["01d", "2e3"]
    assert first_guess("01d", "2e3", ANY_KEY, keys) == "01d"
    assert first_guess("gone", "2e3", From("01d"), keys) == "2e3"
    assert first_guess(None, None, From("01d"), keys) == "01d"
    assert first_guess("", "2e3", ANY_KEY, keys) == ""
    assert first_guess("gone", None, ANY_KEY, keys) is None
