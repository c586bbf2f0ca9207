"""The short benchmark behind ``fastpg bench``: kernels beside the peak of the machine, peers where they are installed.

``problems`` has the inputs, ``tasks`` what is timed and how its result is checked, ``flops`` what it costs, ``timing``
the clock, ``machine`` what was measured on, ``report`` the figures by name. The long suite, with all
peers, is ``benchmarks/`` of the repository; it runs the same tasks.
"""
