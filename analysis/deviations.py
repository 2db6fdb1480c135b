"""Where this project deviates from the papers, or chooses what they leave open: the one list of it.

``python -m analysis report`` shows it, and so does a table in the README, which a test compares with this one.
Backticks mark code, as in Markdown.
"""

from __future__ import annotations

from typing import NamedTuple


class Deviation(NamedTuple):
    """A ``subject``, what the ``papers`` say of it, and what is done ``here``."""

    subject: str
    papers: str
    here: str


NOTE = (
    "The papers published neither code nor tables. A choice below that has a flag is a field of the trial's "
    "configuration, hence a parameter in MLflow and part of the trial's id; the others are fixed in code, and a change "
    "of one changes every id."
)
"""What holds of all of them."""
DEVIATIONS = (
    Deviation(
        "CNN padding and pooling",
        "unstated",
        "`cnn-keras`: valid padding, pool stride 3 (the footnote has Keras' syntax); `cnn-zhang`: same "
        "padding, stride 2",
    ),
    Deviation(
        "batch size",
        "unstated",
        "128 (50 on digits)",
    ),
    Deviation(
        "momentum",
        "CNN .9; MLP unstated",
        ".9 in `regularization`, none for the MLPs of `--scale paper`, .9 at `laptop`; classical (Keras), "
        "which differs from torch's after a learning rate change",
    ),
    Deviation(
        "noise levels",
        "unstated for some figures",
        "0, .2, .4, .6, .8, 1 of both kinds (0, .25, .5, .75, 1 in `capacity --scale laptop`)",
    ),
    Deviation(
        "widths and sizes of figure 6",
        "widths at 50,000 examples, sizes at width 4096",
        "the same at `paper`; at `laptop` 16 to 256 at 5,000, and 1,250 to 5,000 at width 128; "
        "`--full-grid` crosses them",
    ),
    Deviation(
        "convergence",
        "100 % training accuracy",
        "the same, by an eval-mode pass over the whole training set; passes that cannot succeed are left "
        "out (`memory_study/_measuring.py`)",
    ),
    Deviation(
        "best validation accuracy",
        "unstated",
        "over the about 32 log-spaced epochs of the curves in `capacity` and `noise` "
        "(`--validation-schedule`), over every epoch in `regularization`; at `laptop` over 2,000 of the "
        "10,000 held-out examples (`--validation-size`)",
    ),
    Deviation(
        "when the CSR is measured",
        "through training, unstated",
        "at 10 to 16 log-spaced epochs from the first to the last (`--csr-points`, `--csr-epochs`)",
    ),
    Deviation(
        "floating point",
        "unstated",
        "float32 (`--dtype`), on GPUs without TF32, whose errors are as large as what the CSR and the sharpness look for",
    ),
    Deviation(
        "initial weights",
        "unstated",
        "Glorot uniform, zero biases",
    ),
    Deviation(
        "batch normalization",
        "unstated",
        "momentum .1, epsilon 1e-5",
    ),
    Deviation(
        "input scaling",
        "unstated",
        "[0, 1] for the MLPs of `capacity` and `noise`, else standardized per channel; regularizers of "
        "the input act on the standardized input",
    ),
    Deviation(
        "where dropout and noise act",
        "unstated",
        "dropout after each dense ReLU, hidden noise after every ReLU, inverted scaling",
    ),
    Deviation(
        "weight decay",
        "unstated",
        "lambda times the sum of squared kernels, as Keras' l2; no biases, no normalization",
    ),
    Deviation(
        "strengths",
        "ranges only",
        "grids within the ranges, in each regularizer's file",
    ),
    Deviation(
        "epochs",
        "1000 for the MLPs; unstated for `regularization`",
        "the same at `paper`, 100 at `laptop`; `regularization` 100 at `paper`, 60 on digits",
    ),
    Deviation(
        "validation set",
        "the test set, it seems",
        "held-out training images (`--validation test` for the papers' way)",
    ),
    Deviation(
        "regularizers beyond the papers",
        "not compared",
        "label smoothing, mixup, early stopping and SAM, where `--kinds` names them; claim C12 is tested "
        "without them",
    ),
    Deviation(
        "mixup",
        "not compared",
        "one lambda a batch, partners within the batch, before noise, dropout and adversarial steps; "
        "false labels are mixed as they are",
    ),
    Deviation(
        "early stopping",
        "not compared",
        "by the accuracy on clean validation data, whose best is also what figure 10 shows; the last "
        "weights count, not the best",
    ),
    Deviation(
        "SAM",
        "not compared",
        "weight decay acts on the weights themselves and is not climbed; adversarial inputs are searched "
        "once a step; running statistics are those at the weights",
    ),
    Deviation(
        "CSR iterations and stopping",
        "until few are added",
        "10 iterations for all; no stopping rule, which at small samples misses critical ones",
    ),
    Deviation(
        "adversarial training",
        '"LASS samples"',
        "end points of the same search, 10 iterations, eval mode, same dropout masks on both losses",
    ),
    Deviation(
        "adversarial training of a CNN",
        "unstated",
        "the running statistics of batch normalization see the clean and the adversarial batch of every step",
    ),
    Deviation(
        "random inputs",
        "Gaussian",
        "with mean and standard deviation per channel, not clipped to [0, 1]",
    ),
    Deviation(
        "the nets of figures 3 and 4",
        "2 layers of 16 units, 1,000 digits of 14x14 pixels",
        "the same, with learning rate .1, batch 100, standardized inputs, in float64; 1,000 SGD steps at "
        "`laptop`, 10,000 at `paper`",
    ),
    Deviation(
        "loss sensitivity (figure 3)",
        "1-norms, mean over steps",
        "Gini coefficient of the 1-norms after each of some log-spaced steps from the end of epoch 1 on "
        "(`--sensitivity-points`); their mean over these steps, other norms, and what is direct "
        "and indirect are recorded beside",
    ),
    Deviation(
        "one class for each example (figure 3)",
        "real and random inputs",
        "the same, with empty validation and test sets (`labels` is `example`)",
    ),
    Deviation(
        "sensitivity between classes (figure 4)",
        "mean over steps",
        "over 3 log-spaced steps at `laptop`, 6 at `paper` (`--sensitivity-class-points`)",
    ),
    Deviation(
        "the 100 nets of figure 1",
        "MLP, one epoch",
        "learning rate .01, no momentum, 50,000 examples at `paper`; .05, .9, 20,000 at `laptop`; one "
        "noisy data set for all seeds (`--corruption-seed`)",
    ),
    Deviation(
        "structure of filters (figure 2)",
        "shown, not measured",
        "share of spectral energy at no more than one period per filter, mean over filters "
        "(`memory_study/measures/filters.py`)",
    ),
    Deviation(
        "the sharpness of minima (Krueger et al., figure 3)",
        "largest eigenvalue of the Hessian; of which loss, and when, unstated",
        "of the mean cross-entropy over the whole training set, in eval mode, without weight decay; at the end, "
        "and when the training loss is first at most .1 nats (`--sharpness-loss`); by Lanczos, to a relative "
        "residual of .001",
    ),
    Deviation(
        "data set and scale of the demo",
        "MNIST, CIFAR-10",
        "digits, 1,000 examples, MLP 64-128-128-10",
    ),
)
