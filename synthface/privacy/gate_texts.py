"""The words of the report: what each gate tests and what its outcome means. No names of people."""

TITLES = {
    "V1": "The recognisers work at this resolution",
    "V2": "The hold-out is large and disjoint",
    "V3": "Placebo people raise no alarm",
    "V4": "Planted training people are found",
    "V5": "Every image shows a face, and no photo attracts everything",
    "A1": "No image is a copy of a training photo",
    "A2": "Training people are no nearer than hold-out people",
    "A3": "No class or image shows a training person",
    "A4": "Labels do not lead to training people",
    "A5": "Membership cannot be inferred",
    "A6": "Training photos are not nearer than fresh photos would be",
    "A7": "The classes are different people",
    "A8": "Recognisers kept apart from the clean-up find no leak",
}

# what each gate says when it passed, failed, or cannot decide
_TEXTS: dict[str, tuple[str, str, str]] = {
    "V1": (
        "Enough recognisers tell real people apart, so a person in the set would be recognised.",
        "Too few recognisers tell real people apart at this resolution; finding nobody would prove nothing.",
        "Without a hold-out nobody knows how good the recognisers are here.",
    ),
    "V2": (
        "Enough people were held out, and none of them seems to be in the training set too.",
        "The hold-out is too small or shares people with the training set, so it is no clean comparison.",
        "There is no hold-out to compare the training people with.",
    ),
    "V3": (
        "With other real people in the place of the synthetic set the comparison finds nothing, as it should.",
        "Real people who were never used are not equally near to both sides, so the comparison is biased.",
        "No placebo was given, so a bias of the comparison would go unnoticed.",
    ),
    "V4": (
        "Nearly every training person who was planted as a class was found, so a class that shows one would be too.",
        "Planted leaks went unfound too often; finding nobody would prove nothing.",
        "What was planted, if anything, is too little to bound what the alarm misses.",
    ),
    "V5": (
        "Nearly every image shows a face, and no training photo that was given is nearest to unusually many of them.",
        "One training photo is nearest to many synthetic images. It may be a hub; look at it in the pairs.",
        "Not checked in full: hubs need the training photos, images without a face the detector.",
    ),
    "A1": (
        "No image is a training photo, compressed, mirrored, cropped or scaled.",
        "Some images are training photos, as they are or slightly changed. Remove them.",
        "Some images look like copies of training photos, but so do photos of people who were never used.",
    ),
    "A2": (
        "Training people are no nearer to the set than people who were never used.",
        "Training people are nearer to the set than people who were never used: it carries something of their faces.",
        "No excess was shown, but it could not be bounded tightly enough either.",
    ),
    "A3": (
        "No class, and no single image, is nearer to a training person than look-alikes explain.",
        "Some classes or images are nearer to a training person than look-alikes explain. Remove them.",
        "Some classes or images are suspiciously near to a training person, or it could not be tested.",
    ),
    "A4": (
        "Knowing a class's label does not help to find the training person behind it.",
        "Classes resemble the training person whose label they carry: whoever knows the labels can find that person.",
        "No linkage was shown, but it could not be bounded tightly enough either.",
    ),
    "A5": (
        "Photos of a person and the set together do not tell whether that person was trained on.",
        "Photos of a person and the set together tell whether that person was trained on.",
        "The attack did not succeed, but its success could not be bounded tightly enough either.",
    ),
    "A6": (
        "The images lie no nearer to the training photos than fresh photos of other people do.",
        "The images lie nearer to the training photos than fresh photos of other people do: it copies from them.",
        "The images lie suspiciously near to the training photos, or it could not be tested.",
    ),
    "A7": (
        "Nearly all pairs of classes are different people to the recogniser.",
        "Many classes are one person to the recogniser: there are fewer identities than labels.",
        "Not measured: it takes a hold-out to know which score is one person.",
    ),
}

NOT_LOOKED_AT = "Nobody looked for faces in the images. Recognisers answer to anything, also to what shows no face."

UNAUDITED = "Too many images show no face. What was measured of them says nothing about anybody, so they are unaudited."

HOW_TO_DECIDE = {
    "V1": "a hold-out to test the recognisers on",
    "V2": "a hold-out: people of the same collection, put aside at random before training",
    "V3": "a placebo: real people who are neither in the training set nor in the hold-out",
    "V4": "training people with four or more photos, and a hold-out, to plant leaks and see whether they are found",
    "V5": "",
    "A1": "the photos the generator was trained on, as images, to look for copies of them in the set",
    "A2": "the photos the generator was trained on, and a hold-out",
    "A3": "the photos the generator was trained on, and a hold-out",
    "A4": "the photos the generator was trained on",
    "A5": "the photos the generator was trained on, and a hold-out",
    "A6": "the photos the generator was trained on, and a hold-out",
    "A7": "",
}


# what to do about a leak that was shown
REMEDIES = {
    "A1": "the copied images taken out of the set (listed in audit.json), and a generator that does not keep them",
    "A2": "a generator that keeps less of its training people: mixed or synthetic identities, earlier stopping, "
    "or more training people",
    "A3": "the flagged classes and images taken out of the set, and an audit of what is left",
    "A4": "identities that are not training classes (generate --identities sampled): renumbering the classes would "
    "only hide the leak",
    "A5": "a generator that keeps less of its training photos: earlier stopping, fewer photos a person, or more people",
    "A6": "a generator that keeps less of its training photos: earlier stopping, augmentation, or more people",
}


def text_of(gate: str, passed: bool | None, *, measured: bool) -> str:
    """Return what an outcome means, in a sentence or two."""
    if not measured and gate.startswith("A") and HOW_TO_DECIDE[gate]:
        return "Not tested: " + HOW_TO_DECIDE[gate] + " would be needed."
    passed_text, failed_text, undecided_text = _TEXTS[gate]
    return undecided_text if passed is None else passed_text if passed else failed_text
