"""Test whether real people can be found again in a synthetic set; say PASS, FAIL or INCONCLUSIVE.

Compares the synthetic faces with the photos the generator was trained on, and with people who were held out at
random (made by 'synthface split') as the control. Exit code 0 is PASS, 1 FAIL, 2 INCONCLUSIVE; without a hold-out, a
placebo and two good recognisers it cannot be PASS. Leaks are planted in a copy of the set, to see what the audit would
find. Writes audit.json and its schema, report.html (private: real faces), report_public.html and audit.md. A label of
the synthetic set leads to a training person through the generator that made it, or by equal identity names.

Under torchrun the shell sees exit code 1 for a 2 (and a 3), since torchrun ends with 1 whenever a process ends with
anything but 0: take the verdict from audit.json there.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_file, sha256_json
from synthface.core.run_record import run_record, to_json
from synthface.data import FaceSet
from synthface.privacy.config import AuditConfig
from synthface.workflows.auditing.acquisition import acquire
from synthface.workflows.auditing.attributes import Attributes, read_attributes
from synthface.workflows.auditing.given_embeddings import check_embeddings, given_embeddings
from synthface.workflows.auditing.inputs import (
    ROLES,
    FaceSets,
    Sets,
    check_files,
    check_images,
    check_placebo,
    check_training_set,
    flag_of,
    set_facts,
    signatures_of,
    via_size,
    warn_of_real_set,
)
from synthface.workflows.auditing.labels import label_map, label_map_missing
from synthface.workflows.auditing.not_concluded import not_concluded
from synthface.workflows.auditing.power import check_generator, plant_leaks, reconstruct_by
from synthface.workflows.auditing.processes import fabric_of, first_process_first, search_of
from synthface.workflows.auditing.public_names import by_public_name
from synthface.workflows.auditing.remediation import remediation_of
from synthface.workflows.auditing.report import (
    PRIVATE_PAGE,
    PUBLIC_PAGE,
    facts_of,
    power_row,
    remarks_on,
    write_audit,
)
from synthface.workflows.auditing.result import FORMAT, RESULT, VERSION
from synthface.workflows.auditing.slicing import class_slices, people_slices
from synthface.workflows.compute import Compute, is_first_process
from synthface.workflows.embed import embed_faceset
from synthface.workflows.existing_results import existing_results

EXAMPLES = """
synthface audit --synthetic synthetic --train split/train --holdout split/holdout --placebo split/placebo \\
    --recognizers mobilefacenet-ms1m mobilefacenet-casia --out audit
synthface audit --synthetic synthetic --recognizers synthface-small --out first-look
"""
EXIT_CODES = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}


logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface audit``.

    Args:
        synthetic: FaceSet to be released.
        recognizers: two or more recognisers of different making, by name or path; the reports say names alone.
        out: folder to write the result and the reports to.
        train: FaceSet that the generator was trained on.
        holdout: FaceSet of people drawn at random from the same pool, never used.
        placebo: FaceSet of a third, disjoint group of real people.
        train_other: FaceSet of other photos of the training people, on which the generator was not trained.
        generator: generator that made the set, to plant what it draws of training photos as well (minutes on a CPU).
        attributes: CSV file with a column "identity" and one for each attribute of people or classes (age group, ...);
            the report tells the groups apart.
        embeddings: files of 'synthface embed' for any of these sets, to take instead of embedding here; which set and
            recogniser each is of is known by their hashes.
        strict: the limits for a release that cannot be called back.
        gates: YAML file of limits, "name: value" a line; "profile: strict" begins with those. Set them before the run.
    """

    synthetic: Path
    recognizers: list[str]
    out: Path
    train: Path | None = None
    holdout: Path | None = None
    placebo: Path | None = None
    train_other: Path | None = None
    generator: Path | None = None
    attributes: Path | None = None
    embeddings: list[Path] = field(default_factory=list)
    strict: bool = False
    gates: AuditConfig = field(default_factory=AuditConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strict and self.gates.differences():
            raise ConfigError(
                "--strict sets all limits but --gates.seed; to change some, give --gates a file with 'profile: strict'"
            )
        if self.strict:
            object.__setattr__(self, "gates", AuditConfig.strict(seed=self.gates.seed))
        if len(set(self.recognizers)) < len(self.recognizers):
            raise ConfigError("--recognizers names one recogniser twice; give different ones")


def expand_arguments(arguments: list[str]) -> list[str]:
    """Put the values of the file after ``--gates`` in its place, as flags that later ones override.

    Raises:
        ConfigError: the file cannot be read, or holds something else than a profile and limits.
    """
    expanded: list[str] = []
    words = iter(arguments)
    for word in words:
        file = next(words, None) if word == "--gates" else word.partition("--gates=")[2] or None
        if file is None:
            expanded.append(word)
        else:
            values = to_json(AuditConfig.from_file(Path(file)))
            expanded += [f"--gates.{name}={value}" for name, value in values.items()]
    return expanded


def run(options: Options) -> int:
    """Audit, write the folder, print the verdict; the exit code is the verdict."""
    facesets = {
        role: FaceSet.load(path, flag=flag_of(role)) for role in ROLES if (path := getattr(options, role)) is not None
    }
    if is_first_process():
        warn_of_real_set(facesets["synthetic"])
    check_images(facesets)
    check_training_set(facesets)
    check_placebo(facesets)
    check_generator(facesets, options.generator)
    identities = {name for faceset in facesets.values() for name in faceset.identities}
    attributes = read_attributes(options.attributes, identities)
    if is_first_process():
        check_files(facesets)
    recognizers = by_public_name(options.recognizers)
    sets = embed_sets(facesets, recognizers, options)
    record = run_record(
        "audit",
        {"gates": to_json(options.gates), "recognizers": options.recognizers},
        seed=options.gates.seed,
        inputs=_provenance(facesets, sets, options),
    )
    result = existing_results(options.out, RESULT, record)
    if result is not None and result["unaudited"] is None:
        logger.warning("this answer is from before; where the face detector is installed now, give another --out")
    if result is None:
        result = _audit(options, recognizers, facesets, sets, attributes, record)
    if not is_first_process():
        return 0
    print(f"{result['verdict']}: {result['claim']}")
    for need in result["needs"]:
        print(f"  - needed: {need}")
    for sentence in result["not_concluded"]:
        print(f"  - cannot be said: {sentence}")
    print(f"report: {options.out / PRIVATE_PAGE} (private), {options.out / PUBLIC_PAGE}")
    return EXIT_CODES[result["verdict"]]


def embed_sets(facesets: FaceSets, recognizers: Mapping[str, str], options: Options) -> Sets:
    """Return the embeddings of every set under every recogniser: given, from the cache, or made now.

    Real faces are brought to the resolution of the release first.

    Args:
        facesets: by role.
        recognizers: by public name.
        options: of the command.
    """
    from synthface.recognition.catalogue import find_weights

    weights = {name: find_weights(it).sha256 for name, it in recognizers.items()} if options.embeddings else {}
    given = given_embeddings(options.embeddings, facesets, weights)
    sets: Sets = {role: {} for role in facesets}
    for role, faceset in facesets.items():
        for name, recognizer in recognizers.items():
            side = via_size(role, facesets["synthetic"])
            found = given.get(role, {}).get(name) or embed_faceset(faceset, recognizer, compute=options, via_size=side)
            check_embeddings(found, faceset, f"what the cache holds for {flag_of(role)} under {name}")
            sets[role][name] = found
    return sets


def _provenance(facesets: dict[str, FaceSet], sets: Sets, options: Options) -> dict[str, str]:
    hashes = {
        **{f"{role} manifest": faceset.manifest_sha256 for role, faceset in facesets.items()},
        **{f"{role} record": sha256_json(set_facts(faceset)) for role, faceset in facesets.items()},
        **{f"recogniser {name}": sha256 for name, sha256 in _weights_of(sets).items()},
        "gates": sha256_json(to_json(options.gates)),
    }
    if options.generator is not None:
        from gan.weights import generator_file

        hashes["generator"] = sha256_file(generator_file(options.generator))
    if options.attributes is not None:
        hashes["attributes"] = sha256_file(options.attributes)
    return hashes


def _weights_of(sets: Sets) -> dict[str, str]:
    return {name: str(item.info["recognizer_sha256"]) for name, item in sets["synthetic"].items()}


def _audit(
    options: Options,
    recognizers: Mapping[str, str],
    facesets: dict[str, FaceSet],
    sets: Sets,
    attributes: Attributes,
    record: dict[str, Any],
) -> dict[str, Any]:
    from synthface.privacy import audit
    from synthface.privacy.inputs import read_inputs
    from synthface.privacy.label_check import check_people

    config, labels = options.gates, label_map(facesets)
    check_people(read_inputs(sets, labels), config)  # what cannot be audited is refused before the hours of work
    remediation = remediation_of(facesets, _weights_of(sets))
    fabric = fabric_of(options)
    with first_process_first(fabric):
        signatures = {role: signatures_of(faceset) for role, faceset in facesets.items() if role != "train_other"}
        acquisition = acquire(facesets)
    planted = plant_leaks(
        facesets,
        sets,
        signatures,
        config,
        lambda leaks: {name: embed_faceset(leaks, given, compute=options) for name, given in recognizers.items()},
        rounds=remediation.rounds if remediation else 1,
        reconstruct=reconstruct_by(options.generator, fabric),
    )
    verdict = audit(
        **sets,
        config=config,
        labels=labels,
        signatures=signatures,
        planted=planted,
        remediation=remediation,
        acquisition=acquisition,
        label_map_missing=label_map_missing(facesets),
        search=search_of(fabric),
    )
    flagged_images: dict[str, str] = {copy.synthetic: "copy of a training photo" for copy in verdict.copies}
    for image, names in verdict.flagged_images.items():
        flagged_images.setdefault(image, f"training person named by {', '.join(names)}")
    alarmed = verdict.flagged if verdict.gates["A3"].checks else None
    kinds = {role: faceset.kind for role, faceset in facesets.items()}
    result = {
        "format": FORMAT,
        "version": VERSION,
        **verdict.to_json(),
        "flagged_images": [{"image": image, "why": why} for image, why in sorted(flagged_images.items())],
        "not_concluded": not_concluded(
            facesets, list(recognizers), verdict.linked_by, acquired=acquisition is not None
        ),
        "power": [power_row(outcome, config.confidence) for outcome in planted],
        "people_slices": people_slices(facesets, sets, verdict.evidence, attributes, config.confidence),
        "class_slices": class_slices(facesets, sets, alarmed, attributes, config.confidence),
        "recognizer_facts": {name: facts_of(given) for name, given in recognizers.items()},
        "kinds": kinds,
        "made_by": record,
    }
    result = to_json(result)
    if is_first_process():
        write_audit(options.out, result, verdict.evidence, facesets, remarks_on(kinds))
    return result
