"""An audit.json as 'synthface audit' writes it, with little in it."""

from typing import Any

from synthface.core.run_record import to_json
from synthface.privacy import AuditConfig


def told_audit(manifest: str, **changes: Any) -> dict[str, Any]:
    """Return the content of an audit.json of the set with this manifest, with some of it changed."""
    told = {"title": "a gate", "text": "what it found", "applicable": True, "checks": [], "needs": []}
    inputs = {"synthetic manifest": manifest, "recogniser one": "1" * 64}
    result = {
        "format": "synthface-audit",
        "version": 3,
        "verdict": "PASS",
        "claim": "No class flagged.",
        "recognizers": ["one"],
        "config": to_json(AuditConfig()),
        "flagged": [],
        "flagged_images": [],
        "gates": {
            "A2": {"id": "A2", "kind": "leak", "passed": True, **told},
            "V5": {"id": "V5", "kind": "warning", "passed": False, **told},
        },
        "kinds": {"synthetic": "synthetic", "train": "real"},
        "sizes": {"synthetic": {"images": 6, "identities": 3}},
        "not_concluded": [],
        "remediation": None,
        "public_page_sha256": "2" * 64,
        "made_by": {"inputs": inputs, "config": {"recognizers": ["one"]}},
    }
    return result | changes
