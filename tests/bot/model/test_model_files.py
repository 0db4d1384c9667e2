"""Models on disk: refused in one sentence where anything does not fit, written whole or not at all, never unpickled."""

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from bot.errors import ModelError
from bot.market import Candle
from bot.model import (
    ARTICLE,
    SHIPPED_POINTER,
    Model,
    NetworkSpec,
    Observation,
    attach_evaluation,
    build_model,
    load_model,
    parse_model,
    resolve_model,
    save_model,
)
from bot.model.features import RETURNS
from bot.model.manifest import MANIFEST, WEIGHTS
from bot.trading import Rules
from tests.harness import model_of

MODEL = model_of(1)
OTHER = model_of(2, RETURNS, "heads")
Manifest = dict[str, Any]
Tensors = dict[str, np.ndarray]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(MODEL, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("model", [MODEL, OTHER], ids=["article", "returns"])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, model: Model) -> None:
    save_model(model, tmp_path / "deep" / "model")
    again = load_model(tmp_path / "deep" / "model")
    assert (again.model_id, again.weights, again.manifest) == (model.model_id, model.weights, model.manifest)
    seen = Observation(Candle(3600, 2.0, 4.0, 1.0, 3.0, 5.0), Candle(0, 2.0, 2.0, 2.0, 2.0, 1.0), 10.0, 2.0, Rules())
    one, other = (m.policy.step(seen, m.policy.start()) for m in (model, again))
    assert one.probabilities.tolist() == other.probabilities.tolist()
    assert sorted(path.name for path in (tmp_path / "deep" / "model").iterdir()) == [MANIFEST, WEIGHTS]


def tensors_and_network(model: Model) -> tuple[Tensors, NetworkSpec]:
    return load_tensors(model.weights), NetworkSpec(8, 6)


def test_the_id_is_of_what_the_model_does_and_of_nothing_else() -> None:
    tensors, network = tensors_and_network(MODEL)
    told = build_model(tensors, network, ARTICLE, training={"seed": 9})
    assert attach_evaluation(told, {"x": 1}).model_id == told.model_id == MODEL.model_id
    assert build_model(dict(reversed(tensors.items())), network, ARTICLE).model_id == MODEL.model_id
    changed = tensors | {"fc_v.bias": tensors["fc_v.bias"] + 1}
    assert build_model(changed, network, ARTICLE).model_id != MODEL.model_id
    double = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    assert build_model(double, network, ARTICLE).model_id != MODEL.model_id
    assert len(MODEL.model_id) == 16
    int(MODEL.model_id, 16)


def on_manifest(change: Callable[[Manifest], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return spoil


def on_weights(change: Callable[[Tensors], Tensors | bytes]) -> Callable[[Path], None]:
    """Other weights, with their right SHA-256 in the manifest, as somebody would who made such a model."""

    def spoil(folder: Path) -> None:
        changed = change(dict(load_tensors((folder / WEIGHTS).read_bytes())))
        content = changed if isinstance(changed, bytes) else save_tensors(changed)
        (folder / WEIGHTS).write_bytes(content)
        on_manifest(lambda m: m.update(weights_sha256=hashlib.sha256(content).hexdigest()))(folder)

    return spoil


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def with_value(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        tensors["lstm.bias_hh_l0"][3] = value
        return tensors

    return change


def header(size: int, text: bytes) -> bytes:
    return struct.pack("<Q", size) + text


BF16 = b'{"fc1.weight":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: without(folder, WEIGHTS), "no readable model"),
    "no manifest": (lambda folder: without(folder, MANIFEST), "no readable model"),
    "altered weights": (lambda f: (f / WEIGHTS).write_bytes(MODEL.weights[:-1] + b"\1"), "SHA-256 differs"),
    "truncated weights": (lambda f: os.truncate(f / WEIGHTS, 900), "SHA-256 differs"),
    "empty weights": (on_weights(lambda _: b""), "not a safetensors file"),
    "a pickle": (on_weights(lambda _: pickle.dumps({"fc1": 1})), "not a safetensors file"),
    "a header too long": (on_weights(lambda _: header(2**63, b"{}")), "not a safetensors file"),
    "no json": (on_weights(lambda _: header(2, b"{]")), "not a safetensors file"),
    "bfloat16": (on_weights(lambda _: header(len(BF16), BF16 + b"\0\0")), ""),
    "no tensors": (on_weights(lambda _: {}), "does not hold the weights"),
    "a tensor more": (on_weights(lambda t: t | {"fc9.bias": np.zeros(3, np.float32)}), "fc9.bias does not fit"),
    "a tensor less": (on_weights(lambda t: {n: x for n, x in t.items() if n != "fc_v.bias"}), "fc_v.bias does not fit"),
    "a wrong shape": (on_weights(lambda t: t | {"fc_v.bias": np.zeros(2, np.float32)}), "fc_v.bias does not fit"),
    "integers": (on_weights(lambda t: t | {"fc_v.bias": np.zeros(1, np.int64)}), "fc_v.bias as int64"),
    "half precision": (on_weights(lambda t: t | {"fc_v.bias": np.zeros(1, np.float16)}), "fc_v.bias as float16"),
    "nan": (on_weights(with_value(float("nan"))), "lstm.bias_hh_l0 that is not finite"),
    "infinity": (on_weights(with_value(float("-inf"))), "lstm.bias_hh_l0 that is not finite"),
    "other weights": (on_weights(with_value(0.5)), "says model_id"),
    "another id": (on_manifest(lambda m: m.update(model_id="0" * 16)), "says model_id 0000"),
    "another format": (on_manifest(lambda m: m.update(format=2)), "has format 2"),
    "an unknown key": (on_manifest(lambda m: m.update(pickle="yes")), "pickle"),
    "a missing key": (on_manifest(lambda m: m.pop("network")), "network"),
    "another network": (on_manifest(lambda m: m["network"].update(kind="transformer")), "not a model's manifest"),
    "a huge network": (on_manifest(lambda m: m["network"].update(fc1=10**9)), "layers of 1000000000"),
    "no network": (on_manifest(lambda m: m["network"].update(lstm=0)), "layers of 8 and 0"),
    "another size": (on_manifest(lambda m: m["network"].update(fc1=9)), "does not fit"),
    "the account elsewhere": (on_manifest(lambda m: m["network"].update(account_at="heads")), "does not fit"),
    "unknown features": (on_manifest(lambda m: m["features"].update(name="astrology")), "'astrology' are not known"),
    "other features": (on_manifest(lambda m: m["features"].update(sha256="0" * 64)), "compute different values"),
    "another order": (on_manifest(lambda m: m.update(actions=["buy", "hold", "sell"])), "has the actions"),
    "another scaling": (on_manifest(lambda m: m.update(account_scaling="none")), "not a model's manifest"),
    "no manifest at all": (lambda f: (f / MANIFEST).write_text("[]"), "not a model's manifest"),
    "broken manifest": (lambda f: (f / MANIFEST).write_text('{"format": 1'), "not a model's manifest"),
    "deep manifest": (lambda f: (f / MANIFEST).write_text('{"training": ' + '{"x":' * 5000), "not a model's manifest"),
    "binary manifest": (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe"), "no readable model"),
    "a folder for weights": (lambda f: (without(f, WEIGHTS), (f / WEIGHTS).mkdir()), "no readable model"),
    "huge weights": (lambda f: os.truncate(f / WEIGHTS, 65 * 2**20), "is larger than 67,108,864 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(folder: Path, what: str) -> None:
    spoil, words = REFUSED[what]
    spoil(folder)
    with pytest.raises(ModelError) as failure:
        load_model(folder)
    assert words in str(failure.value)
    assert str(folder) in str(failure.value)
    assert "\n" not in str(failure.value)


class Burglar:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_nothing_is_ever_unpickled(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    evil = pickle.dumps(Burglar(trace))
    on_weights(lambda _: evil)(folder)
    with pytest.raises(ModelError):
        load_model(folder)
    for name in ("model.pt", "weights.pkl", "weights.npy"):
        (folder / name).write_bytes(evil)
    with pytest.raises(ModelError):
        parse_model(evil, (folder / MANIFEST).read_text())
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists()


def test_a_model_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up, at each file that is written."""
    for fails_at in (1, 2):
        written: list[int] = []

        def fsync(number: int, written: list[int] = written, fails_at: int = fails_at) -> None:
            written.append(number)
            if len(written) == fails_at:
                raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises((ModelError, OSError), match="No space"):
                save_model(MODEL, tmp_path / "model")
        assert list(tmp_path.iterdir()) == []
    save_model(MODEL, tmp_path / "model")
    assert load_model(tmp_path / "model").model_id == MODEL.model_id
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_holds_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    save_model(MODEL, folder)  # the very same
    with pytest.raises(ModelError, match="holds another model already"):
        save_model(OTHER, folder)
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "monday.txt").write_text("rain")
    with pytest.raises(ModelError):
        save_model(MODEL, tmp_path / "diary")
    assert [path.name for path in (tmp_path / "diary").iterdir()] == ["monday.txt"]
    (tmp_path / "empty").mkdir()
    save_model(MODEL, tmp_path / "empty")
    assert load_model(tmp_path / "empty").model_id == MODEL.model_id


def test_weights_that_do_not_fit_make_no_model() -> None:
    tensors, network = tensors_and_network(MODEL)
    with pytest.raises(ModelError, match="does not fit"):
        build_model(tensors, network, RETURNS)
    with pytest.raises(ModelError, match="not finite"):
        build_model(
            with_value(float("nan"))({name: tensor.copy() for name, tensor in tensors.items()}), network, ARTICLE
        )


def test_the_shipped_model_can_be_used() -> None:
    model = load_model(resolve_model(SHIPPED_POINTER))
    seen = Observation(Candle(0, 9_000.0, 9_000.0, 9_000.0, 9_000.0, 1.0), None, 10_000.0, 1.0, Rules())
    output = model.policy.step(seen, model.policy.start())
    assert output.probabilities.sum() == pytest.approx(1.0)
