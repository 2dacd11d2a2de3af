"""What the report on differentiable searches says of its numbers."""

from __future__ import annotations

ABOUT = """\
Differentiable searches trained on {images}, each derived cell looked up in `{table}` ({space}, {size:,}
architectures; built by {built_by}, from {source}), against random cells and against plain DARTS, {plain}.

- **Truth**: final test accuracy in percent on {dataset}, schedule of {schedule} epochs, the mean over the
  table's seeds. No search sees it.
- **Searches**: every preset with {n_seeds} (seeds {seed} to {last_seed}); searches of one seed share
  their first weights, their data order and whatever else is drawn under the same name, so that methods
  are compared seed by seed.
- **Size**: the supernet has {channels} channels and {cells} a stage; {epochs} epochs with batches of
  {batch_size} images{cut}. What a preset counts in epochs (warm-up, stages, tuning, patience) is scaled
  from its own number of epochs, and the architecture parameters' learning rate is {alpha_lr:g} where the
  preset has the default of {default_lr:g}, the others in proportion: few short epochs instead of many
  long ones. `settings` lists what was used instead of what.
- **Answer**: the cell that a search ends with by its own rule. A preset that takes the cell from before
  the epoch of lowest validation loss would have ended when that loss no longer fell; here it goes on,
  which changes nothing in the answer, so that the trajectories are whole. *Last cell* is what it would
  have answered with without that rule: the greatest weights after the last epoch.
- **Random cells**: {n_random:,} of the table's, drawn with replacement.

Searches that broke off: {failed}."""

NOT_CUT = ""
CUT = " and no more than {max_batches} of them an epoch"

ACCURACIES = """\
Mean over seeds ± standard deviation (ddof 0; n searches that came to their end). *Minus DARTS* and *minus
partner* are differences between searches of the same seed; a partner is the preset without A2M. *Beats*
is the share of the random cells that have a lower test accuracy; random cells beat one another in
somewhat less than half of all cases, as some are equal. Skips are edges of the cell that are skip
connections. CPU seconds are of all epochs, those after the preset's own end included.

*Paper* is the test accuracy on CIFAR-10 that the A2M paper reports of cells searched there (Gambella et
al. 2025, Table 2; its optimum is NAS-Bench-201's). It is of another dataset and another scale: supernets
of 16 channels and 5 cells a stage, 50 epochs of 25,000 images. Orders may be compared, numbers may not."""

SEARCHES = """\
Every search: the cell that it answers with, after how many epochs that cell was the one of greatest
weights (0: before the first), and after how many epochs its rule would have ended it."""

TRAJECTORIES = """\
The cell of greatest weights after every epoch, epoch 0 being before the first. Above, plain DARTS: every
seed thin, with a dot where the cell is its answer, and the mean thick; the skip share is the mean weight
of the skip connection over the edges. Below, the mean over seeds with a band of one standard deviation
(ddof 0): for each preset the test accuracy of its cell and, under it, how many of its edges are skip
connections; plain DARTS in black for comparison, the preset's A2M form dashed. Right of the dotted line,
presets with decisions by perturbation choose and tune. Searches that broke off count as far as they came."""

SETTINGS = """\
What each preset has in its configuration and what it had here; everything else is as in its
configuration."""
