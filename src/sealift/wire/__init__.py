"""The data plane: PutObject, UploadPart, GetObject and ListObjectsV2 over our own HTTP/1.1.

Read `operations` first (what is asked of S3), then `pool` (which connection carries it),
`connection` (bytes in and out), `http1`, `sigv4` and `listing` (pure). `bucket` has what is asked
more rarely, such as the removal of objects.

This package is asyncio only, by design: part bodies land directly in their buffers through
`asyncio.BufferedProtocol`, which no other async framework offers. All above it uses anyio.
"""
