"""What the report on GeNAS says of its numbers."""

from __future__ import annotations

ABOUT = """\
How well flatness (Jeong et al., "GeNAS", IJCAI 2023) and what it is compared with rank the architectures of
`{table}` ({space}; built by {built_by}, from {source}), all measured by weights inherited from supernets.

- **Supernets**: {n_supernets}, trained a random path at a time for {epochs} epochs on {dataset}{labels};
  {skeleton}; {paths}; seeds {seeds}. Numbers are means over the supernets ± standard deviation (ddof 0).
- **Architectures**: {n:,} of {n_there:,}, drawn at random, seed {seed}; no path leads through {n_dead:,} of
  them, which count like the others.
- **Truth**: final test accuracy in percent on {part}, schedule of {schedule} epochs, the mean over the
  table's seeds.{ceiling}
- **Sub-networks** inherit their weights, take the statistics of their batch norms anew from {n_images}
  training images (mean of the batches', unless a table says otherwise), and are measured on
  {n_valid} validation images of {images}.
- **Flatness**: with noise of sigma {sigma}, alpha {alpha:g}, the same draw at all levels (*shared*) and for
  all architectures, unless a table says otherwise. The paper draws for each level anew (*direct*), its
  code adds steps up (*cumulative*).
- **Baselines**: the number of parameters that an architecture's output hangs on, and the loss without
  noise, the lower the better. Flatness at alpha 1 is about the inverse of loss plus slopes, so that where
  the slopes are small it ranks as the loss does.
- Scores that are no number are dropped and counted: {n_dropped:,} in all.

Beside stand the paper's own numbers. They are of CIFAR-10, CIFAR-100 or ImageNet16-120, of supernets of
NAS-Bench-201's whole network and of all its architectures: orders may be compared, numbers may not."""

CEILING = """
  For comparison: test accuracies of two trainings of an architecture have a Kendall's tau of {tau:.2f} over
  these architectures."""

SCORES = """\
Kendall's tau-b of every score with the test accuracy, and the mean test accuracy of the {n_top}
architectures with the highest score (over all {n:,} it is {mean:.2f} %, of the {n_top} best {best:.2f} %).
*Minus the loss's* is how much more tau a score has than the loss without noise, supernet by supernet. Sums
weigh what they add by the paper's best gamma. In the second table, tau of two scores with each other; the
paper prints that of angle and flatness (its Table 1)."""

SETTINGS = """\
Kendall's tau-b of flatness with the test accuracy by how flatness is measured. *n* is the number of
architectures, always the first that were drawn. Rows of one n may be compared; which architectures were
drawn moves the tau of scores that know nothing of each other by {errors} (standard deviation)."""
SIGMA = """\
**Levels of noise** (the paper's Table 5), by how the levels' draws hang together, and along the Hessian."""
ALPHA = "**Weight of the first level's loss** (the paper's Table 6; 0 leaves the slopes alone, Eq. 3)."
NOISE = """\
**Position and direction** (the paper's Table 7), draws, statistics of batch norms. The running mean is that
of the paper's code; after n batches of 64 images 0.9 ** n of it is still the mean 0 and the variance 1 that
it begins with.{hessian}"""
ALONG_HESSIAN = """ The Hessian's direction is its first eigenvector on one batch of validation images; a step
along it is sigma long in all, where noise is sigma long in every weight (the paper does not say how long its
own steps are). It takes the processor {hessian:.2f} seconds an architecture, noise at all its levels
{levels:.2f}, so it is of fewer architectures, with the random direction on the same ones before it."""

COMBINATIONS = """\
Two scores as a sum: the share of the first plus gamma times that of the second. *Share* is how much of the
sum the second makes up, the mean over architectures. The paper gives the ImageNet accuracy of what evolution
by that sum found in DARTS's space on CIFAR-100, trained anew (its Tables 8 to 10); here it is how the sum
ranks, and the mean test accuracy of the {n_top} architectures with the highest sum."""

LANDSCAPE = """\
Validation loss under noise that all levels share, over its standard deviation (the paper's Figure 2), of the
{n} best architectures by test accuracy, the {n} in the middle and the {n} worst, those without any path left
out. Thick: mean over architectures and supernets, with a band from the 10 % to the 90 % quantile; thin: each
architecture, the mean over supernets. Right: the same above each one's loss without noise."""

SUBNETS = """\
The test accuracy of every architecture against the rank of its score in the first supernet, from the lowest
to the highest. In the Parquet file are all scores in all supernets."""

LOSSES = """\
Validation loss of every sub-network at every level of noise, in nats, from which all flatness here is
computed. `probe` says how it was measured; at sigma 0 there is no noise."""
