"""Secrets that the database keeps for us, encrypted: the database alone gives none of them away."""

import os
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["InvalidTag", "Vault"]


class Vault:
    """Encrypts (AES-256-GCM) for one `purpose`, of at most 16 letters, with a key made from the deployment's secret."""

    def __init__(self, secret: str, purpose: str) -> None:
        key = blake2b(secret.encode(), digest_size=32, person=purpose.encode()).digest()
        self._cipher = AESGCM(key)

    def close(self, plain: bytes, bound_to: bytes) -> bytes:
        """What was given, sealed; it opens only where it belongs, such as by its row's id."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, plain, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """What was sealed. Raises InvalidTag when it was sealed with another secret, or belongs elsewhere."""
        return self._cipher.decrypt(sealed[:12], sealed[12:], bound_to)
