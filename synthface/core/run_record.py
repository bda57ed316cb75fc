"""What made an artefact: command, config, seed, versions, input hashes."""

import dataclasses
import functools
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

import synthface

_LIBRARIES = ("torch", "numpy", "scipy", "pillow", "lightning", "safetensors")


def library_versions() -> dict[str, str]:
    """Return the versions of Python, of this project and of the libraries whose arithmetic shows in results."""
    versions = {"python": platform.python_version(), "synthface-kit": synthface.__version__}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions["machine"] = f"{platform.machine()} {sys.platform}"
    versions["processor"] = _processor()
    return versions


@functools.cache
def _processor() -> str:
    """Return name and widest vector instructions of the processor, by which kernels choose the order of their sums."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not on Linux
        return platform.processor() or "unknown"
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    widest = next((name for name in ("avx512f", "avx2", "sve", "asimd") if name in flags), "")
    return " ".join(filter(None, (facts.get("model name", platform.machine()), widest)))


def run_record(
    command: str, config: Any, *, seed: int | None = None, inputs: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the JSON value that every artefact carries.

    Args:
        command: name of the command that made the artefact.
        config: a dataclass instance or a JSON value.
        seed: the run seed, if the command draws anything.
        inputs: name of each input and its SHA-256.
    """
    return {
        "command": command,
        "config": to_json(config),
        "seed": seed,
        "inputs": dict(sorted((inputs or {}).items())),
        "versions": library_versions(),
    }


def to_json(value: Any) -> Any:
    """Turn dataclasses, paths and tuples into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with a final newline."""
    path.write_text(json.dumps(to_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
