"""The nearest pairs of a synthetic image and a training photo, for people to look at."""

from collections.abc import Mapping

import numpy as np

from synthface.privacy.evidence import NearPair
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.measure import Measurement


def near_pairs(
    inputs: AuditInputs, results: Mapping[str, Measurement], recognizer: str, limit: int
) -> tuple[NearPair, ...]:
    """Return the nearest (synthetic image, training photo) pairs, one for each (class, person), best first."""
    if ("synthetic", "train") not in results[recognizer].nearest:
        return ()
    scores, rows = results[recognizer].nearest["synthetic", "train"]
    synthetic, train = inputs.roles["synthetic"], inputs.roles["train"]
    names, people = synthetic[recognizer].identities, train[recognizer].identities
    pairs: list[NearPair] = []
    seen: set[tuple[str, str]] = set()
    for image in np.argsort(-scores, kind="stable"):
        key = (str(names[image]), str(people[rows[image]]))
        if key in seen:
            continue
        seen.add(key)
        by_recognizer = {
            name: float(
                synthetic[name].vectors[image].astype(np.float64) @ train[name].vectors[rows[image]].astype(np.float64)
            )
            for name in inputs.recognizers
        }
        same = None if not inputs.labels else inputs.labels.get(key[0]) == key[1]
        pairs.append(NearPair(int(image), int(rows[image]), by_recognizer, same))
        if len(pairs) == limit:
            break
    return tuple(pairs)
