"""What the report on neighborhoods says of its numbers."""

from __future__ import annotations

ABOUT = """\
The experiments of Wang et al., "Neighborhood-Aware Neural Architecture Search" (BMVC 2021), on
`{table}`: {space}, {size:,} architectures; built by {built_by}, from {source}.

- **Signal**, what a search sees: {signal} of {dataset}, at the epochs {read}.
- **Truth**, what its choice is worth: final test error in percent of {truths}, the mean over all seeds.
  For a signal of one seed that is judged by its own training, also the mean over the other seeds, since
  the noise of that training is in both.
- **Neighborhood**: all architectures within d = {d}, the reference included: {n_ball} of them.
- **Criteria**: base (the signal itself), mean, median, max; variance, which is the signal plus {lam:g}
  times the neighborhood's standard deviation; parameters (the more the better), a baseline without
  training.
- All criteria and signals are compared on common draws: {repeats} repeats, seed {seed}. Standard
  deviations have ddof 0. "one seed" takes the seeds' results together; each alone is in the Parquet
  files.

What to keep in mind:

{notes}"""

PAPER_BESIDE = (
    "The paper's own figures stand beside those of the same dataset, schedule and epoch; in figures they are "
    "hollow marks."
)
NO_PAPER = (
    "The paper's own figures are of NAS-Bench-201's validation error at the epochs 30 to 120 of 200; here "
    "are no such readings, or other options than the paper's, so none stand beside."
)

FLAT_VS_SHARP = """\
The {n_top} architectures of the least signal are split by the variance of the signal over their
neighborhoods: the {half} of the least variance are flat, the others sharp. Mean ± standard deviation
over the members of a group. Where equal readings lie across the end of the list, which of them are in it
is drawn again in every repeat and the mean is over these; `std_repeats` is the spread of a group's mean
over such draws."""

RANK_CORRELATION = """\
Kendall's tau-b between what a criterion ranks by and the final test error. Over samples of {n}
architectures: mean ± standard deviation over {repeats} samples, and in the last table over the first
{few} of these, which is the paper's number; 'all' is over the whole space at once. The criterion
'parameters' ranks by size alone, the greatest first: its tau is that of `parameters_m` with test
accuracy, the baseline that a signal has to beat."""

NEIGHBOR_VARIANCE = """\
The {n_top} best architectures of the whole space by each criterion: mean ± standard deviation over them
of the spread of the signal in their neighborhoods, and of their final test error. The paper calls its
spread the variance and in its appendix equates that with the standard deviation, so both readings are
here (the variance in the signal's unit squared), and the paper's one number stands beside both. Ties at
the end of a list are decided as for Tables 1a and 7."""

AGGREGATORS = """\
The final test error of the architecture that neighborhood-aware random search (NA-RS) returns with each
aggregator after T = {n_steps} references, {n_nbr} architectures evaluated around each. RS is random
search with as many evaluations."""

N_NBR = """\
As before, with {all_n_nbr} architectures evaluated in each neighborhood of {n_ball}. The number after a
name is n_nbr; RS has the nominal budget of the NA-RS of that n_nbr."""

AGAINST_RANDOM_SEARCH = """\
The row 'NA-RS' of the paper's Table 2 is numerically the row 'median' of its Table 10, while the text
names the mean as the aggregator: both are here. The nominal budget counts every evaluation, as the paper
does; the unique budget counts an architecture once, as a search that reuses results pays. The last table
says what the truths are over the whole space: no search does better than 'best', and 'any' is one
architecture drawn at random."""

SEARCHES = """\
Mean ± standard deviation over {repeats} searches, and in the table after these over the first {few},
since the paper does not say how many it made. 'nominal' and 'unique' are the architectures that one
search evaluates, with and without repeated ones (the mean over searches)."""

SEEDS = """\
Kendall's tau-b between the signals of two seeds over all architectures, the mean over pairs of seeds;
and the standard deviation between an architecture's seeds (ddof 1, root of the mean variance over
architectures), in the signal's unit."""
