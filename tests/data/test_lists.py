"""Lists as people have them: other line ends and blank lines are read, what is wrong is one line that says where."""

import bz2
import gzip
import lzma

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
        ("id,value\na,1\n", "has no column 'label' .*; its columns: id, value"),
        ("id;label\na;1\n", r"has no column 'id' \(fields are separated by ','\); its columns: id;label"),
        ("id,label\na\n", "line 2 has 1 fields, the heading 2 .* separated by ',', the line begins 'a'"),
        (b"id,label\na,\xe4\n", "is not text"),
        ("<!doctype html>", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        ("id,label\na,1\n" + "x" * 200_000 + ",1\n", "is not a line of fields"),
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        lists.read_table(write(tmp_path, text), ("id", "label"), "labels")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a,1\n".encode("utf-16"), "in UTF-16, as Excel and PowerShell write text; save it as UTF-8"),
        (b"\xfe\xff" + "a,1\n".encode("utf-16-be"), "in UTF-16; save it as UTF-8"),
        ("a,1\n".encode("utf-16-le"), "no UTF-8 text: it holds zero bytes"),
        (gzip.compress(b"a,1\n"), r"packed with gzip; unpack it \(gunzip\)"),
        (bz2.compress(b"a,1\n"), "packed with bzip2"),
        (lzma.compress(b"a,1\n"), "packed with xz"),
        (b"PK\x03\x04[Content_Types].xml", "a zip archive or a workbook of Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of Excel"),
        (b"%PDF-1.4\n", "a PDF"),
        (b"{\\rtf1\\ansi a,1}", "in RTF"),
    ],
)
def test_what_another_program_made_of_a_list_is_said_with_what_to_do(tmp_path, content, what):
    with pytest.raises(UserError, match=f"list.csv: the split list is {what}"):
        lists.read_rows(write(tmp_path, content), 2, "split list")


def test_a_video_whose_id_begins_as_packed_files_do_is_read(tmp_path):
    assert lists.read_rows(write(tmp_path, "BZh0q_jX1aA,10,0\n"), 3, "split list") == [["BZh0q_jX1aA", "10", "0"]]


@pytest.mark.parametrize(
    ("text", "delimiter", "message"),
    [
        ("a;1\n", ",", "fields are separated by ',', the line begins 'a;1'"),
        ("a\t1\n", ",", r"fields are separated by ',', the line begins 'a\\t1'"),
        ("a,1\n", "\t", "fields are separated by tabs, the line begins 'a,1'"),
        ('"a,1"\n', ",", "the line begins 'a,1'"),
    ],
)
def test_a_line_of_other_fields_is_shown_with_what_separates_them(tmp_path, text, delimiter, message):
    with pytest.raises(UserError, match=f"line 1 has 1 fields, 2 expected .*{message}"):
        lists.read_rows(write(tmp_path, text), 2, "list", delimiter)


@pytest.mark.parametrize(
    ("value", "message"), [("three", "is not a number"), ("", "is not a number"), ("inf", "not a finite")]
)
def test_words_for_numbers_are_named(tmp_path, value, message):
    with pytest.raises(UserError, match=f"list.csv: line 4: .*{message}"):
        lists.number(value, tmp_path / "list.csv", "line 4")


def test_a_folder_in_place_of_a_list_is_named(tmp_path):
    with pytest.raises(UserError, match="is not a file"):
        lists.read_text(tmp_path, "split list")
