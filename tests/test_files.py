import contextlib
import hashlib
import http.server
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from residua import files
from residua.errors import BadRun, DownloadFailed

CONTENT = b"sixteen bytes..." * 4096
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server:
    """Serves `content` on this machine, well or badly, and writes down what it is asked for."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.first_content: bytes | None = None
        """Served in its place to the first that asks."""
        self.cut_at: int | None = None
        """Bytes after which the connection breaks."""
        self.on_ranges = "honours"
        """honours, ignores (200), refuses (416), shifts (206 from another byte), shortens (206 without the end)"""
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked: list[str | None] = []
        """The range of every request; None for all bytes."""
        self.encodings: set[str | None] = set()
        self.address = ""

    def answer(self, to: http.server.BaseHTTPRequestHandler) -> None:
        span = to.headers["Range"]
        self.asked.append(span)
        self.encodings.add(to.headers["Accept-Encoding"])
        self.may_answer.wait(10)
        if not to.path.endswith("/file.bin") or self.status != 200:
            to.send_error(404 if self.status == 200 else self.status)
        elif span is None or self.on_ranges == "ignores":
            to.send_response(200)
            self.send(to, self.first_content if self.first_content and len(self.asked) == 1 else self.content)
        else:
            self.answer_part(to, int(span.removeprefix("bytes=").removesuffix("-")))

    def answer_part(self, to: http.server.BaseHTTPRequestHandler, first: int) -> None:
        first -= 10 if self.on_ranges == "shifts" else 0
        end = len(self.content) - (10 if self.on_ranges == "shortens" else 0)
        if self.on_ranges == "refuses" or first >= end:
            to.send_error(416)
            return
        to.send_response(206)
        to.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(self.content)}")
        self.send(to, self.content[first:end])

    def send(self, to: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        to.send_header("Content-Length", str(len(content)))
        to.end_headers()
        to.wfile.write(content[: self.cut_at])


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        server.address = f"http://127.0.0.1:{running.server_port}/data/file.bin"
        yield server
        running.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "f.bin"


def partial(place: Path) -> Path:
    return place.with_name(".f.bin.partial")


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
    named = [{"file": "a\u2028b\x85c.png"}]
    files.write_json_lines(path, named)
    assert files.read_json_lines(path) == named


def test_a_damaged_json_is_named(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"status"')
    with pytest.raises(BadRun, match=r"run.json is damaged"):
        files.read_json(tmp_path / "run.json")


def test_a_download_arrives_whole_with_its_progress(tmp_path: Path, server: Server):
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "new" / "f.bin"
    files.download(server.address, path, checksum=CHECKSUM, progress=lambda *n: told.append(n))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_is_not_fetched_again(place: Path):
    place.write_bytes(CONTENT)
    files.download("http://127.0.0.1:9/nobody/f.bin", place, checksum=CHECKSUM)


def failure(server: Server, place: Path, checksum: str = CHECKSUM) -> str:
    with pytest.raises(DownloadFailed) as caught:
        files.download(server.address, place, checksum=checksum)
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in (server.address, str(place), checksum))
    return str(caught.value)


def test_what_differs_is_not_kept(place: Path, server: Server):
    text = failure(server, place, "md5:" + "0" * 32)
    assert f"gave a file with md5:{hashlib.md5(CONTENT).hexdigest()}" in text
    assert list(place.parent.iterdir()) == []


def test_after_a_break_the_next_call_goes_on(place: Path, server: Server):
    server.cut_at = 30_000
    assert "; try again, which goes on after the 30,000 bytes that came, or fetch" in failure(server, place)
    assert list(place.parent.iterdir()) == [partial(place)]
    server.cut_at = 10_000
    assert "after the 40,000 bytes" in failure(server, place)
    server.cut_at = None
    told: list[tuple[int, int | None]] = []
    files.download(server.address, place, checksum=CHECKSUM, progress=lambda *n: told.append(n))
    assert place.read_bytes() == CONTENT
    assert list(place.parent.iterdir()) == [place]
    assert server.asked == [None, "bytes=30000-", "bytes=40000-"]
    assert server.encodings == {"identity"}
    assert told[0][0] > 40_000
    assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("habit", ["ignores", "refuses", "shifts", "shortens"])
def test_a_server_that_does_not_go_on_is_asked_for_the_whole(place: Path, server: Server, habit: str):
    server.content = CONTENT * 16
    server.on_ranges = habit
    partial(place).write_bytes(CONTENT[:30_000])
    told: list[int] = []
    checksum = f"sha256:{hashlib.sha256(server.content).hexdigest()}"
    files.download(server.address, place, checksum=checksum, progress=lambda done, total: told.append(done))
    assert place.read_bytes() == server.content
    assert server.asked == (["bytes=30000-"] if habit == "ignores" else ["bytes=30000-", None])
    assert told == sorted(told), "bytes were taken that could only be thrown away"


@pytest.mark.parametrize("kept", [b"of another file", CONTENT + b"too long"])
def test_a_beginning_of_something_else_is_thrown_away(place: Path, server: Server, kept: bytes):
    partial(place).write_bytes(kept)
    files.download(server.address, place, checksum=CHECKSUM)
    assert place.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(kept)}-", None]


def test_a_whole_that_lacked_only_its_name_is_not_fetched_again(place: Path, server: Server):
    partial(place).write_bytes(CONTENT)
    files.download(server.address, place, checksum=CHECKSUM)
    assert place.read_bytes() == CONTENT
    assert server.asked == []


def test_a_server_that_fails_for_a_while_costs_nothing_of_what_came(place: Path, server: Server):
    partial(place).write_bytes(CONTENT[:30_000])
    server.status = 503
    assert "503" in failure(server, place)
    assert partial(place).read_bytes() == CONTENT[:30_000]


def test_wrong_content_after_a_break_is_fetched_once_more_and_then_not_kept(place: Path, server: Server):
    partial(place).write_bytes(CONTENT[:30_000])
    server.content = b"x" + CONTENT[1:-1] + b"x"
    assert "nothing was kept" in failure(server, place)
    assert server.asked == ["bytes=30000-", None]
    assert list(place.parent.iterdir()) == []


def test_the_beginning_of_a_digest_is_enough(place: Path, server: Server):
    files.download(server.address, place, checksum=CHECKSUM[: len("sha256:") + 8])
    assert files.matches(place, CHECKSUM)
    assert files.matches(place, CHECKSUM[:-1])
    assert not files.matches(place, CHECKSUM[:-1] + ("0" if CHECKSUM[-1] != "0" else "1"))
    assert not files.matches(place, CHECKSUM + "0")


@pytest.mark.parametrize("digits", [0, 7])
def test_fewer_than_eight_digits_say_nothing(place: Path, digits: int):
    place.write_bytes(CONTENT)
    assert not files.matches(place, CHECKSUM[: len("sha256:") + digits])


def in_two_threads(server: Server, place: Path) -> list[str]:
    """Downloads twice at once, the second begun while the first waits for its answer; returns what went wrong."""
    wrong: list[str] = []

    def fetch() -> None:
        try:
            files.download(server.address, place, checksum=CHECKSUM)
        except DownloadFailed as error:
            wrong.append(str(error))

    server.may_answer.clear()
    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    server.may_answer.set()
    for thread in threads:
        thread.join()
    return wrong


def test_of_two_at_once_one_fetches_and_both_have_it(place: Path, server: Server):
    assert in_two_threads(server, place) == []
    assert place.read_bytes() == CONTENT
    assert server.asked == [None]
    assert list(place.parent.iterdir()) == [place]


def test_of_two_at_once_the_second_tries_where_the_first_failed(place: Path, server: Server):
    server.first_content = b"something else"
    (wrong,) = in_two_threads(server, place)
    assert "nothing was kept" in wrong
    assert server.asked == [None, None]
    assert place.read_bytes() == CONTENT
    assert list(place.parent.iterdir()) == [place]


def test_a_killed_download_goes_on(place: Path, server: Server):
    """The process is killed at its second chunk, as the kernel or a batch system would."""
    server.content = CONTENT * 64
    checksum = f"sha256:{hashlib.sha256(server.content).hexdigest()}"
    script = f"""if True:
        import os, signal
        from pathlib import Path
        from residua import files
        die = lambda done, total: done > 1_000_000 and os.kill(os.getpid(), signal.SIGKILL)
        files.download({server.address!r}, Path({str(place)!r}), checksum={checksum!r}, progress=die)
    """
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    kept = partial(place).stat().st_size
    assert 900_000 < kept < len(server.content)
    files.download(server.address, place, checksum=checksum)
    assert place.read_bytes() == server.content
    assert server.asked == [None, f"bytes={kept}-"]


def test_a_full_disk_is_one_line_and_gets_its_space_back(place: Path, server: Server):
    """The system refuses bytes beyond 20,000 a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(DownloadFailed, match="cannot write .*f.bin .*; free space there or choose another place"):
            files.download(server.address, place, checksum=CHECKSUM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(place.parent.iterdir()) == []


def test_a_missing_address_names_address_place_and_checksum(place: Path, server: Server):
    server.address = server.address.replace("file.bin", "other")
    assert "404" in failure(server, place)
    assert list(place.parent.iterdir()) == []


def test_offline_fetches_nothing_and_says_how_to_go_on(place: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(files.OFFLINE_VARIABLE, "1")
    assert "RESIDUA_OFFLINE is set" in failure(server, place)
    assert server.asked == []


def test_a_mirror_serves_in_the_publishers_place(place: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(files.MIRROR_VARIABLE, server.address.rpartition("/")[0])
    files.download("https://publisher.invalid/deep/file.bin", place, checksum=CHECKSUM)
    assert place.read_bytes() == CONTENT


def test_an_unwritable_place_is_one_line(tmp_path: Path, server: Server):
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(DownloadFailed, match="cannot write"):
        files.download(server.address, tmp_path / "taken" / "f.bin", checksum=CHECKSUM)
