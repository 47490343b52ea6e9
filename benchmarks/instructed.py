"""The client whose work is counted: `python -m benchmarks.instructed PHASES KEY_FILE [STEPS_FILE]`.

Under callgrind its instructions are counted; with STEPS_FILE the interpreter's steps, without it.

Engine, console and event loop are built as the command line builds them, except that the number of
requests in flight is fixed. What happens once (imports, connections, threads) happens in phases
that are not counted.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.callgrind import Counting
from benchmarks.steps import Steps
from sealift import recorder
from sealift.cli.running import run_engine
from sealift.console import open_console
from sealift.engine import Engine
from sealift.events import Reporter
from sealift.key_sources.files import read_key_file
from sealift.model import MIN_PART_SIZE
from sealift.options import Options
from sealift.wire import pool

# How many times longer everything takes under callgrind: spans of time are stretched by as much.
_SLOWNESS = 50


@dataclass(frozen=True, slots=True)
class Phase:
    """One copy, counted when it has a label."""

    label: str | None
    source: str
    destination: str
    concurrency: int


def run(
    phases: Sequence[Phase], counting: Counting | Steps, options: Options, reporter: Reporter
) -> None:
    """Run the phases in turn; those of the same concurrency share an engine."""
    options = replace(options, concurrency=phases[0].concurrency)

    async def command(first_engine: Engine) -> None:
        engines = {phases[0].concurrency: first_engine}
        is_on = False
        async with AsyncExitStack() as stack:
            for phase in phases:
                engine = engines.get(phase.concurrency)
                if engine is None:
                    engine = Engine(replace(options, concurrency=phase.concurrency), reporter)
                    engines[phase.concurrency] = await stack.enter_async_context(engine)
                if phase.label is not None and not is_on:
                    counting.start()
                    is_on = True
                counting.zero()
                await engine.copy(phase.source, phase.destination)
                if phase.label is not None:
                    counting.dump(phase.label)

    run_engine(options, reporter, command)


def main() -> None:
    gc.disable()  # as the command does, until run_engine turns collection on
    sys.setswitchinterval(sys.getswitchinterval() * _SLOWNESS)
    pool.IDLE_LIFETIME *= _SLOWNESS
    recorder.INTERVAL *= _SLOWNESS
    phase_file, key_file, *steps_file = sys.argv[1:]
    phases = [Phase(**fields) for fields in json.loads(Path(phase_file).read_text())]
    counting = Steps(Path(steps_file[0])) if steps_file else Counting()
    options = Options(read_key_file(key_file)[0].key, part_size=MIN_PART_SIZE)
    with open_console(quiet=True, json=False, progress=False, heading="", key_id=None) as console:
        run(phases, counting, options, console)
    if console.tally.failed_count:
        sys.exit(1)


if __name__ == "__main__":
    main()
