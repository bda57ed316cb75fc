"""A8: what was done to a set before this audit, so that the audit can ask for eyes that had no part in it."""

import re
from dataclasses import dataclass

from synthface.core.errors import AuditError


@dataclass(frozen=True, kw_only=True)
class Remediation:
    """Images or classes were taken out of the set, or made again, on the word of some recognisers.

    Attributes:
        rounds: audits of this release against the same hold-out, this one included.
        used_recognizers: names of the recognisers whose flags decided what went.
        log_sha256: of the log of every step, so that the report names the log it stands on.
    """

    rounds: int
    used_recognizers: tuple[str, ...]
    log_sha256: str

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise AuditError(f"remediation has {self.rounds} rounds; the audit itself is the first, so give 1 or more")
        if not self.used_recognizers:
            raise AuditError("remediation names no recogniser; name those whose flags decided what was taken out")
        if not re.fullmatch(r"[0-9a-f]{64}", self.log_sha256):
            raise AuditError(f"remediation log_sha256 {self.log_sha256!r} is no SHA-256; give that of the log file")
