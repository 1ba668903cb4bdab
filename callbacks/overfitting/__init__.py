"""What a run does by itself where it over-fits, in order; :class:`BestWeights` looks at every validation of ``fit``.

Names in capitals are numbers of :mod:`~memup_lightning.callbacks.overfitting.thresholds`.

**What it sees** (``decline.py``). *Explained* is ``val/local_nll`` - ``val/nll`` at the evaluated steps, or the memory gain
of the targets where no NLL is logged. A validation that is not the best one is compared with that:

- *lower*: LOSS of what was explained is lost at two validations in a row, or MUCH at one;
- *memorizing*: lower, while training episodes are explained as well as then; under weight decay, whatever they are;
- *over-fitted*: MUCH is lost, and the gain is below that in training episodes, by GAIN_MARGIN and MUCH of the best gain;
- *apart*, while nothing was explained (SOMETHING): the targets of training episodes are explained, those of validation
  episodes less than without memory, by APART at two validations in a row, or by FAR_APART at one.

**What it does** (``remedies.py``): the first that holds.

    the validation                                                    then
    is the best one (lowest val/nll, or else highest gain)            keep its weights
    comes while a second start, not better yet, has time left         wait
    comes after an EarlyStopping met its threshold                    nothing: these weights were asked for
    comes when a second start had its time, and was not better        weight decay
    is lower, after a second start or weight decay                    fewer columns
    is memorizing, the first time                                     second start, if OWN_SHARE of the steps can lead
    is memorizing                                                     weight decay
    is apart, in the first start                                      second start, if SURE_SHARE of the steps can lead
    is apart, in the second start                                     fewer columns, from the first weights
    comes when a second start had its time, nothing explained         third start, with targets and columns as at first

- *Second start*: the first weights again, and targets count SECOND_START_TARGETS. It has time for TIMES the updates before,
  LEAST at least, and needs TIME_LEFT of the run.
- *Weight decay*, with :class:`MemoryAdam` alone: the best weights again, and all matrices decay by DECAYS learning rates,
  the first and the second time; targets count DECAY_TARGETS, where own steps can lead. After that, or where training
  episodes are explained less too, the run goes back without it, for good.
- *Fewer columns*, once a run, of a table with more than FEW_COLUMNS where at most MUCH_FEWER of them matter
  (:mod:`memup_lightning.callbacks.overfitting.column_use`): the best weights again, which read these alone; targets count
  as at these.

**When it stops**: after ``patience`` over-fitted validations in a row, where no EarlyStopping decides; without a limit of
the run, when the gain has not grown for as many updates as it took to get there, WAIT at least.

**How it ends**: with the best weights, where the last validation is over-fitted, or LITTLE of what was explained is lost;
else, and always where an EarlyStopping met its threshold, with the last ones.
"""
