"""sealift moves directories to and from S3 under customer-provided keys (SSE-C).

    async with sealift.Engine(sealift.load_options()) as engine:
        report = await engine.sync("photos/", "s3://bucket/photos/")
        report.raise_for_failures()

`sealift.blocking.Engine` is the same without `await`. Names are loaded when they are first used;
`__init__.pyi` has them for type checkers.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "configured": "load_options",
    "engine": "Engine",
    "errors": "CustomerKeyError IntegrityError LocalFileError NetworkError NotSealedError "
    "ObjectError ReplyError RunError SealiftError SettingsError UsageError WrongCustomerKeyError",
    "events": "Event Failed Finished Noted PlanComplete Planned Removed Reporter Retried Skipped "
    "Started Unchanged Would",
    "keyring": "HeldKey Keyring Rule",
    "keys": "CustomerKey",
    "model": "Durability Job Location RemoteObject",
    "options": "Options SourceOptions TreeOptions",
    "plan": "Naming",
    "rekey.seals": "From RekeyOptions Seal",
    "report": "Failure Progress Report",
    "runs": "Run",
    "sync": "SyncOptions",
    "verify.findings": "VerifyOptions VerifyReport",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", "blocking", *_HOME_OF]  # noqa: PLE0604 - they are texts


def __getattr__(name: str) -> object:
    if name == "blocking":
        return import_module("sealift.blocking")
    if name in _HOME_OF:
        found = globals()[name] = getattr(import_module(f"sealift.{_HOME_OF[name]}"), name)
        return found
    raise AttributeError(f"module 'sealift' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
