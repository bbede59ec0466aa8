"""The tutorials on words and sentences: short trainings, interrupted and resumed, and whether they learn."""

from __future__ import annotations

import importlib
import itertools
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flowc as tf

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("word2vec", "ptb_word_lm", "translate")
Run = Callable[..., str]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports an example, or a helper of theirs. The text they read is a few documents, which are soon read."""
    monkeypatch.syspath_prepend(EXAMPLES)
    texts = importlib.import_module("texts")
    documents = list(itertools.islice(texts.documents(), 100))
    monkeypatch.setattr(texts, "documents", lambda: documents)
    return importlib.import_module


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example with arguments, in a graph of its own; returns what it prints."""

    def call(example: ModuleType, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [example.__name__, "--folder", str(tmp_path), *map(str, arguments)])
        with tf.Graph().as_default():
            example.main()
        return capsys.readouterr().out

    return call


def check_resumed(run: Run, example: ModuleType, folder: Path, *arguments: object) -> str:
    """Runs 4 steps, then 2 more, and looks at what is left in the folder. Returns what the second run printed."""
    first = run(example, "--steps", 4, "--every", 2, *arguments)
    assert re.findall(r"^step (\d+): loss \d+\.\d+, [\d,]+ \w+ a second$", first, re.MULTILINE) == ["2", "4"]
    second = run(example, "--steps", 6, "--every", 2, *arguments)
    assert f"goes on from {folder / 'model.ckpt-4'}" in second
    assert re.findall(r"^step (\d+): loss", second, re.MULTILINE) == ["6"]
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "model.ckpt-6")
    steps = [line.split(",")[0] for line in (folder / "losses.csv").read_text().split()]
    assert steps == ["2", "4", "6"]
    return second


def check_pictures(folder: Path, *names: str) -> None:
    pytest.importorskip("matplotlib")
    for name in names:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_help(module: Callable[[str], ModuleType], run: Run, name: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(module(name), "--help")


def test_ctrl_c_leaves_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-u", str(EXAMPLES / "word2vec.py"), "--steps=10000000", "--folder=here"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("step "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    path = tf.train.latest_checkpoint(str(tmp_path / "here"))
    assert path is not None
    assert f"stopped: the next run goes on from {Path(path).relative_to(tmp_path)}" in output
    assert tf.train.NewCheckpointReader(path).get_tensor("global_step") >= 5000


# -- words as vectors --------------------------------------------------------------------------------------------------


def test_sentences_become_words(module: Callable[[str], ModuleType]) -> None:
    texts = module("texts")
    document = "Return 12 items: the first.\n\n>>> code(1)\n... more\nIt doesn't\nend"
    expected = ["return", "N", "items", "<eos>", "the", "first", "<eos>", "it", "doesn't", "end", "<eos>"]
    assert list(texts.words_of(document)) == expected
    corpus = texts.read(50)
    assert len(corpus.names) == 50
    assert corpus.names[0] == texts.UNKNOWN
    for part in (corpus.training, corpus.validation, corpus.test):
        assert part.dtype == np.int32
        assert 0 <= part.min() <= part.max() < 50


def test_word2vec_resumes_and_draws(module: Callable[[str], ModuleType], run: Run, tmp_path: Path) -> None:
    small = "--vocabulary=100", "--size=8", "--negatives=16", "--mapped=25"
    output = check_resumed(run, module("word2vec"), tmp_path, *small)
    neighbours = re.search(r"^ +\w+: (.*)$", output, re.MULTILINE)
    assert neighbours is not None
    assert len(set(neighbours[1].split(", "))) == 8
    check_pictures(tmp_path, "loss.png", "words.png")


def test_word2vec_touches_only_its_rows(module: Callable[[str], ModuleType], graph: tf.Graph) -> None:
    model = module("word2vec").Model(50_000, 8, negatives=16, steps=10)
    words, contexts = np.array([3, 5, 3], np.int32), np.array([[7], [7], [900]])
    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        before = sess.run(model.vectors)
        sess.run(model.train, {model.words: words, model.contexts: contexts})
        changed = np.flatnonzero((sess.run(model.vectors) != before).any(1))
        explained = sess.plan([model.loss, model.train], {model.words: words, model.contexts: contexts}).explain()
    assert set(changed) <= {3, 5}
    moved = re.search(r"([\d.]+) KB read and written", explained)  # one matrix has 1.6 MB
    assert moved is not None
    assert float(moved[1]) < 50


def test_word2vec_finds_words_of_like_use(
    module: Callable[[str], ModuleType], graph: tf.Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text in which word 20 + i comes before either 2i or 2i + 1."""
    word2vec = module("word2vec")
    monkeypatch.setattr(word2vec, "MOST_FREQUENT", 1.0)
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 10, 4000)
    text = np.stack([20 + kinds, 2 * kinds + rng.integers(0, 2, len(kinds))], 1).reshape(-1)
    tf.set_random_seed(1)
    model = word2vec.Model(30, 16, negatives=10, steps=6000)
    batches = word2vec.pairs(text.astype(np.int32), 1, 64, seed=0)
    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        for _ in range(3000):
            words, contexts = next(batches)
            sess.run(model.train, {model.words: words, model.contexts: contexts})
        similarity = sess.run(model.similarity, {model.asked: np.arange(20)})[:, :20]
    np.fill_diagonal(similarity, -1)
    assert np.mean(similarity.argmax(1) == np.arange(20) ^ 1) > 0.8  # four seeds gave 0.9 to 1.0


def test_tsne_keeps_neighbours(module: Callable[[str], ModuleType]) -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(3), 15)
    points = (4 * rng.normal(size=(3, 10))[kinds] + rng.normal(size=(45, 10))).astype(np.float32)
    places = module("tsne").embed(points, perplexity=8, steps=250)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (kinds[distances.argmin(1)] == kinds).all()


# -- sentences ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def language(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The language model, with a configuration that is soon compiled and trained."""
    example = module("ptb_word_lm")
    tiny = example.Config(units=16, unrolled=4, batch=8, vocabulary=60, keep=0.9)
    monkeypatch.setitem(example.CONFIGS, "small", tiny)
    return example


def test_language_model_resumes_and_writes(language: ModuleType, run: Run, tmp_path: Path) -> None:
    output = check_resumed(run, language, tmp_path, "--written=12", "--seed=1")
    assert re.search(r"^test perplexity \d+\.\d\d$", output, re.MULTILINE)
    check_pictures(tmp_path, "perplexity.png")


def test_language_model_learns(language: ModuleType, run: Run) -> None:
    """The words of a text that repeats itself can all be known but the first."""
    texts = importlib.import_module("texts")
    text = np.tile(np.arange(1, 11, dtype=np.int32), 200)
    corpus = texts.Corpus([str(i) for i in range(60)], text, text[:200], text[:200])
    config = language.CONFIGS["small"]
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.set_random_seed(0)
        model = language.Model(config)
        sess.run(tf.initialize_all_variables())
        network, state = model.training, model.training.zeros
        before = model.valid.perplexity(sess, corpus.validation)
        for words, targets in itertools.islice(itertools.cycle(network.parts(text)), 600):
            feeds = {network.words: words, network.targets: targets, network.initial_state: state, model.rate: 1.0}
            state, _ = sess.run([network.final_state, model.train], feeds)
        after = model.valid.perplexity(sess, corpus.validation)
    assert before == pytest.approx(60, rel=0.1)
    assert after < 2


@pytest.fixture
def translation(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The translator, for short dates only, which are soon compiled and trained."""
    example = module("translate")
    monkeypatch.setattr(example, "BUCKETS", ((9, example.WRITTEN), (10, example.WRITTEN)))
    monkeypatch.setattr(module("dates"), "FORMS", ("{day}.{month}.{year}", "{day:02}/{month:02}/{year}"))
    return example


def test_translation_resumes_and_answers(translation: ModuleType, run: Run, tmp_path: Path) -> None:
    ask = "--units=24", "--batch=16", "--validate-every=3", "--ask=1.2.2003"
    output = check_resumed(run, translation, tmp_path, *ask)
    assert re.search(r"^step 6: \d+\.\d% exact$", output, re.MULTILINE)
    assert re.search(r"^1\.2\.2003 → .{0,11}$", output, re.MULTILINE)
    check_pictures(tmp_path, "loss.png")


def test_translation_learns(translation: ModuleType, graph: tf.Graph) -> None:
    """Without having seen them, it translates dates without a wrong letter."""
    tf.set_random_seed(0)
    model = translation.Model(units=48, rate=0.004)
    batches, others = translation.Pairs(64, seed=0), translation.Pairs(300, seed=1)
    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        for _ in range(300):
            bucket, pairs = batches.next_batch()
            sess.run(model.train[bucket], model.feeds(pairs, bucket))
        assert translation.exact(model, sess, others.next_batch()[1]) >= 0.95  # 1.0 from step 200 on


def test_symbols_and_back(translation: ModuleType) -> None:
    sentence = "the 3rd of june, 1998-12/1"
    assert translation.decoded([*translation.encoded(sentence), translation.END, 5]) == sentence
    assert translation.decoded([translation.GO, *translation.encoded("a")]) == "?a"
    with pytest.raises(ValueError, match="longer than 10 letters"):
        translation.bucket_of("x" * 11)


def test_dates_are_what_they_say(module: Callable[[str], ModuleType]) -> None:
    dates: Any = module("dates")
    day = dates.datetime.date(1998, 3, 3)
    assert dates.written(day, "{weekday}, {name} the {day}{th}, {year}") == "tuesday, march the 3rd, 1998"
    endings = " ".join(dates._ending(i) for i in (1, 2, 3, 4, 11, 12, 13, 21, 31))
    assert endings == "st nd rd th th th th st st"
