"""What the audit is given, checked before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from synthface.core.errors import AuditError
from synthface.data.embeddings import Embeddings
from synthface.privacy.label_source import LinkedBy, label_source
from synthface.privacy.refusals import (
    Roles,
    check_different,
    check_labels,
    check_provenance,
    check_recognizers,
    check_role,
    check_signatures,
    check_strangers,
    check_train_other,
)
from synthface.privacy.signatures import ImageSignatures

Given = Embeddings | Mapping[str, Embeddings]


@dataclass(frozen=True)
class AuditInputs:
    """Embeddings by role and recogniser.

    Attributes:
        roles: "synthetic" and whichever of "train", "train_other", "holdout" and "placebo" there are.
        recognizers: their names, the same in every role.
        labels: training identity by synthetic identity, of the classes that have one; None without training people.
        linked_by: how these were found; see ``label_source``.
        signatures: of the images of whichever roles they were given for.
    """

    roles: Roles
    recognizers: tuple[str, ...]
    labels: dict[str, str] | None
    linked_by: LinkedBy
    signatures: Mapping[str, ImageSignatures] = field(default_factory=dict)

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
    given: Mapping[str, Given | None],
    labels: Mapping[str, str] | None,
    signatures: Mapping[str, ImageSignatures] | None = None,
) -> AuditInputs:
    """Check the embeddings against each other.

    Args:
        given: embeddings by role; "synthetic" must be among them.
        labels: training identity by synthetic identity.
        signatures: of the images, by role.

    Raises:
        AuditError: the sets contradict each other; see ``refusals``.
    """
    roles: Roles = {
        role: {"recogniser": value} if isinstance(value, Embeddings) else dict(value)
        for role, value in given.items()
        if value is not None
    }
    recognizers = tuple(roles["synthetic"])
    if not recognizers:
        raise AuditError("synthetic holds no embeddings; give those of at least one recogniser")
    check_recognizers(roles)
    check_different(roles["synthetic"])
    for role, sets in roles.items():
        check_role(role, sets, roles["synthetic"])
    check_provenance(roles)
    check_strangers(roles, recognizers[0])
    check_train_other(roles)
    check_signatures(signatures or {}, roles, recognizers[0])
    check_labels(labels, roles, recognizers[0])
    return AuditInputs(roles, recognizers, *label_source(roles, recognizers[0], labels), dict(signatures or {}))
