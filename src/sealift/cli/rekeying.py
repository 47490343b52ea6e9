"""The options of `rekey`: from which keys, to which one, and what goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer

    from sealift.keyring import Keyring
    from sealift.options import TreeOptions
    from sealift.rekey.seals import From, RekeyOptions, Seal


@dataclass(frozen=True)
class Rekeying:
    """Options as typed; None and False mean "not given". `given` is that of `tree.Tree`."""

    from_key: Annotated[
        str | None,
        typer.Option(
            "--from-key",
            metavar="ID",
            help="Take only what is under this key, or none, s3, kms, any. "
            "(default: every key at hand)",
        ),
    ] = None
    allow_unsealed: Annotated[
        bool,
        typer.Option("--allow-unsealed", help="Needed for --to-key none: it takes seals off."),
    ] = False
    remove_old_versions: Annotated[
        bool,
        typer.Option(
            "--remove-old-versions",
            help="Remove the version that was read, once the new one is verified.",
        ),
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would happen; touch nothing.")
    ] = False
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what became of each object, as JSON lines."),
    ] = None
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Take names that match; the last match decides."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out names that match; * matches / too."),
    ] = None
    given: Sequence[str] = ()

    def options(self, to_key: str, keyring: Keyring) -> RekeyOptions:
        """The same for the engine, and `--to-key`. UsageError, CustomerKeyError."""
        from sealift.errors import UsageError
        from sealift.rekey.seals import RekeyOptions

        target = _seal(to_key, keyring)
        if target == ("", None) and not self.allow_unsealed:
            raise UsageError(
                "--to-key none leaves the objects without encryption of yours",
                hint="add --allow-unsealed if that is meant",
            )
        return RekeyOptions(
            target,
            _source(self.from_key, keyring),
            dry_run=self.dry_run,
            report=self.report,
            remove_old_versions=self.remove_old_versions,
        )

    def tree(self) -> TreeOptions:
        """What takes part."""
        from sealift.cli.tree import Tree

        return Tree(include=self.include, exclude=self.exclude, given=self.given).options()


def _seal(text: str, keyring: Keyring) -> Seal:
    from sealift.encryption import parse_sse
    from sealift.rekey.seals import Seal

    if text in ("none", "s3") or text.startswith("kms"):
        return Seal(encryption=parse_sse(text))
    return Seal(keyring.named(text).key.key_id)


def _source(text: str | None, keyring: Keyring) -> From:
    from sealift.model import UNSEALED
    from sealift.rekey.seals import ANY_KEY, KINDS, From

    if text is None:
        return ANY_KEY
    if text == "any":
        return From(None, KINDS)
    if text in KINDS:
        return From(UNSEALED, frozenset({text}))
    return From(keyring.named(text).key.key_id)
