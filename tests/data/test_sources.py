"""Raw files: found however they are sorted, known for what they are, and not taken for what they are not."""

import unicodedata

import pytest
from permissions import bound_by_permissions

from counterpoise.data.sources import (
    CLIPS,
    RawFiles,
    Source,
    check_file,
    files_below,
    impostor,
    is_published,
    place,
    spelled_otherwise,
)
from counterpoise.errors import UserError
from counterpoise.files import sha256_file

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:9269ed5eb1710836\nsize 414429\n"


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder, *endings):
    return [path.relative_to(folder).as_posix() for path in files_below(folder, endings)]


def test_links_are_followed_and_a_link_back_up_ends_the_search(tmp_path):
    touch(tmp_path / "elsewhere/clips/a.mp4")
    touch(tmp_path / "mine/b.mp4")
    (tmp_path / "mine/linked").symlink_to(tmp_path / "elsewhere/clips")
    (tmp_path / "mine/again").symlink_to(tmp_path / "elsewhere/clips")
    (tmp_path / "mine/up").symlink_to(tmp_path / "mine")
    assert names(tmp_path / "mine", ".mp4") == ["b.mp4", "again/a.mp4"]


def test_files_of_a_folder_that_cannot_be_read_are_not_missing(tmp_path):
    touch(tmp_path / "mine/VideoFlash/a.flv")
    (tmp_path / "mine/lost+found").mkdir()  # at the top of a disk, for root alone
    raw = RawFiles((tmp_path / "mine", tmp_path / "nowhere"))
    with bound_by_permissions():
        (tmp_path / "mine/lost+found").chmod(0)
        assert list(raw.below(".flv")) == [tmp_path / "mine/VideoFlash/a.flv"]
        (tmp_path / "mine/VideoFlash").chmod(0)
        try:
            with pytest.raises(UserError, match="VideoFlash: the folder cannot be read: Permission denied"):
                list(raw.below(".flv"))
        finally:
            for folder in (tmp_path / "mine").iterdir():
                folder.chmod(0o755)


def test_what_other_systems_leave_is_none_of_the_files(tmp_path):
    for name in ("a.mpg", "._a.mpg", "__MACOSX/a.mpg", ".git/b.mpg", "Thumbs.db", "c.MPG"):
        touch(tmp_path / name)
    assert names(tmp_path, ".mpg") == ["a.mpg", "c.MPG"]


def test_files_are_known_by_name_whatever_the_folders_and_capitals_are(tmp_path):
    touch(tmp_path / "own/UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi")
    touch(tmp_path / "home/v_Typing_g01_c01.AVI")
    raw = RawFiles((tmp_path / "own", tmp_path / "home"))
    assert set(raw.by_stem(".avi")) == {"v_handstandpushups_g01_c01", "v_typing_g01_c01"}
    assert "v_Typing_g01_c01" in raw.by_stem(".avi", fold=False)


def test_the_users_own_file_comes_before_the_fetched_one(tmp_path):
    for folder in ("own", "home"):
        touch(tmp_path / folder / "a.mpg")
    raw = RawFiles((tmp_path / "own", tmp_path / "home"))
    assert raw.by_stem(".mpg")["a"] == tmp_path / "own/a.mpg"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_the_same_whichever_way_a_disk_writes_them(tmp_path, form):
    path = touch(tmp_path / unicodedata.normalize(form, "caf\u00e9.mp4"))
    assert RawFiles((tmp_path,)).by_stem(".mp4") == {"caf\u00e9": path}


@pytest.mark.parametrize(
    ("there", "wanted", "what"),
    [
        ("TrainList01.txt", "trainlist01.txt", "capitals"),
        ("Lists/train.csv", "lists/train.csv", "capitals"),
        ("cafe\u0301/train.csv", "caf\u00e9/train.csv", "the form of its accents (Unicode)"),
        ("train.csv", "test.csv", None),
    ],
)
def test_a_file_that_is_spelled_otherwise_is_named_where_one_is_missing(tmp_path, there, wanted, what):
    touch(tmp_path / there)
    found = tmp_path / there.split("/")[0]
    expected = "" if what is None else f"; {found} is there, which differs in {what}"
    assert spelled_otherwise(tmp_path / wanted) == expected


def test_of_files_of_one_name_the_users_own_count_and_of_those_the_one_with_the_published_ending(tmp_path):
    for name in ("own/a.mp4", "own/b.MKV", "own/b.avi", "home/a.avi", "home/c.mp4"):
        touch(tmp_path / name)
    found = RawFiles((tmp_path / "own", tmp_path / "home")).by_stem(".avi", *CLIPS)
    assert found == {"a": tmp_path / "own/a.mp4", "b": tmp_path / "own/b.avi", "c": tmp_path / "home/c.mp4"}


def test_only_files_below_a_named_folder_count_where_there_is_one(tmp_path):
    for name in ("s1/bbaf2n.mpg", "s2/bbaf2n.mpg", "s2/lbax4n.mpg"):
        touch(tmp_path / name)
    assert set(RawFiles((tmp_path,)).by_stem(".mpg", within="s1")) == {"bbaf2n"}
    # A folder that is itself that one has no such folder in it.
    assert set(RawFiles((tmp_path / "s2",)).by_stem(".mpg", within="s1")) == {"bbaf2n", "lbax4n"}


def test_an_empty_folder_does_not_take_the_place_of_the_files_that_belong_in_it(tmp_path):
    source = Source(path="UCF-101", unpack="clips", holds=(".avi",))
    for name in ("UCF-101", "clips"):
        (tmp_path / name / "Archery").mkdir(parents=True)
    assert place(source, RawFiles((tmp_path,))) is None
    touch(tmp_path / "clips/Archery/a.avi")
    assert place(source, RawFiles((tmp_path,))) == tmp_path / "clips"


def test_files_that_an_archive_holds_take_its_place(tmp_path):
    source = Source(path="AVE_Dataset.zip", unpack="AVE_Dataset", holds=(".mp4",))
    raw = RawFiles((tmp_path,))
    assert place(source, raw) is None
    touch(tmp_path / "videos/a.mp4")
    assert place(source, raw) == tmp_path / "videos"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (POINTER, "a git-lfs pointer"),
        (b"\n <!DOCTYPE html><title>Quota exceeded</title>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"ffconcat version 1.0\nfile a.flv\n", "a playlist"),
        (b"#EXTM3U\n", "a playlist"),
        (b"v=0\r\n", "a playlist"),
        (b"1001_DFA_ANG_XX,ANG\n", None),
        (b"", None),
    ],
)
def test_what_stands_in_the_place_of_a_file_is_known_by_its_first_bytes(tmp_path, content, what):
    found = impostor(touch(tmp_path / "a", content))
    assert found is None if what is None else found.startswith(what)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.rstrip(b"\n"),
        lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
    ],
)
def test_line_ends_make_no_other_list(tmp_path, change):
    text = b"Archery/v_Archery_g01_c01.avi 3\nTyping/v_Typing_g01_c01.avi 95\n"
    published = touch(tmp_path / "published", text)
    source = Source(path="list.txt", size=len(text), sha256=sha256_file(published))
    mine = touch(tmp_path / "mine", change(text))
    assert is_published(mine, source) is True
    check_file(mine, source)
    mine.write_bytes(text.replace(b"g01_c01.avi 95", b"g01_c02.avi 95"))
    assert is_published(mine, source) is False
    with pytest.raises(UserError, match="sha256 is"):
        check_file(mine, source)


def test_a_pointer_in_place_of_a_file_is_said_by_name(tmp_path):
    with pytest.raises(UserError, match="a git-lfs pointer in place of the file"):
        check_file(touch(tmp_path / "a.flv", POINTER), Source(path="a.flv"))
