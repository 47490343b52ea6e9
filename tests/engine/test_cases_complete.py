"""The cases of a client to be trusted that are about Complete; each test bears its number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults import ApplyThenReset, Complete200Empty, Complete200Error, Fault, Match, Status
from tests.faults.plan import Plan
from tests.kit import KEY

from sealift.errors import ObjectError

from .conftest import LARGE, PART_SIZE, Site, assert_one_object, count, creates

pytestmark = pytest.mark.anyio
both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])

# Two parts.
BODY = LARGE[: PART_SIZE + 12_000]
COMPLETE = Match(operation="CompleteMultipartUpload")
COMPLETES = replace(COMPLETE, times=None)
IN_PROGRESS = Status(500, "InternalError", "This multipart completion is already in progress")


class Applied:
    """The act is done, whatever the reply says."""

    def shape(self, plan: Plan) -> None:
        plan.act = True


@both_dialects
@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
async def test_case_08_an_error_under_200_to_complete_is_tried_again(site: Site, code: str) -> None:
    site.server.script(COMPLETE, Complete200Error(code))
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart") == (2, 2)


@both_dialects
async def test_case_08_an_error_under_200_after_the_fact_is_no_error(site: Site) -> None:
    site.server.script(COMPLETES, Complete200Error(applied=True))
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart", "HeadObject") == (1, 2, 1)


NO_RESULTS = {
    "empty": Complete200Empty(),
    "a page": Status(200, body=b"<html>ok</html>"),
    "a copy": Status(200, body=b'<CopyObjectResult><ETag>"0"</ETag></CopyObjectResult>'),
    "cut": Status(200, body=b"<CompleteMultipartUploadResult><ETag>"),
}
no_results = pytest.mark.parametrize("fault", NO_RESULTS.values(), ids=NO_RESULTS)


@both_dialects
@no_results
async def test_case_09_a_200_without_a_result_is_no_success(site: Site, fault: Fault) -> None:
    """HEAD finds no object, so Complete is sent once more."""
    site.server.script(COMPLETE, fault)
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart") == (2, 2)


@both_dialects
@no_results
async def test_case_09_what_head_finds_decides(site: Site, fault: Fault) -> None:
    site.server.script(COMPLETES, (fault, Applied()))
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart", "HeadObject") == (1, 2, 1)


@both_dialects
async def test_case_10_a_lost_reply_is_settled_by_the_mark(site: Site) -> None:
    """The connection had been used before, so that Complete is sent again at once.

    AWS then says NoSuchUpload, Ceph repeats the success without an echo: HEAD tells either way.
    """
    site.server.script(COMPLETE, ApplyThenReset())
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart", "HeadObject") == (2, 2, 1)


@both_dialects
async def test_case_10_a_lost_reply_then_no_such_upload(site: Site) -> None:
    """HEAD fails just then as well, so only the second Complete tells."""
    site.server.script(COMPLETE, ApplyThenReset())
    site.server.script(Match(operation="HeadObject"), Status(503), Status(503))
    if site.server.s3.dialect == "ceph":
        site.server.script(COMPLETE, Status(404, "NoSuchUpload"))
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart", "HeadObject") == (2, 2, 3)


@both_dialects
@pytest.mark.parametrize(
    ("fault", "completes", "uploads", "is_asked"),
    [
        (IN_PROGRESS, 8, 1, True),
        (Complete200Error(), 8, 1, True),
        (Complete200Empty(), 3, 1, True),
        (Status(400, "MalformedXML"), 1, 1, False),
        (Status(404, "NoSuchUpload"), 1, 2, True),  # the whole is sent once more
    ],
    ids=["in progress", "error under 200", "empty", "refused", "gone"],
)
async def test_case_11_a_complete_that_never_works_is_bounded(
    site: Site, fault: Fault, completes: int, uploads: int, is_asked: bool
) -> None:
    """HEAD shows another's object, ListParts that the upload is still there: it failed."""
    anothers = bytes(len(BODY))  # sealed and of the same size: only the mark tells
    site.server.store("x", anothers, customer_key=KEY)
    site.server.script(COMPLETES, fault)
    if uploads == 2:
        site.server.script(Match(operation="ListParts", times=None), Status(404, "NoSuchUpload"))
    await site.put("x", BODY)
    assert isinstance(site.record.failed["x"], ObjectError)
    made = completes * uploads
    looked = (made, uploads) if is_asked else (0, 0)
    assert count(site, "CompleteMultipartUpload", "HeadObject", "ListParts") == (made, *looked)
    assert creates(site) == uploads
    assert not site.server.uploads
    assert site.body("x") == anothers


@both_dialects
async def test_case_11_an_object_that_is_there_ends_a_complete_that_never_works(site: Site) -> None:
    site.server.script(COMPLETES, (IN_PROGRESS, Applied()))
    await site.put("x", BODY)
    assert_one_object(site, BODY)
    assert count(site, "CompleteMultipartUpload", "UploadPart", "HeadObject") == (1, 2, 1)
