"""Which options of ``invert`` go together."""

from typing import TYPE_CHECKING

from inversion.presets import PRESETS
from synthface.core.errors import ConfigError

if TYPE_CHECKING:
    from synthface.workflows.invert import Options

_COUNTS = ("steps", "limit", "photos_per_person", "per_identity", "sample")


def check_options(options: "Options") -> None:
    """Raise ConfigError with the first rule that is broken."""
    for name in _COUNTS:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: give at least 1")
    sources = (options.faces, options.embeddings, options.centres)
    made = bool(options.interpolate) or options.sample is not None
    chosen = options.limit is not None or options.photos_per_person is not None
    components = options.prior_faces is not None and "components" in options.prior_uses
    rules = (
        (
            sum(source is not None for source in sources) == 1,
            "give the targets by --faces, --embeddings or --centres, one of them",
        ),
        (
            not options.judges or (options.faces is not None and not options.interpolate),
            "--judges compare with pictures: give --faces, without --interpolate",
        ),
        (
            not options.ensemble or (options.faces is not None and not made),
            "--ensemble needs templates of the targets: give --faces, without --interpolate and --sample",
        ),
        (len(set(options.judges)) == len(options.judges), "--judges names one recogniser twice"),
        (options.preset in PRESETS, f"--preset {options.preset}: there are {', '.join(PRESETS)}"),
        (
            options.generator is None or not components,
            "--generator and the components of --prior-faces are optimised first; give one of them",
        ),
        (
            options.latent == "w" or options.generator is not None,
            f"--latent {options.latent} is of a generator; name it with --generator",
        ),
        (not options.interpolate or options.sample is None, "give --interpolate or --sample, not both"),
        (
            not options.interpolate or (len(options.interpolate) == 2 and options.between >= 0),
            "--interpolate takes two names, and --between 0 or more",
        ),
        (
            not (made and chosen),
            "--limit and --photos-per-person choose targets; --interpolate and --sample make them",
        ),
        (
            options.photos_per_person is None or options.centres is None,
            "--photos-per-person needs to know who is who; --centres are one a person",
        ),
        (
            options.limit is None or options.photos_per_person is None or options.limit >= options.photos_per_person,
            f"--limit {options.limit} is less than --photos-per-person {options.photos_per_person}: nobody fits",
        ),
        (
            options.skip_people == 0 or (options.skip_people > 0 and options.photos_per_person is not None),
            "--skip-people is 0 or more, and needs --photos-per-person",
        ),
        (0 < options.distinct_fmr < 1, f"--distinct-fmr {options.distinct_fmr:g}: give a rate between 0 and 1"),
        (
            not options.strengths or options.protect is not None,
            "--strengths are those of a protection; name it with --protect",
        ),
    )
    for holds, message in rules:
        if not holds:
            raise ConfigError(message)
