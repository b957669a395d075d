"""HTTP proxies of the environment: which one a request goes through, and how an error names it.

This machine's own addresses never need one, and a proxy elsewhere cannot reach them. A tunnel's local
port is such an address.
"""

import ipaddress
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

# `/etc/hosts` has these on some systems. Names below `localhost` are loopback too (RFC 6761).
LOCAL_NAMES = frozenset(
    {"localhost", "localhost.localdomain", "localhost4", "localhost6"}
    | {"localhost4.localdomain4", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"}
)


def is_loopback(host: str) -> bool:
    """Whether the name or address of a host is this machine's loopback."""
    name = host.lower().rstrip(".")
    if name in LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:  # short forms that the system connects to, such as 127.1
            address = ipaddress.IPv4Address(socket.inet_aton(name))
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    # Whoever connects to 0.0.0.0 or :: reaches this machine.
    return address.is_loopback or address.is_unspecified


class DirectAtHome(requests.Session):
    """A session that uses the environment's proxies, but not for this machine's own addresses."""

    def merge_environment_settings(self, url: Any, *settings: Any) -> Any:
        """Return the settings of a request."""
        merged = super().merge_environment_settings(url, *settings)
        if is_loopback(urlsplit(url).hostname or ""):
            merged["proxies"] = {}
        return merged


def proxy_hint(url: str) -> str:
    """Return a sentence about the proxy that requests to a URL go through; "" if there is none."""
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    proxy = None if is_loopback(host) else select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return ""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    named = next((name for name in names if os.environ.get(name) == proxy), "the system's settings")
    return (
        f"The request went through the proxy {_without_password(proxy)} ({named}). If {host} is to be "
        f"reached without it, set NO_PROXY={host}"
    )


def _without_password(proxy: str) -> str:
    scheme, _, rest = proxy.rpartition("://")
    return f"{scheme or 'http'}://{rest.rpartition('@')[2]}"
