"""What measures sealift against the machine and against its peers."""
