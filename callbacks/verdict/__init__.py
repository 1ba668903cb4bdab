"""Verdict of a run: measurements of its memory, and rules by which findings in plain words follow from them.

Names in capitals are numbers of :mod:`~memup_lightning.callbacks.verdict.thresholds`. ``measuring/measure.py`` fills in
:class:`Measurements`, from which all else follows; rules, each a function in ``rules``, make findings of them, with what to
try first from ``advice``.

**Which finding is the verdict** (``rules/judge.py``): the first that holds; others that hold follow it as "also".

    finding              holds where
    constant_outcome     outcomes of training episodes are all equal, and none of other ones is explained
    no_targets           the selector chose no step, or none yet
    no_outcomes          no step of validation episodes could be measured
    diverged             the memory gain is DIVERGED_BITS, up or down, or no number
    rare_outcomes        the measured outcomes are all alike, and others occur elsewhere
    needs_no_memory      NOTHING_UNCERTAIN of the outcomes is left without memory, or less
    explained            the memory explains EXPLAINED of what is uncertain, and the state of another episode less

    The others judge outcomes that are not explained:

    unseen_images        the image encoder gives the same features for all images
    badly_scaled         inputs differ by less than SMALLEST_SPREAD or reach LARGEST_VALUE; numbers spread FAR
    memorized            training episodes are explained, by OVERFITTED_BITS and OVERFITTED_SHARE, and others not at all
    overfitted           the same, or the run went back to earlier weights, and others are explained in part
    worse_than_constant  predictions, or those without memory, are worse than a constant by WORSE
    wrong_targets        targets are less than MIN_RECALL of the marked steps, after MIN_UPDATES
    undertrained         the gain rose until the end (``measuring/trend.py``), and will by WORTHWHILE
    forgetting           earlier states explain more than those at the outcomes, by FORGOTTEN_ERRORS
    noise                MOST of the targets are in context clusters that are not explained, and others are

    No other rule holds (``rules/rest.py``):

    partly_explained     something is explained; its advice follows from what the gain does
    undertrained         nothing is, after fewer than ENOUGH_UPDATES
    uncertain            there is a gain, not for certain
    blind                there is none

Remarks (``worse_than_local``, ``poor_reference``, ``restored``, ``columns_left_out``, ``reach``) are never the verdict.
What a run does by itself, before its verdict, is in :mod:`memup_lightning.callbacks.overfitting`.
"""
