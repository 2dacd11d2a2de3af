"""What the report on RANK-NOSH says of its numbers."""

from __future__ import annotations

ABOUT = """\
Searches of `{table}` ({space}, {size:,} architectures; built by {built_by}, from {source}), each on one
worker and with a budget of {budget:,} full trainings of {last} epochs: {epochs:,} epochs. RANK-NOSH {ends}.

- **Signal**, what a search sees: {metric} of {dataset} ({direction}), {reading}.
- **Value**, what its answer is worth: final test accuracy in percent of {truth}, the mean over all seeds.
  The best architecture there is has {optimum:.2f}.
- **Answer**, what a search would return at a moment: the best by its own signal among all that it has read
  at the highest epoch at which it has read anybody so far. For the predictor without pausing, evolution,
  TPE and random search that is the best of all full trainings, and there is none before the first. For
  RANK-NOSH and NOSH it is the best at the highest level that anybody has come to; for successive halving,
  Hyperband and ASHA at the highest rung, whatever the cohort or bracket. Readings of different epochs are
  never compared. Of equal readings the earlier proposal's counts.
- **Cost**: epochs trained; one that pauses goes on where it was, and an architecture that is proposed again
  takes the earlier result and costs nothing. Fitting predictors and scoring proxies are not counted.
  Architectures that compute the same but are written differently are different ones.
- **Repeats**: every method was run with the seeds {seed} to {last_seed}, variants of RANK-NOSH with the
  first {ablation_repeats} of them. What an architecture reports depends on the seed alone, so that all
  methods see the same noise, and RANK-NOSH and its predictor without pausing begin with the same batch.
  Methods are therefore compared seed by seed.

Methods:

{methods}"""

CURVES = """\
Mean test accuracy of the answer over {repeats} repeats, with bands of one standard error of the mean. A line
begins where every repeat has an answer; a search that has ended keeps the one that it had. The vertical line
is where RANK-NOSH ends.

The frame has a row each time that an answer changes: `epochs` were spent then, `{value}` is what the new
answer is worth, `reading` its own value of the signal at epoch `read_at`, and `index` names it. Variants of
RANK-NOSH are in it, too."""

COMPARISON = """\
Test accuracy of the answer after some epochs: mean ± standard deviation (ddof 0) over {repeats} repeats;
quantiles are in the frame. RANK-NOSH spends {cost:,} epochs, and the others go on. Regret is the best of the
table less the mean, at the whole budget.

p is that of a one-sided Wilcoxon signed-rank test, over repeats with the same seed, that RANK-NOSH's answer
is better than the method's after {cost:,} epochs. It is printed as measured, without a correction for the
number of methods; the frame has it for every number of epochs."""

CLAIM = """\
Epochs that a search needs for the quality that another ends with. The paper says that RANK-NOSH finds with 5
times less budget what a predictor finds without pausing: a ratio of 5 in the predictor's row of the first
table.

In each repeat the target is what the leader's final answer is worth, and the leader spent so many epochs on
it; the chaser needed the epochs after which its own answer is worth as much, and remains so to its end. The
ratio is the chaser's over the leader's: above 1, the chaser needs more. Quantiles are over {repeats} repeats;
one in which the chaser does not end there ('never' says how many) counts as infinitely much, so that a
quantile may only be known to lie above a bound, which is where the chaser stops. *First* is the median
ratio where it is enough that the chaser's answer was once as good: that may be luck, since answers are
chosen by validation, and one of an early epoch by little of it.

'Mean curves' is the same ratio of means: the epochs from which the chaser's mean over repeats is as good as
the leader's final mean, over the leader's. In brackets are its 5 % and 95 % quantiles over {resamples:,}
resamples of the repeats, the same for both. The figure shows in how many repeats each search had come to
RANK-NOSH's final quality of that repeat, to stay; the vertical lines are where RANK-NOSH ends, and {claim:g}
times as far."""

NEEDED = """\
What the claim was measured on: for every leader, chaser and repeat the target, in percent of test accuracy,
and the epochs that each needed. The table has RANK-NOSH and its predictor without pausing."""

PUBLISHED = """\
**Published** (Wang et al., arXiv 2108.08019), of other trainings than this table's; the ratio is of budgets,
not of epochs to equal quality."""

ABLATIONS = """\
RANK-NOSH with one thing changed: {repeats} repeats with the first seeds of the comparison, beside RANK-NOSH
itself with those seeds. Means ± standard deviations (ddof 0) of the answer's test accuracy, at the end of
each search and after as many epochs as RANK-NOSH spends ({cost:,}); quantiles are in the frame. p is that of
a one-sided Wilcoxon signed-rank test, seed by seed, that RANK-NOSH's final answer is better than the
variant's: near 1 speaks for the variant, near 0 against it. A variant that spends more epochs should be
better at its end; the column of equal epochs says whether they are worth it."""

OF_ABLATION = {
    "levels": """\
**Levels**: the epochs of the pyramid's levels, and their number. Those at {paper} are in proportion to 10,
50, 100 and 200 of 200, which cost what the paper spends on NAS-Bench-201.""",
    "ratio": """\
**Ratio**: the share r of a level that the next one has room for. Without pausing, r is 1. The paper finds 0.4
to 0.7 stable, and 0.3 worse.""",
    "loss": "**Loss** of a pair: RankNet's logistic loss, or a hinge.",
    "encoder": "**Encoder**: a graph network over the cell's graph, or an MLP on one-hot operations.",
    "level0": """\
**Level 0**: architectures that a zero-cost proxy has scored and nobody has trained, five for each one
proposed, rank below all trained ones; the first batch is the proxy's best. Proxies score networks of
{networks} at one draw of first weights, with one batch of {images}, the same for all searches.""",
}

SEARCHES = """\
What each search spent, mean over its repeats. *Nominal* proposals are all that it made; *unique* ones were
trained, the others took an earlier result. *To the end* counts full trainings. Epochs beyond the budget are
those of a trial under way when it was reached, and change no answer."""
