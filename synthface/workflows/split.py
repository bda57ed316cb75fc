"""A FaceSet to three, disjoint by identity: OUT/train, OUT/holdout and OUT/placebo.

The held-out people are drawn at random before any training, which is what later gives the audit an exact test:
a generator can only be nearer to those it was trained on. People with fewer than --min-images images are the placebo.
Images are hard links where the disk allows it, so a split takes no space.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synthface.core.errors import ConfigError, DataError

EXAMPLES = """
synthface split faces --out parts
synthface split faces --out parts --holdout 0.5 --min-images 4 --seed 7
"""


@dataclass(frozen=True)
class Options:
    """What to split, and how.

    Args:
        faceset: the FaceSet to split; it is not changed.
        out: folder of the three new FaceSets.
        holdout: share of the people with enough images that is held out.
        min_images: images that a person needs to be trained on or held out.
        seed: decides who is held out.
    """

    faceset: Path = field(metadata={"positional": True})
    out: Path
    holdout: float = 0.33
    min_images: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.holdout < 1:
            raise ConfigError(f"--holdout {self.holdout:g} is not between 0 and 1")
        if self.min_images < 1:
            raise ConfigError(f"--min-images {self.min_images} is below 1")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} is negative")


def run(options: Options) -> int:
    """Split the FaceSet and print the parts."""
    from synthface.core.atomic import partial_path, require_absent
    from synthface.core.run_record import run_record
    from synthface.data import FaceSet, FaceSetWriter
    from synthface.data.identity_split import ROLES, split_identities

    faces = FaceSet.load(options.faceset, flag="FACESET")
    if options.out.resolve() == options.faceset.resolve():
        raise ConfigError(f"--out {options.out} is the FaceSet that is to be split; give another path")
    n_images = Counter(record.identity for record in faces.records)
    _check_somebody_twice(options, n_images)
    roles = split_identities(
        n_images,
        holdout=options.holdout,
        min_images=options.min_images,
        seed=options.seed,
    )
    is_made = all((options.out / role).is_dir() for role in ROLES)
    if not is_made:
        require_absent(options.out)
    folder = options.out if is_made else partial_path(options.out)
    people: dict[str, int] = {}
    summary = []
    for role in ROLES:
        config = {"holdout": options.holdout, "min_images": options.min_images, "role": role}
        made_by = run_record("split", config, seed=options.seed, inputs={"faceset manifest": faces.manifest_sha256})
        with FaceSetWriter(folder / role, kind=faces.kind, record=made_by, extra={"role": role}) as writer:
            for record in faces.records if not writer.is_complete else ():
                if roles[record.identity] == role and not writer.done(record.path):
                    writer.add_file(record, faces.root / record.path)
            part = writer.finish()
        people[role] = len(part.identities)
        summary.append(f"{role:<8} {len(part.identities):>7,} people  {len(part):>8,} images  {options.out / role}")
    if not is_made:
        folder.rename(options.out)
    print("\n".join(summary))
    for remark in (_few_to_train_on(people["train"]), "" if people["placebo"] else _no_placebo(options, n_images)):
        if remark:
            print(f"warning: {remark}", file=sys.stderr)
    return 0


def _check_somebody_twice(options: Options, n_images: Mapping[str, int]) -> None:
    """Refuse a set of as many people as images, which is rarely what was meant."""
    if options.min_images > 1 and len(n_images) > 1 and max(n_images.values()) == 1:
        raise DataError(
            f"{options.faceset}: each of the {len(n_images)} images shows another person, and a split needs two people "
            f"with {options.min_images} or more; if the photos lay in one folder as NAME_0001.jpg, give 'prepare' "
            "--flat-identity prefix and another --out"
        )


def _few_to_train_on(n_people: int) -> str:
    """Return what ``generate`` needs where its default makes no new people of so few; nothing where it does."""
    from gan.identities import SampleConfig, flags_for_new_people

    if n_people >= SampleConfig.n_parents:
        return ""
    needs = f"'generate --identities sampled' needs {SampleConfig.n_parents} people to train on, here are {n_people}"
    flags = flags_for_new_people(n_people)
    return f"{needs}; give it {flags}" if flags else f"{needs}, too few to make new people from; add people"


def _no_placebo(options: Options, n_images: Mapping[str, int]) -> str:
    """Return what an empty placebo means, and how to have one."""
    fewest = min(n_images.values())
    n_fewest = sum(n == fewest for n in n_images.values())
    text = f"nobody has fewer than {options.min_images} images, so the placebo is empty; without one no audit passes"
    if len(n_images) - n_fewest < 2:
        return f"{text}: add people with fewer images"
    return (
        f"{text}: add people with fewer images, or split with --min-images {fewest + 1} to another --out, which makes "
        f"{n_fewest} people with {fewest} the placebo"
    )
