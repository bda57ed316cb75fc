"""What an inversion may use beside the recogniser and one template of each target."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from inversion.measured_statistics import MeasuredStatistics
from inversion.targets.groups import check_targets
from inversion.variables.generator import GeneratorPrior
from synthface.core.errors import ConfigError


@dataclass(frozen=True)
class Extras:
    """Further means of an attacker.

    Attributes:
        generator: an image prior made from faces.
        start_image: [3, S, S] in [-1, 1], aligned, to start everybody from; a mean face, for instance.
        ensemble: further recognisers, each with the targets' templates in its own space, [N, D]; their terms are
            averaged with the first one's.
        validator: a recogniser that chooses among a target's candidates; it needs no templates.
        centres: [C, D] the rows of the recogniser's classification head, for ``identity_form`` "margin".
        statistics: measured from faces, instead of the batch norms' own; see ``measured_statistics``.
    """

    generator: GeneratorPrior | None = None
    start_image: Tensor | None = None
    ensemble: Sequence[tuple[nn.Module, NDArray[np.floating]]] = ()
    validator: nn.Module | None = None
    centres: NDArray[np.floating] | None = None
    statistics: MeasuredStatistics | None = None

    @property
    def beyond_template(self) -> tuple[str, ...]:
        """What a thief of one template and its recogniser would not have; results with any are not template-only."""
        faces = any(part is not None for part in (self.generator, self.start_image, self.statistics))
        kinds = {"faces of other people": faces, "further templates": bool(self.ensemble)}
        return tuple(name for name, used in kinds.items() if used)

    def checked(self, n_targets: int) -> "Extras":
        """Return the same with unit templates.

        Raises:
            ConfigError: an ensemble's templates are not as many as the targets.
            DataError: they are malformed.
        """
        for _, templates in self.ensemble:
            if len(templates) != n_targets:
                raise ConfigError(f"an ensemble member has {len(templates)} templates for {n_targets} targets")
        ensemble = tuple((model, check_targets(templates)) for model, templates in self.ensemble)
        return replace(self, ensemble=ensemble)


TEMPLATE_ONLY = Extras()
