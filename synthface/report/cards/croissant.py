"""``croissant.json``: Croissant 1.1 with the Responsible-AI vocabulary, for each way a release is packed.

Two record sets: ``faces`` (the images and who they show) and, where the images cannot be joined with it, ``manifest``
(what made each image). Croissant cannot open RecordIO, so there the files are listed and the manifest described.
Specifications: http://mlcommons.org/croissant/1.1 and http://mlcommons.org/croissant/RAI/1.0.
"""

import json
from typing import Any

from synthface.report.cards import words
from synthface.report.cards.facts import ReleaseFacts, ReleaseFile

MANIFEST = "manifest.jsonl"
NO_LICENCE = "Not recorded; without a licence nothing is permitted. Ask the publisher."
_MEDIA = {
    ".tar": "application/x-tar",
    ".parquet": "application/x-parquet",
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".html": "text/html",
    ".md": "text/markdown",
    ".txt": "text/plain",
}
# Manifest keys that a Croissant field can hold; the others (landmarks, identity codes) are nested.
_COLUMNS = {
    "path": ("sc:Text", "Name of the image in the set; its key."),
    "identity": ("sc:Text", "Label of the synthetic identity; no person's name."),
    "sha256": ("sc:Text", "SHA-256 of the image file."),
    "width": ("cr:Int64", "Width in pixels."),
    "height": ("cr:Int64", "Height in pixels."),
    "alignment": ("sc:Text", "How the face lies in the image."),
    "generator": ("sc:Text", "SHA-256 of the generator's weights."),
    "class_index": ("cr:Int64", "The generator's class."),
    "seed": ("cr:Int64", "Seed of the image's latent vector."),
    "psi": ("cr:Float64", "Truncation: 1 is none."),
    "noise_mode": ("sc:Text", "Noise of the generator: const, random or none."),
    "cutoff": ("cr:Int64", "Layers that psi truncates, from the coarsest."),
    "label": ("cr:Int64", "Number of the identity."),
    "record": ("cr:Int64", "Key of the image's record in train.rec."),
    "shard": ("sc:Text", "Archive that holds the image."),
}
_FACES = "faces"
_RECORDS = "manifest"


def croissant(facts: ReleaseFacts) -> bytes:
    """Return the document; the same facts give the same bytes."""
    fields = {key: value for key, value in _document(facts).items() if value not in (None, [], "")}
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()


def _document(facts: ReleaseFacts) -> dict[str, Any]:
    stated = facts.stated
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": facts.title,
        "description": _description(facts),
        "license": stated.licence or NO_LICENCE,
        "url": stated.url,
        "version": stated.version,
        "datePublished": stated.published,
        "creator": {"@type": "sc:Organization", "name": stated.creator} if stated.creator else None,
        "citeAs": words.bibtex(facts),
        "keywords": ["face recognition", "synthetic data", "privacy", words.SOURCE_TYPE],
        "isLiveDataset": False,
        **_responsible_ai(facts),
        "distribution": [*map(_file_object, facts.files), *_image_sets(facts)],
        "recordSet": _record_sets(facts),
    }


def _description(facts: ReleaseFacts) -> str:
    return (
        f"{facts.n_images:,} face images of {facts.n_identities:,} labels, {facts.width}x{facts.height} pixels, "
        f"IPTC digital source type {words.SOURCE_TYPE}, set id {facts.set_id}. {words.people(facts)} "
        f"Identity-leakage audit: {words.outcome(facts)}. {facts.claim}"
    )


def _responsible_ai(facts: ReleaseFacts) -> dict[str, Any]:
    stated = facts.stated
    collected = f"{stated.training_data or 'Which photos the generator was trained on is not recorded.'}"
    return {
        "rai:dataCollection": f"{words.making(facts)} {words.training(facts)}",
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataCollectionRawData": f"{collected} Licence or terms of these photos: "
        f"{stated.training_licence or 'not recorded'}.",
        "rai:dataPreprocessingProtocol": [
            "Faces are aligned to the ArcFace five-point template at the generator's size."
        ],
        "rai:dataAnnotationProtocol": ["Labels are the identities that were asked of the generator; nobody annotated."],
        "rai:machineAnnotationTools": ["synthface"],
        "rai:personalSensitiveInformation": words.personal_information(facts),
        "rai:dataUseCases": [
            *(f"Intended: {use}" for use in words.INTENDED_USES),
            *(f"Forbidden: {use}" for use in words.FORBIDDEN_USES),
        ],
        "rai:dataBiases": list(words.BIASES),
        "rai:dataLimitations": [*words.limitations(facts), *words.audit_limits(facts)],
        "rai:dataSocialImpact": "Meant to make face recognition possible without handing on photos of real people. "
        "Those whose photos trained the generator are concerned all the same, and face recognition itself is no more "
        "harmless for it: where it may not be used, this set is no permission.",
        "rai:dataReleaseMaintenancePlan": "Releases are never edited: a corrected set has another id and version. "
        f"Questions, objections and withdrawal: {stated.contact or 'contact not recorded'}.",
    }


def _file_object(file: ReleaseFile) -> dict[str, Any]:
    suffix = file.path[file.path.rfind(".") :]
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.n_bytes} B",
        "encodingFormat": _MEDIA.get(suffix, "application/octet-stream"),
        "sha256": file.sha256,
    }


def _image_sets(facts: ReleaseFacts) -> list[dict[str, Any]]:
    suffix = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}[facts.encoding]
    node: dict[str, Any] = {"@type": "cr:FileSet", "@id": "images", "name": "images"}
    if facts.format == "folders":
        return [node | {"encodingFormat": facts.encoding, "includes": f"images/*/*.{suffix}"}]
    if facts.format == "webdataset":
        shards = [{"@id": file.path} for file in facts.files if file.path.endswith(".tar")]
        return [node | {"containedIn": shards, "encodingFormat": facts.encoding, "includes": f"*.{suffix}"}]
    if facts.format == "parquet":
        return [node | {"encodingFormat": _MEDIA[".parquet"], "includes": "data/*.parquet"}]
    return []


def _record_sets(facts: ReleaseFacts) -> list[dict[str, Any]]:
    if facts.format == "parquet":
        faces = [
            _field(
                _FACES, "image", "sc:ImageObject", "The face.", {"column": "image"}, transform={"jsonPath": "bytes"}
            ),
            _field(_FACES, "label", "cr:Int64", "Number of the identity.", {"column": "label"}),
            _field(_FACES, "identity", "sc:Text", _COLUMNS["identity"][1], {"column": "identity"}),
            _field(_FACES, "metadata", "sc:Text", "JSON: name, hash and what made the image.", {"column": "metadata"}),
        ]
        return [_record_set(_FACES, "The images and who they show.", faces), *_manifest_records(facts)]
    key = {"folders": "path", "webdataset": facts.member_column}.get(facts.format)
    if facts.format == "recordio" or (key is None and not facts.columns):
        return _manifest_records(facts)
    file_property = "fullpath" if facts.format == "folders" else "filename"
    faces = [_field(_FACES, "image", "sc:ImageObject", "The face.", {"fileProperty": "content"})]
    name = _field(_FACES, "file", "sc:Text", "Where the image is.", {"fileProperty": file_property})
    if key is None:
        return [_record_set(_FACES, "The images.", [*faces, name]), *_manifest_records(facts)]
    name["source"]["transform"] = {"regex": "(.+)"}  # a path becomes text
    name["references"] = {"fileObject": {"@id": MANIFEST}, "extract": {"column": key}}
    known = [_manifest_field(_FACES, column) for column in facts.columns if column in _COLUMNS and column != key]
    return [_record_set(_FACES, "The images, who they show and what made them.", [*faces, name, *known])]


def _manifest_records(facts: ReleaseFacts) -> list[dict[str, Any]]:
    known = [_manifest_field(_RECORDS, column) for column in facts.columns if column in _COLUMNS]
    return [_record_set(_RECORDS, "What made each image, and its hash.", known)] if known else []


def _record_set(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields}


def _manifest_field(record_set: str, column: str) -> dict[str, Any]:
    kind, description = _COLUMNS[column]
    field = _field(record_set, column, kind, description, {"column": column})
    field["source"] = {"fileObject": {"@id": MANIFEST}, "extract": {"column": column}}
    return field


def _field(
    record_set: str, name: str, kind: str, description: str, extract: dict[str, str], **more: Any
) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": {"fileSet": {"@id": "images"}, "extract": extract, **more},
    }


_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        term: f"cr:{term}"
        for term in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip
