"""Models: the manifest, downloads from a server of our own, and everything that must be refused."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import multiprocessing
import socket
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voice_facilitator import models
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.checked_toml import FileMistakes
from voice_facilitator.models import ModelEntry, State, fetch, load_manifest, state_of

fetching = sys.modules["voice_facilitator.models.fetch"]  # its name in the package is the function's


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


GOOD = zipped({"model-1/README": b"a model", "model-1/am/final.mdl": bytes(range(256)) * 3000})


class Server:
    """Serves one file, and can cut the connection after some bytes."""

    def __init__(self) -> None:
        self.data = GOOD
        self.cut_after: int | None = None
        self.ranges: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/model.zip":
                    self.send_error(404)
                    return
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
                if begin >= len(outer.data):
                    self.send_error(416)
                    return
                rest = outer.data[begin:]
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest if outer.cut_after is None else rest[: outer.cut_after])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/model.zip"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def entry(server: Server, **changes: Any) -> ModelEntry:
    values = {
        "name": "test",
        "kind": "recogniser",
        "what": "a test",
        "licence": "none",
        "source": "here",
        "file": "model-1",
        "url": server.url,
        "sha256": hashlib.sha256(server.data).hexdigest(),
    }
    return ModelEntry(**(values | changes))


def test_fetches_unpacks_and_reports_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = fetch(entry(server), lambda *step: seen.append(step), folder=tmp_path)
    assert (path / "README").read_bytes() == b"a model"
    assert max(done for _, done, _ in seen) == len(GOOD)
    assert state_of(entry(server), tmp_path) is State.GOOD
    assert not list(tmp_path.glob("*.part"))
    assert fetch(entry(server), folder=tmp_path) == path
    assert len(server.ranges) == 1, "what is here and whole is not fetched again"


def test_goes_on_where_it_was_cut(server: Server, tmp_path: Path) -> None:
    server.cut_after = 300_000
    with pytest.raises(FacilitatorError) as caught:
        fetch(entry(server), folder=tmp_path)
    assert caught.value.code == "model-download"
    assert "goes on where it stopped" in caught.value.hint
    server.cut_after = None
    fetch(entry(server), folder=tmp_path)
    assert server.ranges[0] is None
    assert server.ranges[1] is not None
    assert 200_000 < int(server.ranges[1].removeprefix("bytes=").removesuffix("-")) <= 300_000


def test_without_a_network_it_says_so(server: Server, tmp_path: Path) -> None:
    with socket.socket() as nobody_answers:
        nobody_answers.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody_answers.getsockname()[1]}/model.zip"
        with pytest.raises(FacilitatorError, match=r"127\.0\.0\.1 cannot be reached") as caught:
            fetch(entry(server, url=url), folder=tmp_path)
    assert caught.value.code == "model-download"
    assert "on the internet" in caught.value.hint


def test_a_wrong_hash_is_refused_and_thrown_away(server: Server, tmp_path: Path) -> None:
    wanted = entry(server, sha256="0" * 64)
    with pytest.raises(FacilitatorError) as caught:
        fetch(wanted, folder=tmp_path)
    assert caught.value.code == "model-hash"
    assert caught.value.exit_code is ExitCode.NO_MODEL
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_hash_needs_the_users_word_and_is_noted(server: Server, tmp_path: Path) -> None:
    wanted = entry(server, sha256="")
    with pytest.raises(FacilitatorError) as caught:
        fetch(wanted, folder=tmp_path)
    assert caught.value.code == "model-unpublished-hash"
    assert server.ranges == [], "nothing is downloaded before"
    path = fetch(wanted, folder=tmp_path, trust_unknown=True)
    (path / "README").unlink()
    server.data = zipped({"model-1/README": b"another model"})
    with pytest.raises(FacilitatorError, match="not what its publisher released"):
        fetch(wanted, folder=tmp_path, trust_unknown=True)


def test_changed_files_are_noticed(server: Server, tmp_path: Path) -> None:
    path = fetch(entry(server), folder=tmp_path)
    (path / "am" / "final.mdl").write_bytes(b"x")
    assert state_of(entry(server), tmp_path) is State.DAMAGED
    with pytest.raises(FacilitatorError) as caught:
        models.checked_path(entry(server), tmp_path)
    assert caught.value.code == "model-damaged"


def test_what_belongs_to_a_shipped_model_is_checked_with_it() -> None:
    whole = load_manifest().default_encoder()
    assert len(whole.parts) == 2
    assert state_of(whole) is State.GOOD
    changed = whole.model_copy(update={"remark_sha256": "0" * 64})
    assert state_of(changed) is State.DAMAGED
    with pytest.raises(FacilitatorError, match=r"campplus .* is damaged") as caught:
        models.checked_path(changed)
    assert caught.value.hint == models.INSTALL_AGAIN
    assert state_of(whole.model_copy(update={"cohort": "gone.npz"})) is State.MISSING
    assert state_of(whole.model_copy(update={"cohort": "commands-en"})) is State.DAMAGED, "a folder"
    with pytest.raises(ValueError, match="needs its sha256"):
        ModelEntry(**(whole.model_dump() | {"cohort_sha256": ""}))


def test_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FacilitatorError) as caught:
        fetch(entry(server, url=server.url + ".gz"), folder=tmp_path)
    assert caught.value.code == "model-download"
    assert "404" in caught.value.message
    with pytest.raises(FacilitatorError) as caught:
        models.checked_path(entry(server), tmp_path)
    assert caught.value.code == "model-missing"


@pytest.mark.parametrize(
    "members",
    [
        {"../../evil": b"x", "model-1/a": b"y"},
        {"/tmp/evil": b"x", "model-1/a": b"y"},
        {"one/a": b"x", "two/b": b"y"},
        {"a": b"no folder"},
    ],
)
def test_zips_that_are_not_one_folder_are_refused(
    server: Server, tmp_path: Path, members: dict[str, bytes]
) -> None:
    server.data = zipped(members)
    home = tmp_path / "inner" / "models"
    with pytest.raises(FacilitatorError) as caught:
        fetch(entry(server), folder=home)
    assert caught.value.code == "model-damaged"
    assert list(home.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_download_that_is_no_zip(server: Server, tmp_path: Path) -> None:
    server.data = b"<html>Please log in</html>"
    with pytest.raises(FacilitatorError) as caught:
        fetch(entry(server), folder=tmp_path)
    assert caught.value.code == "model-damaged"


def test_the_manifest_we_ship() -> None:
    manifest = load_manifest()
    for needed in (entry for entry in manifest.model if entry.default):
        assert needed.is_shipped, "nothing has to be fetched before a session"
        assert fetch(needed) == needed.path()
    assert manifest.default_encoder().name == "campplus"
    for model in manifest.model:
        assert model.licence
        assert model.source
    with pytest.raises(FacilitatorError, match='no model "campplus-rom"') as caught:
        manifest.find("campplus-rom")
    assert caught.value.hint == 'Did you mean "campplus"?'


def test_mistakes_in_a_manifest_are_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(
        '[[model]]\nname = "a"\nkind = "speaker-encode"\nwhat = ""\nlicence = ""\nsource = ""\n'
        'file = "../x"\nsha256 = "abc"\n',
        encoding="utf-8",
    )
    with pytest.raises(FileMistakes) as caught:
        load_manifest(path)
    assert 'Did you mean "speaker-encoder"?' in caught.value.message
    assert len(caught.value.mistakes) == 3


# ------------------------------------------------------------ disks, and several at once


def test_six_at_once_are_one_download(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def one() -> None:
        try:
            results.put(fetch(entry(server), folder=tmp_path).name)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test has to know
            results.put(repr(error))

    six = [context.Process(target=one) for _ in range(6)]
    for process in six:
        process.start()
    assert [results.get(timeout=60) for _ in six] == ["model-1"] * 6
    for process in six:
        process.join(30)
    assert len(server.ranges) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model-1", "noted-hashes.json"]
    assert state_of(entry(server), tmp_path) is State.GOOD


@pytest.mark.parametrize("at", ["download", "unpacking", "noting"])
def test_a_full_disk_is_told_and_nothing_half_is_left(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place, name = {
        "download": (fetching, "_download"),
        "unpacking": (zipfile.ZipFile, "extractall"),
        "noting": (Path, "write_text"),
    }[at]
    monkeypatch.setattr(place, name, full)
    with pytest.raises(FacilitatorError, match="no room left for test") as caught:
        fetch(entry(server), folder=tmp_path)
    assert caught.value.code == "model-folder"
    assert "Make room" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir() if path.name != "model-1"] == []
    monkeypatch.undo()
    fetch(entry(server), folder=tmp_path)
    assert state_of(entry(server), tmp_path) is State.GOOD


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_disk_that_is_really_full(server: Server, tmp_path: Path) -> None:
    (tmp_path / "test.zip.part").symlink_to("/dev/full")
    with pytest.raises(FacilitatorError, match="no room left"):
        fetch(entry(server), folder=tmp_path)


def test_a_folder_that_cannot_be_written_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    for folder in (in_the_way, in_the_way / "models"):
        with pytest.raises(FacilitatorError, match="cannot be kept in") as caught:
            fetch(entry(server), folder=folder)
        assert caught.value.hint

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(FacilitatorError, match=r"cannot be kept in .*: Permission denied"):
        fetch(entry(server), folder=tmp_path / "models")


def test_what_was_made_to_fill_a_disk_is_refused(server: Server, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bomb:
        for number in range(60):
            bomb.writestr(f"model-1/{number}", bytes(10_000_000))
    server.data = out.getvalue()
    with pytest.raises(FacilitatorError, match="far too large unpacked") as caught:
        fetch(entry(server), folder=tmp_path)
    assert caught.value.code == "model-damaged"
    assert list(tmp_path.iterdir()) == []


def test_a_download_far_larger_than_the_manifest_says_is_stopped(server: Server, tmp_path: Path) -> None:
    seen: list[int] = []
    server.data = bytes(20_000_000)
    with pytest.raises(FacilitatorError) as caught:
        fetch(entry(server, bytes=len(GOOD)), lambda _what, done, _total: seen.append(done), folder=tmp_path)
    assert caught.value.code == "model-hash"
    assert max(seen) < 5_000_000
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_fetch_left_is_cleared_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "unpack-x1").mkdir()
    (tmp_path / "unpack-x1" / "half").write_text("")
    fetch(entry(server), folder=tmp_path)
    assert not (tmp_path / "unpack-x1").exists()
