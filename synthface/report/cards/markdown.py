"""The documents in Markdown, and the front matter that Hugging Face reads."""

from collections.abc import Callable, Mapping
from typing import Any

from synthface.report.cards import words
from synthface.report.cards.facts import ReleaseFacts
from synthface.report.page import number, percent

DOCUMENTS = ("README.md", "DATASHEET.md", "MODEL_CARD.md")
_PACKING = {
    "folders": "a folder for each label (`images/LABEL/NAME`) with `manifest.jsonl`",
    "webdataset": "WebDataset tar shards (image, `.cls`, `.json`)",
    "recordio": "InsightFace RecordIO (`train.rec`, `train.idx`, `property`)",
    "parquet": "Hugging Face parquet (`data/train-*.parquet`)",
}
_LOADING = {
    "folders": "torchvision.datasets.ImageFolder('images')",
    "webdataset": "webdataset.WebDataset('shard-{000000..NNNNNN}.tar').decode('rgb8')  # NNNNNN: the last shard",
    "recordio": "set `config.rec` of InsightFace's arcface_torch to this folder",
    "parquet": "datasets.load_dataset('.')",
}
# Identifiers that Hugging Face takes as they are; others become "other" with the licence's name.
_KNOWN_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0",
                   "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "odc-by", "odbl", "pddl", "cdla-permissive-2.0")  # fmt: skip


def markdown_documents(facts: ReleaseFacts) -> dict[str, bytes]:
    """Return name and content of the dataset card, the datasheet and, where a generator drew the set, its card."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("synthface.report", "templates/cards"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=_inline,
    )
    values = {
        "facts": facts,
        "words": words,
        "stated": _stated(facts),
        "count": "{:,}".format,
        "packing": _PACKING[facts.format],
        "loading": _loading(facts),
        "gates": words.gate_rows(facts.audit),
        "limits": words.audit_limits(facts),
        "metrics": metric_rows(facts.measure),
        "scores": score_rows(facts.sidecar),
        "model": _model_rows(facts),
    }
    names = [name for name in DOCUMENTS if facts.kind == "synthetic" or name != "MODEL_CARD.md"]
    texts = {name: environment.get_template(name).render(values) for name in names}
    texts["README.md"] = front_matter(facts) + texts["README.md"]
    return {name: text.encode() for name, text in texts.items()}


def _inline(value: Any) -> Any:
    """Keep what comes from outside from becoming HTML."""
    return value.replace("<", "&lt;") if isinstance(value, str) else value


def _stated(facts: ReleaseFacts) -> Callable[[str], str]:
    def stated(name: str) -> str:
        value = getattr(facts.stated, name)
        return str(value).replace("|", "\\|") if value else f"not recorded (`--card.{name}` of `synthface release`)"

    return stated


def _loading(facts: ReleaseFacts) -> str:
    how = _LOADING[facts.format]
    return f"Read it with: {how}." if facts.format == "recordio" else f"Read it with `{how}`."


def front_matter(facts: ReleaseFacts) -> str:
    """Return the YAML that Hugging Face shows and loads by."""
    import yaml

    value: dict[str, Any] = {"pretty_name": facts.title}
    if facts.stated.licence:
        known = facts.stated.licence.lower() in _KNOWN_LICENCES
        value["license"] = facts.stated.licence.lower() if known else "other"
        if not known:
            value["license_name"] = facts.stated.licence
    value["task_categories"] = ["image-classification"]
    value["size_categories"] = [_size_category(facts.n_images)]
    value["tags"] = ["face-recognition", "synthetic", words.SOURCE_TYPE]
    if facts.format == "parquet":
        n_bytes = sum(file.n_bytes for file in facts.files if file.path.endswith(".parquet"))
        value["configs"] = [
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]},
        ]
        types = {"image": "image", "label": "int64", "identity": "string", "metadata": "string"}
        value["dataset_info"] = {
            "features": [{"name": name, "dtype": dtype} for name, dtype in types.items()],
            "splits": [{"name": "train", "num_examples": facts.n_images, "num_bytes": n_bytes}],
        }
    return "---\n" + yaml.safe_dump(value, sort_keys=False, allow_unicode=True) + "---\n\n"


def _size_category(n_images: int) -> str:
    edges = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")
    return names[sum(n_images >= edge for edge in edges)]


def metric_rows(measure: Mapping[str, Any] | None) -> list[list[str]]:
    """Return recogniser, EER, merged pairs and consistency of a measured set."""
    columns = (("eer", percent), ("merged_pairs", percent), ("consistency", number))
    return [
        [name, *(_figure(figures["measured"].get(key), write) for key, write in columns)]
        for name, figures in ((measure or {}).get("recognizers") or {}).items()
    ]


def _figure(figure: Mapping[str, Any] | None, write: Callable[[float | None], str]) -> str:
    if not figure or figure.get("value") is None:
        return "not measured"
    ends = figure.get("interval")
    return write(figure["value"]) + (f" [{write(ends[0])}, {write(ends[1])}]" if ends else "")


def score_rows(sidecar: Mapping[str, Any] | None) -> list[list[str]]:
    """Return name, mean and middle half of every score of the sidecar."""
    rows = []
    for name, score in (sidecar or {}).items():
        quantiles = score.get("quantiles") or {}
        low, high = quantiles.get("0.25"), quantiles.get("0.75")
        rows.append([str(name), number(score.get("mean")), f"{number(low)} to {number(high)}"])
    return rows


def _model_rows(facts: ReleaseFacts) -> list[tuple[str, str]]:
    generator, unknown = facts.generator, "not recorded"
    training = generator.get("training") or {}
    settings = ", ".join(f"{key} {training[key]}" for key in ("batch", "learning_rate", "r1_gamma") if key in training)
    seen = generator.get("seen_images")
    return [
        ("Architecture", "class-conditional StyleGAN2-ADA" if training else unknown),
        ("SHA-256 of the weights", f"`{generator['sha256']}`" if "sha256" in generator else unknown),
        ("Images seen in training", f"{seen:,}" if isinstance(seen, int) else unknown),
        ("Training seed", str(generator.get("seed", unknown))),
        ("Settings", settings or unknown),
        ("Made with", f"synthface-kit {facts.made_by.get('versions', {}).get('synthface-kit', unknown)}"),
    ]
