"""The control plane: who signs and where, and calls that are rare, through aioboto3.

Only the modules of this package import aioboto3 and botocore. That takes 0.4 s, so a run for which
`sealift.environment` has the answers never imports this package. `session` keeps the known traps
away from the customer key, `translate` turns their errors into ours, `client` holds the calls.
"""

from sealift.control.client import Control, open_control

__all__ = ["Control", "open_control"]
