"""How well the labels of a FaceSet tell its faces apart: EER, AUC and TMR over all pairs, with intervals by identity.

    python scripts/measure_separability.py synthetic --recognizers mobilefacenet-ms1m mobilefacenet-casia
    python scripts/measure_separability.py split/holdout --recognizers mobilefacenet-ms1m --via-size 64

The second line is the ceiling: real people at the resolution of the synthetic set. Prints one JSON object.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from synthface.core.errors import SynthfaceError
from synthface.data import FaceSet
from synthface.metrics.all_pairs import all_pairs
from synthface.metrics.verification_summary import summarise
from synthface.workflows.embed import embed_faceset

SHOWN = ("eer", "eer_interval", "auc", "auc_interval", "tmr_at_fmr_1e-3", "tmr_at_fmr_1e-3_interval", "fisher_ratio")


def main() -> int:
    """Embed, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faceset", type=Path)
    parser.add_argument("--recognizers", nargs="+", required=True)
    parser.add_argument("--via-size", type=int, default=None, help="bring the images to this resolution first")
    parser.add_argument(
        "--identities", type=int, default=100, help="first so many identities; pairs grow as the square"
    )
    parser.add_argument("--replicates", type=int, default=100)
    arguments = parser.parse_args()
    results = {}
    try:
        faceset = FaceSet.load(arguments.faceset)
        chosen = np.isin(faceset.labels, np.arange(arguments.identities))
        for name in arguments.recognizers:
            embeddings = embed_faceset(faceset, name, via_size=arguments.via_size).take(chosen)
            summary = summarise(all_pairs(embeddings.vectors, embeddings.identities), n_replicates=arguments.replicates)
            results[name] = {"n_images": len(embeddings), "n_pairs": summary["n_pairs"]}
            results[name] |= {key: summary[key] for key in SHOWN}
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
