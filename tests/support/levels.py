"""Drives a run of trials that report at the epochs of some levels."""

from __future__ import annotations

import random

from raynas.search.asktell import Failure, Objective, Report

OBJECTIVE = Objective("valid_accuracy_pct", "max")


def drive(run, accuracy, levels, *, slots=1, order=None, stop_after=None, failing=()):
    """Trains to the next level at a time, ``slots`` trials at once; gives epochs trained, in order."""
    live, trained = [], []
    order = order or random.Random(0)
    while True:
        while len(live) < slots:
            due = run.next_to_resume()
            taken = [run.resume(due)] if due is not None else run.take(1)
            if not taken and run.next_to_resume() is not None:
                continue
            if not taken:
                break
            live.append(taken[0].proposal.id)
        if not live or (stop_after is not None and len(trained) >= stop_after):
            return trained
        key = live.pop(order.randrange(len(live)))
        before = run.standing(key).epoch
        epoch = next(level for level in levels if level > before)
        trained.append((key, epoch, epoch - before))
        if key in failing and epoch > levels[0]:
            run.fail(key, Failure("diverged", "nan", epoch))
        else:
            value = accuracy(key, run.standing(key).proposal.architecture, epoch)
            report = Report({OBJECTIVE.metric: value}, epoch)
            if run.report(key, report, done=epoch == levels[-1]) == "continue":
                live.append(key)
