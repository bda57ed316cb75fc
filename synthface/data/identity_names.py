"""How the names that people have in a source, those of folders or of labels, become identities of a FaceSet."""

import re
import unicodedata

from synthface.core.hashing import sha256_bytes
from synthface.data.untrusted import MAX_IDENTITY_LETTERS

_DIGITS_OF_A_HASH = 16
# Control characters, and back slashes that would read as the escape of one: what is escaped can be told from the rest.
_ESCAPED = re.compile(r"[\x00-\x1f\x7f-\x9f]|\\(?=x[01][0-9a-f]|x7f|x5c|u00[89][0-9a-f])")


def composed(name: str) -> str:
    """Return the one spelling (NFC) of a name: macOS writes é as e and an accent, Linux as one letter."""
    return unicodedata.normalize("NFC", name)


def identity_of(name: str) -> str:
    r"""Return the identity that a name stands for, one that every reader of a FaceSet takes.

    Control characters are shown escaped (a tab as ``\x09``), and what is too long ends in a hash. Two names of one
    person differ in nothing but how their accents are written; all others stay different.
    """
    text = _ESCAPED.sub(_escape, composed(name)) or "_"
    if len(text) <= MAX_IDENTITY_LETTERS:
        return text
    digest = sha256_bytes(text.encode())[:_DIGITS_OF_A_HASH]
    return f"{text[: MAX_IDENTITY_LETTERS - 1 - len(digest)]}~{digest}"


def _escape(found: "re.Match[str]") -> str:
    """Return an escape; from 128 on with four digits, since two stand for a byte that is no UTF-8 (``sources``)."""
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 128 else f"\\u{code:04x}"
