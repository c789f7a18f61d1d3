"""Which hosts a browser may reach: as flags of Chromium, which enforces it below its pages.

Knows nothing of pages. What is not a host of the list goes to a proxy that does not exist.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

# Nobody listens on the port that is for discarding, and nobody without privileges can.
_NOWHERE = "http://127.0.0.1:9"
_HOST = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")
_SITES = re.compile(r"MINIWOB_URL|V?WA_\w+")


def flags_of(hosts: Iterable[str]) -> list[str]:
    """Return the flags with which Chromium reaches these hosts and nothing else.

    A host is a name or an address, with a port or without; `*.example.org` is all below it, `*`
    everything. Raises ConfigurationError.
    """
    hosts = list(hosts)
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"{host!r:.80} is no host: write example.org, *.example.org, example.org:8080, "
                "[::1] or *"
            )
    names = [re.sub(r":\d+$", "", host).strip("[]") for host in hosts]
    return [
        f"--proxy-server={_NOWHERE}",
        # Loopback and the link-local addresses, where clouds keep their secrets, would pass by
        # themselves. The last rule that matches counts.
        f"--proxy-bypass-list={';'.join(['<-loopback>', *hosts])}",
        # Looking up a name tells its server something, too.
        f"--host-resolver-rules={', '.join(['MAP * ~NOTFOUND', *(f'EXCLUDE {n}' for n in names)])}",
        # WebRTC asks no proxy. Chromium and its headless shell have a name each for this.
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    ]


def sites_of(variables: Mapping[str, str]) -> list[str]:
    """Return the hosts that the benchmarks' own environment variables name as their sites."""
    urls = [urlsplit(value) for name, value in variables.items() if _SITES.fullmatch(name)]
    return sorted({url.netloc.rpartition("@")[2] for url in urls if url.netloc})


def is_page(url: object) -> bool:
    """Tell if players may go there at all: files and the browser's own pages are not for them."""
    return isinstance(url, str) and (
        url == "about:blank" or url.lower().startswith(("http://", "https://"))
    )
