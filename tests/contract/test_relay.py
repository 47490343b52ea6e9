"""Faults between the client and a real server: what comes through is right, or fails by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from tests.contract.site import PART_SIZE, Record, Site, make_tree, noise, read_tree
from tests.faults import (
    ApplyThenReset,
    Complete200Error,
    CutReply,
    Delay,
    Fault,
    FlipObject,
    FlipRequest,
    Match,
    NoEcho,
    Relay,
    ResetBeforeAct,
    ResetRequest,
    Skewed,
    Stall,
    Status,
    WrongRange,
)
from tests.kit import Certificate

from sealift.errors import Cause, NotSealedError
from sealift.retry import Policy
from sealift.wire import pool
from sealift.wire.connection import Deadlines

# Two parts, the last one short.
LARGE = noise(PART_SIZE + 12_345)
# A name that servers write in many ways.
NAME = "lä r+g%2Be"
FILES = {NAME: LARGE, **{f"small-{index}": noise(1000 + index, index) for index in range(8)}}
THROTTLED = Status(503, "SlowDown")
BROKEN = Status(500, "InternalError")
CREATE = Match(operation="CreateMultipartUpload")
COMPLETE = Match(operation="CompleteMultipartUpload")


def part(number: int) -> Match:
    return Match(operation="UploadPart", part=number)


def put(index: int) -> Match:
    return Match(operation="PutObject", name=f"small-{index}")


def get(index: int) -> Match:
    return Match(operation="GetObject", name=f"small-{index}")


def ranged(end: int) -> Match:
    """The range of the large object that ends before `end`, also the rest of it after a break."""
    return Match(
        operation="GetObject",
        where=lambda asked: asked.headers.get("range", "").endswith(f"-{end - 1}"),
    )


# One request meets the faults of its line one after the other.
UP: Mapping[Match, Sequence[Fault]] = {
    put(0): (ResetBeforeAct(), ApplyThenReset()),
    put(1): (ResetRequest(500), THROTTLED),
    put(2): (FlipRequest(500), BROKEN),
    put(3): (Skewed(60.0), Delay(0.1)),
    CREATE: (ResetBeforeAct(), BROKEN, ApplyThenReset()),
    part(1): (ResetRequest(PART_SIZE // 2), FlipRequest(PART_SIZE - 1), ApplyThenReset()),
    part(2): (ResetBeforeAct(), THROTTLED, BROKEN, Skewed(30.0), Delay(0.1)),
    COMPLETE: (ResetBeforeAct(), THROTTLED, BROKEN, Complete200Error()),
}
DOWN: Mapping[Match, Sequence[Fault]] = {
    Match(operation="ListObjectsV2"): (ApplyThenReset(), BROKEN, THROTTLED),
    Match(operation="HeadObject"): (ResetBeforeAct(), Status(500), Status(503), Skewed(30.0)),
    get(0): (ResetBeforeAct(), ApplyThenReset()),
    get(1): (CutReply(), THROTTLED),
    get(2): (CutReply(0.1, clean=True), BROKEN),
    get(3): (FlipObject(), FlipObject(0.9)),
    get(4): (Skewed(60.0), Delay(0.1)),
    ranged(PART_SIZE): (CutReply(0.9), CutReply(0.1, clean=True), WrongRange(), THROTTLED),
    ranged(len(LARGE)): (ResetBeforeAct(), BROKEN, Skewed(30.0), FlipObject()),
}
STALLS_UP: Mapping[Match, Sequence[Fault]] = {
    CREATE: (Stall("before_head"),),
    part(2): (Stall("request", 6000),),
    COMPLETE: (Stall("before_head"),),
}
STALLS_DOWN: Mapping[Match, Sequence[Fault]] = {ranged(PART_SIZE): (Stall("reply", 5000),)}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("relay-tls"))


class Behind:
    """The server of a site, reached through a relay; the site's boto3 goes straight to it."""

    def __init__(self, site: Site, relay: Relay, certificate: Certificate) -> None:
        self.site = site
        self.relay = relay
        self.tree = make_tree(site.work / "tree", FILES)
        self.back = site.work / "back"
        self._settings = {
            "endpoint_url": relay.endpoint_url,
            "ca_bundle": str(certificate.ca_file),
            "policy": Policy(budget=60.0, longest_wait=0.05),
        }

    def up(self, **changes: object) -> Record:
        return self.site.copy(f"{self.tree}/", self.site.uri(), **self._settings, **changes)

    def down(self, **changes: object) -> Record:
        return self.site.restore("", self.back, **self._settings, **changes)

    def fill(self) -> None:
        """Have all objects there, by a way without faults."""
        assert not self.site.copy(f"{self.tree}/", self.site.uri()).failed

    def meet(self, cases: Mapping[Match, Sequence[Fault]]) -> int:
        """Script faults; how many they are."""
        for match, faults in cases.items():
            self.relay.script(match, *faults)
        return sum(map(len, cases.values()))

    def assert_up(self, record: Record) -> None:
        """All is there and nothing else: no object failed, and no upload is left."""
        assert not record.failed
        assert self.site.names() == sorted(FILES)
        assert {name: self.site.boto_get(name) for name in FILES} == FILES
        assert self.site.uploads() == []

    def assert_down(self, record: Record) -> None:
        assert not record.failed
        assert read_tree(self.back) == FILES


@pytest.fixture
def behind(site: Site, certificate: Certificate) -> Iterator[Behind]:
    with Relay(certificate, site.server) as relay:
        yield Behind(site, relay, certificate)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Deadlines:
    """A watchdog that a busy machine rarely wakes; the default is 30 s."""
    monkeypatch.setattr(pool, "CHECK_INTERVAL", 0.05)
    return Deadlines(progress=1.5)


def test_the_relay_itself_changes_nothing(behind: Behind) -> None:
    """Signatures hold, and nothing is sent twice."""
    up = behind.up()
    down = behind.down()

    behind.assert_up(up)
    behind.assert_down(down)
    assert up.retried == down.retried == []
    assert behind.relay.injected == {}
    passed = behind.relay.passed
    assert (passed["PutObject"], passed["UploadPart"], passed["GetObject"]) == (8, 2, 10)


def test_all_faults_going_up(behind: Behind) -> None:
    count = behind.meet(UP)

    record = behind.up()

    behind.assert_up(record)
    assert behind.relay.injected.total() == count
    # A flipped byte was refused: by its CRC64NVME, or, by Ceph, which ignores that, by its MD5.
    refused = [retried.name for retried in record.retried if is_refused(retried.error)]
    assert sorted(refused) == sorted([NAME, "small-2"])


def is_refused(error: object) -> bool:
    return getattr(error, "cause", None) is Cause.BAD_DIGEST


def test_all_faults_coming_down(behind: Behind) -> None:
    behind.fill()
    count = behind.meet(DOWN)

    record = behind.down()

    assert behind.relay.injected.total() == count
    behind.assert_down(record)


def test_stalls_both_ways(behind: Behind, impatient: Deadlines) -> None:
    behind.meet(STALLS_UP)
    behind.assert_up(behind.up(deadlines=impatient))
    behind.meet(STALLS_DOWN)
    behind.assert_down(behind.down(deadlines=impatient))

    assert behind.relay.injected == {"Stall": 4}


@pytest.mark.parametrize("fault", [ApplyThenReset(), Complete200Error(applied=True)], ids=str)
def test_lost_reply_to_complete_is_settled_without_sending_again(
    behind: Behind, fault: Fault
) -> None:
    behind.relay.script(COMPLETE, fault)

    behind.assert_up(behind.up())

    assert behind.relay.injected.total() == 1
    assert len(behind.relay.seen("UploadPart")) == 2


@pytest.mark.parametrize("fault", [ApplyThenReset(), CutReply()], ids=str)
def test_lost_reply_to_create_leaves_no_upload(behind: Behind, fault: Fault) -> None:
    others = behind.site.boto.create_multipart_upload(Bucket=behind.site.bucket, Key=f"{NAME}-2")
    behind.relay.script(CREATE, fault)

    record = behind.up()

    (left,) = behind.site.uploads()
    assert left["UploadId"] == others["UploadId"]
    assert not record.failed
    assert behind.site.boto_get(NAME) == LARGE
    assert behind.relay.injected.total() == 1


def test_missing_echo_going_up_fails_the_object_and_removes_it(behind: Behind) -> None:
    behind.meet({put(0): (NoEcho(),), part(2): (NoEcho(),)})

    record = behind.up()

    assert {name: type(error) for name, error in record.failed.items()} == {
        "small-0": NotSealedError,
        NAME: NotSealedError,
    }
    assert behind.site.names() == sorted(FILES.keys() - record.failed.keys())
    assert behind.site.uploads() == []


def test_missing_echo_coming_down_fails_the_object_and_leaves_no_file(behind: Behind) -> None:
    behind.fill()
    behind.meet({get(0): (NoEcho(),), ranged(PART_SIZE): (NoEcho(),)})

    record = behind.down()

    assert {name: type(error) for name, error in record.failed.items()} == {
        "small-0": NotSealedError,
        NAME: NotSealedError,
    }
    kept = {name: content for name, content in FILES.items() if name not in record.failed}
    assert read_tree(behind.back) == kept
