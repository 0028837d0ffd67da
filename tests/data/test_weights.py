"""Pretrained weights: where a file of them may come from, and that it is the published one."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from counterpoise.data.weights import fetch_weights
from counterpoise.errors import UserError
from counterpoise.weights import WeightsFile

CONTENT = b"weights"


@pytest.fixture
def weights() -> WeightsFile:
    """A file of weights that nobody publishes: it must come from a folder."""
    digest = hashlib.sha256(CONTENT).hexdigest()[:8]
    return WeightsFile(name="tiny", file="tiny.pth", url="://", sha256=digest, licence="", source="")


def keep(folder: Path, content: bytes = CONTENT) -> None:
    folder.mkdir(parents=True)
    (folder / "tiny.pth").write_bytes(content)


@pytest.mark.parametrize("mirror", ["~/my mirror", "{}/my mirror"])
def test_a_mirror_may_be_named_from_the_home_folder(tmp_path, weights, monkeypatch, mirror):
    monkeypatch.setenv("HOME", str(tmp_path))
    keep(tmp_path / "my mirror/weights")
    path = fetch_weights(weights, tmp_path / "data", mirror=mirror.format(tmp_path))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("mirror", ["~nobody-of-this-name/mirror", "/nowhere"])
def test_a_mirror_that_is_not_there_is_named(tmp_path, weights, mirror):
    with pytest.raises(UserError, match=f"mirror: no folder {mirror}"):
        fetch_weights(weights, tmp_path / "data", mirror=mirror)


@pytest.mark.parametrize(
    ("content", "pinned", "reason"),
    [
        (b"half", True, r"sha256 is .*, must begin with [0-9a-f]{8}; delete it there"),
        (b"version https://git-lfs.github.com/spec/v1\n", False, "a git-lfs pointer in place of the file"),
    ],
)
def test_a_wrong_file_in_a_cache_is_named_and_not_copied(tmp_path, weights, content, pinned, reason):
    keep(tmp_path / "cache", content)
    weights = weights if pinned else dataclasses.replace(weights, sha256="")
    with pytest.raises(UserError, match=rf"cache/tiny\.pth: .*{reason}"):
        fetch_weights(weights, tmp_path / "data", caches=[tmp_path / "cache"])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("noted", ["", "\n", "12ab", "no digest", "<html>"])
def test_a_torn_digest_beside_weights_is_named_and_fits_no_file(tmp_path, weights, noted):
    keep(tmp_path / "data")
    weights = dataclasses.replace(weights, sha256="")
    (tmp_path / "data/tiny.pth.sha256").write_text(noted)
    with pytest.raises(
        UserError, match=r"tiny\.pth\.sha256: must begin with a sha256 of 64 digits .*sha256sum .*tiny\.pth"
    ):
        fetch_weights(weights, tmp_path / "data")
    (tmp_path / "data/tiny.pth.sha256").write_text(hashlib.sha256(CONTENT).hexdigest()[:8])
    with pytest.raises(UserError, match="must begin with a sha256 of 64 digits"):
        fetch_weights(weights, tmp_path / "data")


@pytest.mark.parametrize("form", ["{}", "{}  tiny.pth\n", "\ufeff{} *tiny.pth\r\n"])
def test_a_digest_beside_weights_may_be_of_any_program(tmp_path, weights, form):
    keep(tmp_path / "data")
    digest = hashlib.sha256(CONTENT).hexdigest().upper()
    (tmp_path / "data/tiny.pth.sha256").write_text(form.format(digest), encoding="utf-8")
    fetch_weights(dataclasses.replace(weights, sha256=""), tmp_path / "data")


def test_a_digest_beside_weights_that_is_no_utf8_is_named(tmp_path, weights):
    keep(tmp_path / "data")
    (tmp_path / "data/tiny.pth.sha256").write_bytes("0a".encode("utf-16"))
    with pytest.raises(UserError, match=r"tiny\.pth\.sha256: the checksum is in UTF-16; save it as UTF-8"):
        fetch_weights(dataclasses.replace(weights, sha256=""), tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<html>quota</html>"])
def test_the_digest_of_what_is_no_file_of_weights_is_not_noted(tmp_path, weights, content):
    keep(tmp_path / "data", content)
    with pytest.raises(UserError, match=r"tiny\.pth: is .*; delete it and fetch it again"):
        fetch_weights(dataclasses.replace(weights, sha256=""), tmp_path / "data")
    assert not (tmp_path / "data/tiny.pth.sha256").exists()
