"""Programs of other projects that a test runs; .ci/run installs every one of them."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str) -> str:
    """Its path; without it the test is skipped, which CI does not allow."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found
