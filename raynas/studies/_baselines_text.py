"""What the report on searches at equal cost says of its numbers."""

from __future__ import annotations

ABOUT = """\
Searches of `{table}` ({space}, {size:,} architectures; built by {built_by}, from {source}), played
on a simulated cluster of {workers}, each with a budget of {budget:,} full trainings of {last} epochs:
{epochs:,} epochs.

- **Signal**, what a search sees: {metric} of {dataset} ({direction}), {reading}.
- **Value**, what its choice is worth: final test accuracy in percent of {truth}, the mean over all seeds.
  The best architecture there is has {optimum:.2f}.
- **Incumbent**, what a search would return at a moment: the best by its own signal. For NA-RS, that is the
  reference of the best neighborhood, once all of it is trained. For ASHA, it is the best reading on the
  highest rung that any trial has come to; readings of different epochs are never compared.
- **Cost**: epochs trained, and simulated seconds (with one worker, those of the trainings). A search that
  proposes an architecture again pays nothing and takes the earlier result. Architectures that compute the
  same but are written differently are different ones.
- Every method was run {repeats} times, with the seeds {seed} to {last_seed}. What an architecture reports
  depends on the seed alone, so that all methods see the same noise; random search, the references of NA-RS
  and the proposals of ASHA are the same draws, too. Methods are therefore compared seed by seed.

Methods:

{methods}"""

READINGS = {
    "draw": "one of the table's trainings of it, drawn by the run's seed",
    "mean": "the mean over the table's trainings of it",
}

CURVES = """\
Mean test accuracy of the incumbent over {repeats} repeats, with bands of one standard error of the mean. A
line begins where every repeat has an incumbent. Against epochs, it runs to the budget; a search that had
nothing new to propose before keeps what it found. Against seconds, it ends where the first of its repeats
does: equal epochs are not equal seconds, since methods differ in what they train. Both axes leave out what
came before the cost of one full training, and the lowest means of the first tenth.

In the frame, `reading` is the incumbent's own value of the signal and `read_at` the epoch of that reading;
`index` names the incumbent, and `{value}` says what it is worth."""

COMPARISON = """\
Test accuracy of the incumbent at parts of the budget, in epochs: mean ± standard deviation (ddof 0) over
{repeats} repeats. Regret is the best of the table less the mean, at the whole budget.

p is that of a one-sided Wilcoxon signed-rank test, over repeats with the same seed, that the method returns
better architectures than random search at the whole budget. It is printed as measured, without a correction
for the number of methods; the frame has it for every part of the budget."""

SEARCHES = """\
What each search spent, mean over {repeats} repeats. *Nominal* proposals are all that it made, as papers count
budgets; *unique* ones were trained, the others took an earlier result. ASHA trains most of its proposals
for an epoch or a few only; *to the end* counts full trainings. Epochs beyond the budget are those of trials
under way when it was reached, and change no curve; fewer than the budget mean that the last {patience:,}
proposals, or all of the space, were known already."""
