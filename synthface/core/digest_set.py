"""A set of texts that says of any text whether it is in it, and keeps 16 bytes of each."""

import hashlib

_WIDTH = 16
_EMPTY = bytes(_WIDTH)


class DigestSet:
    """Remembers texts by 128-bit digests in one table (open addressing, at most 2/3 full).

    A text takes 24 to 48 bytes, 72 while the table grows, whatever its length: a set of paths takes several hundred.
    Two texts with one digest would be taken for one; among 10^9 texts the chance of any is below 10^-20.
    """

    def __init__(self) -> None:
        self._table = bytearray(_WIDTH * 1024)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: str) -> bool:
        digest = _digest(text)
        return self._slot(digest) == digest

    def add(self, text: str) -> None:
        """Remember a text."""
        self._insert(_digest(text))
        if 3 * self._count * _WIDTH > 2 * len(self._table):
            self._grow()

    def _slot(self, digest: bytes) -> bytearray:
        at = self._place(digest)
        return self._table[at : at + _WIDTH]

    def _place(self, digest: bytes) -> int:
        """Return where the digest stands, or else belongs."""
        size = len(self._table)
        at = int.from_bytes(digest[:8], "little") * _WIDTH % size
        while self._table[at : at + _WIDTH] not in (digest, _EMPTY):
            at = (at + _WIDTH) % size
        return at

    def _insert(self, digest: bytes) -> None:
        at = self._place(digest)
        if self._table[at : at + _WIDTH] == _EMPTY:
            self._table[at : at + _WIDTH] = digest
            self._count += 1

    def _grow(self) -> None:
        old = self._table
        self._table = bytearray(2 * len(old))
        self._count = 0
        for at in range(0, len(old), _WIDTH):
            digest = bytes(old[at : at + _WIDTH])
            if digest != _EMPTY:
                self._insert(digest)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()
