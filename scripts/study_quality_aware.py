"""QMagFace's quality-aware score against the cosine, on photos degraded on purpose.

    synthface split faces --out split
    python scripts/study_quality_aware.py --fit split/train --test split/holdout --out quality \
        --recognizers mobilefacenet-ms1m mobilefacenet-casia

Of the photos' copies a quarter stay as they were; the others are blurred (sigma 1 to 4 pixels), compressed (JPEG
quality 3 to 20) or shrunk to 12 to 40 pixels a side and enlarged again, each drawn from (seed, image). Quality is the
length of the embedding before it is normalised; alpha and beta are fitted on the degraded people of --fit, who are
others than those of --test. Of --test's mated pairs 20 a person count, and --non-mated random ones; intervals resample
people, and those of the gains resample both scores together. Beside the published score stands ours without its bound
at 0 (``quality-linear``). The photos as they are get the same fit, to see what
it costs there. Writes quality.json and quality.md.
"""

import argparse
import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from synthface.core.errors import DataError, SynthfaceError
from synthface.core.heap import keep_freed_memory
from synthface.core.run_record import write_json
from synthface.core.seeds import derive_seed, numpy_generator
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.metrics.intervals import bootstrap_by_identity
from synthface.metrics.quality_aware import QualityWeight, fit_quality_weight, pair_quality, people_pairs
from synthface.metrics.verification import equal_error_rate, tmr_at_fmr
from synthface.metrics.weighted_verification import WeightedPairs
from synthface.workflows.embed import embed_faceset
from synthface.workflows.progress import track

Floats = NDArray[np.float64]
KINDS = ("none", "blur", "jpeg", "low resolution")
FMR, PER_PERSON = 1e-3, 20


def main() -> int:
    """Degrade, embed, fit, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=Path, required=True, help="FaceSet to fit on")
    parser.add_argument("--test", type=Path, required=True, help="FaceSet of other people")
    parser.add_argument("--recognizers", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="people of each set at most, drawn by the seed")
    parser.add_argument("--non-mated", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keep_freed_memory()
    try:
        report = _study(arguments)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    write_json(arguments.out / "quality.json", report)
    (arguments.out / "quality.md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))
    return 0


def _study(arguments: argparse.Namespace) -> dict[str, Any]:
    fit, test = (FaceSet.load(path, flag=flag) for path, flag in ((arguments.fit, "--fit"), (arguments.test, "--test")))
    if set(fit.identities) & set(test.identities):
        raise DataError(f"--fit {arguments.fit} and --test {arguments.test} share people")
    arguments.out.mkdir(parents=True, exist_ok=True)
    changed = {
        name: degraded(faces, arguments.out / f"{name}-degraded", limit=arguments.limit, seed=arguments.seed)
        for name, faces in (("fit", fit), ("test", test))
    }
    plain = degraded(test, arguments.out / "test-plain", limit=arguments.limit, seed=arguments.seed, kinds=("none",))
    report: dict[str, Any] = {"fmr": FMR, "seed": arguments.seed, "fitted_on_images": len(changed["fit"]), "rows": []}
    weights = {name: _fitted(embed_faceset(changed["fit"], name), arguments.seed) for name in arguments.recognizers}
    for photos, faces in (("degraded", changed["test"]), ("as they are", plain)):
        for name, weight in weights.items():
            row = compare(embed_faceset(faces, name), weight, non_mated=arguments.non_mated, seed=arguments.seed)
            report["rows"].append({"recognizer": name, "photos": photos, "weight": weight} | row)
    return report


def degraded(faces: FaceSet, out: Path, *, limit: int | None, seed: int, kinds: tuple[str, ...] = KINDS) -> FaceSet:
    """Return a copy whose images are changed by kinds drawn from (seed, path); found again if it is there."""
    chosen = set(faces.identities)
    if limit is not None and limit < len(chosen):
        chosen = set(numpy_generator(seed, "people").choice(faces.identities, limit, replace=False).tolist())
    record = {"command": "study_quality_aware", "config": {"kinds": kinds, "limit": limit, "seed": seed}}
    with FaceSetWriter(out, kind=faces.kind, record=record | {"inputs": {"faces": faces.manifest_sha256}}) as writer:
        for row, item in enumerate(track(faces.records if not writer.is_complete else (), description=out.name)):
            if item.identity in chosen and not writer.done(item.path):
                generator = numpy_generator(derive_seed(seed, "degrade", item.path))
                image = degrade(faces.read_image(row), kinds[generator.integers(len(kinds))], generator)
                writer.add(item.path, image, identity=item.identity, source=item.source)
        return writer.finish()


def degrade(image: NDArray[np.uint8], kind: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image [H, W, 3] blurred, compressed or of low resolution; amounts are drawn."""
    picture, amount = Image.fromarray(image), generator.random()
    changes: dict[str, Callable[[], Image.Image]] = {
        "none": lambda: picture,
        "blur": lambda: picture.filter(ImageFilter.GaussianBlur(1 + 3 * amount)),
        "jpeg": lambda: _jpeg(picture, round(3 + 17 * amount)),
        "low resolution": lambda: _low_resolution(picture, round(12 + 28 * amount)),
    }
    return np.asarray(changes[kind]().convert("RGB"))


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def _low_resolution(picture: Image.Image, side: int) -> Image.Image:
    return picture.resize((side, side), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)


def _fitted(others: Embeddings, seed: int) -> QualityWeight:
    assert others.norms is not None  # embed_faceset always keeps them
    return fit_quality_weight(*people_pairs(others.vectors, others.norms, others.identities, seed=seed))


def compare(embeddings: Embeddings, weight: QualityWeight, *, non_mated: int, seed: int) -> dict[str, Any]:
    """Return TMR and EER of both scores on the same pairs, and the difference in TMR, with intervals by identity."""
    assert embeddings.norms is not None
    rows, same = _pairs(embeddings.identities, non_mated, seed)
    first, second = rows.T
    unit = embeddings.vectors.astype(np.float64)
    cosines = np.einsum("nd,nd->n", unit[first], unit[second])
    quality = pair_quality(embeddings.norms[first], embeddings.norms[second])
    linear = dataclasses.replace(weight, bounded=False)
    scores = {
        "cosine": cosines,
        "quality_aware": weight.scores(cosines, quality),
        "quality_linear": linear.scores(cosines, quality),
    }
    weighted = {name: WeightedPairs(each, same) for name, each in scores.items()}

    def statistics(weights: Floats) -> dict[str, Floats]:
        found = {name: pairs.roc(weights).tmr_at_fmr(FMR) for name, pairs in weighted.items()}
        return found | {f"{name}_gain": found[name] - found["cosine"] for name in ("quality_aware", "quality_linear")}

    names = embeddings.identities
    intervals = bootstrap_by_identity(statistics, names[first], names[second], seed=seed)
    result: dict[str, Any] = {"n_mated": int(same.sum()), "n_non_mated": int((~same).sum())}
    for name, each in scores.items():
        result[name] = tmr_at_fmr(each[same], each[~same], FMR)
        result[f"{name}_gain"] = result[name] - result["cosine"]
        result[f"{name}_eer"] = equal_error_rate(each[same], each[~same])
    return result | {f"{name}_interval": list(interval) for name, interval in intervals.items()}


def _pairs(names: NDArray[np.str_], non_mated: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    generator = numpy_generator(seed, "compared")
    mated = []
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        mated.append(generator.permutation(members[np.stack(np.triu_indices(len(members), k=1), axis=1)])[:PER_PERSON])
    drawn = generator.integers(len(names), size=(non_mated, 2))
    others = drawn[names[drawn[:, 0]] != names[drawn[:, 1]]]
    rows = np.concatenate([*mated, others])
    return rows, names[rows[:, 0]] == names[rows[:, 1]]


def markdown(report: dict[str, Any]) -> str:
    """Return the table, in per cent."""
    lines = [
        f"TMR % at FMR {report['fmr']:g}; alpha and beta fitted on {report['fitted_on_images']:,} degraded photos of "
        "other people.",
        "",
        "| photos | recogniser | cosine | quality-aware | gain | quality-linear | gain | EER: cosine, aware, linear | "
        "alpha, beta | pairs, mated and not |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        kinds = ("cosine", "quality_aware", "quality_linear")
        cells = [
            _with_interval(row, name) for name in ("cosine", *(f"{k}{end}" for k in kinds[1:] for end in ("", "_gain")))
        ]
        cells.append(", ".join(f"{100 * row[f'{kind}_eer']:.1f}" for kind in kinds))
        fitted = "{alpha:.4f}, {beta:.4f}".format(**dataclasses.asdict(row["weight"]))
        lines.append(
            f"| {row['photos']} | {row['recognizer']} | {' | '.join(cells)} | {fitted} | "
            f"{row['n_mated']:,}, {row['n_non_mated']:,} |"
        )
    return "\n".join(lines) + "\n"


def _with_interval(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval"]
    sign = "+" if name.endswith("_gain") else ""
    return f"{100 * row[name]:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


if __name__ == "__main__":
    sys.exit(main())
