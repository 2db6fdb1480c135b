from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from memory_study.cohort import Cohort
from memory_study.config import MODELS, TrialConfig
from memory_study.export import build, serialize
from memory_study.train import train

SIDES = {"mlp": 6, "cnn-keras": 25, "cnn-zhang": 7}

# What somebody without this project writes, after the docstring of memory_study.export.
PLAIN_TORCH = """
import sys, torch
saved = torch.load("model.pt", weights_only=True)
net = torch.nn.Sequential(*[getattr(torch.nn, kind)(**arguments) for kind, arguments in saved["layers"]])
net.load_state_dict(saved["state_dict"])
net.eval()
torch.save(net(torch.load("pixels.pt", weights_only=True)).detach(), "logits.pt")
assert not [name for name in sys.modules if name.startswith("memory_study")]
"""


def exported(config, data):
    """The last replica of a trained stack as a file, and its logits on the test pixels."""
    found = []

    def leave(training, rows):
        scaled = training.scaling(data.test_inputs).expand(len(rows), -1, -1, -1, -1)
        logits = training.network.logits(training.parameters, training.buffers, scaled)
        row = next(row for row in rows if training.configs[row] == config)
        found.append((serialize(training, row, data), logits[row]))

    other = TrialConfig(**{name: getattr(config, name) for name in ("model", "width", "train_size", "epochs",
                           "csr_examples", "momentum", "input_scaling")}, seed=7)  # fmt: skip
    with torch.no_grad():
        train(Cohort((other, config)), data, torch.device("cpu"), leave, lambda epoch: None)
    return found[0]


@pytest.fixture(params=MODELS)
def trained(request, splits):
    model = request.param
    config = TrialConfig(model=model, width=4, train_size=24, epochs=3, csr_examples=0, momentum=0.5,
                         regularizers={"dropout": 0.2}, input_scaling="unit" if model == "cnn-zhang" else "standardized",
                         corruption="randX", corruption_level=0.2, seed=8)  # fmt: skip
    data = splits(train=24, side=SIDES[model], channels=3)
    return config, data, *exported(config, data)


def test_plain_torch_gets_the_same_logits_from_raw_pixels_in_a_process_without_this_project(
    trained, tmp_path
):
    _, data, file, logits = trained
    (tmp_path / "model.pt").write_bytes(file)
    torch.save(data.test_inputs, tmp_path / "pixels.pt")
    subprocess.run([sys.executable, "-c", PLAIN_TORCH], cwd=tmp_path, check=True)
    plain = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert logits.abs().max() > 0.01
    torch.testing.assert_close(plain, logits, rtol=1e-5, atol=1e-5)


def test_the_file_says_what_it_is(trained, tmp_path):
    config, data, file, logits = trained
    (tmp_path / "model.pt").write_bytes(file)
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert saved["classes"] == list(data.classes)
    assert saved["input_size"] == list(data.test_inputs.shape[1:])
    assert saved["trial"] == config.id
    assert saved["config"] == config.params()
    standardized = config.input_scaling == "standardized"
    assert saved["mean"] == pytest.approx(list(data.mean) if standardized else [0, 0, 0])
    assert saved["std"] == pytest.approx(list(data.std) if standardized else [1, 1, 1])
    torch.testing.assert_close(build(saved)(data.test_inputs), logits, rtol=1e-5, atol=1e-5)


def test_a_file_that_lacks_a_tensor_is_refused(trained, tmp_path):
    (tmp_path / "model.pt").write_bytes(trained[2])
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    saved["state_dict"].popitem()
    with pytest.raises(RuntimeError, match="Missing key"):
        build(saved)


def test_models_are_kept_only_where_asked_for(splits, train):
    configs = [TrialConfig(width=4, train_size=40, epochs=1, csr_examples=0, seed=seed) for seed in (0, 1)]
    kept = train(configs, splits(), keep_models=True)
    assert [record.model is not None for record in kept] == [True, True]
    assert kept[0].model != kept[1].model
    assert not [record for record in train(configs, splits()) if record.model]
