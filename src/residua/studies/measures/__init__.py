"""What is measured on a trial: each a few lines over `residua.diagnostics` or over a run's own files.

A measure is a function from a `residua.studies.trial.Trial` to a `Measurement`, in a file of its own with the `Measure`
that studies name. Its docstring lists its numbers, with units, and its series; a prediction is a number, too, named
``predicted_…``, and left out where its conditions fail. It takes what it needs alone: ``trial.case(n)`` for images,
``trial.run`` for what was written while it trained, ``trial.network()`` for the module, which it may change: every
call makes another. A number that gets another meaning gets another ``version``::

    def parameters(trial: Trial) -> Measurement:
        learned = [one.numel() for one in trial.network().parameters() if one.requires_grad]
        return Measurement(numbers={"parameters": float(sum(learned))})


    PARAMETERS = Measure("parameters", parameters)

`residua.studies.measures.growth` is one with a prediction and series, for networks that are not trained.
"""
