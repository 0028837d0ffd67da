"""Downloads that resume, are retried, and are checked before they take their place."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from counterpoise import files
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import placeholder_of
from counterpoise.errors import UserError

BLOCK = 1 << 20
TIMEOUT = 60.0
ATTEMPTS = 5
# Errors that no server causes. EFBIG: FAT has no files of 4 GiB.
OF_THIS_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EISDIR)
AGENT = "counterpoise (dataset download)"


class FetchError(Exception):
    """One address did not give the file; the text says why."""


class RefusedError(FetchError):
    """The server answers that it has no such file, or none for us."""


def download(
    urls: Sequence[str],
    destination: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    progress: Progress = quiet,
    optional: bool = False,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch ``destination`` from the first of ``urls`` that gives it.

    What arrives is kept beside the destination as ``.<name>.part`` and continued by the next attempt, in this process
    or a later one. A file that is there at the end has the ``size`` and ``sha256`` asked for. Raises ``UserError``
    naming every address and its reason where none gives the file; an ``optional`` one may be refused by every server.
    """
    reasons, refused = first_of(urls, destination, size, sha256, progress, attempts, sleep)
    if reasons is None or (optional and refused):
        return
    raise UserError(
        f"{destination}: could not be fetched ({'; '.join(reasons) or 'no address is known'}); "
        "put the file there yourself, or name a mirror that has it: --set mirror=DIR ('data fetch': --mirror DIR)"
    )


def first_of(
    urls: Sequence[str],
    destination: Path,
    size: int | None = None,
    sha256: str | None = None,
    progress: Progress = quiet,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[str] | None, bool]:
    """As :func:`download`, but return each address's reason, ``None`` where one gave the file, and whether all of them
    answer that they do not have it.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{destination}: cannot be written: {files.no_folder(error)}") from error
    reasons, refused = [], True
    for url in urls:
        try:
            _attempt(url, destination, size, sha256, progress, attempts, sleep)
        except FetchError as error:
            # Some reasons, as that of a redirection that leads back to itself, have several lines.
            reasons.append(f"{url}: {' '.join(str(error).split())}")
            refused = refused and isinstance(error, RefusedError)
        else:
            return None, False
    return reasons, refused


def _attempt(
    url: str,
    destination: Path,
    size: int | None,
    sha256: str | None,
    progress: Progress,
    attempts: int,
    sleep: Callable[[float], None],
) -> None:
    """Fetch from one address, waiting and going on where the connection breaks."""
    part = _Part(destination, url, sha256)
    for attempt in range(attempts):
        if attempt > 0:
            sleep(min(2.0**attempt, 30.0))
        try:
            _transfer(url, part, size, lambda done, total: progress(destination.name, done, total))
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.discard()
            elif error.code < 500 and error.code not in (408, 425, 429):
                raise RefusedError(reason) from error
        except (ValueError, http.client.InvalidURL) as error:
            # Of the address itself, or of one that the server sends us to: it will not become one by waiting.
            raise FetchError(f"is no address that can be asked ({error})") from error
        except (http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in OF_THIS_DISK:
                raise UserError(f"{part.path}: cannot be written: {error.strerror}") from error
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            if isinstance(getattr(error, "reason", None), FileNotFoundError):  # of an address 'file://'
                raise RefusedError(reason) from error
            # Waiting does not help where a host has no address, or where an address has no host or an unknown scheme:
            # of these the reason is a text.
            if isinstance(getattr(error, "reason", None), socket.gaierror) or (
                type(error) is urllib.error.URLError and isinstance(error.reason, str)
            ):
                raise FetchError(reason) from error
        else:
            part.publish(size, sha256)
            return
    raise FetchError(f"{reason} ({attempts} attempts)")


class _Part:
    """The unfinished file, with a note of where it came from so that only the same bytes are continued."""

    def __init__(self, destination: Path, url: str, sha256: str | None) -> None:
        self.destination = destination
        self.path = destination.with_name(f".{destination.name}.part")
        self._note = destination.with_name(f".{destination.name}.part.json")
        self._url = url
        self.pinned = sha256 is not None

    def resume_headers(self) -> dict[str, str]:
        """Return the request headers that ask for what is still missing; nothing to continue gives none."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return {}
        note = self._read_note()
        validator = note.get("validator") if note.get("url") == self._url else None
        if validator is None and not self.pinned:
            self.discard()
            return {}
        headers = {"Range": f"bytes={self.path.stat().st_size}-"}
        if validator is not None:
            headers["If-Range"] = validator
        return headers

    def _read_note(self) -> dict[str, str | None]:
        try:
            note = files.read_json(self._note, "note of a download")
        except UserError:
            return {}
        return note if isinstance(note, dict) and isinstance(note.get("validator"), str | None) else {}

    def note(self, validator: str | None) -> None:
        """Remember the address and the server's name of this version of the file."""
        self._note.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def publish(self, size: int | None, sha256: str | None) -> None:
        """Check the whole file and move it to its place; what fails is thrown away."""
        found = self.path.stat().st_size
        if size is not None and found != size:
            self.discard()
            raise FetchError(f"{found} bytes arrived, {size} expected")
        if sha256 is not None:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != sha256:
                self.discard()
                raise FetchError(f"sha256 is {digest}, expected {sha256}")
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.destination)
        self._note.unlink(missing_ok=True)


def _transfer(url: str, part: _Part, size: int | None, report: Callable[[int, int | None], None]) -> None:
    """Append to the unfinished file what the server sends until it is whole."""
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, **part.resume_headers()})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        resumed = getattr(response, "status", 200) == http.client.PARTIAL_CONTENT
        start = part.path.stat().st_size if resumed else 0
        # A server may send another part than it was asked for, as a cache that only ever has the whole file does.
        if resumed and not response.headers.get("Content-Range", f"bytes {start}-").startswith(f"bytes {start}-"):
            part.discard()
            raise http.client.HTTPException("the server sent another part of the file than it was asked for")
        total = _total(response, start)
        if size is not None and total is not None and total != size:
            part.discard()
            raise FetchError(f"the server offers {total} bytes, {size} expected")
        if not resumed:
            part.note(_validator(response))
        done = start
        with part.path.open("ab" if resumed else "wb") as file:
            while block := response.read(BLOCK):
                if done == 0:
                    _refuse_impostor(block, response, part)
                file.write(block)
                done += len(block)
                report(done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)
    if done == 0 and size != 0 and not part.pinned:
        part.discard()
        raise RefusedError("the server sent an empty file")


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    # Some proxies send what is no number, or the number twice: then nothing is known.
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    tag = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _refuse_impostor(block: bytes, response: http.client.HTTPResponse, part: _Part) -> None:
    """Raise where a page for people (a log-in, a quota, a virus warning) or a pointer came in place of the file."""
    if part.destination.suffix in (".html", ".htm"):
        return
    what = placeholder_of(block[:512])
    if what is None and response.headers.get("Content-Type", "").startswith("text/html"):
        what = "a web page in place of the file"
    if what is not None:
        part.discard()
        raise RefusedError(f"the server sent {what}")
