"""The guide's tutorials on images, each for a few steps: CIFAR-10, the demo of 1.2.6, Inception, Deep Dream, …"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.models import training
from flowc.models.image.cifar10 import (
    cifar10,
    cifar10_eval,
    cifar10_input,
    cifar10_multi_gpu_train,
    cifar10_train,
    make_data,
)
from flowc.models.image.mnist import convolutional

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAIN_EXAMPLES, TEST_EXAMPLES, BATCH = 200, 100, 8


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in CIFAR-10's format."""
    folder = tmp_path_factory.mktemp("cifar10")
    make_data.main([f"--data_dir={folder}", f"--train_examples={TRAIN_EXAMPLES}", f"--test_examples={TEST_EXAMPLES}"])
    return folder


# -- the data of chapter 2.5 -------------------------------------------------------------------------------------------


def records(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3073)


def test_made_files_have_the_format(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data_dir / "cifar-10-batches-bin"
    assert sorted(path.name for path in folder.iterdir()) == [
        "batches.meta.txt",
        *(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
    ]
    sizes = [len(records(path)) for path in sorted(folder.glob("*.bin"))]
    assert sizes == [40] * 5 + [100]
    assert set(records(folder / "test_batch.bin")[:, 0]) == set(range(10))
    assert len((folder / "batches.meta.txt").read_text().splitlines()) == 10
    with pytest.raises(SystemExit):
        make_data.main([f"--data_dir={data_dir}"])
    assert "--force replaces" in capsys.readouterr().err


def test_a_record_is_read(graph: tf.Graph, data_dir: Path) -> None:
    path = data_dir / "cifar-10-batches-bin" / "test_batch.bin"
    queue = tf.FIFOQueue(1, [tf.string], shapes=())
    record = cifar10_input.read_cifar10(queue)
    assert (record.height, record.width, record.depth) == (32, 32, 3)
    with tf.Session() as session:
        session.run([queue.enqueue([str(path)]), queue.close()])
        for i, expected in enumerate(records(path)[:3]):
            key, label, image = session.run([record.key, record.label, record.uint8image])
            assert key.decode() == f"{path}:{i}"
            assert label.tolist() == [expected[0]]
            np.testing.assert_array_equal(image, expected[1:].reshape(3, 32, 32).transpose(1, 2, 0))


def test_batches_are_distorted_and_shuffled(graph: tf.Graph, data_dir: Path) -> None:
    images, labels = cifar10.distorted_inputs(data_dir, BATCH, min_queue_examples=50)
    assert images.get_shape().as_list() == [BATCH, 24, 24, 3]
    assert (labels.get_shape().as_list(), labels.dtype) == ([BATCH], tf.int32)
    with tf.Session() as session, training.input_threads(session):
        first, second = (session.run([images, labels]) for _ in range(2))
    assert not np.array_equal(first[0], second[0])
    np.testing.assert_allclose(first[0].mean((1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(first[0].std((1, 2, 3)), 1, atol=1e-4)


def test_evaluation_goes_in_order(graph: tf.Graph, data_dir: Path) -> None:
    images, labels = cifar10.inputs(True, data_dir, BATCH)
    with tf.Session() as session, training.input_threads(session):
        pixels, found = session.run([images, labels])
    expected = records(data_dir / "cifar-10-batches-bin" / "test_batch.bin")[:BATCH]
    np.testing.assert_array_equal(found, expected[:, 0])
    crop = expected[0, 1:].reshape(3, 32, 32).transpose(1, 2, 0)[4:28, 4:28].astype(np.float64)
    np.testing.assert_allclose(pixels[0], (crop - crop.mean()) / crop.std(), atol=1e-4)


def test_files_that_are_missing_or_damaged(graph: tf.Graph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Failed to find file: .*data_batch_1\.bin"):
        cifar10_input.distorted_inputs(tmp_path, BATCH)
    path = tmp_path / "test_batch.bin"
    path.write_bytes(bytes(3073 * 2 + 5))
    images, _ = cifar10_input.inputs(True, tmp_path, BATCH)
    with tf.Session() as session, pytest.raises(tf.errors.DataLossError), training.input_threads(session):
        session.run(images)


def test_the_data_set_is_downloaded(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, target = tmp_path / "server", tmp_path / "target"
    server.mkdir()
    archive = server / cifar10.ARCHIVE
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(data_dir / cifar10.BATCHES, cifar10.BATCHES)
    monkeypatch.setenv("FLOWC_CIFAR10_URLS", server.as_uri())
    with pytest.raises(OSError, match=r"is damaged(.|\n)*make_data --data_dir"):
        cifar10.maybe_download_and_extract(target)
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    cifar10.maybe_download_and_extract(target)
    for path in (data_dir / cifar10.BATCHES).iterdir():
        assert (target / cifar10.BATCHES / path.name).read_bytes() == path.read_bytes()
    archive.unlink()
    cifar10.maybe_download_and_extract(target)  # what is there is not fetched again


# -- the network of chapter 2.5 ----------------------------------------------------------------------------------------


def arguments(data_dir: Path, folder: Path, steps: int) -> list[str]:
    settings = {"data_dir": data_dir, "train_dir": folder, "max_steps": steps, "batch_size": BATCH}
    return [*(f"--{key}={value}" for key, value in settings.items()), "--min_queue_examples=50", "--every=2"]


def test_it_has_as_many_parameters_as_the_guide_says(graph: tf.Graph) -> None:
    logits = cifar10.inference(tf.placeholder(tf.float32, [None, 24, 24, 3]))
    assert logits.get_shape().as_list() == [None, 10]
    shapes = {variable.op.name: variable.get_shape().as_list() for variable in tf.trainable_variables()}
    assert sum(np.prod(shape) for shape in shapes.values()) == 1_068_298
    assert shapes["conv2/weights"] == [5, 5, 64, 64]
    assert shapes["local3/weights"] == [2304, 384]
    cifar10.check_parameters()


def test_training_goes_on_and_is_evaluated(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "train"
    cifar10_train.main(arguments(data_dir, folder, 4))
    assert "step 4: loss 4." in capsys.readouterr().out  # the guide: 4.68 at first
    cifar10_train.main(arguments(data_dir, folder, 6))
    assert f"goes on from {folder}/model.ckpt-4" in capsys.readouterr().out
    assert [line.split(",")[0] for line in (folder / "losses.csv").read_text().split()] == ["2", "4", "6"]
    check_averages(tf.train.NewCheckpointReader(str(folder / "model.ckpt-6")))
    check_events(folder)

    places = [f"--checkpoint_dir={folder}", f"--eval_dir={tmp_path / 'eval'}", f"--data_dir={data_dir}"]
    cifar10_eval.main([*places, "--run_once", "--batch_size=50"])
    assert "model.ckpt-6: precision @ 1 = 0." in capsys.readouterr().out


def check_averages(checkpoint: Any) -> None:
    """The evaluation restores these in place of the variables."""
    value, average = (checkpoint.get_tensor(f"local3/biases{end}") for end in ("", "/ExponentialMovingAverage"))
    assert value.shape == average.shape == (384,)
    assert not np.array_equal(value, average)
    assert checkpoint.get_tensor("global_step") == 6


def check_events(folder: Path) -> None:
    pytest.importorskip("tensorboard")
    (first, _) = sorted(folder.glob("events.out.tfevents.*"))
    tags = {value.tag for event in tf.train.summary_iterator(str(first)) for value in event.summary.value}
    wanted = ("conv1/activations", "conv1/activations/sparsity", "conv2/weights", "local3/biases/gradients")
    assert {*wanted, "learning_rate", "total_loss", "images/image/0"} <= tags


def test_towers_train_as_one_device(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cifar10_multi_gpu_train.main([*arguments(data_dir, tmp_path, 2), "--num_gpus=2"])
    assert "step 2: loss 4." in capsys.readouterr().out
    checkpoint = tf.train.NewCheckpointReader(str(tmp_path / "model.ckpt-2"))
    assert not [name for name in checkpoint.get_variable_to_shape_map() if "tower" in name]


def test_the_mean_of_the_towers_gradients_is_that_of_all(graph: tf.Graph) -> None:
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(4, 24, 24, 3)).astype(np.float32))
    labels = tf.constant(random.integers(0, 10, 4).astype(np.int32))
    optimizer = tf.train.GradientDescentOptimizer(0.1)

    def gradients(name: str, part: slice) -> cifar10_multi_gpu_train.Gradients:
        with tf.name_scope(name) as scope:
            loss = cifar10_multi_gpu_train.tower_loss(scope, images[part], labels[part])
            tf.get_variable_scope().reuse_variables()
            return optimizer.compute_gradients(loss)

    halves = [gradients("tower_0", slice(0, 2)), gradients("tower_1", slice(2, 4))]
    average = cifar10_multi_gpu_train.average_gradients(halves)
    whole = gradients("tower_2", slice(0, 4))
    assert [variable for _, variable in average] == [variable for _, variable in whole]
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        found, expected = session.run([[g for g, _ in average], [g for g, _ in whole]])
    for mine, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-3, atol=1e-5)


def test_ctrl_c_leaves_a_checkpoint(data_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", cifar10_train.__name__, *arguments(data_dir, tmp_path, 10**6)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        while "step 4:" not in run.stdout.readline():
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        output = run.stdout.read()
    assert run.returncode == 0
    assert f"stopped: the next run goes on from {tmp_path}/model.ckpt-" in output
    path = tf.train.latest_checkpoint(str(tmp_path))
    assert path is not None
    assert tf.train.NewCheckpointReader(path).get_tensor("global_step") >= 4


def test_a_loss_that_is_no_number_ends_the_training(graph: tf.Graph, tmp_path: Path) -> None:
    options = training.parser("", str(tmp_path), steps=3).parse_args([])
    step = tf.Variable(0, trainable=False)
    with (
        tf.Session() as session,
        pytest.raises(FloatingPointError, match="the loss is nan in step 0"),
        training.Training(session, step, options, examples=1) as loop,
    ):
        loop.note(float("nan"))
    assert tf.train.latest_checkpoint(str(tmp_path)) is None


# -- the demo of chapter 1.2.6 -----------------------------------------------------------------------------------------


def test_the_demo_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convolutional.main([f"--train_dir={tmp_path}", "--steps=60", "--every=60"])
    output = capsys.readouterr().out
    for line in ("Initialized!", "Epoch 0.00", "Minibatch loss: ", "learning rate: 0.010000", "Validation error: "):
        assert line in output
    error = float(output.split("Test error: ")[1].split("%")[0])
    assert error < 20  # of all 8,593 steps: 0.8


def test_the_demo_tests_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convolutional.main([f"--train_dir={tmp_path}", "--self_test"])
    assert "Test error: 0.0%" in capsys.readouterr().out


# -- Inception and Deep Dream ------------------------------------------------------------------------------------------


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> ModuleType:
    """The example module of the test's parameter."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return importlib.import_module(request.param)


def use(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True, ids=[name])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a network that was trained for some steps, by the program."""
    folder = tmp_path_factory.mktemp("inception")
    command = [sys.executable, str(EXAMPLES / "inception.py"), f"--folder={folder}", "--steps=30", "--every=15"]
    answer = subprocess.run([*command, "--seed=1"], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    first, last = (float(line.split()[3].rstrip(",")) for line in answer.stdout.splitlines()[:2])
    assert last < first
    return folder


@use("classify_image")
def test_a_network_is_loaded_and_recognises(example: ModuleType, network: Path, graph: tf.Graph) -> None:
    picture = example.drawn(seed=3)
    found = example.scores(network, picture.read_bytes())
    # The same by the Python that made the graph.
    image = tf.image.decode_png(picture.read_bytes(), channels=3)
    images = tf.image.resize_bilinear(tf.expand_dims(image, 0), [32, 32])
    softmax = tf.nn.softmax(example.inception.network(images))
    with tf.Session() as session:
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(str(network)))
        np.testing.assert_allclose(found, session.run(softmax)[0], rtol=1e-4, atol=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-5)


@use("classify_image")
def test_the_classes_are_printed(
    example: ModuleType, network: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["classify_image.py", f"--folder={network}", "--top=2", "--seed=1"])
    example.main()
    written, *lines = capsys.readouterr().out.splitlines()
    assert written == "wrote classify_image.png"
    assert len(lines) == 2
    assert all(line.split(" (score = ")[0] in make_data.SHAPES for line in lines)


@use("deep_dream")
def test_a_dream_excites_the_network(example: ModuleType, network: Path, graph: tf.Graph) -> None:
    options = argparse.Namespace(octaves=2, steps=4, rate=2.0, seed=1)
    dreamer = example.Dreamer(network, "mixed1", None)
    start = example.noise(48, seed=1)
    with tf.Session() as session:
        example.inception.restore(network, session)
        images, activations = zip(*dreamer.steps(session, start, options), strict=True)
    assert len(images) == 8
    assert {image.shape for image in images} == {(48, 48, 3)}
    assert activations[3] > activations[0]
    assert activations[7] > activations[4]
    assert images[-1].min() >= 0
    assert images[-1].max() <= 255


# -- the others --------------------------------------------------------------------------------------------------------


@use("example_trainer")
def test_power_iteration_in_many_sessions(example: ModuleType) -> None:
    found = example.iterate(sessions=5, threads=3, steps=60, device="/gpu:0", seed=1)
    assert len(found) == 15
    for each in found.values():
        assert each.eigenvalue == pytest.approx(2, abs=1e-5)
        np.testing.assert_allclose(abs(each.x[:, 0]), np.sqrt([0.8, 0.2]), rtol=1e-5)
        np.testing.assert_allclose(each.y, 2 * each.x, rtol=1e-4)
    assert str(found[4, 2]).startswith("lambda = 2.000000 x = [")


@pytest.mark.parametrize(("name", "frames"), [("pond.py", 3), ("mandelbrot.py", 21)])
def test_an_animation_is_written(tmp_path: Path, name: str, frames: int) -> None:
    image = pytest.importorskip("PIL.Image")
    command = [sys.executable, str(EXAMPLES / name), "last.png", "--steps=40", "--animation=all.gif"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300, capture_output=True)
    assert image.open(tmp_path / "all.gif").n_frames == frames
