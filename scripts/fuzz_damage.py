"""Changes that break parsers, drawn from a random generator."""

import random
from collections.abc import Callable

Forge = Callable[[random.Random, bytes], bytes]
# What parsers trip over: lengths at the edges of their types, names that leave the folder, JSON that is none, pickles.
VALUES = [
    b"\x00", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\x00" * 512, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80",
    b"\xff\xff\xff\x1f", b"../" * 3, b"../outside.png", b"/etc/passwd", b"\x0a\x23\xd7\xce", b"e", b"]", b"(",
    b"q\x00", b"cos\nsystem\n(S'true'\ntR.", b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 400, b"[" * 3000,
    b'{"a":' * 2000, b"\n", b"null", b"true", b'"\\ud800"', b"\xed\xa0\x80", b"\xef\xbb\xbf", b"%s%n", b"\x1f\x8b",
]  # fmt: skip


def damaged(draw: random.Random, content: bytes, forge: Forge | None = None) -> bytes:
    """Return the content with changes: forged from within, byte by byte, both, or nothing but random bytes."""
    kind = draw.random()
    if kind < 0.05:
        start = content[: draw.choice([0, 2, 8, 64])]
        return start + draw.randbytes(draw.choice([0, 1, 7, 64, 1000, 5000]))
    if forge is not None and kind < 0.5:
        content = forge(draw, content)
        if kind < 0.4:
            return content
    for _ in range(draw.randint(1, 6)):
        content = _changed(draw, content)
    return content


def _changed(draw: random.Random, content: bytes) -> bytes:
    # near the start, where the structure usually is, or near the end, where zip and parquet have it, or anywhere
    place = draw.random()
    if place < 0.4:
        at = draw.randint(0, min(400, len(content)))
    elif place < 0.6:
        at = max(0, len(content) - draw.randint(0, 600))
    else:
        at = draw.randint(0, len(content))
    length = int(draw.random() ** 3 * 0.3 * len(content)) + 1
    kind = draw.choice(["set", "set", "flip", "insert", "cut", "end", "repeat"])
    value = draw.choice([draw.randbytes(draw.randint(1, 8)), draw.choice(VALUES)])
    if kind == "flip" and at < len(content):
        return content[:at] + bytes([content[at] ^ 1 << draw.randint(0, 7)]) + content[at + 1 :]
    if kind == "insert":
        return content[:at] + value + content[at:]
    if kind == "cut":
        return content[:at] + content[at + length :]
    if kind == "repeat":
        return content[:at] + content[at : at + length] * 3 + content[at:]
    if kind == "end":
        return content[:at]
    return content[:at] + value + content[at + len(value) :]


def json_forged(draw: random.Random, value: object, depth: int = 0) -> object:
    """Return a JSON value with one or more of its parts replaced, renamed or dropped."""
    odd: list[object] = [
        None, True, -1, 0, 2**63, 2**70, 10**300, 1.5, -0.0, "", "x" * 5000, "../outside.png", "../" * 40,
        "/etc/passwd", "a\u0000b", "a\nb", "\u202eabc", "C:\\x", ".", "..", "a//b", [], {}, [[[]]], ["a", 1], {"a": {}},
    ]  # fmt: skip
    if depth > 6 or draw.random() < 0.12:
        return draw.choice(odd)
    if isinstance(value, dict) and value:
        keys = list(value)
        chosen = draw.choice(keys)
        what = draw.random()
        if what < 0.1:
            return {key: item for key, item in value.items() if key != chosen}
        if what < 0.15:
            return {**value, "x" * draw.choice([1, 300]): draw.choice(odd)}
        return {**value, chosen: json_forged(draw, value[chosen], depth + 1)}
    if isinstance(value, list) and value:
        at = draw.randrange(len(value))
        if draw.random() < 0.1:
            return value * draw.choice([2, 50])
        return [*value[:at], json_forged(draw, value[at], depth + 1), *value[at + 1 :]]
    return draw.choice(odd)
