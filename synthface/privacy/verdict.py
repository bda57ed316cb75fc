"""What an audit says: checks by recogniser, gates, and one verdict of three."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from synthface.core.run_record import to_json
from synthface.privacy.config import AuditConfig
from synthface.privacy.evidence import Evidence
from synthface.privacy.label_source import LinkedBy
from synthface.privacy.remediation import Remediation

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Kind = Literal["validity", "leak", "warning"]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One statistic under one recogniser.

    Attributes:
        key: short name of the statistic, the same in every audit.
        recognizer: its name, or "" where none is involved.
        statistic: what was measured, in words.
        value: the measurement; NaN where it could not be taken.
        interval: two-sided interval, each end at the configured confidence.
        threshold: the limit.
        rule: how value or interval must lie to the limit.
        passed: True, False, or None where the data cannot decide.
        baseline: what chance gives for the value.
        training: what was measured of the training people, where the value compares them with others.
        control: what the hold-out gives: for the value, or beside ``training``.
        n: people, classes, photos or pairs behind it, as its ``unit`` says.
        unit: what ``n`` counts.
        p_value: for tests that can show a leak; corrected over all of them before the verdict.
        p_adjusted: the corrected one.
        need: what would let an undecided check decide.
    """

    key: str
    statistic: str
    value: float
    rule: str
    threshold: float
    passed: bool | None
    n: int
    unit: str
    recognizer: str = ""
    interval: Interval | None = None
    baseline: float | None = None
    training: float | None = None
    control: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    need: str = ""

    @classmethod
    def reported(
        cls,
        *,
        key: str,
        statistic: str,
        value: float,
        n: int,
        unit: str,
        recognizer: str = "",
        interval: Interval | None = None,
        baseline: float | None = None,
        control: float | None = None,
    ) -> "Check":
        """A figure for the record; no limit applies."""
        return cls(
            key=key,
            statistic=statistic,
            value=value,
            rule="reported",
            threshold=math.nan,
            passed=True,
            n=n,
            unit=unit,
            recognizer=recognizer,
            interval=interval,
            baseline=baseline,
            control=control,
        )


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One line of the protocol: the worst of its checks speaks for it.

    Attributes:
        id: V1 to V5 (is the audit itself to be trusted) or A1 to A8 (leaks).
        title: what is tested, in a few words.
        kind: "validity" gates can only withhold a PASS, "leak" gates can FAIL, a "warning" changes nothing.
        passed: True, False, or None where the data cannot decide.
        applicable: False where there is nothing to test.
        text: what the outcome means, in plain words, free of names.
        checks: every statistic under every recogniser.
        needs: what to supply or do so that the gate can pass.
    """

    id: str
    title: str
    kind: Kind
    passed: bool | None
    text: str
    applicable: bool = True
    checks: tuple[Check, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def worst(self) -> Check | None:
        """The check that decides: the first failed one, else the first undecided, else the first."""
        order = {False: 0, None: 1, True: 2}
        return min(self.checks, key=lambda check: order[check.passed], default=None)

    @property
    def value(self) -> float:
        """Value of the deciding check; NaN without one."""
        return self.worst.value if self.worst else math.nan

    @property
    def interval(self) -> Interval | None:
        """Interval of the deciding check."""
        return self.worst.interval if self.worst else None

    @property
    def threshold(self) -> float:
        """Limit of the deciding check; NaN without one."""
        return self.worst.threshold if self.worst else math.nan


@dataclass(frozen=True)
class CopiedImage:
    """A synthetic image that was confirmed as a copy (A1).

    Attributes:
        synthetic: name of the image.
        train: name of the photo.
        correlation: of their fine detail.
        mirrored: whether it is the mirrored image that agrees.
    """

    synthetic: str
    train: str
    correlation: float
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of an audit.

    Attributes:
        verdict: PASS (every gate passed), FAIL (a leak was shown) or INCONCLUSIVE.
        claim: the result in one sentence.
        gates: by id.
        needs: what to supply or do for a PASS to be possible, leaks that were shown first.
        flagged: synthetic identities that the per-class alarm names; remove them.
        flagged_images: recognisers that name a training person for a single image, by image; remove these.
        copies: synthetic images confirmed as copies of a training photo; remove them.
        unaudited: synthetic images in which no face was found; None where nobody looked.
        overlap: pairs (training, hold-out) that look like one person, worst first.
        sizes: images and identities by role.
        linked_by: how labels lead to training people: by the "map" that was given, by equal "names", by equal running
            "numbers" (which may be an accident), or by "nothing".
        recognizers: names, in the order used.
        sealed: recognisers that had no part in a clean-up, where there was one.
        remediation: that clean-up, or None.
        config: the limits that applied.
        config_sha256: their hash.
        profile: "default", "strict" or "custom".
        differences: limits that differ from the default profile: (default, here).
        evidence: arrays behind the figures, by recogniser; private, and not in ``to_json``.
    """

    verdict: Outcome
    claim: str
    gates: dict[str, Gate]
    needs: tuple[str, ...]
    flagged: tuple[str, ...]
    overlap: tuple[tuple[str, str], ...]
    sizes: dict[str, dict[str, int]]
    linked_by: LinkedBy
    recognizers: tuple[str, ...]
    config: AuditConfig
    config_sha256: str
    profile: str = "default"
    differences: dict[str, tuple[float, float]] = field(default_factory=dict)
    flagged_images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    copies: tuple[CopiedImage, ...] = ()
    unaudited: tuple[str, ...] | None = None
    sealed: tuple[str, ...] = ()
    remediation: Remediation | None = None
    evidence: dict[str, Evidence] = field(default_factory=dict, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON; private, since it names flagged classes and overlapping people.

        Numbers carry six significant digits, and NaN is null.
        """
        gates = {
            name: {
                **{key.name: getattr(gate, key.name) for key in fields(gate)},
                "value": gate.value,
                "interval": gate.interval,
                "threshold": gate.threshold,
            }
            for name, gate in self.gates.items()
        }
        plain = {key.name: getattr(self, key.name) for key in fields(self) if key.name != "evidence"}
        return dict(_rounded(to_json({**plain, "gates": gates})))


def three_way(interval: Interval, limit: float) -> bool | None:
    """Say whether an interval lies below a limit (True), above it (False), or across (None)."""
    if interval[1] <= limit:
        return True
    return False if interval[0] > limit else None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
