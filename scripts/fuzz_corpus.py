"""What ``fuzz_readers.py`` damages: for every reader a small valid set, and how it is forged from within."""

import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from fuzz_damage import VALUES, Forge, json_forged
from numpy.typing import NDArray
from PIL import Image, features


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        name: of the reader.
        target: the file that is damaged.
        make: writes nothing that stays; returns a valid set's files by name (it may use the folder it is given).
        read: reads the set in a folder to its end.
        forge: changes the target from within.
        mend: other files to be made anew for the damaged target, such as one with its hash.
    """

    name: str
    target: str
    make: Callable[[Path], dict[str, bytes]]
    read: Callable[[Path], object]
    forge: Forge | None = None
    mend: Callable[[bytes], dict[str, bytes]] | None = None


def face(seed: int, side: int = 24) -> bytes:
    """Return a small PNG of noise."""
    return _encoded(seed, side, "PNG")


def _encoded(seed: int, side: int, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(_pixels(seed, side)).save(stream, kind)
    return stream.getvalue()


def _pixels(seed: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


# --- sets in the formats of other tools


def _converted(name: str) -> Callable[[Path], dict[str, bytes]]:
    def make(folder: Path) -> dict[str, bytes]:
        from synthface.data.formats import Item, open_sink

        folder.mkdir(parents=True)
        sink = open_sink(name, folder)
        for k in range(3):
            fields = {"seed": k, "psi": 0.7, "code": {"classes": [1, 2], "weights": [0.5, 0.5]}}
            sink.add(Item(face(k), f"p{k // 2}", f"images/p{k // 2}/{k}.png", k // 2, fields))
        sink.finish()
        sink.close()
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    return make


def _read_source(folder: Path) -> None:
    from synthface.data.formats import open_source

    for item in open_source(folder).items():
        _ = item.header


def _read_file(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        from synthface.data.formats import open_source

        for item in open_source(folder / name).items():
            _ = item.header

    return read


def _bin(_: Path) -> dict[str, bytes]:
    from synthface.data.formats import write_verification_bin

    stream = io.BytesIO()
    write_verification_bin(stream, [(face(0), face(1), True), (face(2), face(3), False)])
    return {"set.bin": stream.getvalue()}


def _gzipped_shard(folder: Path) -> dict[str, bytes]:
    return {"set.tar.gz": gzip.compress(_converted("webdataset")(folder)["shard-000000.tar"], mtime=0)}


def _forge_lines(draw: random.Random, content: bytes) -> bytes:
    lines = content.splitlines()
    at = draw.randrange(len(lines)) if lines else 0
    if lines:
        lines[at] = json.dumps(json_forged(draw, json.loads(lines[at]))).encode()
    if draw.random() < 0.1:
        lines += lines[:1]
    return b"\n".join(lines) + b"\n"


def _forge_json(draw: random.Random, content: bytes) -> bytes:
    return json.dumps(json_forged(draw, json.loads(content))).encode()


def _forge_tar(draw: random.Random, content: bytes) -> bytes:
    """Write the archive again, with a member that a stranger could have put there (its checksum is right)."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as old,
        tarfile.open(
            fileobj=out, mode="w", format=draw.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
        ) as new,
    ):
        for member in old.getmembers():
            data = old.extractfile(member).read()  # type: ignore[union-attr]
            if draw.random() < 0.3:
                member.name = draw.choice(
                    [
                        "../outside.png",
                        "/etc/passwd",
                        "a/../../outside.png",
                        "x" * 90 + ".png",
                        "a\x01.png",
                        "000000000.cls",
                        "000000000.json",
                        ".png",
                        "\u202e.png",
                    ]
                )
            if draw.random() < 0.15:
                member.type = draw.choice([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE])
                member.linkname = draw.choice(["../outside.png", "/etc/passwd"])
            if data.startswith(b"{") and draw.random() < 0.3:
                data = json.dumps(json_forged(draw, json.loads(data))).encode()
            if member.name.endswith(".cls") and draw.random() < 0.3:
                data = draw.choice([b"-1", b"9" * 30, b"", b"0x1", b"1.5", "\u0663".encode()])
            member.size = len(data)
            if draw.random() < 0.1:
                member.pax_headers = {draw.choice(["size", "path", "GNU.sparse.size", "hdrcharset"]):
                                      draw.choice(["-1", "99999999999999", "../outside.png", "BINARY"])}  # fmt: skip
            new.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _forge_record(draw: random.Random, content: bytes) -> bytes:
    """Overwrite a word of the file: lengths, part numbers, flags and labels are words."""
    at = 4 * draw.randrange(max(1, len(content) // 4))
    word = draw.choice([0, 1, 2, 2**29 - 1, 2**31, 2**32 - 1, 0xCED7230A, 1 << 29, 2 << 29, 0x7F800000, 0x7FC00000])
    return content[:at] + struct.pack("<I", word) + content[at + 4 :]


def _forge_parquet(draw: random.Random, content: bytes) -> bytes:
    """Write the table again with odd values in a row, or odd columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    rows = table.to_pylist()
    row = draw.choice(rows)
    image = draw.choice(
        [
            None,
            {"bytes": None, "path": "../outside.png"},
            {"bytes": b"", "path": None},
            {"bytes": row["image"]["bytes"], "path": draw.choice(["../outside.png", "/etc/passwd", ""])},
        ]
    )
    column = draw.choice(["image", "label", "identity", "metadata"])
    row[column] = {
        "image": image, "label": draw.choice([None, -1, 2**62, 7]),
        "identity": draw.choice([None, "", "a\nb", "x" * 5000, "../.."]),
        "metadata": draw.choice([None, "", "[]", json.dumps(json_forged(draw, json.loads(row["metadata"])))]),
    }[column]  # fmt: skip
    new = pa.Table.from_pylist(rows, schema=table.schema)
    if draw.random() < 0.2:
        name = draw.choice(["image", "label", "identity", "metadata"])
        odd = pa.array(draw.choice([[1.5] * 3, ["x"] * 3, [None] * 3, [[1]] * 3, [b"\xff"] * 3]))
        new = new.set_column(new.schema.get_field_index(name), name, odd)
    out = io.BytesIO()
    pq.write_table(new, out, compression=draw.choice(["none", "snappy", "zstd"]))
    return out.getvalue()


# --- FaceSets and their reports


def _faceset(folder: Path) -> dict[str, bytes]:
    from synthface.data import FaceSetWriter

    record = {"command": "generate", "config": {}, "seed": 0, "inputs": {}, "versions": {}}
    with FaceSetWriter(folder / "set", kind="synthetic", record=record) as writer:
        for k in range(3):
            code = {"classes": [1, 2], "weights": [0.5, 0.5]}
            writer.add(f"images/p{k // 2}/{k}.png", _pixels(k, 24), identity=f"p{k // 2}", seed=k, psi=0.7, code=code,
                       generator="0" * 64, noise_mode="const", landmarks=[[1.0, 2.0]] * 5, quality=0.9)  # fmt: skip
        writer.finish()
    return {str(p.relative_to(folder / "set")): p.read_bytes() for p in (folder / "set").rglob("*") if p.is_file()}


def _read_faceset(folder: Path) -> None:
    from synthface.data import FaceSet

    faceset = FaceSet.load(folder)
    _ = faceset.labels, faceset.identities
    for k in range(min(5, len(faceset))):
        faceset.read_image(k)
    _read_source(folder)


def _faceset_info(manifest: bytes) -> dict[str, bytes]:
    """The file beside a manifest, with the right hash: whoever changes the one can change the other."""
    from synthface.core.hashing import sha256_bytes

    info = {
        "format": "synthface-faceset", "version": 1, "kind": "synthetic", "n_images": manifest.count(b"\n"),
        "n_identities": 2, "manifest_sha256": sha256_bytes(manifest), "made_by": {"config": {}, "inputs": {}},
    }  # fmt: skip
    return {"faceset.json": json.dumps(info).encode()}


def _audit(_: Path) -> dict[str, bytes]:
    from synthface.privacy.config import AuditConfig

    inputs = dict.fromkeys(("synthetic manifest", "recogniser a", "recogniser b"), "0" * 64)
    result = {
        "format": "synthface-audit", "version": 3, "verdict": "PASS", "claim": "No leak.", "recognizers": ["a", "b"],
        "config": asdict(AuditConfig()), "flagged": ["p0"],
        "flagged_images": [{"image": "images/p0/0.png", "why": "A3"}],
        "copies": [], "made_by": {"inputs": inputs, "config": {"recognizers": ["a", "b"]}},
        "kinds": {"train": "real"}, "remediation": None, "public_page_sha256": "0" * 64,
        "sizes": {"train": {"images": 3, "identities": 2}}, "not_concluded": [],
        "gates": {"A1": {"id": "A1", "title": "t", "kind": "leak", "passed": True, "applicable": True, "checks": []}},
    }  # fmt: skip
    return {"audit.json": json.dumps(result).encode()}


def _read_audit(folder: Path) -> None:
    from synthface.workflows.auditing.result import read_audit

    read_audit(folder)


# --- numbers


def _embeddings(folder: Path) -> dict[str, bytes]:
    from synthface.data.embeddings import Embeddings

    folder.mkdir(parents=True)
    vectors = np.eye(4, 8, dtype=np.float32)
    names = np.array([f"p{k // 2}" for k in range(4)])
    Embeddings(vectors, names, np.array([f"{k}.png" for k in range(4)]), np.ones(4, np.float32), {"a": 1}).save(
        folder / "e.npz"
    )
    return {"e.npz": (folder / "e.npz").read_bytes()}


def _read_embeddings(folder: Path) -> None:
    from synthface.data.embeddings import Embeddings

    Embeddings.load(folder / "e.npz")


def _forge_npz(draw: random.Random, content: bytes) -> bytes:
    """Write the archive again with one array changed, so that its checksum is right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = draw.choice(names)
        for name in names:
            data = old.read(name)
            if name == chosen:
                what = draw.random()
                if what < 0.5:
                    at = draw.randint(0, min(128, len(data)))
                    value = draw.choice([*VALUES, b"'|O'", b"(9999999999,)", b"(-1,)", b"'<f2'", b"True"])
                    data = data[:at] + value + data[at + draw.choice([0, len(value)]) :]
                elif what < 0.7:
                    odd = draw.choice(
                        [
                            np.zeros(0),
                            np.full((4, 8), np.nan, np.float32),
                            np.array("x"),
                            np.arange(4),
                            np.zeros((4, 8), np.complex64),
                            np.array(["\x00"] * 4),
                            np.zeros((2, 2, 2)),
                        ]
                    )
                    stream = io.BytesIO()
                    np.save(stream, odd)
                    data = stream.getvalue()
                elif what < 0.8:
                    continue
                elif what < 0.9:
                    name = draw.choice(["../outside.npy", "x.npy", "vectors"])
            new.writestr(name, data, compress_type=draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    return out.getvalue()


def _generator(folder: Path) -> dict[str, bytes]:
    from gan.config import NetworkConfig
    from gan.networks.generator import Generator
    from gan.weights import save_generator

    folder.mkdir(parents=True)
    config = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=4)
    save_generator(Generator(config, 2), folder / "g.safetensors", info={"seed": 0})
    return {"g.safetensors": (folder / "g.safetensors").read_bytes()}


def _read_generator(folder: Path) -> None:
    from gan.weights import load_generator

    load_generator(folder / "g.safetensors")


def _recognizer(folder: Path) -> dict[str, bytes]:
    from synthface.recognition.network_config import NetworkConfig
    from synthface.recognition.networks.build import build_network
    from synthface.recognition.weights import write_network

    folder.mkdir(parents=True)
    network = build_network(NetworkConfig(input_size=(16, 16), embedding_dim=4, width=0.05))
    write_network(folder / "r.safetensors", network, about={"from": "test"})
    return {"r.safetensors": (folder / "r.safetensors").read_bytes()}


def _read_recognizer(folder: Path) -> None:
    from synthface.recognition import load_recognizer

    load_recognizer(folder / "r.safetensors")


def _forge_safetensors(draw: random.Random, content: bytes) -> bytes:
    """Change the header's JSON, or our own inside it, and write the right length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if draw.random() < 0.6:
        own = json.loads(header["__metadata__"]["synthface"])
        header["__metadata__"]["synthface"] = json.dumps(json_forged(draw, own))
    else:
        header = json_forged(draw, header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _official(folder: Path) -> dict[str, bytes]:
    import sys

    tests = str(Path(__file__).resolve().parent.parent / "tests" / "gan")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    from official_format import official_generator, write_official_pickle

    folder.mkdir(parents=True)
    G = official_generator(resolution=8, z=4, c=3, w=5, n_layers=2, base=32, most=4, clamp=256)
    path = write_official_pickle(folder / "n.pkl", {"G_ema": G})
    return {"n.pkl": path.read_bytes()}


def _read_official(folder: Path) -> None:
    from gan.official import import_generator

    import_generator(folder / "n.pkl")


def _forge_pickle(draw: random.Random, content: bytes) -> bytes:
    """Set a word of the pickle machine, or a number in it, somewhere."""
    at = draw.randrange(len(content))
    word = draw.choice(
        [
            b"R",
            b"b",
            b"\x81",
            b"c",
            b"\x93",
            b"(",
            b"t",
            b"a",
            b"e",
            b"u",
            b"s",
            b"h\x00",
            b"q\x00",
            b"0",
            b"2",
            b"\x94",
            b".",
            b"cos\nsystem\n",
            b"\x8a\xff",
            b"\x8e" + b"\xff" * 8,
            b"Q",
            b"\x88",
            b"N",
        ]
    )
    return content[:at] + word + content[at + draw.choice([0, 1, len(word)]) :]


def _bin_of_protocol_2(_: Path) -> dict[str, bytes]:
    """Bytes as calls of ``_codecs.encode`` with the texts they are decoded from, and arguments out of the memo."""
    import pickle

    return {"set.bin": pickle.dumps(([face(0), bytearray(face(1)), face(2), face(0)], [True, False]), protocol=2)}


def _archive(_: Path) -> dict[str, bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("ann/0.png", "ann/1.png", "b\u00f6" * 30 + "/2.png"):
            member = tarfile.TarInfo(name)
            member.size = len(face(0))
            archive.addfile(member, io.BytesIO(face(0)))
    return {"photos.tar": out.getvalue()}


def _read_archive(folder: Path) -> None:
    from synthface.data.sources import list_source, read_files

    for _ in read_files(list_source(folder / "photos.tar")):
        pass


def _photo(kind: str) -> Callable[[Path], dict[str, bytes]]:
    """Return what makes a photo with EXIF, as a camera does."""

    def make(_: Path) -> dict[str, bytes]:
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = 6, "a portrait"
        exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
        stream = io.BytesIO()
        Image.fromarray(_pixels(0, 24)).save(stream, kind, exif=exif)
        return {"photo": stream.getvalue()}

    return make


def _read_photo(folder: Path) -> None:
    from synthface.data.images import decode_image

    decode_image((folder / "photo").read_bytes())


def _image(_: Path) -> dict[str, bytes]:
    return {"a.jpg": _encoded(0, 24, "JPEG")}


def _read_image(folder: Path) -> None:
    from synthface.data.formats.image_header import image_header
    from synthface.data.images import decode_image

    content = (folder / "a.jpg").read_bytes()
    image_header(content)
    decode_image(content)


def _marked(kind: str, suffix: str) -> Callable[[Path], dict[str, bytes]]:
    def make(_: Path) -> dict[str, bytes]:
        from synthface.data.marks import mark_file

        return {f"a.{suffix}": mark_file(_encoded(0, 24, kind), "0123456789abcdef")}

    return make


def _read_mark(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        from synthface.data.marks import mark_file, read_mark, unmark_file

        content = (folder / name).read_bytes()
        read_mark(content)
        mark_file(unmark_file(content), "fedcba9876543210")

    return read


_PHOTOS = ("JPEG", "PNG", "TIFF", *(("AVIF",) if features.check("avif") else ()))
READERS = {
    reader.name: reader
    for reader in (
        Reader("recordio", "train.rec", _converted("recordio"), _read_file("train.rec"), _forge_record),
        Reader("recordio index", "train.idx", _converted("recordio"), _read_source),
        Reader("recordio sidecar", "items.jsonl", _converted("recordio"), _read_source, _forge_lines),
        Reader("bin", "set.bin", _bin, _read_file("set.bin"), _forge_pickle),
        Reader("bin of protocol 2", "set.bin", _bin_of_protocol_2, _read_file("set.bin"), _forge_pickle),
        Reader("webdataset", "shard-000000.tar", _converted("webdataset"), _read_source, _forge_tar),
        Reader("webdataset.gz", "set.tar.gz", _gzipped_shard, _read_file("set.tar.gz")),
        Reader("parquet", "data/train-00000-of-00001.parquet", _converted("parquet"), _read_source, _forge_parquet),
        Reader("folders", "items.jsonl", _converted("folders"), _read_source, _forge_lines),
        Reader("image", "a.jpg", _image, _read_image),
        Reader("archive", "photos.tar", _archive, _read_archive, _forge_tar),
        *(Reader(f"photo {kind}", "photo", _photo(kind), _read_photo, _forge_record) for kind in _PHOTOS),
        Reader("mark png", "a.png", _marked("PNG", "png"), _read_mark("a.png"), _forge_record),
        Reader("mark jpeg", "a.jpg", _marked("JPEG", "jpg"), _read_mark("a.jpg"), _forge_record),
        Reader("mark webp", "a.webp", _marked("WEBP", "webp"), _read_mark("a.webp"), _forge_record),
        Reader("manifest", "manifest.jsonl", _faceset, _read_faceset, _forge_lines, _faceset_info),
        Reader("faceset.json", "faceset.json", _faceset, _read_faceset, _forge_json),
        Reader("audit.json", "audit.json", _audit, _read_audit, _forge_json),
        Reader("embeddings", "e.npz", _embeddings, _read_embeddings, _forge_npz),
        Reader("generator", "g.safetensors", _generator, _read_generator, _forge_safetensors),
        Reader("recognizer", "r.safetensors", _recognizer, _read_recognizer, _forge_safetensors),
        Reader("official pickle", "n.pkl", _official, _read_official, _forge_pickle),
    )
}
