"""Where derived files that can be made again are kept, outside every input folder."""

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """Return (and make) a folder under ``$SYNTHFACE_CACHE``, or under the user's cache folder."""
    base = os.environ.get("SYNTHFACE_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(base) if os.environ.get("SYNTHFACE_CACHE") else Path(base) / "synthface"
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
