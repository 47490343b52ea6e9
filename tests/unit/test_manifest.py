"""Files of records: several threads write one."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sealift.manifest import RecordFile

LINE_COUNT = 20_000


def test_records_of_several_threads_neither_mix_nor_get_lost(tmp_path: Path) -> None:
    interval = sys.getswitchinterval()
    path = tmp_path / "report"
    file = RecordFile(str(path))
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda number: file.write({"number": number}), range(LINE_COUNT)))
    finally:
        sys.setswitchinterval(interval)
    file.commit()

    found = [json.loads(line)["number"] for line in path.read_text().splitlines()]
    assert sorted(found) == list(range(LINE_COUNT))
