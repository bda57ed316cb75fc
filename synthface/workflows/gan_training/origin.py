"""Where a generator comes from: the hashes of what a run reads, its record, and the header of its weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_file, sha256_json
from synthface.core.run_record import run_record, to_json

if TYPE_CHECKING:
    from gan.training.trainer import GanTrainer
    from synthface.data import FaceSet
    from synthface.workflows.train_gan import Options

_SEEN_BEFORE = "seen_images_before"


@dataclass(frozen=True)
class Origin:
    """What a run began with, read at its start; what --init named, at the start of its first part.

    Attributes:
        inputs: hashes of faces, of frozen networks, and of what --init named.
        seen_before: images that what --init named had seen; None without.
    """

    inputs: dict[str, str]
    seen_before: int | None

    @classmethod
    def of(cls, options: "Options", faces: "FaceSet") -> "Origin":
        """Read and hash what a run begins with.

        Raises:
            ConfigError: a run that --init began is resumed without it before its first checkpoint.
            WeightsError: --init or a frozen network is missing or damaged.
        """
        from synthface.workflows.gan_training.beginning import is_under_way
        from synthface.workflows.gan_training.frozen_networks import frozen_inputs

        recorded = _recorded_init(options.out) if options.resume else None
        goes_on = is_under_way(options.out)
        if recorded and not goes_on and options.init is None:
            raise ConfigError(f"--resume: the run in --out {options.out} has no checkpoint yet; give its --init again")
        # A run under way needs nothing from what it began from, which may have gone on or away since.
        init = recorded if recorded and goes_on else _read_init(options.init, faces)
        inputs = {"faces": faces.manifest_sha256, **frozen_inputs(options.training)}
        return cls(inputs, None) if init is None else cls(inputs | {"init": init[0]}, init[1])

    def settings_hash(self, options: "Options") -> str:
        """Hash what must stay the same between the parts of one run."""
        return sha256_json({"config": _what_decides(options), **self.inputs})

    def record(self, options: "Options") -> dict[str, Any]:
        """Return what ``run.json`` holds."""
        watched = {"monitor": to_json(options.monitor), "health": to_json(options.health)}
        config = {**_what_decides(options), **watched}
        return {**run_record("train-gan", config, seed=options.seed, inputs=self.inputs), **self._before()}

    def _before(self) -> dict[str, int]:
        return {} if self.seen_before is None else {_SEEN_BEFORE: self.seen_before}

    def check_same_run(self, options: "Options", settings: str) -> None:
        """Refuse to resume a run under other settings, before anything is computed, and say which.

        Raises:
            ConfigError: the run in --out was begun with others.
        """
        from gan.training.checkpoint import settings_of

        if settings_of(options.out) in (None, settings):
            return
        before, now = _read_record(options.out), to_json(self.record(options))
        differing = [
            f"{name} {then!s:.40} (now {today!s:.40})"
            for name, then, today in _differences(before, now)
            if name.startswith(("--network", "--training", "--seed", "the "))
        ]
        which = f": it had {', '.join(differing[:4])}" if before and differing else ", seed or faces"
        raise ConfigError(
            f"--out {options.out} was begun with other settings{which}; repeat those to resume, or give another path"
        )

    def header(self, options: "Options", trainer: "GanTrainer") -> dict[str, Any]:
        """Return the facts that travel with the weights."""
        training = _training(options)
        begun = {} if self.seen_before is None else {"begun_from_sha256": self.inputs["init"]}
        return {
            "trained_on_manifest_sha256": self.inputs["faces"],
            "class_order": "sorted identities of that FaceSet",
            "seen_images": trainer.seen_images,
            "seed": options.seed,
            "training": training,
            # It knows the faces that this one was trained on, too.
            **begun,
            **self._before(),
        }


def _read_init(path: Path | None, faces: "FaceSet") -> tuple[str, int] | None:
    """Return hash and images seen of what --init names."""
    from gan.training.checkpoint import FILE_NAME, seen_images_of
    from gan.weights import generator_file, read_header
    from synthface.workflows.gan_training.beginning import file_to_begin_from, is_official

    if path is None:
        return None
    file = file_to_begin_from(path, faces)
    if is_official(file):
        return sha256_file(file), 0  # it does not say how much it has seen
    info = read_header(generator_file(path))["info"]
    # The checkpoint of a run that is not over may be ahead of its generator.
    ahead = seen_images_of(path) if file.name == FILE_NAME else None
    return sha256_file(file), (ahead or info.get("seen_images", 0)) + info.get(_SEEN_BEFORE, 0)


def _recorded_init(run: Path) -> tuple[str, int] | None:
    """Return hash and images seen of what a run was begun from, by its own record."""
    record = _read_record(run)
    try:
        return str(record["inputs"]["init"]), int(record[_SEEN_BEFORE])
    except (LookupError, TypeError, ValueError):  # without --init, or by an earlier version: it is read as at first
        return None


def _what_decides(options: "Options") -> dict[str, Any]:
    """Return the options that decide the numbers: not where it runs, how long, or how it is watched."""
    return {"network": to_json(options.network), "training": _training(options), "seed": options.seed}


def _training(options: "Options") -> dict[str, Any]:
    """Return the settings of the training; recognisers by their names, since a file may move and its hash tells."""
    from synthface.recognition.catalogue import find_weights
    from synthface.workflows.gan_training.frozen_networks import frozen_recognizers

    settings: dict[str, Any] = to_json(options.training)
    settings.pop("compile")
    names = {name: find_weights(name).name for name in frozen_recognizers(options.training).values()}
    for player in ("identity", "features"):
        settings[player]["recognizer"] = names.get(settings[player]["recognizer"], settings[player]["recognizer"])
    return settings


def _read_record(run: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((run / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what differs between two run records, as flags and names of inputs."""
    found = []
    for part, name_of in (("config", "--{}".format), ("inputs", "the {}'s hash".format)):
        then, today = (_flat(record.get(part, {})) for record in (before, now))
        for name in sorted(then.keys() | today.keys()):
            if then.get(name) != today.get(name):
                found.append((name_of(name), then.get(name), today.get(name)))
    return found


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return leaves
