"""Settings under a name: ``--config NAME`` takes ``<command>/NAME.yaml`` of this folder."""

from pathlib import Path

from synthface.core.errors import ConfigError

_FOLDER = Path(__file__).parent


def preset_names(command: str) -> list[str]:
    """Return the names of a command's presets, sorted."""
    return sorted(path.stem for path in (_FOLDER / command).glob("*.yaml"))


def config_file(command: str, name_or_path: str) -> Path:
    """Return the YAML file of a preset or at a path; a file of that very name goes before a preset.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = preset_names(command)
    if name_or_path in names:
        return _FOLDER / command / f"{name_or_path}.yaml"
    presets = f", and no preset (there are: {', '.join(names)})" if names else ""
    raise ConfigError(f"--config {name_or_path}: there is no such file{presets}")
