"""The options of `bench`: what is measured, and where the results go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer

    from sealift.bench.cells import Plan
    from sealift.cli.shared import Shared


@dataclass(frozen=True)
class Measuring:
    """Options as typed; None and False mean "not given"."""

    sizes: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Object sizes (default 16KiB,8MiB,256MiB)."),
    ] = None
    concurrencies: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Requests in flight (default 1,4,16,64,128), and what cp finds.",
        ),
    ] = None
    part_sizes: Annotated[
        str | None, typer.Option(metavar="LIST", help="Part sizes (default 8MiB,16MiB).")
    ] = None
    seconds: Annotated[
        float | None, typer.Option(metavar="N", help="How long each cell is measured (default 2).")
    ] = None
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer cells, 0.6 s each: a glance of half a minute.")
    ] = False
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a page with plots; needs sealift[bench]."),
    ] = None
    save: Annotated[
        bool, typer.Option("--save", help="Write the recommended settings to sealift.toml.")
    ] = False
    save_json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write what --json prints to a file.")
    ] = None
    compare: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Show what changed since --save-json wrote FILE."),
    ] = None

    def plan(self, shared: Shared, *, embedded: bool) -> Plan:
        """What is measured; -j and --part-size stand for lists of one. Raises UsageError."""
        from sealift.bench.cells import make_plan

        concurrency = None if shared.concurrency is None else str(shared.concurrency)
        return make_plan(
            self.sizes,
            self.concurrencies or concurrency,
            self.part_sizes or shared.part_size,
            self.seconds,
            quick=self.quick,
            embedded=embedded,
        )
