"""Moments for decisions, made by hand, with a supernet whose quality is a plain function."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.slots import Evaluation, Moment


class Judge:
    """A made-up supernet, in which every operation that is alive adds its worth to the accuracy.

    Attributes:
        worth: For each kind of cell ``(edges, columns)``.
        calls: The mixing weights and what was alive of every evaluation.
    """

    def __init__(self, layout, *, seed=0, worth=None):
        rng = np.random.default_rng(seed)
        self.layout = layout
        self.worth = worth or {
            kind: rng.uniform(0.1, 0.4, (len(edges), layout.n_columns))
            for kind, edges in layout.edges.items()
        }
        self.calls = []

    def __call__(self, theta, alive):
        self.calls.append(
            ({kind: t.clone() for kind, t in theta.items()}, {kind: a.copy() for kind, a in alive.items()})
        )
        accuracy = sum(float((self.worth[kind] * alive[kind]).sum()) for kind in alive)
        return Evaluation(loss=math.exp(-accuracy / 10), accuracy_pct=accuracy)


def logits_of(layout, *, seed=0, dtype=torch.float32):
    """Logits of every kind of cell, normal around 0."""
    generator = torch.Generator().manual_seed(seed)
    return {
        kind: torch.randn((len(edges), layout.n_columns), generator=generator, dtype=torch.float64).to(dtype)
        for kind, edges in layout.edges.items()
    }


def moment_of(layout, *, alpha=None, alive=None, evaluate=None, **options):
    """A moment of a search of 50 epochs, at its beginning if nothing else is said."""
    alpha = alpha or logits_of(layout)
    alive = alive or layout.all_alive()
    theta = {kind: masked_softmax(rows, alive[kind]) for kind, rows in alpha.items()}
    given = {"epoch": 0, "epochs": 50, "tuning": None, "memory": {}, "seed": 0} | options
    return Moment(
        layout=layout, alpha=alpha, theta=theta, alive=alive, evaluate=evaluate or Judge(layout), **given
    )


def narrowings(decision, layout, *, epochs=50, alpha_at=None, **options):
    """What a decision makes of a whole search: ``[(moment, narrowing)]`` and what is left alive.

    Args:
        decision: The decision.
        layout: Of the search space.
        epochs: Of the search.
        alpha_at: Epoch to logits; the same ones all the time if not given.
        options: Of ``moment_of``.
    """
    alpha = logits_of(layout)
    found, alive, memory = [], layout.all_alive(), {}
    moments = [(epoch, None) for epoch in range(1, epochs + 1)]
    moments += [(epochs, tuning) for tuning in range(decision.tuning_epochs(layout))]
    for number, (epoch, tuning) in enumerate(moments):
        moment = moment_of(
            layout,
            alpha=alpha_at(epoch) if alpha_at else alpha,
            alive=alive,
            epoch=epoch,
            epochs=epochs,
            tuning=tuning,
            memory=memory,
            **{"seed": number} | options,
        )
        narrowing = decision.narrowed(moment)
        if narrowing is not None:
            assert all((narrowing.alive[kind] <= alive[kind]).all() for kind in alive), "only ever fewer"
            alive, memory = narrowing.alive, narrowing.memory
            found.append((moment, narrowing))
    return found, alive


def unchanged(moment, before):
    """Whether a moment's values are what a deep copy of it had."""
    return all(
        torch.equal(moment.alpha[kind], before.alpha[kind])
        and torch.equal(moment.theta[kind], before.theta[kind])
        and np.array_equal(moment.alive[kind], before.alive[kind])
        for kind in before.alpha
    )


def deep_copy(moment):
    """A moment with tensors of its own."""
    return replace(
        moment,
        alpha={kind: t.clone() for kind, t in moment.alpha.items()},
        theta={kind: t.clone() for kind, t in moment.theta.items()},
        alive={kind: a.copy() for kind, a in moment.alive.items()},
    )
