"""Who is measured beside us, and how: see `python -m benchmarks.peers --help`."""
