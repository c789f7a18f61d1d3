"""`python -m benchmarks.peers`: install every published release now; later runs need not wait."""

from __future__ import annotations

import sys

from benchmarks.peers.installation import RELEASES, PeerInstallError, python_of


def main() -> int:
    """Make each virtual environment that is missing; return the exit code."""
    for release in RELEASES:
        try:
            sys.stdout.write(f"{release}: {python_of(release)}\n")
        except PeerInstallError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
