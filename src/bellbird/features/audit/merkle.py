"""The hash tree of RFC 6962, section 2.1: a leaf is hashed behind 0x00 and a node behind 0x01, so that neither can be
passed off as the other.
"""

from collections.abc import Iterable
from hashlib import sha256


def leaf(content: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + content).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaves in their order; of none, the hash of nothing. Keeps one node of each height."""
    nodes: list[tuple[int, bytes]] = []
    for each in leaves:
        height, node = 0, each
        while nodes and nodes[-1][0] == height:
            height, node = height + 1, _node(nodes.pop()[1], node)
        nodes.append((height, node))
    if not nodes:
        return sha256(b"").digest()
    _, node = nodes.pop()
    while nodes:
        node = _node(nodes.pop()[1], node)
    return node


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
