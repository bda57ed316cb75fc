"""C2PA manifests: signed with certificates made here, read by the library, taken out without a trace."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthface.core.errors import ConfigError, DataError
from synthface.data import content_credentials
from synthface.data.content_credentials import CredentialSigner, read_credential, without_credential
from synthface.data.marks import DIGITAL_SOURCE_TYPE, mark_file, read_mark, unmark_file

REASON = "c2pa-python is not installed"


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def signer(make_certificate: Callable[..., tuple[Path, Path]]) -> CredentialSigner:
    pytest.importorskip("c2pa", reason=REASON)
    return CredentialSigner(*make_certificate())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_signed_image_says_who_signed_it_and_is_the_same_without(signer: CredentialSigner, kind: str) -> None:
    marked = mark_file(encoded(kind), "0123abcd")
    signed = signer.sign(marked)
    found = read_credential(signed)
    assert found is not None
    assert found.is_whole
    assert found.source_types == (DIGITAL_SOURCE_TYPE,)
    assert (found.serial_number, found.signer) == ("2", "A publisher")
    assert signer.describe() | {"file_sha256": ""} == {"serial_number": "2", "signer": "A publisher", "file_sha256": ""}
    assert without_credential(signed) == marked
    assert unmark_file(without_credential(signed)) == encoded(kind)
    assert read_mark(signed) == read_mark(marked)
    with Image.open(io.BytesIO(signed)) as image, Image.open(io.BytesIO(encoded(kind))) as before:
        assert np.array_equal(np.asarray(image), np.asarray(before))
    assert read_credential(marked) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_change_behind_the_signature_is_noticed(signer: CredentialSigner, kind: str) -> None:
    signed = signer.sign(mark_file(encoded(kind), "0123abcd"))
    forged = signed.replace(b"synthface:0123abcd", b"synthface:0123abce")
    assert forged != signed
    found = read_credential(forged)
    assert found is not None
    assert not found.is_whole


def test_damage_to_a_manifest_is_noticed(signer: CredentialSigner) -> None:
    signed = signer.sign(encoded("PNG"))
    start = signed.index(b"caBX") + 4
    words = [b"trainedAlgorithmicMedia", b"c2pa.created", b"synthface-kit", b"A publisher", b"c2pa.hash.data"]
    places = [signed.index(word, start) for word in words]
    for at in (*places, *range(start, start + 3000, 101)):
        content = signed[:at] + bytes([signed[at] ^ 0x01]) + signed[at + 1 :]
        with contextlib.suppress(DataError):
            found = read_credential(content)
            assert found is not None
            # boxes' lengths and the padding between them mean nothing; what is said is signed
            assert not found.is_whole or (at not in places and found == read_credential(signed)), at


@pytest.mark.parametrize("kind", ["P-384", "Ed25519", "RSA"])
def test_other_kinds_of_keys_sign_as_well(make_certificate: Callable[..., Any], kind: str) -> None:
    pytest.importorskip("c2pa", reason=REASON)
    found = read_credential(CredentialSigner(*make_certificate(kind)).sign(encoded("PNG")))
    assert found is not None
    assert found.is_whole


def test_wrong_certificates_and_keys_are_named(make_certificate: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("c2pa", reason=REASON)
    (tmp_path / "other").mkdir()
    (tmp_path / "text").write_text("hello")
    _, other_key = make_certificate(folder=tmp_path / "other")
    _, locked = make_certificate(password=b"secret", folder=tmp_path / "other")
    chain, key = make_certificate()
    for words, message in [
        ((chain, locked), "--c2pa-key .* is encrypted"),
        ((chain, tmp_path / "text"), "--c2pa-key .* no private key in PEM"),
        ((tmp_path / "text", key), "--c2pa-certificate .* no certificate in PEM"),
        ((tmp_path / "absent", key), "--c2pa-certificate .* cannot be read"),
        ((chain, other_key), "--c2pa-key .* is not the key of"),
    ]:
        with pytest.raises(ConfigError, match=message):
            CredentialSigner(*words)


def test_without_the_library_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(ConfigError, match=r"pip install 'synthface-kit\[c2pa\]'"):
        CredentialSigner(tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(ConfigError, match=r"pip install 'synthface-kit\[c2pa\]'"):
        content_credentials.read_credential(encoded("PNG"))
