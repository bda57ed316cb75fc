"""Fixtures shared by all tests: the real photos and recognisers, where they are present."""

import datetime
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from synthface.data import FaceSetWriter
from synthface.data.faceset import Kind

FaceSetMaker = Callable[..., Path]
_ROOT = Path(__file__).resolve().parent.parent

# The same examples in every run, however slow the machine: a test that fails by chance is believed by nobody.
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_exception_interact(call: pytest.CallInfo[Any], report: Any) -> None:
    """Show what a command said that a test ran with ``check=True`` or a timeout: its exit code alone tells nothing."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired) and error.stderr:
        told = error.stderr if isinstance(error.stderr, str) else error.stderr.decode(errors="replace")
        report.sections.append(("the command's stderr", told[-4000:]))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos and pretrained recognisers (``data/``, ``models/``)."""
    folder = Path(os.environ.get("SYNTHFACE_SHARED", _ROOT.parent / "shared"))
    if not (folder / "SHA256SUMS").is_file():
        pytest.skip(f"no real photos and recognisers in {folder}; set SYNTHFACE_SHARED")
    return folder


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's cache, and let named recognisers be found."""
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    models = Path(os.environ.get("SYNTHFACE_SHARED", _ROOT.parent / "shared")) / "models"
    if models.is_dir() and "SYNTHFACE_MODELS" not in os.environ:
        monkeypatch.setenv("SYNTHFACE_MODELS", str(models))


@pytest.fixture(autouse=True, scope="session")
def _heeds_interruptions() -> Iterator[None]:
    """Let SIGINT mean what it does in a terminal, here and in processes that tests start: in the background a shell
    has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def tiny_faceset(tmp_path: Path, write_faceset: FaceSetMaker) -> Path:
    """A FaceSet of 32 drawn images of 4 identities, 112x112."""
    return write_faceset(tmp_path / "tiny", n_identities=4, per_identity=8)


@pytest.fixture(scope="session")
def write_faceset() -> FaceSetMaker:
    """A function that writes a FaceSet whose identities are colours, with a little noise in each image."""

    def write(out: Path, *, n_identities: int, per_identity: int, kind: Kind = "real", size: int = 112) -> Path:
        generator = np.random.default_rng(0)
        with FaceSetWriter(out, kind=kind, record={"command": "test", "config": {}, "inputs": {}}) as writer:
            for k in range(n_identities):
                colour = generator.integers(40, 200, 3)
                for j in range(per_identity):
                    image = (colour + generator.integers(0, 40, (size, size, 3))).astype(np.uint8)
                    writer.add(f"images/p{k}/{j}.png", image, identity=f"p{k}", source=f"p{k}/p{k}_{j + 1:04d}.png")
            writer.finish()
        return out

    return write


@pytest.fixture
def make_certificate(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A function that writes a chain and a key such as C2PA takes, of an authority that nobody knows."""

    def make(
        kind: str = "P-256", *, number: int = 2, password: bytes | None = None, folder: Path = tmp_path
    ) -> tuple[Path, Path]:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives import serialization as pem
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        made = {
            "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "Ed25519": ed25519.Ed25519PrivateKey.generate,
            "RSA": lambda: rsa.generate_private_key(65537, 2048),
        }
        root_key, key = made["P-256"](), made[kind]()

        def certificate(name: str, number: int, public_key: object, *, is_root: bool) -> x509.Certificate:
            def named(name: str) -> x509.Name:
                parts = {NameOID.COMMON_NAME: name, NameOID.ORGANIZATION_NAME: "Test"}
                return x509.Name([x509.NameAttribute(*part) for part in parts.items()])

            uses = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                                  "encipher_only", "decipher_only"), False)  # fmt: skip
            identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
            builder = x509.CertificateBuilder(
                named("An authority"), named(name), public_key, number,
                datetime.datetime(2020, 1, 1), datetime.datetime(2100, 1, 1),
            )  # fmt: skip
            for extension, critical in (
                (x509.BasicConstraints(ca=is_root, path_length=None), True),
                (x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, **uses), True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
                (identifier, False),
                (issuer, False),
            ):
                if not (is_root and isinstance(extension, x509.ExtendedKeyUsage)):
                    builder = builder.add_extension(extension, critical)
            return builder.sign(root_key, hashes.SHA256())

        chain = [
            certificate("A publisher", number, key.public_key(), is_root=False),
            certificate("An authority", 1, root_key.public_key(), is_root=True),
        ]
        (folder / "chain.pem").write_bytes(b"".join(part.public_bytes(pem.Encoding.PEM) for part in chain))
        lock = pem.BestAvailableEncryption(password) if password else pem.NoEncryption()
        name = "locked.pem" if password else "key.pem"
        (folder / name).write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, lock))
        return folder / "chain.pem", folder / name

    return make
