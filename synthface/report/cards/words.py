"""The sentences that several documents share, chosen by the facts; nothing is said that no fact supports."""

from collections.abc import Mapping
from typing import Any

from synthface.report.audit_page import LIMITS
from synthface.report.cards.facts import ReleaseFacts
from synthface.report.page import number, percent

INTENDED_USES = (
    "Training and testing face recognition and face verification without handing on photos of real people.",
    "Research on synthetic training data, on identity leakage and on its audit.",
    "Developing, testing and teaching software that handles labelled faces.",
)
FORBIDDEN_USES = (
    "Identifying, tracking or imitating a real person, or presenting an image as a photo of anybody.",
    "Searching the set for the people whose photos trained the generator, or publishing what such a search finds.",
    "Inferring or classifying race, sex, age, health, emotion or other attributes of real people.",
    "Deciding about a person by a recogniser trained on this set alone, without testing it on consenting real people.",
)
BIASES = (
    "The generator repeats the make-up of its training photos: who is rare there is rare or badly drawn here.",
    "Age, sex, skin colour and other attributes are not labelled, so their balance was not measured.",
    "A recogniser trained on the set may therefore err more often for some groups of people than for others.",
)
SOURCE_TYPE = "trainedAlgorithmicMedia"
REGENERATE = (
    "`manifest.jsonl` holds for every image the generator's hash, class or identity code, seed, psi and noise mode; "
    "whoever has the generator can make the image again with "
    "`synthface regenerate manifest.jsonl --generator GENERATOR --out again`."
)


def people(facts: ReleaseFacts) -> str:
    """Return what the images show."""
    if facts.kind == "inverted":
        return (
            "The images are reconstructions from embeddings of real people by a recogniser's gradients. They are meant "
            "to resemble those people and are to be treated as their personal data."
        )
    drawn = "The images are output of a trained generator; none is meant to show a real person."
    if facts.audit is None:
        return f"{drawn} Whether people in the training photos can be recognised all the same was not measured."
    return f"{drawn} How far people in the training photos can be recognised all the same is what the audit measures."


def making(facts: ReleaseFacts) -> str:
    """Return how the images were made, as far as the run recorded it."""
    config = facts.made_by.get("config", {})
    if facts.made_by.get("command") != "generate":
        command = facts.made_by.get("command")
        return f"Made by `synthface {command}`." if command else "How the images were made is not recorded."
    new = config.get("identities") != "trained"
    kinds = {
        "trained": "Each identity is a class of the generator, that is, stands for one person of its training photos",
        "mixed": "Each identity is a mixture of several of the generator's classes and meant to stand for none of them",
        "sampled": "Each identity is drawn at random between the classes of the generator and meant to stand for none",
    }
    words = kinds.get(str(config.get("identities")), "Identities are labels of the generator")
    psi, cutoff = number(config.get("psi")), config.get("cutoff")
    layers = f" in the first {number(cutoff)} layers" if cutoff is not None else ""
    return (
        f"Made by `synthface generate` with psi {psi}{layers}, noise mode {config.get('noise_mode')}, "
        f"{number(config.get('per_class'))} images an identity, seed {facts.made_by.get('seed')}. {words}"
        f"{'.' if new else '; such labels are the easiest to link, see test A4 of the audit.'}"
    )


def training(facts: ReleaseFacts) -> str:
    """Return how many photos of how many people the generator was trained on, if the audit's training set was it."""
    size = (facts.audit or {}).get("sizes", {}).get("train")
    if size is None:
        return "The number of people in the training photos is not recorded (an audit of this set would give it)."
    counted = f"{size['images']:,} photos of {size['identities']:,} people"
    same = audited_training_is_the_generators(facts)
    if same is None:
        return (
            f"The audit compared the set with {counted} as its training photos; "
            "the generator does not record what it was trained on, so that these are the right ones is not shown."
        )
    if same:
        return f"The generator was trained on {counted}; the audit compared the set with these very photos."
    return (
        f"The audit compared the set with {counted}, which are **not** what the generator records as its training "
        "photos: the verdict does not cover those."
    )


def audited_training_is_the_generators(facts: ReleaseFacts) -> bool | None:
    """Say whether the audit's training set is the generator's, by their manifests' hashes; None if one is unknown."""
    trained_on = facts.generator.get("trained_on_manifest_sha256")
    audited = (facts.audit or {}).get("made_by", {}).get("inputs", {}).get("train manifest")
    return None if trained_on is None or audited is None else trained_on == audited


def outcome(facts: ReleaseFacts) -> str:
    """Return the verdict, with the limits that it was reached under where they are of no profile."""
    if not facts.changed_limits:
        return facts.verdict
    changed = [f"{name} {here:g}, default {default:g}" for name, (default, here) in facts.changed_limits.items()]
    return f"{facts.verdict} under changed limits ({'; '.join(changed)})"


def risk(facts: ReleaseFacts) -> str:
    """Return that the set was released at the publisher's own risk, and why, as far as a reason was given."""
    how = "on a PASS under changed limits" if facts.verdict == "PASS" else "without a PASS of the audit"
    reason = f"; reason given: {facts.acknowledged}" if facts.acknowledged else ""
    return _sentence(f"Released {how}, at the publisher's own risk{reason}")


def audit_limits(facts: ReleaseFacts) -> list[str]:
    """Return what the audit cannot say; nothing where there was none."""
    if facts.audit is None:
        return []
    return [_sentence(text) for text in (*facts.audit.get("not_concluded", []), *LIMITS)]


def personal_information(facts: ReleaseFacts) -> list[str]:
    """Return what a data-protection officer asks first."""
    lines = [people(facts), training(facts), f"Identity-leakage audit: {outcome(facts)}. {facts.claim}"]
    if facts.acknowledged:
        lines.append(risk(facts))
    lines.append(
        "Class numbers and identity codes in the manifest lead to people only together with the manifest of the "
        "training photos, which is no part of the release; keep the two apart."
    )
    lines.append(
        "Whether the set is anonymous in the sense of the law is for the publisher to decide case by case; "
        "the audit is evidence for that decision, not the decision."
    )
    lines.append(f"Legal basis for using the training photos: {facts.stated.training_basis or 'not recorded'}.")
    return lines


def encoding(facts: ReleaseFacts) -> str:
    """Return what became of the audited files; nothing if they are the released ones but for the mark."""
    if facts.encoded_anew is None:
        return ""
    change = "no pixel" if facts.encoding == "image/png" else "pixels a little"
    return f"After the audit the images were encoded anew ({facts.encoded_anew}), which changes {change}."


def limitations(facts: ReleaseFacts) -> list[str]:
    """Return what the set is not good for."""
    lines = [f"Images have {facts.width}x{facts.height} pixels and may show artefacts."]
    if facts.encoded_anew:
        lines.append(encoding(facts))
    for name, figures in ((facts.measure or {}).get("recognizers") or {}).items():
        eer = (figures.get("measured") or {}).get("eer") or {}
        if eer.get("value") is not None:
            ends = eer.get("interval")
            between = f" [{percent(ends[0])}, {percent(ends[1])}]" if ends else ""
            lines.append(
                f"Labels hold their identity only so well: EER {percent(eer['value'])}{between} under {name}; "
                "perfectly separate identities would have 0 %."
            )
    if facts.measure is None:
        lines.append("How well images of one label show one person was not measured.")
    lines.append("Recognisers trained on synthetic faces alone are less accurate than those trained on real ones.")
    return lines


def gate_rows(audit: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """Return id, title and outcome of every test of an audit."""
    outcomes = {True: "passed", False: "failed", None: "undecided"}
    rows = []
    for gate in ((audit or {}).get("gates") or {}).values():
        outcome = outcomes[gate["passed"]] if gate.get("applicable", True) else "not applicable"
        if gate.get("kind") == "warning" and gate["passed"] is False:
            outcome = "warning"
        rows.append((gate["id"], gate["title"], outcome))
    return rows


def bibtex(facts: ReleaseFacts) -> str:
    """Return a BibTeX entry of the data set."""
    entries = {
        "title": facts.title,
        "author": "{" + facts.stated.creator + "}" if facts.stated.creator else None,
        "year": (facts.stated.published or "")[:4] or None,
        "version": facts.stated.version,
        "note": f"Synthetic face set {facts.set_id}",
        "url": facts.stated.url,
    }
    lines = [f"  {key} = {{{value}}}" for key, value in entries.items() if value]
    return f"@misc{{synthface_{facts.set_id},\n" + ",\n".join(lines) + "\n}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
