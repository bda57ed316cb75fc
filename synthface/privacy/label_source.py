"""How the label of a synthetic class leads to a training person, and whether it may do so by accident."""

from collections.abc import Iterable, Mapping
from typing import Literal

from synthface.privacy.refusals import Roles

LinkedBy = Literal["map", "names", "numbers", "nothing"]

ACCIDENT = (
    "the classes are numbered 0, 1, 2 and so on, as formats such as RecordIO number whoever comes, and lead to the "
    "training people of equal numbers; unless these numbers are the labels that the generator was trained with, label "
    "linkage (A4) compares strangers"
)


def label_source(
    roles: Roles, recognizer: str, given: Mapping[str, str] | None
) -> tuple[dict[str, str] | None, LinkedBy]:
    """Return the training identity of each synthetic identity that has one, and how they are linked.

    Args:
        roles: embeddings by role.
        recognizer: any of them.
        given: label map, or None to go by equal names.

    Returns:
        The map, None without training people; and "numbers" instead of "names" where the classes of the set are
        numbered through, so that equal names may be an accident.
    """
    if "train" not in roles:
        return None, "nothing"
    people = set(roles["train"][recognizer].identities.tolist())
    classes = sorted(set(roles["synthetic"][recognizer].identities.tolist()))
    wanted = {name: name for name in classes} if given is None else given
    labels = {name: wanted[name] for name in classes if wanted.get(name) in people}
    if not labels:
        return labels, "nothing"
    if given is not None:
        return labels, "map"
    return labels, "numbers" if are_running_numbers(classes) else "names"


def are_running_numbers(names: Iterable[str]) -> bool:
    """Say whether names are the whole numbers from 0 or 1 on, with or without leading zeros."""
    names = list(names)
    if not all(name.isascii() and name.isdigit() for name in names):
        return False
    values = sorted(map(int, names))
    return values in (list(range(len(values))), list(range(1, len(values) + 1)))
