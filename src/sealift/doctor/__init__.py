"""Looks at everything that a transfer depends on, and says what to do where it does not hold.

The checks are rows of tables (`machine`, `server`, `rights`, `promises`): small functions, each of
which returns one `Finding`. What they share of a server is a `Visit`, which also knows what was
written there and removes it, whatever happens.
"""

from sealift.doctor.allowing import allow_customer_keys, read_encryption
from sealift.doctor.examination import examine
from sealift.doctor.findings import Finding, Status
from sealift.doctor.machine import Machine

__all__ = [
    "Finding",
    "Machine",
    "Status",
    "allow_customer_keys",
    "examine",
    "read_encryption",
]
