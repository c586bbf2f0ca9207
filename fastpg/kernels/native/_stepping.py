"""Steps of Python environments in C++; see ``fastpg.rollout``. No kernels, but compiled like them."""

from fastpg._native import PlainSteps, StepRows

__all__ = ["PlainSteps", "StepRows"]
