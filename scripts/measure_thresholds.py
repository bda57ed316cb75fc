"""Measure the scores at which recognisers take two real people for one, for synthface/models/thresholds.json.

    python scripts/measure_thresholds.py split/placebo --recognizers synthface-small mobilefacenet-ms1m

One photo a person, all pairs of people; best people that the recogniser was not trained on. Prints the file's content:
hashes, counts and thresholds, nothing about anybody. The shipped table comes from the people of LFW with one photo.
"""

import argparse
import json
import sys
from pathlib import Path

from synthface.core.errors import SynthfaceError
from synthface.data import FaceSet
from synthface.recognition.catalogue import find_weights
from synthface.workflows.generating.real_thresholds import measured_thresholds

FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
SIDES = (32, 64, 112)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faceset", type=Path)
    parser.add_argument("--recognizers", nargs="+", required=True)
    parser.add_argument("--sides", nargs="+", type=int, default=list(SIDES))
    arguments = parser.parse_args()
    found = {}
    try:
        faceset = FaceSet.load(arguments.faceset, kinds=["real"])
        for name in arguments.recognizers:
            weights = find_weights(name)
            sides = {
                side: measured_thresholds(faceset, name, list(FMRS), via_size=None if side == 112 else side)
                for side in sorted(arguments.sides)
            }
            found[weights.sha256] = {
                "name": weights.name,
                "people": len(faceset.identities),
                "thresholds": {
                    str(side): {f"{fmr:g}": round(value, 4) for fmr, value in thresholds.items()}
                    for side, thresholds in sides.items()
                },
            }
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(json.dumps({"format": "synthface-thresholds", "recognizers": found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
