"""Archives: what is good comes out, what is not leaves nothing behind."""

import io
import os
import stat
import tarfile
import zipfile

import pytest

from counterpoise.data.archives import extract
from counterpoise.errors import UserError


def make_tar(path, entries, mode="w:gz"):
    """Write a tar of (name, content) or TarInfo entries."""
    with tarfile.open(path, mode) as bundle:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                bundle.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                bundle.addfile(info, io.BytesIO(entry[1]))
    return path


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in entries:
            bundle.writestr(name, content)
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


MAKERS = {"zip": make_zip, "tar.gz": make_tar, "tar": lambda path, entries: make_tar(path, entries, "w")}


def nothing_left(folder, archive):
    return {path.name for path in folder.iterdir()} == {archive.name}


@pytest.mark.parametrize("kind", MAKERS)
def test_files_come_out_as_they_went_in(tmp_path, kind):
    archive = MAKERS[kind](tmp_path / f"a.{kind}", [("a/one.txt", b"1"), ("a/b/two.bin", bytes(1000))])
    extract(archive, tmp_path / "out")
    assert (tmp_path / "out/a/one.txt").read_bytes() == b"1"
    assert (tmp_path / "out/a/b/two.bin").read_bytes() == bytes(1000)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_an_entry_that_leaves_the_folder_is_refused(tmp_path, kind, name):
    archive = MAKERS[kind](tmp_path / f"a.{kind}", [("good.txt", b"1"), (name, b"2")])
    with pytest.raises(UserError, match="outside the folder"):
        extract(archive, tmp_path / "out")
    assert nothing_left(tmp_path, archive)


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "a/../../secret"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path, target, kind):
    (tmp_path / "secret").write_text("s")
    archive = make_tar(tmp_path / "a.tar.gz", [link("leak", target, kind)])
    with pytest.raises(UserError, match="outside"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_inside_becomes_a_copy(tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [("a/x", b"data"), link("a/y", "x"), link("b/z", "../a/x")])
    extract(archive, tmp_path / "out")
    for name in ("a/y", "b/z"):
        assert (tmp_path / "out" / name).read_bytes() == b"data"
        assert not (tmp_path / "out" / name).is_symlink()


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("leak")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        extract(tmp_path / "a.zip", tmp_path / "out")


def test_writing_through_a_link_is_impossible(tmp_path):
    entries = [link("door", str(tmp_path)), ("door/evil.txt", b"1")]
    with pytest.raises(UserError, match="outside"):
        extract(make_tar(tmp_path / "a.tar", entries, "w"), tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()


def test_a_device_is_refused(tmp_path):
    info = tarfile.TarInfo("null")
    info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
    with pytest.raises(UserError, match="device"):
        extract(make_tar(tmp_path / "a.tar", [info], "w"), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_zip_bomb_is_stopped_before_it_fills_the_disk(tmp_path, kind):
    archive = MAKERS[kind](tmp_path / f"a.{kind}", [("zeros", bytes(30_000_000))])
    assert archive.stat().st_size < 100_000
    with pytest.raises(UserError, match="zip bomb"):
        extract(archive, tmp_path / "out", max_bytes=5_000_000)
    assert nothing_left(tmp_path, archive)


def test_a_header_that_lies_about_its_size_does_not_help_a_bomb(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("zeros", bytes(3_000_000))])
    data = archive.read_bytes()
    archive.write_bytes(data.replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(UserError):
        extract(archive, tmp_path / "out", max_bytes=1_000_000)
    assert not (tmp_path / "out").exists()


def test_too_many_files_are_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [(f"{number}", b"") for number in range(20)])
    with pytest.raises(UserError, match="10 files"):
        extract(archive, tmp_path / "out", max_files=10)


@pytest.mark.parametrize("kind", MAKERS)
def test_an_archive_cut_short_is_named_and_leaves_nothing(tmp_path, kind):
    archive = MAKERS[kind](tmp_path / f"a.{kind}", [("x", os.urandom(100_000)), ("y", os.urandom(100_000))])
    archive.write_bytes(archive.read_bytes()[:120_000])
    with pytest.raises(UserError, match=archive.name.replace(".", r"\.")):
        extract(archive, tmp_path / "out")
    assert nothing_left(tmp_path, archive)


def test_a_web_page_is_no_archive(tmp_path):
    (tmp_path / "a.zip").write_text("<html>quota exceeded</html>")
    with pytest.raises(UserError, match="is a web page"):
        extract(tmp_path / "a.zip", tmp_path / "out")


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("x")
    with pytest.raises(UserError, match="is there already"):
        extract(make_zip(tmp_path / "a.zip", [("y", b"1")]), tmp_path / "out")
    assert (tmp_path / "out/mine").read_text() == "x"


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_other_systems_leave_is_left_out(tmp_path):
    entries = [
        ("/", b""),
        ("a/", b""),
        ("a/x.mpg", b"1"),
        ("__MACOSX/a/._x.mpg", b"2"),
        ("a/._x.mpg", b"3"),
        ("a/.DS_Store", b"4"),
    ]
    extract(make_zip(tmp_path / "a.zip", entries), tmp_path / "out")
    assert contents(tmp_path / "out") == {"a/x.mpg": b"1"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", MAKERS)
def test_of_entries_of_one_name_the_last_counts(tmp_path, kind):
    archive = MAKERS[kind](tmp_path / f"a.{kind}", [("x", b"old and longer"), ("y", b"1"), ("x", b"new")])
    extract(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"x": b"new", "y": b"1"}


def test_separators_of_windows_are_separators(tmp_path):
    extract(make_zip(tmp_path / "a.zip", [("train\\image\\0.npy", b"1")]), tmp_path / "out")
    assert contents(tmp_path / "out") == {"train/image/0.npy": b"1"}


@pytest.mark.parametrize("method", [9, 98])
def test_a_compression_that_python_does_not_read_is_named(tmp_path, method):
    archive = make_zip(tmp_path / "a.zip", [("x.mp4", b"1" * 100)])
    content = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = content.index(magic) + offset
        content[place : place + 2] = method.to_bytes(2, "little")
    archive.write_bytes(content)
    with pytest.raises(
        UserError, match=r"'x\.mp4' is compressed in a way that Python does not read \((Deflate64|PPMd)\)"
    ):
        extract(archive, tmp_path / "out")
    assert nothing_left(tmp_path, archive)


def test_a_tar_that_holds_a_zip_is_a_tar(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", [("no", b"1")])
    stored = inner.read_bytes()
    archive = make_tar(tmp_path / "a.tar", [("yes", b"1"), ("inner.zip", stored)], mode="w")
    # Without the padding behind it, the inner archive's end stands near the file's end.
    archive.write_bytes(archive.read_bytes()[: 512 * 5 + len(stored) // 512 * 512 + 1024])
    assert zipfile.is_zipfile(archive)
    extract(archive, tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"yes", "inner.zip"}


def test_a_flipped_byte_anywhere_in_compressed_data_is_noticed(tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [("x", os.urandom(3000)), ("y", b"0" * 3000)])
    content = archive.read_bytes()
    missed = []
    for place in [*range(20, len(content) - 8, 97), len(content) - 8, len(content) - 2]:
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        archive.write_bytes(damaged)
        try:
            extract(archive, tmp_path / f"out{place}")
        except UserError:
            continue
        missed.append(place)
    assert missed == []


def test_a_damaged_header_in_a_plain_tar_is_not_the_end_of_it(tmp_path):
    archive = make_tar(tmp_path / "a.tar", [("x", b"1" * 700), ("y", b"2"), ("z", b"3")], mode="w")
    content = bytearray(archive.read_bytes())
    content[512 + 1024 + 3] ^= 0x10  # in the header of y
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut short"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("part", [slice(0, 50_000), slice(50_000, None)])
def test_one_part_of_a_zip_in_several_is_named(tmp_path, part):
    whole = make_zip(tmp_path / "whole.zip", [("x", os.urandom(40_000)), ("y", os.urandom(40_000))]).read_bytes()
    (tmp_path / "part.zip").write_bytes(whole[part])
    with pytest.raises(UserError, match=r"part.zip: is damaged or cut short \(.*\); a whole copy of it is needed"):
        extract(tmp_path / "part.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", MAKERS)
def test_an_archive_of_no_file_is_refused_and_leaves_no_empty_folder(tmp_path, kind):
    archive = MAKERS[kind](tmp_path / f"a.{kind}", [("__MACOSX/._x", b"1")])
    with pytest.raises(UserError, match="holds no file"):
        extract(archive, tmp_path / "out")
    assert nothing_left(tmp_path, archive)


def test_a_zip_of_a_version_that_nobody_reads_is_named(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", b"1")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"a.zip: is damaged or cut short \(zip file version 9.9\)"):
        extract(archive, tmp_path / "out")
    assert nothing_left(tmp_path, archive)


def test_a_tar_of_names_within_names_without_end_is_named(tmp_path):
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 5
    block = name.tobuf() + b"name\0".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(block * 2000 + tarfile.TarInfo("x").tobuf() + bytes(1024))
    with pytest.raises(UserError, match=r"a.tar: is damaged or cut short \(maximum recursion depth"):
        extract(tmp_path / "a.tar", tmp_path / "out")
    assert nothing_left(tmp_path, tmp_path / "a.tar")


def test_a_link_to_nothing_is_left_out_by_name_and_one_before_its_file_is_a_copy(tmp_path, capsys):
    entries = [link("early", "a/x"), link("hard", "a/x", tarfile.LNKTYPE), link("dangling", "nowhere"), ("a/x", b"1")]
    extract(make_tar(tmp_path / "a.tar.gz", entries), tmp_path / "out")
    assert contents(tmp_path / "out") == {"early": b"1", "hard": b"1", "a/x": b"1"}
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a.tar.gz: left out 1 links, " in said
    assert "'dangling' to 'nowhere'" in said


def test_links_are_followed_through_links_and_into_folders(tmp_path, capsys):
    entries = [
        link("last", "middle"),
        link("middle", "s1/first"),
        link("s1/first", "x"),
        link("through", "folder/x"),
        link("folder", "s1"),
        link("again", "folder", tarfile.LNKTYPE),
        ("s1/x", b"1"),
        ("s1/deep/y", b"2"),
    ]
    extract(make_tar(tmp_path / "a.tar", entries, "w"), tmp_path / "out")
    folder = {"x": b"1", "first": b"1", "deep/y": b"2"}
    expected = {f"{place}/{name}": data for place in ("s1", "folder", "again") for name, data in folder.items()}
    assert contents(tmp_path / "out") == expected | dict.fromkeys(("last", "middle", "through"), b"1")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "links",
    [
        {"one": "two", "two": "three", "three": "one"},
        {"self": "self"},
        {"a/up": "."},
        {"a/up": "..", "b/root": "../a/.."},
        {"a/to_b": "../b", "b/to_a": "../a"},
        {"under": "under/x"},
        {"long": "x" * 4000},
    ],
)
def test_links_in_a_loop_are_left_out_by_name_and_the_rest_comes_out(tmp_path, capsys, links):
    entries = [("a/x", b"1"), ("b/y", b"2"), link("good", "a/x"), *(link(*pair) for pair in links.items())]
    extract(make_tar(tmp_path / "a.tar", entries, "w"), tmp_path / "out")
    assert contents(tmp_path / "out") == {"a/x": b"1", "b/y": b"2", "good": b"1"}
    said = capsys.readouterr().err
    assert f"left out {len(links)} links" in said
    assert all(repr(name) in said for name in links)


def test_links_to_folders_that_double_at_every_step_are_stopped(tmp_path):
    steps = [link(f"{step + 1}/{side}", f"../{step}") for step in range(40) for side in "ab"]
    with pytest.raises(UserError, match="zip bomb"):
        extract(make_tar(tmp_path / "a.tar", [("0/x", b""), *steps], "w"), tmp_path / "out")


def test_of_a_link_and_a_file_of_one_name_the_last_counts_and_a_file_packed_twice_is_a_file(tmp_path, capsys):
    entries = [("a", b"1"), link("b", "a"), ("b", b"2"), link("a", "a", tarfile.LNKTYPE)]
    extract(make_tar(tmp_path / "a.tar", entries, "w"), tmp_path / "out")
    assert contents(tmp_path / "out") == {"a": b"1", "b": b"2"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("a/b", "a"), ("x", "n" * 300)])
def test_an_entry_that_cannot_be_written_is_named(tmp_path, one, other):
    archive = make_zip(tmp_path / "a.zip", [(one, b"1"), (other, b"2")])
    with pytest.raises(UserError, match=rf"a\.zip: entry '{other}' cannot be written: "):
        extract(archive, tmp_path / "out")
    assert nothing_left(tmp_path, archive)
