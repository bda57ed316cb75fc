"""What is made of the targets: the images asked for, and those that they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inversion.config import InversionConfig
from inversion.presets import PRESETS
from synthface.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inversion.extras import Extras
    from inversion.targets.target_set import TargetSet
    from synthface.workflows.invert import Options

MAIN, CONTROL = "images", "control"

if TYPE_CHECKING:
    Overrides = InversionConfig
else:
    # Every constant of the inversion as an option of the command, unset until somebody gives it: the preset decides.
    Overrides = make_dataclass(
        "Overrides",
        [(constant.name, constant.type | None, None) for constant in fields(InversionConfig)],
        frozen=True,
        kw_only=True,
        namespace={"__doc__": InversionConfig.__doc__},
    )


@dataclass(frozen=True)
class Arm:
    """One way to invert all targets.

    Attributes:
        name: also the folder of its images; ``images`` are those of the FaceSet.
        model: what is inverted, the recogniser or what follows it too.
        vectors: [N, D] what its output is to be.
        config: how.
        extras: what is used beside the recogniser and the vectors.
        strength: of the protection, where it is one that is tested.
    """

    name: str
    model: Any
    vectors: "NDArray[np.float32]"
    config: InversionConfig
    extras: "Extras"
    strength: float | None = None

    def folder(self, root: Path) -> Path:
        """Return where its images are."""
        return root / self.name


def inversion_config(options: "Options") -> InversionConfig:
    """Return the preset with what the command line sets otherwise.

    Raises:
        ConfigError: a constant is out of range; the identity loss is none for protected templates: their lengths are
            not those of raw embeddings, and they are no class centres; or it is the one for class centres, and the
            targets are others.
    """
    given = {
        constant.name: getattr(options.inversion, constant.name)
        for constant in fields(InversionConfig)
        if getattr(options.inversion, constant.name) is not None
    }
    if options.steps is not None:
        given["steps"] = options.steps
    config = replace(PRESETS[options.preset], **given)
    if options.protect is not None and config.identity_form != "cosine":
        raise ConfigError(f"--protect needs --inversion.identity_form cosine, not {config.identity_form}")
    if config.identity_form == "margin" and (options.centres is None or options.interpolate or options.sample):
        raise ConfigError("--inversion.identity_form margin is for the rows of a head: name them with --centres alone")
    return config


def plan_arms(options: "Options", recognizer: Any, targets: "TargetSet", extras: "Extras") -> list[Arm]:
    """Return the images asked for, the control without the prior, and one arm for each strength of a protection."""
    config = inversion_config(options)
    vectors = targets.raw() if config.identity_form == "feature_l2" else targets.vectors
    arms = [Arm(MAIN, recognizer, vectors, config, extras)]
    if options.control:
        arms.append(Arm(CONTROL, recognizer, vectors, replace(config, prior_weight=0.0), extras))
    if options.protect is not None:
        arms += _protected(options, recognizer, targets.vectors, config, replace(extras, ensemble=(), centres=None))
    return arms


def _protected(
    options: "Options", recognizer: Any, vectors: "NDArray[np.float32]", config: InversionConfig, extras: "Extras"
) -> list[Arm]:
    from inversion.protection import Protection, load_protection

    assert options.protect is not None
    function = load_protection(options.protect)
    arms = []
    strengths: Sequence[float | None] = options.strengths or [None]
    for strength in strengths:
        protection = Protection(function, strength, options.protect)
        templates = protection.templates(vectors)
        model = protection.protected_model(recognizer, vectors.shape[1], templates.shape[1])
        name = "protected" if strength is None else f"protected-{strength:g}"
        arms.append(Arm(name, model, templates, config, extras, strength))
    if len({arm.name for arm in arms}) < len(arms):
        raise ConfigError("--strengths names one strength twice")
    return arms
