"""The relay and its storms are what the soak believes, so they are tested themselves.

Behind the relay is the fault server, which tells what has arrived there.
"""

from __future__ import annotations

import http.client
import random
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
from tests.faults import (
    ApplyThenReset,
    Chunked,
    ConnectionClose,
    CutReply,
    FaultServer,
    FlipObject,
    Http10,
    Informational,
    KeepAliveClose,
    Match,
    Relay,
    Request,
    ResetBeforeAct,
    ResetRequest,
    Skewed,
    Storm,
)
from tests.faults.messages import split_target
from tests.faults.scripts import Stall
from tests.faults.storm import _KINDS
from tests.kit import Certificate

BODY = bytes(range(256)) * 800
GET = Match(operation="GetObject")
PUT = Match(operation="PutObject")
COUNT = 300
BROKEN = (ConnectionError, ssl.SSLError)


class Behind:
    """An endpoint as the relay wants it."""

    def __init__(self, server: FaultServer, certificate: Certificate) -> None:
        self.endpoint_url = server.endpoint_url
        self.ca_file = certificate.ca_file


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(certificate: Certificate) -> Iterator[FaultServer]:
    with FaultServer(certificate) as running:
        running.store("x", BODY)
        yield running


@pytest.fixture
def relay(server: FaultServer, certificate: Certificate) -> Iterator[Relay]:
    with Relay(certificate, Behind(server, certificate)) as running:
        yield running


@pytest.fixture
def connection(relay: Relay, certificate: Certificate) -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(cafile=certificate.ca_file)
    opened = http.client.HTTPSConnection("127.0.0.1", relay.port, timeout=10, context=context)
    yield opened
    opened.close()


def ask(
    connection: http.client.HTTPSConnection,
    method: str,
    name: str,
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    connection.request(method, f"/bucket/{name}", body, headers)
    reply = connection.getresponse()
    return reply.status, {key.lower(): value for key, value in reply.headers.items()}, reply.read()


def test_all_passes_as_it_came(
    relay: Relay, server: FaultServer, connection: http.client.HTTPSConnection
) -> None:
    target = "a%2Bb//../%C3%BC?x-id=PutObject"
    assert ask(connection, "PUT", target, b"content", **{"x-amz-meta-a": "b  c"})[0] == 200
    assert ask(connection, "GET", "x")[2] == BODY
    head = ask(connection, "HEAD", "x")
    assert (head[1]["content-length"], head[2]) == (str(len(BODY)), b"")
    assert ask(connection, "DELETE", "x")[0] == 204
    assert ask(connection, "GET", "x")[0] == 404

    (put,) = server.seen("PutObject")
    assert put.target == f"/bucket/{target}"
    assert put.headers["host"] == f"127.0.0.1:{relay.port}"
    assert put.headers["x-amz-meta-a"] == "b  c"
    assert server.connections == 1
    assert relay.request_count == 5


@pytest.mark.parametrize(
    "fault", [Chunked(), ConnectionClose(), Http10(), Informational(), KeepAliveClose()], ids=str
)
def test_any_reply_of_the_server_is_read(
    server: FaultServer, connection: http.client.HTTPSConnection, fault: Chunked
) -> None:
    server.script(GET, fault)
    for _ in range(2):
        assert ask(connection, "GET", "x")[2] == BODY


def test_what_is_reset_before_does_not_arrive_and_what_is_lost_does(
    relay: Relay, server: FaultServer, connection: http.client.HTTPSConnection
) -> None:
    relay.script(PUT, ResetBeforeAct(), ApplyThenReset())
    for arrived in (False, True):
        with pytest.raises(BROKEN):
            ask(connection, "PUT", "new", b"content")
        connection.close()
        assert (("bucket", "new") in server.objects) == arrived
    assert relay.injected == {"ResetBeforeAct": 1, "ApplyThenReset": 1}


def test_a_request_that_breaks_off_arrives_broken_off(
    relay: Relay, server: FaultServer, connection: http.client.HTTPSConnection
) -> None:
    relay.script(PUT, ResetRequest(70_000))
    with pytest.raises(BROKEN):
        ask(connection, "PUT", "new", BODY)
    deadline = time.monotonic() + 5
    while not server.seen("PutObject"):
        assert time.monotonic() < deadline, "it did not arrive"
        time.sleep(0.01)
    (put,) = server.seen("PutObject")
    assert put.body == BODY[: len(put.body)]
    assert len(put.body) <= 70_000
    assert ("bucket", "new") not in server.objects


@pytest.mark.parametrize("clean", [False, True])
def test_a_reply_is_cut(relay: Relay, connection: http.client.HTTPSConnection, clean: bool) -> None:
    relay.script(GET, CutReply(0.5, clean=clean))
    # A reader sees the half before a reset, or only the reset.
    with pytest.raises((http.client.IncompleteRead, *([] if clean else BROKEN))) as caught:
        ask(connection, "GET", "x")
    if isinstance(caught.value, http.client.IncompleteRead):
        assert caught.value.partial == BODY[: len(BODY) // 2]


def test_one_byte_of_an_object_is_flipped_but_none_of_an_error(
    relay: Relay, connection: http.client.HTTPSConnection
) -> None:
    relay.script(GET, FlipObject(0.25), FlipObject())
    received = ask(connection, "GET", "x")[2]
    differing = [place for place, byte in enumerate(received) if byte != BODY[place]]
    assert differing == [len(BODY) // 4]
    assert b"NoSuchKey" in ask(connection, "GET", "none")[2]


def test_a_skewed_server_says_what_time_it_has(
    relay: Relay, connection: http.client.HTTPSConnection
) -> None:
    relay.script(GET, Skewed(3600.0))
    status, headers, body = ask(connection, "GET", "x")
    assert status == 403
    assert b"RequestTimeTooSkewed" in body
    ahead = parsedate_to_datetime(headers["date"]).timestamp() - time.time()
    assert ahead == pytest.approx(3600, abs=5)


# Storms


def request(method: str, target: str, **headers: str) -> Request:
    bucket, name, query = split_target(f"/bucket/{target}")
    return Request(method, bucket, name, query, headers, 100)


def requests() -> list[Request]:
    made = [request("PUT", f"put-{index}") for index in range(COUNT)]
    made += [request("GET", f"get-{index}", range="bytes=0-9") for index in range(COUNT)]
    made += [request("POST", f"large-{index}?uploadId=a") for index in range(COUNT)]
    return made


def drawn(storm: Storm, asked: list[Request]) -> dict[str, str]:
    met = {asking.name: storm.draw(asking) for asking in asked}
    return {name: str(one) for name, one in met.items() if one is not None}


def test_a_storm_depends_on_its_seed_and_not_on_the_order() -> None:
    asked = requests()
    first = drawn(Storm(7, 0.1, stall=1.0), asked)
    random.Random(1).shuffle(asked)
    assert drawn(Storm(7, 0.1, stall=1.0), asked) == first
    assert drawn(Storm(8, 0.1, stall=1.0), asked) != first
    assert len(first) == pytest.approx(90, abs=30)


def test_a_storm_has_all_kinds_and_none_twice_for_one_request() -> None:
    storm = Storm(7, 1.0, stall=1.0)
    for asking in (requests()[0], requests()[-1], requests()[COUNT]):
        met: Counter[str] = Counter()
        while (one := storm.draw(asking)) is not None:
            met[one.kind] += 1
        able = {kind for kind, rule in _KINDS.items() if rule.can_meet(asking)}
        assert met == dict.fromkeys(able, 1)
    storm.begin()
    assert storm.draw(asking) is not None
    storm = Storm(9, 1.0, stall=1.0)
    every = {one.kind for asking in requests() if (one := storm.draw(asking))}
    assert every == _KINDS.keys()


def test_stalls_are_about_as_long_as_the_patience() -> None:
    storm = Storm(7, 1.0, stall=2.0)
    faults = [one.fault for asking in requests() if (one := storm.draw(asking))]
    spans = [fault.seconds for fault in faults if isinstance(fault, Stall)]
    assert min(spans) < 2.0 < max(spans)
    assert all(1.0 <= span <= 3.0 for span in spans)


def test_missing_echoes_have_a_rate_of_their_own_and_are_noted(
    relay: Relay, server: FaultServer, connection: http.client.HTTPSConnection
) -> None:
    storm = relay.storm = Storm(7, 0.0, stall=1.0, unsealed_rate=1.0)
    assert ask(connection, "PUT", "y", b"content")[0] == 200
    assert ask(connection, "GET", "none")[0] == 404
    assert ask(connection, "DELETE", "x")[0] == 204

    assert storm.unsealed == {"y": {"PutObject"}}
    assert relay.injected == {"no echo": 2}


def test_a_request_that_was_held_up_does_not_arrive_when_its_client_has_gone(
    relay: Relay, server: FaultServer, connection: http.client.HTTPSConnection
) -> None:
    relay.script(Match(operation="DeleteObject"), Stall("request", 0, 0.3))
    connection.request("DELETE", "/bucket/x")
    while not relay.injected:
        time.sleep(0.01)
    connection.close()
    time.sleep(0.5)
    assert ("bucket", "x") in server.objects
