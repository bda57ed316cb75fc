"""What the parser says of a wrong value, in the words of the command line instead of Python's types."""

import re

_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": ""}
_MESSAGE = re.compile(r'Parser key "(?P<key>[^"]+)":.*?(?:Got|Given) value: (?P<value>.*)$')
_EXPECTED = re.compile(r"Expected a (?:<class '(?P<name>[\w.]+)'>|typing\.Literal\[(?P<choices>[^\]]*)\])")


def usage_message(error: BaseException) -> str:
    """Return one line that names flag, value and what was expected; the error's own words if these are not found."""
    line = " ".join(str(error).split())
    found = _MESSAGE.search(line)
    expected = [_words(match) for match in _EXPECTED.finditer(line)]
    known = [words for words in dict.fromkeys(expected) if words]
    if not found or not known or None in expected:
        return line
    flag = found["key"] if "." in found["key"] else found["key"].replace("_", "-")
    return f"--{flag} {found['value']}: give {' or '.join(map(str, known))}"


def _words(match: re.Match[str]) -> str | None:
    """Return what one type is called; nothing for none at all, None for a type without a name here."""
    if match["choices"] is not None:
        return "one of " + ", ".join(re.findall(r"'([^']*)'", match["choices"]))
    return _WORDS.get(match["name"])
