"""Several rounds: a model that was trained on labels makes the labels of the next one (ours).

Round 1 is that of :mod:`.plan`. In each further one the model of the round before labels the training images anew, held
to their boxes (label sources ``segmentor`` and ``detector``), and the same config is trained on these labels from its
own first weights. Round r has its labels in ``LABELS_roundR``, its model in ``WORK_DIR_roundR``; nothing is replaced.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bana_mm.utils.config import find_pseudo_labels, parse_options, read_config
from bana_mm.utils.label_origin import final_checkpoint

from .plan import Plan, plan_stages
from .stages import Teacher
from .work_dirs import read_scores


@dataclass
class Rounds:
    """The plans of several rounds.

    Args:
        plans (list[Plan]): One a round.
    """

    plans: list[Plan]
    _run: list[Plan] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Run what is not done yet, up to the first round whose model is no better than the best one so far.

        That is measured by the tests, see :func:`held_out`. Where nothing is tested all rounds run.
        """
        best = None
        for number, plan in enumerate(self.plans, start=1):
            print(f'round {number} of {len(self.plans)}: {plan.work_dir}', flush=True)
            plan.run()
            self._run.append(plan)
            score = held_out(plan.work_dir)
            if score is None:
                print('no test says whether this round is better than others')
            elif best is not None and score[1] <= best[1]:
                print(f'{score[0]} does not rise any more: {score[1]:g} after {best[1]:g} in {best[2]}', flush=True)
                return
            else:
                best = (*score, plan.work_dir)

    def show(self) -> None:
        """Print the commands of all rounds, and which of them need not run."""
        for number, plan in enumerate(self.plans, start=1):
            print(f'round {number} of {len(self.plans)}')
            plan.show()

    def summary(self) -> str:
        """A table of all figures for each round that was run."""
        return '\n\n'.join(f'{plan.work_dir}\n{plan.summary()}' for plan in self._run)


def held_out(work_dir: str | os.PathLike) -> tuple[str, float] | None:
    """Name and value of the figure that a model is judged by: the latest test's mIoU, or AP of masks.

    Args:
        work_dir (str | os.PathLike): Of the model.

    Returns:
        tuple[str, float] | None: None where nothing was tested.
    """
    scores = read_scores(work_dir)
    return next(((name, scores[name]) for name in scores if name == 'mIoU' or name.endswith('segm_mAP')), None)


def plan_rounds(
    rounds: int,
    config: str | os.PathLike,
    overrides: Sequence[str] = (),
    data: str | os.PathLike | None = None,
    preset: str | None = None,
    **settings: Any,
) -> Rounds:
    """The stages of a config, and of the rounds that follow.

    Args:
        rounds (int): How many rounds, at least 1.
        config, overrides, data, preset: See :func:`bana_mm.pipeline.plan.plan_stages`.
        **settings: Its other arguments.

    Raises:
        ValueError: If there is no round, or the config trains on no labels that are stored; for more see
            :func:`bana_mm.pipeline.plan.plan_stages`.
    """
    if rounds < 1:
        raise ValueError(f'rounds must be at least 1, got {rounds}')
    plans = [plan_stages(config, overrides, data=data, preset=preset, **settings)]
    cfg = read_config(config, parse_options(overrides), data=data, preset=preset)
    labels = find_pseudo_labels(cfg) or {}
    place = next((name for name in ('dir', 'json') if labels.get(name)), None)
    if rounds > 1 and place is None:
        raise ValueError(f'{config}: trains on no stored labels, so that there is no second round of them')
    settings.pop('work_dir', None)
    for number in range(2, rounds + 1):
        before = Path(plans[-1].work_dir)
        teacher = Teacher(before / Path(cfg.filename).name, final_checkpoint(cfg, before))
        stored = Path(labels[place])
        changes = [f'pseudo_labels.{place}={stored.with_name(f"{stored.stem}_round{number}{stored.suffix}")}']
        changes += ['pseudo_labels.maps=None'] if labels.get('maps') else []  # those of a classifier
        plans.append(
            plan_stages(
                config,
                [*overrides, *changes],
                work_dir=f'{plans[0].work_dir}_round{number}',
                data=data,
                preset=preset,
                teacher=teacher,
                **settings,
            )
        )
    return Rounds(plans)
