"""Downloads, against a real server on this machine that misbehaves as asked."""

import errno
import hashlib
import http.server
import os
import threading

import pytest

from counterpoise.data.download import FetchError, RefusedError, download
from counterpoise.errors import UserError

BODY = bytes(range(256)) * 400
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server:
    """What the server should do, and what it was asked."""

    def __init__(self):
        self.body = BODY
        self.etag = '"v1"'
        self.cut_after = []
        self.statuses = []
        self.kind = "application/octet-stream"
        self.ranges = True
        self.length = None
        self.redirect = ""
        self.sends_all_as_a_part = False
        self.requests = []
        self.url = ""


@pytest.fixture
def server():
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests.append(dict(self.headers))
            if state.statuses:
                status = state.statuses.pop(0)
                if status != 200:
                    self.send_error(status)
                    return
            if state.redirect:
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.end_headers()
                return
            start, status = 0, 200
            asked = self.headers.get("Range")
            fresh = self.headers.get("If-Range") in (None, state.etag)
            if asked and state.ranges and fresh:
                start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
            start = 0 if state.sends_all_as_a_part else start
            part = state.body[start:]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(state.body) - 1}/{len(state.body)}")
            self.send_header("Content-Length", str(len(part)) if state.length is None else state.length)
            self.send_header("Content-Type", state.kind)
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            self.wfile.write(part[: state.cut_after.pop(0)] if state.cut_after else part)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_port}/file.bin"
        yield state
        listening.shutdown()


def fetch(server, path, **options):
    download([server.url], path, sleep=lambda _: None, **options)


def leftovers(path):
    return sorted(file.name for file in path.parent.iterdir() if file != path)


def test_the_file_arrives_whole(tmp_path, server):
    seen = []
    path = tmp_path / "a.bin"
    fetch(server, path, size=len(BODY), sha256=SHA256, progress=lambda *now: seen.append(now))
    assert path.read_bytes() == BODY
    assert seen[-1] == ("a.bin", len(BODY), len(BODY))
    assert leftovers(path) == []


def test_a_broken_connection_is_continued_and_not_begun_again(tmp_path, server):
    server.cut_after = [30_000, 20_000]
    fetch(server, tmp_path / "a.bin", sha256=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [request.get("Range") for request in server.requests] == [None, "bytes=30000-", "bytes=50000-"]


def test_a_later_process_continues_what_an_earlier_one_began(tmp_path, server):
    server.cut_after = [40_000]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.bin", attempts=1)
    assert not (tmp_path / "a.bin").exists()
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.requests[-1]["Range"] == "bytes=40000-"


@pytest.mark.parametrize("note", ["[]", "null", "7", '{"url": "URL", "validator": [1]}', "\udcff", "[" * 100_000])
def test_a_note_of_another_form_beside_an_unfinished_file_is_no_note(tmp_path, server, note):
    server.cut_after = [40_000]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.bin", attempts=1)
    note = note.replace("URL", server.url)
    (tmp_path / ".a.bin.part.json").write_text(note, encoding="utf-8", errors="surrogateescape")
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.requests[-1].get("Range") is None


def test_a_file_that_changed_on_the_server_is_begun_again(tmp_path, server):
    server.cut_after = [40_000]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.bin", attempts=1)
    server.body, server.etag = BODY[::-1], '"v2"'
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY[::-1]


def test_a_server_without_ranges_is_asked_from_the_start(tmp_path, server):
    server.cut_after, server.ranges = [40_000], False
    fetch(server, tmp_path / "a.bin", sha256=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_another_part_than_was_asked_for_is_not_appended(tmp_path, server):
    server.cut_after, server.sends_all_as_a_part = [40_000], True
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [request.get("Range") for request in server.requests] == [None, "bytes=40000-", None]


@pytest.mark.parametrize("length", ["unknown", f"{len(BODY)}, {len(BODY)}", "-1"])
def test_a_length_that_is_no_number_says_nothing(tmp_path, server, length):
    server.length = length
    fetch(server, tmp_path / "a.bin", sha256=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_passing_faults_are_retried(tmp_path, server, status):
    server.statuses = [status, status]
    fetch(server, tmp_path / "a.bin", sha256=SHA256)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_file_is_not_asked_for_twice(tmp_path, server, status):
    server.statuses = [status] * 5
    with pytest.raises(UserError, match=str(status)):
        fetch(server, tmp_path / "a.bin")
    assert len(server.requests) == 1


def test_the_next_address_is_tried(tmp_path, server):
    download(["http://127.0.0.1:9/nothing", server.url], tmp_path / "a.bin", sha256=SHA256, sleep=lambda _: None)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(tmp_path, server):
    with pytest.raises(UserError, match=f"sha256 is {SHA256}, expected 0000"):
        fetch(server, tmp_path / "a.bin", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_refused_before_it_is_fetched(tmp_path, server):
    with pytest.raises(UserError, match=f"offers {len(BODY)} bytes, 5 expected"):
        fetch(server, tmp_path / "a.bin", size=5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_the_file_is_refused(tmp_path, server, kind):
    server.body, server.kind = b"\n<!DOCTYPE html><html>quota exceeded</html>", kind
    with pytest.raises(UserError, match="web page"):
        fetch(server, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_answer_is_no_file(tmp_path, server):
    server.body = b""
    with pytest.raises(UserError, match="the server sent an empty file"):
        fetch(server, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_redirection_that_leads_back_is_one_line(tmp_path, server):
    server.redirect = server.url
    with pytest.raises(UserError, match="infinite loop") as caught:
        fetch(server, tmp_path / "a.zip")
    assert "\n" not in str(caught.value)


def test_what_was_there_stays_when_a_download_fails(tmp_path, server):
    (tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.bin", sha256="0" * 64)
    assert (tmp_path / "a.bin").read_bytes() == b"mine"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_optional_file_may_be_refused(tmp_path, server, status):
    server.statuses = [status]
    fetch(server, tmp_path / "a.bin", optional=True)
    assert not (tmp_path / "a.bin").exists()


def test_an_optional_file_is_not_given_up_for_a_broken_server(tmp_path, server):
    server.statuses = [503] * 5
    with pytest.raises(UserError, match="503"):
        fetch(server, tmp_path / "a.bin", optional=True)


@pytest.mark.parametrize("reasons", [(RefusedError, FetchError), (FetchError, RefusedError)])
def test_an_optional_file_is_given_up_only_where_every_address_refuses(tmp_path, monkeypatch, reasons):
    import counterpoise.data.download as module

    def answers(url, *_):
        raise reasons[int(url)]("the reason of this address")

    monkeypatch.setattr(module, "_attempt", answers)
    with pytest.raises(UserError, match="0: the reason of this address; 1: the reason of this address"):
        download(["0", "1"], tmp_path / "a.bin", optional=True)


@pytest.mark.parametrize(
    "url",
    [
        "://host/a.bin",
        "http://[bad/a.bin",
        "http://a..b/a.bin",
        "http://127.0.0.1:9/\u00fc/a.bin",
        "http://h:port/a.bin",
    ],
)
def test_what_is_no_address_is_one_line_at_once_and_the_next_is_tried(tmp_path, server, url):
    slept = []
    with pytest.raises(UserError, match="is no address that can be asked"):
        download([url], tmp_path / "a.bin", sleep=slept.append)
    assert slept == []
    download([url, server.url], tmp_path / "a.bin", sha256=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("url", ["htp://host/a.bin", "http:///a.bin"])
def test_an_address_without_a_host_or_of_an_unknown_kind_is_not_asked_again(tmp_path, url):
    slept = []
    with pytest.raises(UserError, match=r"unknown url type: htp|no host given"):
        download([url], tmp_path / "a.bin", sleep=slept.append)
    assert slept == []


def test_no_address_at_all_is_said(tmp_path):
    with pytest.raises(UserError, match="no address is known"):
        download([], tmp_path / "a.bin")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, server, monkeypatch, number):
    import counterpoise.data.download as module

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "_transfer", full)
    with pytest.raises(UserError, match=rf"\.a\.bin\.part: cannot be written: {os.strerror(number)}"):
        fetch(server, tmp_path / "a.bin")
    assert len(server.requests) == 0
