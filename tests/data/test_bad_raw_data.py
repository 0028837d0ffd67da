"""Bad raw data on the command line: one clear line, and everything that was there is as it was."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import data_trees
import pytest
import yaml
from permissions import bound_by_permissions

from counterpoise import files
from counterpoise.cli.app import main
from counterpoise.data.store import ArrayStore

CLIP = data_trees.CREMA_D[0]
LIST = "ogm_ge/train.csv"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A project with CREMA-D's tree as the user's own folder, prepared once."""
    root = tmp_path_factory.mktemp("project")
    settings = {"front_end": "ogm", "frame_size": [24, 32]}
    write_config(root, "crema_d", settings)
    data_trees.crema_d(root / "own")
    assert prepare(root) == 0
    # Other settings, so that the same command has work to do again.
    write_config(root, "crema_d", settings | {"frame_size": [24, 40]})
    return root


@pytest.fixture
def project(prepared, tmp_path, decode_here) -> Path:
    return shutil.copytree(prepared, tmp_path / "project")


def write_config(root: Path, name: str, settings: dict) -> None:
    config = {"component": name, "title": name, "settings": settings}
    files.write_text(root / f"configs/datasets/{name}.yaml", yaml.safe_dump(config))


def prepare(root: Path) -> int:
    own = f"crema_d={root / 'own'}"
    return main(["data", "prepare", "crema_d", "--root", str(root), "--data-root", own])


def contents(root: Path) -> dict[str, str]:
    """Digests of the user's files and of prepared data; not of unfinished work."""
    found = [path for path in root.rglob("*") if path.is_file()]
    names = {str(path.relative_to(root)): path for path in found}
    return {
        name: files.sha256_file(path)
        for name, path in names.items()
        if not any(part.startswith(".") for part in Path(name).parts)
    }


def empty_clip(root: Path) -> str:
    (root / f"own/VideoFlash/{CLIP}.flv").write_bytes(b"")
    return f"the file is empty: 1; {CLIP}"


def text_as_clip(root: Path) -> str:
    (root / f"own/VideoFlash/{CLIP}.flv").write_text("this is text\n" * 50)
    return f"not a media file (Invalid data found when processing input): 1; {CLIP}"


def add_line(line: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "own" / LIST
        path.write_text(path.read_text().rstrip("\n") + f"\n{line}\n")

    return change


def unknown_label(root: Path) -> str:
    add_line("1001_DFA_JOY_XX,JOY")(root)
    return f"{LIST}: line {len(data_trees.CREMA_D) // 2 + 1}: unknown label 'JOY'"


def duplicated_id(root: Path) -> str:
    add_line(f"{CLIP},{CLIP.split('_')[2]}")(root)
    return f"train: its list names 1 ids twice: {CLIP}"


def missing_list(root: Path) -> str:
    (root / "own" / LIST).unlink()
    return f"{LIST}: is not there; run: counterpoise data fetch crema_d"


def folder_that_is_a_file(root: Path) -> str:
    # Root may write into every folder, but not into a file.
    shutil.move(root / "data/prepared", root / "data/elsewhere")
    (root / "data/prepared").write_text("not a folder")
    return "data/prepared"


@pytest.mark.parametrize(
    "spoil", [empty_clip, text_as_clip, unknown_label, duplicated_id, missing_list, folder_that_is_a_file]
)
def test_bad_raw_data_is_one_line_and_loses_nothing(project, capsys, spoil):
    expected = spoil(project)
    before = contents(project)
    assert prepare(project) == 2
    refusal(capsys, expected)
    assert contents(project) == before


def test_a_read_only_folder_for_prepared_data_is_named(project, capsys):
    before = contents(project)
    (project / "data/prepared").chmod(0o500)
    try:
        with bound_by_permissions():
            assert prepare(project) == 2
    finally:
        (project / "data/prepared").chmod(0o700)
    refusal(capsys, "data/prepared")
    assert contents(project) == before


def test_a_read_only_folder_of_the_users_own_is_enough(project):
    before = contents(project)
    for path in sorted((project / "own").rglob("*"), reverse=True):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        with bound_by_permissions():
            assert prepare(project) == 0
    finally:
        for path in (project / "own").rglob("*"):
            path.chmod(0o700)
    after = contents(project)
    assert {name: after[name] for name in before} == before


def test_a_full_disk_while_preparing_keeps_the_rest_and_the_same_command_goes_on(project, capsys, monkeypatch):
    before = contents(project)
    real = ArrayStore._handle

    def full(self, split, name):
        if split == "test":
            raise OSError(28, "No space left on device")
        return real(self, split, name)

    with monkeypatch.context() as disk:
        disk.setattr(ArrayStore, "_handle", full)
        assert prepare(project) == 2
    refusal(capsys, "No space left on device")
    assert contents(project) == before
    assert prepare(project) == 0


def zip_with(path: Path, name: str, text: str = "text") -> None:
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("AVE/one.mp4", "clip")
        bundle.writestr(name, text)


def truncated(path: Path) -> None:
    zip_with(path, "AVE/two.mp4", "clip" * 1000)
    path.write_bytes(path.read_bytes()[:-40])


ARCHIVES = {
    "AVE_Dataset.zip: is damaged or cut short (File is not a zip file)": truncated,
    "entry '../evil' would be written outside": lambda path: zip_with(path, "../evil"),
    "entry '/tmp/evil' would be written outside": lambda path: zip_with(path, "/tmp/evil"),
    "is a web page in place of the file": lambda path: path.write_text("<!doctype html><title>Quota exceeded</title>"),
}


@pytest.mark.parametrize("message", ARCHIVES)
def test_a_bad_archive_is_one_line_and_nothing_is_unpacked(tmp_path, capsys, message):
    write_config(tmp_path, "ave", {})
    own = tmp_path / "own"
    own.mkdir()
    for split in ("train", "val", "test"):
        (own / f"{split}Set.txt").write_text("Bark&one&good&0&10\n")
    (tmp_path / "mirror/ave").mkdir(parents=True)
    ARCHIVES[message](tmp_path / "mirror/ave/AVE_Dataset.zip")
    before = contents(tmp_path)
    arguments = ["--root", str(tmp_path), "--mirror", str(tmp_path / "mirror"), "--data-root", f"ave={own}"]
    assert main(["data", "fetch", "ave", *arguments]) == 2
    refusal(capsys, message)
    after = contents(tmp_path)
    assert {name: digest for name, digest in after.items() if name != "data/raw/ave/AVE_Dataset.zip"} == before


def refusal(capsys: pytest.CaptureFixture, expected: str) -> None:
    """The command's last line on stderr is its only error, and says ``expected``."""
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error", "Traceback"))]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert expected in errors[0]
