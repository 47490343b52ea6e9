"""Real S3 servers for the tests, each started on free ports below a directory of its own."""
