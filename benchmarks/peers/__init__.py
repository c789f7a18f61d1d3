"""The published releases as black boxes: installed apart, run as programs, talked to over sockets.

Owns where they are installed and how their programs start and stop. Knows nothing of our own
`openenv`: nothing here imports it. tests/compat plays against them, benchmarks measures them.
"""
