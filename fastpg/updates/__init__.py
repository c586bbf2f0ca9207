"""How theta_old becomes theta_new: surrogates, penalties, inner loops, stopping rules and their composition.

An update is a plain value made of small parts. It knows a flat parameter vector, a layout and a batch of samples; it
knows neither policies nor environments, and it neither prints nor logs: what happened is in the ``UpdateReport``.
"""
