"""The catalogue is a sorted dictionary, whatever the names."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.catalogue import Catalogue
from sealift.model import Known

SCOPES = ("https://one/bucket", "https://other/bucket")
# Few letters, so that names share prefixes; among them the first and last of each length in UTF-8.
NAMES = st.text(
    st.sampled_from("a/%_b\0\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"), max_size=6
)
ROWS = st.builds(
    Known,
    NAMES.filter(bool),
    st.integers(0, 50 * 2**40),
    st.text("0123456789abcdef-", max_size=40),
    st.none() | st.text(max_size=20).filter(lambda text: "\0" not in text),
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.just("0123456789abcdef"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(SCOPES),
        st.lists(ROWS, max_size=5) | st.lists(NAMES, max_size=3).map(tuple) | NAMES,
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(STEPS, NAMES, NAMES, st.integers(1, 8))
def test_the_catalogue_is_a_sorted_dictionary(
    steps: list[tuple[str, list[Known] | tuple[str, ...] | str]],
    prefix: str,
    after: str,
    limit: int,
) -> None:
    model: dict[str, dict[str, Known]] = {scope: {} for scope in SCOPES}
    with tempfile.TemporaryDirectory() as directory:
        catalogue = Catalogue(str(Path(directory, "x")))
        for scope, step in steps:
            rows = model[scope]
            if isinstance(step, list):
                catalogue.record(scope, step)
                rows |= {row.name: row for row in step}
            elif isinstance(step, tuple):
                catalogue.forget(scope, step)
                for name in step:
                    rows.pop(name, None)
            else:
                catalogue.forget_prefix(scope, step)
                for name in [name for name in rows if name.startswith(step)]:
                    del rows[name]
        for scope, rows in model.items():
            expected = sorted(
                (
                    row
                    for name, row in rows.items()
                    if name.startswith(prefix) and name.encode() > after.encode()
                ),
                key=lambda row: row.name.encode(),
            )
            assert catalogue.known(scope, prefix, after, limit) == expected[:limit]
        catalogue.close()
