"""Puts load on serve_features: `python -m benchmarks.load_features SWITCH multiplexed|sockets`.

Announces {"versions"}, then answers the requests that closed_loop.py of the peers describes.
"""

from __future__ import annotations

import sys

from benchmarks.load_ours import multiplexed, sockets
from benchmarks.peers.programs.closed_loop import answer_requests
from benchmarks.peers.programs.listening import announce, versions
from benchmarks.switches import SWITCHES


def main() -> None:
    """Serve requests until standard input ends."""
    switch = SWITCHES[sys.argv[1]]
    way = {"multiplexed": multiplexed, "sockets": sockets}[sys.argv[2]]
    switch.on_client()
    announce({"versions": versions()})
    answer_requests(way, switch.run)


if __name__ == "__main__":
    main()
