"""The command line: arguments become one frozen Options, outcomes become exit codes."""
