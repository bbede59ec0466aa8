"""MNIST: reading, batches, damaged files, and downloads from a server of the test's own."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flowc.models.image.mnist import input_data

SAMPLES = {
    input_data.TRAIN_IMAGES: np.arange(20 * 28 * 28, dtype=np.uint8).reshape(20, 28, 28),
    input_data.TRAIN_LABELS: np.arange(20, dtype=np.uint8) % 10,
    input_data.TEST_IMAGES: np.full((6, 28, 28), 255, np.uint8),
    input_data.TEST_LABELS: np.arange(6, dtype=np.uint8),
}


def idx(array: np.ndarray) -> bytes:
    """`array` as the content of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def nothing_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWC_DATA_DIR", str(tmp_path / "no such folder"))


@pytest.fixture
def folder(tmp_path: Path, nothing_offline: None) -> Path:
    """A folder with four small, good files."""
    for name, array in SAMPLES.items():
        (tmp_path / name).write_bytes(gzip.compress(idx(array)))
    return tmp_path


class Server(ThreadingHTTPServer):
    """Answers `/KIND/FILE` with the sample of that name, spoiled as KIND says, and notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        kind, name = self.path.strip("/").split("/")
        body = gzip.compress(idx(SAMPLES[name]))
        promised = len(body)
        if kind == "truncated":
            body = body[:-9]
        elif kind == "short":
            body = body[:-9]
            promised = len(body)
        elif kind == "corrupt":
            body = body[:30] + bytes([body[30] ^ 0xFF]) + body[31:]
        elif kind == "other":
            body = gzip.compress(b"some other content")
            promised = len(body)
        elif kind == "page":
            body = b"<html>please log in</html>"
            promised = len(body)
        self.send_response(404 if kind == "missing" else 200)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keeps the test's output quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, nothing_offline: None) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(input_data, "SHA256", {n: hashlib.sha256(idx(a)).hexdigest() for n, a in SAMPLES.items()})
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def read(folder: Path, **options: object) -> input_data.DataSets:
    return input_data.read_data_sets(folder, validation_size=5, **options)  # type: ignore[arg-type]


def test_the_real_data_are_found_offline(tmp_path: Path) -> None:
    mnist = input_data.read_data_sets(tmp_path / "MNIST_data", one_hot=True)
    assert (mnist.train.num_examples, mnist.validation.num_examples, mnist.test.num_examples) == (55000, 5000, 10000)
    assert mnist.train.images.shape == (55000, 784)
    assert mnist.train.images.dtype == np.float32
    assert (mnist.train.images.min(), mnist.train.images.max()) == (0.0, 1.0)
    assert mnist.test.labels.shape == (10000, 10)
    # The first test images are a 7, a 2, a 1 and a 0.
    assert mnist.test.labels[:4].argmax(1).tolist() == [7, 2, 1, 0]
    assert not (tmp_path / "MNIST_data").exists()


def test_files_in_the_given_folder_are_read(folder: Path) -> None:
    mnist = read(folder)
    np.testing.assert_array_equal(mnist.validation.labels, SAMPLES[input_data.TRAIN_LABELS][:5])
    np.testing.assert_array_equal(mnist.train.labels, SAMPLES[input_data.TRAIN_LABELS][5:])
    np.testing.assert_allclose(mnist.test.images, 1.0)
    raw = read(folder, dtype="uint8")
    np.testing.assert_array_equal(raw.train.images, SAMPLES[input_data.TRAIN_IMAGES][5:].reshape(15, 784))


def test_one_hot_labels(folder: Path) -> None:
    labels = read(folder, one_hot=True).test.labels
    np.testing.assert_array_equal(labels, np.eye(10, dtype=np.float32)[:6])
    assert labels.dtype == np.float32


def test_a_dtype_that_pixels_cannot_have(folder: Path) -> None:
    with pytest.raises(TypeError, match="float32 or uint8, not as int64"):
        read(folder, dtype="int64")


def test_each_epoch_shows_every_example_once_in_another_order(folder: Path) -> None:
    train = read(folder, dtype="uint8").train
    epochs = [np.concatenate([train.next_batch(5)[0][:, 1] for _ in range(3)]) for _ in range(2)]
    assert train.epochs_completed == 1
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_batch_across_the_end_of_an_epoch_loses_no_example(folder: Path) -> None:
    train = read(folder).train
    seen = np.concatenate([train.next_batch(4)[1] for _ in range(15)])
    assert train.epochs_completed == 3
    assert np.bincount(seen, minlength=10).tolist() == [4] * 5 + [8] * 5


def test_images_and_labels_of_a_batch_belong_together(folder: Path) -> None:
    train = read(folder, dtype="uint8").train
    images, labels = train.next_batch(7)
    for image, label in zip(images, labels, strict=True):
        (at,) = np.flatnonzero((train.images == image).all(1))
        assert train.labels[at] == label


def test_the_order_repeats_with_a_seed(folder: Path) -> None:
    first, second = (read(folder, seed=3).train.next_batch(9)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.random.seed(5)
    first = read(folder).train.next_batch(9)[1]
    np.random.seed(5)
    np.testing.assert_array_equal(first, read(folder).train.next_batch(9)[1])


@pytest.mark.parametrize("batch_size", [0, -1, 16])
def test_a_batch_of_impossible_size(folder: Path, batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 15 of this set's examples, not {batch_size}"):
        read(folder).train.next_batch(batch_size)


def test_fake_data(tmp_path: Path) -> None:
    mnist = input_data.read_data_sets(tmp_path / "absent", fake_data=True, one_hot=True)
    images, labels = mnist.train.next_batch(3)
    np.testing.assert_array_equal(images, np.ones((3, 784), np.float32))
    np.testing.assert_array_equal(labels, np.eye(10)[[0, 0, 0]])
    assert mnist.test.num_examples == 10000


def test_fake_batches_of_real_data(folder: Path) -> None:
    images, labels = read(folder).train.next_batch(2, fake_data=True)
    np.testing.assert_array_equal(images, np.ones((2, 784), np.float32))
    np.testing.assert_array_equal(labels, [0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x01\x02\x08\x01" + bytes(10), "begins with 01020801, not as an IDX file"),
        (struct.pack(">HBBI", 0, 0x0D, 1, 2) + bytes(8), "begins with 00000d01"),
        (idx(SAMPLES[input_data.TRAIN_LABELS])[:-1], "holds 27 bytes, its header promises 28"),
        (idx(SAMPLES[input_data.TRAIN_LABELS]) + b"x", "holds 29 bytes, its header promises 28"),
        (b"\0\0\x08\x03\0\0", "holds 6 bytes"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "its header promises 79228162458924105385300197391"),
    ],
)
def test_a_file_that_is_not_idx(folder: Path, content: bytes, message: str) -> None:
    path = folder / input_data.TRAIN_LABELS
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=message) as caught:
        read(folder)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_gzip_or_is_cut_off(folder: Path) -> None:
    path = folder / input_data.TEST_IMAGES
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"not a whole gzip file.*delete it"):
        read(folder)
    path.write_bytes(b"plain text")
    with pytest.raises(ValueError, match="not a whole gzip file"):
        read(folder)


def test_images_and_labels_that_do_not_match(folder: Path) -> None:
    (folder / input_data.TEST_LABELS).write_bytes(gzip.compress(idx(np.zeros(7, np.uint8))))
    with pytest.raises(ValueError, match=r"shapes \(6, 28, 28\) and \(7,\)"):
        read(folder)


def test_a_label_out_of_range(folder: Path) -> None:
    (folder / input_data.TEST_LABELS).write_bytes(gzip.compress(idx(np.full(6, 10, np.uint8))))
    with pytest.raises(ValueError, match="holds the label 10; labels are 0 to 9"):
        read(folder)


def test_missing_files_are_downloaded_once(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_data, "SOURCES", (server.url("good"),))
    for _ in range(2):
        assert read(tmp_path / "new" / "folder").train.num_examples == 15
    assert sorted(server.asked) == sorted(f"/good/{name}" for name in SAMPLES)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(SAMPLES)


def test_only_what_is_missing_is_downloaded(folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / input_data.TEST_LABELS).unlink()
    monkeypatch.setenv("FLOWC_MNIST_URLS", server.url("good"))
    read(folder)
    assert server.asked == [f"/good/{input_data.TEST_LABELS}"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", "the answer stops after"),
        ("short", "no whole gzip file"),
        ("corrupt", "no whole gzip file|damaged"),
        ("other", "damaged: its SHA-256 is"),
        ("page", "no whole gzip file"),
        ("missing", "404"),
    ],
)
def test_a_bad_answer_leaves_no_file_and_the_next_source_is_tried(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    monkeypatch.setenv("FLOWC_MNIST_URLS", server.url(kind))
    with pytest.raises(OSError, match=reason) as caught:
        read(tmp_path)
    assert server.url(kind) + input_data.TRAIN_IMAGES in str(caught.value)
    assert list(tmp_path.iterdir()) == []

    monkeypatch.setenv("FLOWC_MNIST_URLS", f"{server.url(kind)} {server.url('good')}")
    assert read(tmp_path).test.num_examples == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SAMPLES)


def test_no_server_answers(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWC_MNIST_URLS", "http://127.0.0.1:9/")
    with pytest.raises(OSError, match=r"could not download train-images-idx3-ubyte\.gz"):
        read(tmp_path)
    assert list(tmp_path.iterdir()) == []
