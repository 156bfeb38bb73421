"""Network addresses, as they stand for whoever is behind them."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(1000)
def subscriber(address: str) -> str:
    """Whom an address stands for: itself, or the /64 that one subscriber has of IPv6 (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:100]
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{ip_address(int(found) >> 64 << 64)}/64"
