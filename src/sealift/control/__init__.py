"""The control plane: everything that is not the bytes of an object, through aioboto3.

Only the modules of this package import aioboto3 and botocore. `session` keeps their known traps
away from the customer key, `translate` turns their errors into ours, `client` holds the calls.
"""

from sealift.control.client import Control, HeadFacts, MultipartStart, open_control

__all__ = ["Control", "HeadFacts", "MultipartStart", "open_control"]
