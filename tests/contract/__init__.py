"""What sealift promises, held against every real server: the same tests on each."""
