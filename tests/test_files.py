import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from residua import files
from residua.errors import BadRun, DownloadFailed

CONTENT = b"sixteen bytes..." * 4096
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@contextlib.contextmanager
def server(cut_at: int | None = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith("/file.bin"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:cut_at])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/data/file.bin"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(files.OFFLINE_VARIABLE, raising=False)
    monkeypatch.delenv(files.MIRROR_VARIABLE, raising=False)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.txt"
    files.write(path, "old")

    def fail() -> None:
        with files.replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_lines_lose_only_the_line_that_a_kill_cut(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert files.read_json_lines(path) == [{"epoch": 1}, {"epoch": 2}]


def test_a_damaged_json_is_named(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"status"')
    with pytest.raises(BadRun, match=r"run.json is damaged"):
        files.read_json(tmp_path / "run.json")


def test_a_download_arrives_whole_with_its_progress(tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    with server() as address:
        files.download(address, tmp_path / "new" / "f.bin", checksum=CHECKSUM, progress=lambda *n: told.append(n))
    assert (tmp_path / "new" / "f.bin").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path):
    (tmp_path / "f.bin").write_bytes(CONTENT)
    files.download("http://127.0.0.1:9/nobody/f.bin", tmp_path / "f.bin", checksum=CHECKSUM)


@pytest.mark.parametrize("cut_at", [None, 1000])
def test_what_differs_or_is_cut_short_is_not_kept(tmp_path: Path, cut_at: int | None):
    wrong = "md5:" + "0" * 32
    with server(cut_at) as address, pytest.raises(DownloadFailed) as caught:
        files.download(address, tmp_path / "f.bin", checksum=wrong if cut_at is None else CHECKSUM)
    assert list(tmp_path.iterdir()) == []
    assert address in str(caught.value)
    assert str(tmp_path / "f.bin") in str(caught.value)
    assert (wrong if cut_at is None else CHECKSUM) in str(caught.value)


def test_a_missing_address_names_address_place_and_checksum(tmp_path: Path):
    with server() as address, pytest.raises(DownloadFailed) as caught:
        files.download(address.replace("file.bin", "other"), tmp_path / "f.bin", checksum=CHECKSUM)
    assert "404" in str(caught.value)
    assert CHECKSUM in str(caught.value)
    assert "\n" not in str(caught.value)


def test_offline_fetches_nothing_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(files.OFFLINE_VARIABLE, "1")
    with server() as address, pytest.raises(DownloadFailed, match="RESIDUA_OFFLINE is set"):
        files.download(address, tmp_path / "f.bin", checksum=CHECKSUM)


def test_a_mirror_serves_in_the_publishers_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with server() as address:
        monkeypatch.setenv(files.MIRROR_VARIABLE, address.rpartition("/")[0])
        files.download("https://publisher.invalid/deep/file.bin", tmp_path / "f.bin", checksum=CHECKSUM)
    assert (tmp_path / "f.bin").read_bytes() == CONTENT


def test_an_unwritable_place_is_one_line(tmp_path: Path):
    (tmp_path / "taken").write_text("a file, no folder")
    with server() as address, pytest.raises(DownloadFailed, match="cannot write"):
        files.download(address, tmp_path / "taken" / "f.bin", checksum=CHECKSUM)
