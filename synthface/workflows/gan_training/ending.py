"""How a generator's training ended, for people: what ended it, which generator it left, and what to do next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan.identities import flags_for_new_people

if TYPE_CHECKING:
    from gan.training.health import Finding
    from synthface.workflows.train_gan import Options


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        seen_images: images seen.
        published_images: images that the generator which was written had seen; fewer where the end was not good.
        suspicion: the failure that the end looks like, or None.
    """

    seen_images: int
    published_images: int
    suspicion: "Finding | None" = None


def describe_ending(ending: Ending, options: "Options", n_classes: int) -> list[str]:
    """Return the last lines of a run on so many people."""
    from gan.weights import FILE_NAME

    file = options.out / FILE_NAME
    lines = [
        f"{ending.seen_images:,} images seen, ended by {_limit(ending, options)}; generator: {file}; "
        f"samples: {options.out / 'samples'}"
    ]
    transition_end = options.training.transition.end_kimg * 1000
    if ending.seen_images < transition_end:
        lines.append(
            f"the transition to classes was not over: it ends at {transition_end:,.0f} images; go on with --resume and "
            "more --minutes or --kimg"
        )
    if ending.suspicion is not None:
        lines.append(_warning(ending, ending.suspicion))
    new_people = flags_for_new_people(n_classes)
    which = f"{new_people} --distinct.fmr 0 --classes 0-99 " if new_people else ""
    return [*lines, f"next: synthface generate --generator {options.out} {which}--out synthetic"]


def _limit(ending: Ending, options: "Options") -> str:
    if options.kimg is not None and ending.seen_images >= options.kimg * 1000:
        return f"--kimg {options.kimg:g}"
    return f"--minutes {options.minutes:g}"


def _warning(ending: Ending, suspicion: "Finding") -> str:
    looks = f"the end looks like a failure ({suspicion.name}): {suspicion.what}"
    if ending.published_images < ending.seen_images:
        return (
            f"{looks}; the generator is the last good one, after {ending.published_images:,} images; go on with "
            f"--resume and more --minutes or --kimg, or start again with {suspicion.remedy}"
        )
    return (
        f"{looks}; nothing before it was found good, so the generator is that of the end: look at the samples before "
        f"you use it, or start again with {suspicion.remedy}"
    )
