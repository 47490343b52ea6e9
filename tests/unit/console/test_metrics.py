from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from sealift.console.metrics import FIRST_LINE, Ended, last_success, render
from sealift.events import Finished, Removed, Skipped, Tally, Unchanged, Verifying
from sealift.model import Direction, Job, Location

HOSTILE = 'a "b"\\n\\ c\nd ü }'
LABELS = {"command": "sync", "source": HOSTILE, "destination": "s3://b/p"}


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        yield from family.samples


def make_run(tally: Tally, labels: dict[str, str] = LABELS, succeeded: float = 7.5) -> Ended:
    return Ended("1.2.3", labels, 1000.0, 1002.5, 2.5, 1, succeeded, tally)


def tally_of(*more: object) -> Tally:
    tally = Tally()
    job = Job(Direction.UP, Location("b", "n"), "n", 2**60 + 1)
    for event in (*more, Finished(job, True), Skipped("x", "link"), Unchanged(3, 30), Removed("y")):
        tally.emit(event)  # type: ignore[arg-type]
    return tally


def test_the_official_parser_reads_what_was_meant() -> None:
    found = {}
    for name, labels, value, *_ in samples(render(make_run(tally_of()))):
        assert {key: labels[key] for key in LABELS} == LABELS
        extra = {key: text for key, text in labels.items() if key not in LABELS}
        found[name, *extra.values()] = value
    assert found == {
        ("sealift_run_info", "1.2.3"): 1,
        ("sealift_run_objects", "moved"): 1,
        ("sealift_run_objects", "unchanged"): 3,
        ("sealift_run_objects", "skipped"): 1,
        ("sealift_run_objects", "removed"): 1,
        ("sealift_run_objects", "failed"): 0,
        ("sealift_run_bytes", "moved"): 2**60 + 1,
        ("sealift_run_bytes", "unchanged"): 30,
        ("sealift_run_retries",): 0,
        ("sealift_run_duration_seconds",): 2.5,
        ("sealift_run_start_timestamp_seconds",): 1000,
        ("sealift_run_end_timestamp_seconds",): 1002.5,
        ("sealift_run_last_success_timestamp_seconds",): 7.5,
        ("sealift_run_exit_code",): 1,
    }


def test_what_is_verified_was_not_moved() -> None:
    states = {
        sample.labels.get("state") for sample in samples(render(make_run(tally_of(Verifying()))))
    }
    assert "verified" in states
    assert "moved" not in states


def test_the_last_success_is_that_of_the_same_run() -> None:
    text = render(make_run(Tally()))
    assert text.startswith(FIRST_LINE)
    assert last_success(text, LABELS) == 7.5
    assert last_success(text, LABELS | {"source": "other"}) == 0
    assert last_success(text.replace("7.500", "x"), LABELS) == 0
    assert last_success("", LABELS) == 0


def test_a_name_that_is_no_utf_8_can_be_written() -> None:
    text = render(make_run(Tally(), {"command": "cp", "source": "\udcff", "destination": ""}))
    assert b"\xef\xbf\xbd" in text.encode()
    assert list(samples(text))
