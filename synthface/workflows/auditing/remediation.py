"""What 'synthface clean' noted in a set, for the audit of what is left."""

from collections.abc import Mapping

from synthface.privacy.remediation import Remediation
from synthface.workflows.auditing.inputs import FaceSets


def remediation_of(facesets: FaceSets, weights: Mapping[str, str]) -> Remediation | None:
    """Return what 'synthface clean' noted in the set that is audited, counted for this hold-out.

    Args:
        facesets: sets by role.
        weights: SHA-256 of the weights of each recogniser, so that one used under another name is known again.
    """
    noted = facesets["synthetic"].info.get("remediation")
    if noted is None:
        return None
    holdout = facesets["holdout"].manifest_sha256 if "holdout" in facesets else "none"
    renamed = {name for name, sha256 in weights.items() if sha256 in noted.get("used_weights", [])}
    return Remediation(
        rounds=int(noted["audits"].get(holdout, 0)) + 1,
        used_recognizers=tuple(sorted(renamed.union(map(_without_folder, noted["used_recognizers"])))),
        log_sha256=str(noted["log_sha256"]),
    )


def _without_folder(recognizer: str) -> str:
    """Return the last part of a path: sets cleaned by earlier versions note recognisers as they were given."""
    return recognizer.replace("\\", "/").rstrip("/").rpartition("/")[2]
