"""Identity-leakage audit: can a real person be found again in a synthetic set? Torch-free."""

from synthface.data.embeddings import Embeddings
from synthface.privacy.acquisition import Acquisition
from synthface.privacy.audit import audit
from synthface.privacy.config import AuditConfig
from synthface.privacy.plants import PlantOutcome
from synthface.privacy.remediation import Remediation
from synthface.privacy.signatures import ImageSignatures
from synthface.privacy.verdict import Check, CopiedImage, Gate, Verdict

__all__ = [
    "Acquisition",
    "AuditConfig",
    "Check",
    "CopiedImage",
    "Embeddings",
    "Gate",
    "ImageSignatures",
    "PlantOutcome",
    "Remediation",
    "Verdict",
    "audit",
]
