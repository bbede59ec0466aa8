"""Random graphs, run compiled and by the reference executor, which must agree. `python -m tests.fuzz --help`."""
