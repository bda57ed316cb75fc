"""What the audit is given, checked before anything is computed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from synthface.core.errors import AuditError
from synthface.data.embeddings import Embeddings

Given = Embeddings | Mapping[str, Embeddings]
Roles = dict[str, dict[str, Embeddings]]  # role -> recogniser -> embeddings


@dataclass(frozen=True)
class AuditInputs:
    """Embeddings by role and recogniser.

    Attributes:
        roles: "synthetic" and whichever of "train", "holdout" and "placebo" there are.
        recognizers: their names, the same in every role.
        labels: training identity by synthetic identity, of the classes that have one; None without training people.
    """

    roles: Roles
    recognizers: tuple[str, ...]
    labels: dict[str, str] | None

    def get(self, role: str, recognizer: str) -> Embeddings | None:
        """Return the embeddings of a role under a recogniser, or None if the role is not there."""
        return self.roles.get(role, {}).get(recognizer)

    def sizes(self) -> dict[str, dict[str, int]]:
        """Return images and identities by role."""
        first = self.recognizers[0]
        return {
            role: {"images": len(sets[first]), "identities": len(np.unique(sets[first].identities))}
            for role, sets in self.roles.items()
        }


def read_inputs(
    synthetic: Given,
    train: Given | None,
    holdout: Given | None,
    placebo: Given | None,
    labels: Mapping[str, str] | None,
) -> AuditInputs:
    """Check the embeddings against each other.

    Raises:
        AuditError: different recognisers, images, or dimensions; NaN; nothing in a role; somebody in two roles.
    """
    given = {"synthetic": synthetic, "train": train, "holdout": holdout, "placebo": placebo}
    roles: Roles = {
        role: {"recogniser": value} if isinstance(value, Embeddings) else dict(value)
        for role, value in given.items()
        if value is not None
    }
    recognizers = tuple(roles["synthetic"])
    if not recognizers:
        raise AuditError("synthetic holds no embeddings; give those of at least one recogniser")
    for role, sets in roles.items():
        if set(sets) != set(recognizers):
            raise AuditError(
                f"{role} has embeddings of {_names(sets)}, synthetic of {_names(recognizers)}; "
                "embed every set with the same recognisers"
            )
        _check_role(role, sets, roles["synthetic"])
    for role, other in (("train", "holdout"), ("train", "placebo"), ("holdout", "placebo")):
        _check_disjoint(roles, role, other, recognizers[0])
    return AuditInputs(roles, recognizers, _label_map(roles, recognizers[0], labels))


def _check_role(role: str, sets: Mapping[str, Embeddings], synthetic: Mapping[str, Embeddings]) -> None:
    first = next(iter(sets.values()))
    for name, embeddings in sets.items():
        if not len(embeddings):
            raise AuditError(f"{role} has no embeddings under {name}; leave the role out, or give some")
        if not np.isfinite(embeddings.vectors).all():
            raise AuditError(f"{role} has NaN or infinite embeddings under {name}; embed those images again")
        width, expected = embeddings.vectors.shape[1], synthetic[name].vectors.shape[1]
        if width != expected:
            raise AuditError(
                f"{role} has {width} dimensions under {name}, synthetic has {expected}; embed both with one recogniser"
            )
        same = np.array_equal(embeddings.images, first.images) and np.array_equal(
            embeddings.identities, first.identities
        )
        if not same:
            raise AuditError(
                f"{role} under {name} has other images than under {next(iter(sets))}; embed one set with both"
            )


def _check_disjoint(roles: Roles, role: str, other: str, recognizer: str) -> None:
    if role in roles and other in roles:
        both = np.intersect1d(roles[role][recognizer].identities, roles[other][recognizer].identities)
        if len(both):
            raise AuditError(
                f"{len(both)} identities are in both {role} and {other} (first: {both[0]}); "
                "people must be in one of them only, split by identity again"
            )


def _label_map(roles: Roles, recognizer: str, labels: Mapping[str, str] | None) -> dict[str, str] | None:
    if "train" not in roles:
        return None
    known = set(roles["train"][recognizer].identities.tolist())
    classes = sorted(set(roles["synthetic"][recognizer].identities.tolist()))
    wanted = {name: name for name in classes} if labels is None else labels
    return {name: wanted[name] for name in classes if wanted.get(name) in known}


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
