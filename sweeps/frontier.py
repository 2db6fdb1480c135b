"""How little noise can a net be made to fit at no cost on real data, by all regularizers together?

Run:    python -m sweeps.frontier --scale smoke | laptop | paper
Cost:   smoke 20 trials, laptop 816 trials in 7 minutes (2 shared CPU cores, measured 2026-11-21), paper about 8,280: at most
Expect: beyond the papers (Arpit et al. 2017 compare regularizers one by one, figure 10): combinations lie to the upper
        left of all single ones, and a search that learns (TPE) finds them in fewer trials than random search.

A suggestion is a setting: how strong each kind of regularizer is, several at once or none. It trains on real data and on
random labels; least final training accuracy on those and best validation accuracy on the former are the objectives. Each
sampler searches once for each of --seeds, which names its random numbers and is its trials' seed, so samplers can be
compared in pairs. In rounds, all these studies ask for a batch, and all their suggestions train together; what two studies
of a seed both ask for is one trial. In the end, settings on each sampler's front, all its studies together, are trained
with --judge-seeds that chose nothing: `python -m analysis frontier` judges them by the test set.

Optuna keeps the studies in the tracking store's database; in optuna.db of the folder that the command runs in, where that
store is a server. Stopped or killed at any moment, the same command goes on; more --suggestions go on, too. Should the
studies be lost, they follow again from the trials. A suggestion that failed stays failed. Adversarial training makes
a step nine times as expensive, so it is left out unless --kinds names it. Early stopping looks at clean validation examples
on random labels, too: it keeps noise out because it is shown the truth. Samplers are compared after equally many
suggestions, whatever these cost.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memory_study import regularizers
from memory_study.config import ConfigError, TrialConfig
from sweeps import _options, _space
from sweeps._cli import main
from sweeps._flags import known, one, option, positive_whole_number, words_of
from sweeps._results import Archive, Result
from sweeps._rounds import Round
from sweeps._studies import SAMPLERS, Studied, Suggestion, storage

NOISE, REAL, DIVERGED = "train_accuracy", "best_validation_accuracy", "diverged"
"""What is told of a suggestion: the last of the first on random labels, the second on real data; neither if it diverged."""
WORST = (1.0, 0.0)
"""Told of a suggestion that diverged: a net that fits all noise and knows nothing. Its own accuracies, chance on random
labels and the best before it broke, would make it look ideal."""

AFFORDABLE = 4.0
"""Kinds whose training step costs more than so many plain ones are searched only where ``--kinds`` names them."""

Setting = tuple[tuple[str, float], ...]
"""Strengths by kind."""


@dataclass(frozen=True, kw_only=True)
class Options(_options.Options):
    """Of ``seeds`` each is one repetition of the search by every sampler."""

    seeds: tuple[int, ...] = option(
        (0, 1, 2, 3, 4), "repeat every sampler's search with", words_of(_options.count), "N ..."
    )
    samplers: tuple[str, ...] = option(
        ("tpe", "random"),
        f"searches to compare: {', '.join(SAMPLERS)}",
        words_of(known(*SAMPLERS)),
        "NAME ...",
    )
    suggestions: int = option(40, "settings that each search tries", one(positive_whole_number), "N")
    batch: int = option(8, "settings that it tries at a time", one(positive_whole_number), "N")
    kinds: tuple[str, ...] = option(
        tuple(kind for kind in regularizers.kinds() if regularizers.find(kind).cost <= AFFORDABLE),
        "regularizers to combine",
        words_of(_space.known_kind),
        "KIND ...",
    )
    judge_seeds: tuple[int, ...] = option(
        (1000, 1001, 1002), "seeds to judge each sampler's front by", words_of(_options.count), "N ..."
    )
    judge_settings: int = option(
        8, "judge at most N settings of a front, spread over it", one(positive_whole_number), "N"
    )


SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        "seeds": (0,), "width": 32, "train_size": 200, "batch_size": 50, "momentum": 0.9, "epochs": 4,
        "corruption_level": 1.0, "csr_examples": 100, "kinds": ("dropout", "weight_decay"),
        "suggestions": 4, "batch": 2, "judge_settings": 2, "judge_seeds": (1000,),
    },
    "laptop": {
        "width": 128, "train_size": 1000, "batch_size": 50, "momentum": 0.9, "epochs": 60,
        "corruption_level": 1.0, "csr_examples": 0,
    },
    "paper": {
        "dataset": "cifar10", "crop": 28, "train_size": 45_000, "model": "cnn-keras", "width": 200,
        "batch_size": 128, "momentum": 0.9, "halving_epochs": 15, "epochs": 100, "corruption_level": 1.0,
        "csr_examples": 0, "suggestions": 400, "batch": 20, "judge_settings": 24,
        "judge_seeds": (1000, 1001, 1002, 1003, 1004),
    },
}  # fmt: skip


def plan(options: Options) -> Iterator[TrialConfig]:
    """As many trials as the search trains at most, of random settings: what it costs is known before what it tries.

    Raises ConfigError.
    """
    _check(options)
    for sampler in options.samplers:
        for seed in options.seeds:
            for number in range(options.suggestions):
                name = "" if number < options.batch else sampler  # the first batch serves all samplers
                yield from _trials(options, _stand_in(options, f"{name} {seed} {number}"), [seed])
        for place in range(min(options.judge_settings, options.suggestions * len(options.seeds))):
            yield from _trials(options, _stand_in(options, f"{sampler} front {place}"), options.judge_seeds)


def rounds(options: Options, archive: Archive) -> Iterator[Round]:
    """Batch after batch of all studies, then the fronts with fresh seeds. See :mod:`sweeps._rounds`."""
    name = _name(options)
    with storage(archive.uri) as kept:
        studies = [
            Studied(
                kept,
                f"{archive.experiment}/{name}/{sampler}/{seed}",
                sampler,
                seed,
                options.kinds,
                options.batch,
            )
            for sampler in options.samplers
            for seed in options.seeds
        ]
        for first in range(0, options.suggestions, options.batch):
            if not (yield from _round(first, studies, name, options, archive)):
                return
        yield from _judge(studies, name, options, archive)


def _round(
    first: int, studies: Sequence[Studied], name: str, options: Options, archive: Archive
) -> Generator[Round, None, bool]:
    """Ask every study, have the suggestions trained, and tell what came of them. False if a trial left nothing."""
    for study in studies:
        study.ask_until(first + options.batch)
    asked = [
        (study, each, _trials(options, _space.setting(each.positions), [study.seed]))
        for study in studies
        for each in study.suggestions(first, options.batch)
    ]  # those told are at hand, unless they failed, or somebody has deleted their runs
    title = f"round {first // options.batch + 1} of {options.suggestions // options.batch}"
    yield Round(title, [trial for _, _, pair in asked for trial in pair])
    found = archive.results((NOISE, REAL, DIVERGED))
    if not all(trial.id in found and found[trial.id].ended for _, _, pair in asked for trial in pair):
        return False
    words: dict[str, list[str]] = {}
    for study, each, pair in asked:
        for trial in pair:
            words.setdefault(trial.id, []).append(f"{name}/{study.sampler}/{study.seed}/{each.number}")
    archive.mark(words, found)  # before it is told: what is told is not looked at again unless the command is
    for study, each, pair in asked:
        if each.open:
            study.tell(each.number, _values(found, pair))
    return True


def _judge(studies: Sequence[Studied], name: str, options: Options, archive: Archive) -> Iterator[Round]:
    """Train the fronts with seeds that chose nothing."""
    words: dict[str, list[str]] = {}
    trials: list[TrialConfig] = []
    of = {sampler: f"{name}/{sampler}/front@{options.suggestions}/" for sampler in options.samplers}
    for sampler, front in of.items():
        suggested = _suggested(studies, sampler, options)
        for place, setting in enumerate(_front(suggested, options.judge_settings)):
            for trial in _trials(options, setting, options.judge_seeds):
                words.setdefault(trial.id, []).append(f"{front}{place}")
                trials.append(trial)
    yield Round("the fronts with fresh seeds", trials)
    # Other seeds may have made other fronts of as many suggestions before.
    archive.mark(words, archive.results(()), replacing=tuple(of.values()))


def _suggested(studies: Sequence[Studied], sampler: str, options: Options) -> list[Suggestion]:
    """What all studies of a sampler tried: not what longer searches of them tried after that."""
    return [
        each
        for study in studies
        if study.sampler == sampler
        for each in study.suggestions(0, options.suggestions)
    ]


def _front(suggestions: Sequence[Suggestion], most: int) -> list[Setting]:
    """Distinct settings that no other beats in both objectives, at most ``most``, from the least noise fitted on."""
    told = [(each.values, _space.setting(each.positions)) for each in suggestions if each.values]
    places = _space.front([(values[0], values[1]) for values, _ in told])
    return list(dict.fromkeys(told[place][1] for place in _space.spread(places, most)))


def _values(found: Mapping[str, Result], pair: Sequence[TrialConfig]) -> tuple[float, float] | None:
    """Both objectives of a suggestion that trained as ``pair``: real data, random labels. None where one failed."""
    real, noise = (found[trial.id] for trial in pair)
    if real.failed or noise.failed:
        return None
    if real.metrics[DIVERGED] or noise.metrics[DIVERGED]:
        return WORST
    return noise.metrics[NOISE], real.metrics[REAL]


def _trials(options: Options, setting: Setting, seeds: Sequence[int]) -> list[TrialConfig]:
    """A setting on real data and on random labels, with each seed."""
    level = options.shared.get("corruption_level", 1.0)
    return [
        options.trial(regularizers=setting, corruption=corruption, corruption_level=share, seed=seed)
        for seed in seeds
        for corruption, share in (("none", 0.0), ("randY", level))
    ]


def _stand_in(options: Options, purpose: str) -> Setting:
    """A random setting, of two kinds at least, so that hardly any two are equal."""
    draws = random.Random(purpose)
    kinds = sorted(options.kinds)
    positions = {kind: draws.uniform(_space.WITHOUT, 1.0) for kind in kinds}
    surely = draws.sample(kinds, min(2, len(kinds)))
    return _space.setting(positions | {kind: draws.random() for kind in surely})


def _name(options: Options) -> str:
    """Eight hexadecimal digits for all that a study must not go on without: net, data, kinds with their bounds, batch."""
    pair = [trial.id for trial in _trials(options, (), [0])]
    text = repr((pair, sorted(_space.bounds(options.kinds).items()), _space.WITHOUT, options.batch))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _check(options: Options) -> None:
    """Raises ConfigError for flags that contradict each other."""
    problems = []
    if options.shared.get("corruption_level", 1.0) == 0:
        problems.append("noise level 0 leaves nothing to compare; use --corruption-level 0.1 or more")
    if options.shared.get("labels", "data") != "data":
        problems.append(
            "--labels example leaves nothing to validate on, which is half of the search; use --labels data"
        )
    if options.suggestions % options.batch:
        problems.append(
            f"--suggestions {options.suggestions} is no multiple of --batch {options.batch}; use "
            f"{-(-options.suggestions // options.batch) * options.batch}"
        )
    if "nsga2" in options.samplers and options.batch < 2:
        problems.append("--batch 1 is no generation for nsga2; use 2 or more")
    if both := sorted(set(options.seeds) & set(options.judge_seeds)):
        problems.append(
            f"--judge-seeds {' '.join(map(str, both))} have searched: a front would be flattered; use others"
        )
    if problems:
        raise ConfigError(problems)


SWEEP = _options.Sweep(
    name="frontier",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=("corruption", "regularizers", "seed"),
    rounds=rounds,
)

if __name__ == "__main__":
    sys.exit(main(SWEEP))
