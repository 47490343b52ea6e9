"""sealift moves directories to and from S3 under customer-provided keys (SSE-C)."""

from __future__ import annotations

__version__ = "0.1.0"
