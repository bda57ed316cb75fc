"""What recognisers are called in everything that an audit says: pages and cards go out, and paths name people."""

from collections.abc import Sequence

from synthface.core.errors import ConfigError


def by_public_name(recognizers: Sequence[str]) -> dict[str, str]:
    """Return the recognisers, as they were given, by names that hold no folder: of the catalogue, a file or a run.

    Raises:
        ConfigError: two have one name.
        WeightsError: one is not there.
    """
    from synthface.recognition.catalogue import find_weights

    named: dict[str, str] = {}
    for given in recognizers:
        weights = find_weights(given, flag="--recognizers")
        name = weights.name or weights.path.stem  # a run in the working folder has no name
        if name in named:
            raise ConfigError(f"--recognizers {named[name]} and {given} have one name, {name}; rename a file or a run")
        named[name] = given
    return named
