"""Launching experiments: load, fit, tune, evaluate, register, promote.

In the order of the flow: ``data`` (the training set), ``fit`` (one recipe), ``tuning`` (a study over many), ``evaluation``
(how good a model is), ``registry`` (versions, gates, aliases). Beside them ``tracking`` (what MLflow keeps of a run) and
``benchmarks`` (published protocols). ``commands`` is the front.
"""
