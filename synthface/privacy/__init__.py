"""Identity-leakage audit: can a real person be found again in a synthetic set? Torch-free."""

from synthface.data.embeddings import Embeddings
from synthface.privacy.audit import audit
from synthface.privacy.config import AuditConfig
from synthface.privacy.verdict import Check, Gate, Verdict

__all__ = ["AuditConfig", "Check", "Embeddings", "Gate", "Verdict", "audit"]
