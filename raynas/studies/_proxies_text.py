"""What the report on proxies says of its numbers."""

from __future__ import annotations

ABOUT = """\
How well zero-cost proxies, which score a network at its first weights, rank the architectures of
`{table}`: {space}, {n_there:,} of {size:,} architectures; built by {built_by}, from {source}.

- **Architectures**: {n:,} drawn at random from those in the table, seed {seed}. Where a table holds a
  training once for all architectures that compute the same, these share their accuracy: there are
  {n_different:,} different ones among the {n:,}.
- **Truth**: final {truths} in percent on {dataset}, the mean over the table's seeds.{ceiling}
- **Networks**: NAS-Bench-201's of {skeleton}, each architecture as it is written, parts that nothing
  hangs on included.
- **Scores**: of one training batch of {batch_size} images of {images}; {repeats} repeats, each with another
  batch and other first weights, the same for all architectures. A network that a proxy cannot score (the
  logits do not hang on the image, say) gets -1e8 and ranks last.
- **Baselines**: the numbers of parameters (params) and of multiply-adds (flops) come first. A proxy that
  does not beat them says nothing that they do not.

{paper}"""

CEILING = """
  For comparison: test accuracies of two trainings of a network, with two seeds, have a Kendall's tau of
  {tau:.2f} over these architectures."""

BESIDE = """\
The published figures beside are of 724 random cells, NAS-Bench-201's own networks and validation accuracy
after 200 epochs (from the scores of NAS-Bench-Suite-Zero; Krishnakumar et al., 2022)."""

NO_PAPER = """\
Published figures are of NAS-Bench-201's own networks and its validation accuracy after 200 epochs; here are
no such trainings, or networks of another size, so none stand beside."""

CORRELATIONS = """\
Kendall's tau-b and Spearman's rho of the score with the final accuracy, and the share of the best tenth by
score that is of the best tenth by accuracy ({by_chance:.0f} % by chance). Mean over {repeats} repeats ±
standard deviation over {resamples} resamples of the architectures with replacement, which take the repeats
in turn; `std_repeats` is that over the repeats alone. 'above params and flops' is the share of resamples in
which a proxy's tau with {truth} is above that of both. Milliseconds are the median a network, of the
processor on a CPU, without the building of the network."""

SCORES = """\
The accuracy of every architecture against the rank of its score in the first repeat, from the least to the
greatest; equal scores share their mean rank. In the Parquet file are the scores of all repeats."""
