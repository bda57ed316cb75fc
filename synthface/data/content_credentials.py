"""C2PA manifests ("content credentials"): who says that an image is synthetic, signed with a certificate of theirs.

Signing and checking are done by c2pa-python (``pip install 'synthface-kit[c2pa]'``), without any network: no time stamp
is fetched, no remote manifest followed, no revocation list asked for. Where the manifest stands in a file is known here
as well, so that a file can be had back without it (C2PA 2.2, "Embedding manifests into various file formats").
"""

import importlib.util
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import synthface
from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import sha256_bytes
from synthface.data.image_containers import (
    JPEG_START,
    PNG_START,
    jpeg_segments,
    png_chunks,
    webp_chunks,
    webp_file,
)
from synthface.data.images import encode_png
from synthface.data.marks import DIGITAL_SOURCE_TYPE

_SETTINGS = {
    "verify": {"verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_COMMON_NAME = "2.5.4.3"
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credential:
    """What the manifest of an image says, and whether it holds.

    Attributes:
        is_whole: the signature is right, and the file is the one that was signed.
        source_types: what the manifest says of how the image came to be.
        serial_number: of the certificate that signed.
        signer: common name of the certificate.
    """

    is_whole: bool
    source_types: tuple[str, ...]
    serial_number: str
    signer: str


class CredentialSigner:
    """Signs images with a certificate of the user's.

    Args:
        certificate: PEM file with the certificate and those between it and its root.
        key: PEM file with its private key, not encrypted.

    Raises:
        ConfigError: c2pa-python is missing, or one of the files is not what it should be.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._c2pa = load_c2pa()
        self._chain, self._key = _read(certificate, "--c2pa-certificate"), _read(key, "--c2pa-key")
        owner, private = _certificate(self._chain, certificate), _private_key(self._key, key)
        if owner.public_key() != private.public_key():
            raise ConfigError(f"--c2pa-key {key} is not the key of the certificate in {certificate}")
        self._algorithm = _algorithm(private, key)
        self._certificate = owner
        self.sign(encode_png(np.zeros((16, 16, 3), np.uint8)))  # a key that is not the certificate's is found out first

    def describe(self) -> dict[str, str]:
        """Return serial number and common name of the certificate, and the hash of its file."""
        names = [part.value for part in self._certificate.subject if part.oid.dotted_string == _COMMON_NAME]
        return {
            "serial_number": str(self._certificate.serial_number),
            "signer": str(names[0]) if names else "no common name",
            "file_sha256": sha256_bytes(self._chain),
        }

    @cached_property
    def _signer(self) -> Any:
        info = self._c2pa.C2paSignerInfo(self._algorithm.encode(), self._chain, self._key, None)
        return self._c2pa.Signer.from_info(info)

    def sign(self, content: bytes) -> bytes:
        """Return a PNG, JPEG or WebP file with a manifest; two signatures of one file differ.

        Raises:
            ConfigError: certificate and key do not fit, or cannot be used for this.
            DataError: the file could not be had back without its manifest.
        """
        manifest = {
            "claim_generator_info": [{"name": "synthface-kit", "version": synthface.__version__}],
            "assertions": [
                {
                    "label": "c2pa.actions.v2",
                    "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE}]},
                }
            ],
        }
        signed = io.BytesIO()
        try:
            builder = self._c2pa.Builder(json.dumps(manifest), _context(self._c2pa))
            builder.sign(self._signer, _media_type(content), io.BytesIO(content), signed)
        except self._c2pa.C2paError as error:
            raise ConfigError(f"--c2pa-certificate: the image could not be signed ({error!s:.200})") from None
        if without_credential(signed.getvalue()) != content:
            raise DataError("a file of an unusual make, which a signature would change for good; encode it anew")
        return signed.getvalue()


def read_credential(content: bytes) -> Credential | None:
    """Return what the manifest of an image says, None if it has none.

    Raises:
        ConfigError: c2pa-python is missing.
        DataError: the manifest cannot be read.
    """
    c2pa = load_c2pa()
    if without_credential(content) == content:
        return None
    try:
        with c2pa.Reader(_media_type(content), io.BytesIO(content), context=_context(c2pa)) as reader:
            store, state = json.loads(reader.json()), reader.get_validation_state()
        manifest = store["manifests"][store["active_manifest"]]
        actions = [
            action
            for assertion in manifest["assertions"]
            if assertion["label"].startswith("c2pa.actions")
            for action in assertion["data"]["actions"]
        ]
        signature = manifest["signature_info"]
    except (c2pa.C2paError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"a C2PA manifest that cannot be read ({' '.join(str(error).split())[:120]})") from None
    return Credential(
        is_whole=state in ("Valid", "Trusted"),
        source_types=tuple(str(action.get("digitalSourceType")) for action in actions),
        serial_number=str(signature.get("cert_serial_number")),
        signer=str(signature.get("common_name")),
    )


def without_credential(content: bytes) -> bytes:
    """Return an image file without its C2PA manifest, byte for byte as it was signed.

    Raises:
        DataError: no PNG, JPEG or WebP file, or damaged.
    """
    if content.startswith(PNG_START):
        return PNG_START + b"".join(chunk for chunk in png_chunks(content) if chunk[4:8] != b"caBX")
    if content.startswith(JPEG_START):
        segments, rest = jpeg_segments(content)
        return JPEG_START + b"".join(part for part in segments if part[1] != 0xEB or part[4:6] != b"JP") + rest
    return webp_file([chunk for chunk in webp_chunks(content) if chunk[:4] != b"C2PA"])


def can_read_credentials() -> bool:
    """Say whether the library is there."""
    return importlib.util.find_spec("c2pa") is not None


def load_c2pa() -> ModuleType:
    """Return the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import c2pa
    except ImportError:
        raise ConfigError("C2PA manifests need c2pa-python: pip install 'synthface-kit[c2pa]'") from None
    return c2pa


def _context(c2pa: ModuleType) -> Any:
    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _media_type(content: bytes) -> str:
    if content.startswith(PNG_START):
        return "image/png"
    return "image/jpeg" if content.startswith(JPEG_START) else "image/webp"


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{flag} {path} cannot be read ({error.strerror})") from None


def _private_key(pem: bytes, path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization  # type: ignore[import-not-found,unused-ignore]

    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ConfigError(f"--c2pa-key {path} is no private key in PEM, or is encrypted; decrypt it first") from None


def _certificate(pem: bytes, path: Path) -> Any:
    """Return the first certificate of a file."""
    from cryptography import x509  # type: ignore[import-not-found,unused-ignore]

    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError):
        raise ConfigError(f"--c2pa-certificate {path} holds no certificate in PEM") from None


def _algorithm(key: Any, path: Path) -> str:
    """Return the name that C2PA gives to what a key signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # type: ignore[import-not-found,unused-ignore]

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _ALGORITHMS:
        return _ALGORITHMS[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ConfigError(f"--c2pa-key {path} is of a kind that C2PA does not take; it takes P-256 to P-521, Ed25519, RSA")
