"""Work of the first process that the others wait for; when it fails there, they hear of it."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from synthface.core.errors import SynthfaceError

P = ParamSpec("P")
T = TypeVar("T")


def on_first(fabric: Any, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Let the first process work while the others wait; return its result there and None elsewhere.

    Every process must call this. Without it, processes whose first one fails would wait for it in vain.

    Args:
        fabric: Lightning Fabric, already launched.
        work: what to do.
        args: of the work.
        kwargs: of the work.

    Raises:
        Exception: whatever the work raised, in the first process.
        SynthfaceError: in the others, when it did.
    """
    result, failure = None, None
    if fabric.is_global_zero:
        try:
            result = work(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (told to the others, then raised)
            failure = error
    told = fabric.broadcast(None if failure is None else f"{type(failure).__name__}: {failure}")
    if failure is not None:
        raise failure
    if told is not None:
        raise SynthfaceError(f"the first process failed ({told}); see to that, then go on with --resume")
    return result
