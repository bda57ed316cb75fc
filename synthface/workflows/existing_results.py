"""Results that a command left earlier."""

import json
import logging
from pathlib import Path
from typing import Any

from synthface.core.errors import ConfigError

logger = logging.getLogger(__name__)


def existing_results(out: Path, name: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the results in file ``name`` of ``out`` if they answer this very question; None if there is no ``out``.

    Raises:
        ConfigError: something else stands there.
    """
    if not out.exists():
        return None
    try:
        results: dict[str, Any] = json.loads((out / name).read_text(encoding="utf-8"))
        same = all(results["made_by"][key] == record[key] for key in ("config", "seed", "inputs"))
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise ConfigError(f"--out {out} already exists and holds something else; give another path or remove it")
    logger.info("%s is already complete: nothing to do", out)
    return results
