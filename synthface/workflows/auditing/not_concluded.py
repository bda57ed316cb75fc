"""What an audit cannot say for want of data, and what to supply for it."""

from collections.abc import Sequence

from synthface.data import FaceSet
from synthface.privacy.label_source import ACCIDENT, LinkedBy
from synthface.workflows.auditing.inputs import FaceSets

_WITH_IDENTITIES = "give real photos with identities"


def not_concluded(
    facesets: FaceSets, recognizers: Sequence[str], linked_by: LinkedBy, *, acquired: bool = True
) -> list[str]:
    """Return a sentence for each thing that this audit leaves open.

    Args:
        facesets: what was given, by role.
        recognizers: their names.
        linked_by: how labels of the synthetic set lead to training people.
        acquired: whether images without a face were looked for.
    """
    synthetic, train, holdout = facesets["synthetic"], facesets.get("train"), facesets.get("holdout")
    open_questions = (
        (
            train is None,
            "whether anybody the generator was trained on is in the set: give --train, its training photos",
        ),
        (
            holdout is None,
            "whether a resemblance is more than chance: give --holdout, people put aside at random before training "
            "(synthface split); a generator trained on all people has to be trained again without them",
        ),
        (
            train is not None and holdout is not None and not _split_together(train, holdout),
            "whether chance alone decided who was held out: --train and --holdout are not of one run of 'synthface "
            "split', so that they were drawn at random from one pool is taken on trust",
        ),
        (
            "placebo" not in facesets,
            "whether the comparison itself is biased: give --placebo, real people who are in neither set",
        ),
        (
            len(recognizers) < 2,
            f"what a recogniser other than {recognizers[0]} sees: give a second one of another making to --recognizers",
        ),
        (
            _without_identities(holdout),
            "whether the recognisers work: each hold-out photo is an identity of its own, so no two photos are known "
            f"to show one person; {_WITH_IDENTITIES}",
        ),
        (
            _without_identities(train),
            "whether a person is found through other photos: each training photo is an identity of its own; "
            f"{_WITH_IDENTITIES}",
        ),
        (
            len(synthetic) > 1 and _without_identities(synthetic),
            "whether a class as a whole shows somebody: each synthetic image is an identity of its own",
        ),
        (
            train is not None and linked_by == "nothing",
            "whether labels lead to people: no synthetic identity leads to a training person, by the generator "
            "or by its name",
        ),
        (linked_by == "numbers", f"whether labels lead to people: {ACCIDENT}"),
        (
            not acquired,
            "whether every image shows a face: not checked, the detector is not installed (pip install -e '.[detect]' "
            "in the synthface checkout)",
        ),
    )
    return [sentence for is_open, sentence in open_questions if is_open]


def _without_identities(faceset: FaceSet | None) -> bool:
    return faceset is not None and len(faceset.identities) == len(faceset)


def _split_together(train: FaceSet, holdout: FaceSet) -> bool:
    """Say whether two sets are parts that one run of 'synthface split' dealt out."""
    first, second = (faceset.info.get("made_by", {}) for faceset in (train, holdout))
    same = all(first.get(key) == second.get(key) for key in ("command", "seed", "inputs"))
    return bool(same and first.get("command") == "split")
