"""The options of commands about trees: what takes part, and what goes with it when it moves.

They are the fields of `Chosen` and `Tree`, as those of every command are of `shared.Shared`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

if TYPE_CHECKING:
    import typer

    from sealift.options import TreeOptions


@dataclass(frozen=True)
class Chosen:
    """Options as typed; None and False mean "not given".

    `given` has `include` and `exclude` in the order of the command line, once for each value:
    between them the order decides.
    """

    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Take names that match; the last match decides."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out names that match; * matches / too."),
    ] = None
    links: Annotated[
        Literal["skip", "follow"],
        typer.Option(help="Skip symbolic links, or send what they lead to."),
    ] = "skip"
    markers: Annotated[
        bool, typer.Option("--markers", help="Move empty directories, as objects named DIR/.")
    ] = False
    given: Sequence[str] = ()

    def options(self) -> TreeOptions:
        """The same for the engine."""
        from sealift.options import TreeOptions

        globs = {"include": iter(self.include or ()), "exclude": iter(self.exclude or ())}
        return TreeOptions(
            rules=tuple(
                (name == "include", next(globs[name])) for name in self.given if name in globs
            ),
            follow_links=self.links == "follow",
            markers=self.markers,
        )


@dataclass(frozen=True)
class Tree(Chosen):
    """The options of commands that move trees."""

    preserve: Annotated[
        Literal["mode"] | None,
        typer.Option(help="Keep the permissions of files in the metadata, and bring them back."),
    ] = None
    durability: Annotated[
        Literal["none", "file", "dir"] | None,
        typer.Option(
            help="What is synced before a downloaded file counts as done: nothing, the file, its "
            "directory too. (default: dir for restore, file for cp and sync)"
        ),
    ] = None

    report: Annotated[
        str | None,
        typer.Option(metavar="FILE.html", help="Write a page: what was done, how it went."),
    ] = None

    def options(self) -> TreeOptions:
        """The same for the engine."""
        from sealift.model import Durability

        return replace(
            super().options(),
            preserve_mode=self.preserve == "mode",
            durability=None if self.durability is None else Durability(self.durability),
        )
