"""Readers: records of files, one a run; and ops that find and read files."""

from __future__ import annotations

from pathlib import Path

import pytest

import flowc as tf


class Work:
    """A queue of file names, and what a reader makes of them."""

    def __init__(self, session: tf.Session, reader: tf.ReaderBase, *paths: Path | str) -> None:
        self.session, self.reader = session, reader
        self.queue = tf.FIFOQueue(99, tf.string, [()])
        self.key, self.value = reader.read(self.queue)
        self.counts = [reader.num_records_produced(), reader.num_work_units_completed()]
        self.add(*paths)

    def add(self, *paths: Path | str) -> None:
        """Adds units of work."""
        if paths:
            self.session.run(self.queue.enqueue_many([[str(path) for path in paths]]))

    def read(self, count: int) -> list[tuple[bytes, bytes]]:
        """The next records."""
        return [tuple(self.session.run([self.key, self.value])) for _ in range(count)]

    def count(self) -> list[int]:
        """Records and finished units of work."""
        return [int(n) for n in self.session.run(self.counts)]

    def ends(self) -> None:
        """Asserts that nothing is left once the queue is closed."""
        self.session.run(self.queue.close())
        words = r"is closed and has insufficient elements \(requested 1, current size 0\)"
        with pytest.raises(tf.errors.OutOfRangeError, match=words):
            self.session.run(self.key)


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    paths[0].write_bytes(b"one\ntwo\r\n\nfour")
    paths[1].write_bytes(b"five\n")
    return paths


def test_lines(session: tf.Session, texts: list[Path]) -> None:
    work = Work(session, tf.TextLineReader(), *texts)
    assert work.count() == [0, 0]
    a, b = (bytes(path) for path in texts)
    assert work.read(2) == [(a + b":1", b"one"), (a + b":2", b"two")]
    assert work.count() == [2, 0]
    assert work.read(3) == [(a + b":3", b""), (a + b":4", b"four"), (b + b":1", b"five")]
    assert work.count() == [5, 1]
    work.ends()
    assert work.count() == [5, 2]
    assert (work.key.get_shape(), work.value.dtype) == (tf.TensorShape([]), tf.string)


def test_header_lines_are_left_out_of_each_file(session: tf.Session, texts: list[Path]) -> None:
    work = Work(session, tf.TextLineReader(skip_header_lines=1), *texts)
    assert [value for _, value in work.read(3)] == [b"two", b"", b"four"]
    work.ends()


def test_whole_files(session: tf.Session, texts: list[Path]) -> None:
    work = Work(session, tf.WholeFileReader(), *texts)
    assert work.read(1) == [(bytes(texts[0]), b"one\ntwo\r\n\nfour")]
    assert work.count() == [1, 1]
    assert work.read(1) == [(bytes(texts[1]), b"five\n")]
    work.ends()


def test_identity(session: tf.Session) -> None:
    work = Work(session, tf.IdentityReader(), "A", "B")
    assert work.read(2) == [(b"A", b"A"), (b"B", b"B")]
    assert work.count() == [2, 2]
    work.ends()


def test_records_of_one_length(session: tf.Session, tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"HEADaabbccF")
    (tmp_path / "empty").touch()
    work = Work(session, tf.FixedLengthRecordReader(2, header_bytes=4, footer_bytes=1), path, tmp_path / "empty")
    name = bytes(path)
    assert work.read(3) == [(name + b":0", b"aa"), (name + b":1", b"bb"), (name + b":2", b"cc")]
    work.ends()
    assert work.count() == [3, 2]


def test_half_a_record(session: tf.Session, tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"aabbc")
    work = Work(session, tf.FixedLengthRecordReader(2), path)
    with pytest.raises(tf.errors.DataLossError, match="5 bytes of records: no whole number of 2 bytes each"):
        session.run(work.value)


def test_tf_records(session: tf.Session, tmp_path: Path) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        with tf.python_io.TFRecordWriter(path) as writer:
            writer.write(b"first")
            writer.write(path.name.encode())
    work = Work(session, tf.TFRecordReader(), *paths)
    records = work.read(4)
    assert [value for _, value in records] == [b"first", b"1", b"first", b"2"]
    assert [key for key, _ in records] == [bytes(path) + b":%d" % at for path in paths for at in (0, 21)]
    work.ends()
    paths[0].write_bytes(paths[0].read_bytes()[:-3])
    work = Work(session, tf.TFRecordReader(), *paths)
    assert work.read(1)[0][1] == b"first"
    with pytest.raises(tf.errors.DataLossError, match="truncated record at 21"):
        session.run(work.value)
    assert work.read(1)[0][1] == b"first"  # of the next file


def test_a_missing_file_does_not_stop_the_reader(session: tf.Session, texts: list[Path]) -> None:
    work = Work(session, tf.TextLineReader(), "/no/such/file", texts[1])
    with pytest.raises(tf.errors.NotFoundError, match="/no/such/file") as caught:
        session.run(work.key)
    assert caught.value.op.type == "ReaderRead"
    assert work.read(1)[0][1] == b"five"


def test_wrong_arguments(session: tf.Session) -> None:
    with pytest.raises(ValueError, match="record_bytes must be positive"):
        tf.FixedLengthRecordReader(0)
    with pytest.raises(ValueError, match="header_bytes must be >= 0"):
        tf.FixedLengthRecordReader(1, header_bytes=-1)
    numbers = tf.FIFOQueue(9, tf.int32, [()])
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes strings"):
        session.run(tf.IdentityReader().read(numbers))


@pytest.mark.parametrize("kind", [tf.IdentityReader, tf.WholeFileReader])
def test_saving_the_state(kind: type, session: tf.Session, texts: list[Path]) -> None:
    reader = kind(name="test_reader")
    assert reader.supports_serialize
    work = Work(session, reader, *texts)
    work.read(2)
    state = session.run(reader.serialize_state())
    session.run(reader.reset())
    assert work.count() == [0, 0]
    saved = tf.placeholder(tf.string, [])
    restore = reader.restore_state(saved)
    session.run(restore, {saved: state})
    assert work.count() == [2, 2]
    for bad in (b"BOGUS", b"", state[1:], state[:-1], state + b"x", b"x" + state):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"parse state for {kind.__name__} 'test_reader'"):
            session.run(restore, {saved: bad})
    assert work.count() == [2, 2]


def test_readers_of_files_have_no_state_to_save(session: tf.Session, texts: list[Path]) -> None:
    reader = tf.TextLineReader()
    assert not reader.supports_serialize
    with pytest.raises(tf.errors.UnimplementedError, match="SerializeState"):
        session.run(reader.serialize_state())
    with pytest.raises(tf.errors.UnimplementedError, match="RestoreState"):
        session.run(reader.restore_state(b""))
    work = Work(session, reader, texts[0])
    work.read(2)
    session.run(reader.reset())
    work.add(texts[1])
    assert [value for _, value in work.read(1)] == [b"five"]


def test_finding_and_reading_files(session: tf.Session, texts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "c.dat").touch()
    names = tf.matching_files(f"{tmp_path}/*.txt")
    assert session.run(names).tolist() == [bytes(path) for path in texts]
    assert names.get_shape().as_list() == [None]
    assert session.run(tf.matching_files(f"{tmp_path}/[bc].*")).size == 2
    assert session.run(tf.matching_files(f"{tmp_path}/none/*")).shape == (0,)
    assert session.run(tf.read_file(str(texts[0]))) == b"one\ntwo\r\n\nfour"
    with pytest.raises(tf.errors.NotFoundError, match=r"none: No such file"):
        session.run(tf.read_file(f"{tmp_path}/none"))
    with pytest.raises(ValueError, match="rank 0"):
        tf.read_file(["a", "b"])
