"""Which label leads to whom, and when that may be an accident."""

import numpy as np
import pytest

from synthface.privacy import Embeddings
from synthface.privacy.label_source import are_running_numbers, label_source


def roles(classes, people):
    def embeddings(names):
        return {"one": Embeddings(np.eye(len(names), 8, dtype=np.float32), names, [f"{n}.png" for n in names])}

    return {"synthetic": embeddings(classes), "train": embeddings(people)}


@pytest.mark.parametrize(
    ("names", "running"),
    [
        (["0", "1", "2"], True),
        (["000001", "000003", "000002"], True),
        ([str(k) for k in range(11)], True),  # "10" sorts before "2"
        (["0", "2", "3"], False),  # someone is missing: these are labels, not a count
        (["0000045", "0000099"], False),
        (["class-0", "class-1"], False),
        (["²", "³"], False),
        (["a", "b"], False),
    ],
)
def test_running_numbers(names, running):
    assert are_running_numbers(names) == running


@pytest.mark.parametrize(
    ("classes", "people", "given", "labels", "linked_by"),
    [
        (["a", "b"], ["b", "c"], None, {"b": "b"}, "names"),
        (["0", "1"], ["1", "7"], None, {"1": "1"}, "numbers"),
        (["0", "1"], ["1", "7"], {"0": "7"}, {"0": "7"}, "map"),
        (["0", "1"], ["x", "y"], None, {}, "nothing"),
        (["0", "1"], ["1", "7"], {}, {}, "nothing"),
    ],
)
def test_how_labels_lead_to_people(classes, people, given, labels, linked_by):
    assert label_source(roles(classes, people), "one", given) == (labels, linked_by)


def test_without_training_people_nothing_leads_to_them():
    assert label_source({"synthetic": roles(["0"], ["0"])["synthetic"]}, "one", None) == (None, "nothing")
