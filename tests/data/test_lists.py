"""Lists as people have them: other line ends and blank lines are read, what is wrong is one line that says where."""

import pytest

from counterpoise.data import lists
from counterpoise.errors import UserError


def write(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_marks_line_ends_and_blank_lines_do_not_matter(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfa, 1\r\n\r\n  \r\n , \r\nb,2\r\n")
    assert lists.read_rows(path, 2, "list") == [["a", "1"], ["b", "2"]]


def test_columns_are_found_by_name_and_others_ignored(tmp_path):
    path = write(tmp_path, "note,id,label\n\nx,a,1.5\ny,b,nan\n")
    rows = lists.read_table(path, ("id", "label"), "labels")
    assert [(number, row["id"], row["label"]) for number, row in rows] == [(3, "a", "1.5"), (4, "b", "nan")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,value\na,1\n", "has no column 'label'; its columns: id, value"),
        ("id,label\na\n", "line 2 has 1 fields, the heading 2"),
        (b"\xff\xfe\x00", "is not text"),
        ("<!doctype html>", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        ("id,label\na,1\0\x00\n" + "x" * 200_000 + ",1\n", "is not a line of fields"),
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        lists.read_table(write(tmp_path, text), ("id", "label"), "labels")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"), [("three", "is not a number"), ("", "is not a number"), ("inf", "not a finite")]
)
def test_words_for_numbers_are_named(tmp_path, value, message):
    with pytest.raises(UserError, match=f"list.csv: line 4: .*{message}"):
        lists.number(value, tmp_path / "list.csv", "line 4")


def test_a_folder_in_place_of_a_list_is_named(tmp_path):
    with pytest.raises(UserError, match="is not a file"):
        lists.read_text(tmp_path, "split list")
