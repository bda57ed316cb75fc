"""What the documents tell people to type is what the commands take, and what they point to is there."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from synthface.cli import COMMANDS, parse_options

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "synthface").rglob("*.md"))]
PAGES = [ROOT / "synthface/report/templates/quickstart.html"]
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"\bsynthface (?:[a-z-]+)\s.*")
_LAUNCHER = re.compile(r"^(synthface |torchrun |srun )")


def command_lines(text: str) -> list[str]:
    """Return the ``synthface COMMAND ...`` lines of a document's code blocks, also those that a launcher starts."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("<pre><code>").removesuffix("</code></pre>").partition("  #")[0]
        called = _COMMAND.search(line)
        if called and _LAUNCHER.match(line) and "..." not in line:
            found.append(called.group())
    return found


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _documented() -> list[object]:
    return [
        pytest.param(line, id=f"{path.name}: {' '.join(line.split()[:4])} ({number})")
        for path in (*DOCUMENTS, *PAGES)
        for number, line in enumerate(command_lines(path.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("line", _documented())
def test_documented_commands_parse(line: str) -> None:
    _, command, *arguments = (word for word in shlex.split(line) if word != "$resume")  # --resume, or nothing
    assert command in COMMANDS
    parse_options(command, importlib.import_module(f"synthface.workflows.{command.replace('-', '_')}"), arguments)


def test_commands_are_found_in_blocks_and_behind_launchers() -> None:
    text = (
        "```sh\nsynthface split faces \\\n    --out split\n"
        "srun synthface embed faces --out e.npz\n"
        "torchrun --nproc-per-node 4 -m synthface audit --out audit\n```\n\n"
        "    synthface verify release  # a remark\n\nThe synthface command does more.\n"
    )
    assert [line.split() for line in command_lines(text)] == [
        ["synthface", "split", "faces", "--out", "split"],
        ["synthface", "embed", "faces", "--out", "e.npz"],
        ["synthface", "audit", "--out", "audit"],
        ["synthface", "verify", "release"],
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name} points to {target}"
        assert not anchor or anchor in anchors(file), f"{path.name} points to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_scripts_are_there(path: Path) -> None:
    for name in re.findall(r"\bscripts/\w+(?:\.py|\.sh)?\b", path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{path.name} names {name}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guides_keep_to_the_width(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120 and not line.startswith("|")] == []
