"""Floating-point operations of the kernels, matrix products alone, a multiply-add counting two.

Activations, heads and the optimiser are not counted, though they take time: a fraction of the peak that is made from
these numbers pays for them. Where a kernel does less than the plain algorithm, both numbers are here.
"""

from __future__ import annotations

from fastpg.kernels.layout import ActorCriticLayout, MLPLayout, PolicyLayout

#: csrc/include/fastpg/fisher_tile.hpp, ``n_kept``: with at most so many head inputs the derivatives are kept.
MAX_KEPT_OUTPUTS = 8


def weights(layout: MLPLayout) -> list[int]:
    """Entries of the matrix of each layer."""
    return [n_in * n_out for n_in, n_out in zip(layout.sizes, layout.sizes[1:], strict=False)]


def forward(layout: MLPLayout) -> int:
    """Of one sample through one network."""
    return 2 * sum(weights(layout))


def backward(layout: MLPLayout) -> int:
    """Of one sample: dW of every layer, dX of all but the first."""
    return 2 * sum(weights(layout)) + 2 * sum(weights(layout)[1:])


def ppo_minibatch(layout: ActorCriticLayout, batch_size: int) -> int:
    """Both networks, forward and backward."""
    return batch_size * sum(forward(net) + backward(net) for net in (layout.policy, layout.value))


def act(layout: ActorCriticLayout, n_envs: int) -> int:
    """Both networks forward."""
    return n_envs * (forward(layout.policy) + forward(layout.value))


def plain_fisher_product(layout: PolicyLayout, n_samples: int) -> int:
    """J v, which costs Y dW in each layer and dY W in all but the first, then a backward pass; activations are kept."""
    net = layout.policy
    return n_samples * (forward(net) + 2 * sum(weights(net)[1:]) + backward(net))


def fisher_product(layout: PolicyLayout, n_samples: int) -> int:
    """What the C++ kernel does: as ``plain_fisher_product``, or less.

    With few outputs K it keeps the derivatives of the outputs by the n units of every layer below the last hidden one.
    They replace the products with the weights above those layers, one forward, one backward, by 2 K n multiply-adds.
    """
    plain, net = plain_fisher_product(layout, n_samples), layout.policy
    n_outputs, n_units = net.sizes[-1], sum(net.sizes[1:-2])
    replaced = sum(weights(net)[1:-1])
    if n_outputs > MAX_KEPT_OUTPUTS or 2 * n_outputs * n_units >= replaced:
        return plain
    return plain - n_samples * 2 * (2 * replaced - 2 * n_outputs * n_units)


def conjugate_gradient(product: int, n_iterations: int, n_params: int) -> int:
    """``n_iterations`` times a product, two dot products and three sums of vectors."""
    return n_iterations * (product + 10 * n_params)


def gae(n_steps: int, n_envs: int) -> int:
    """Three for the temporal difference, two for the recursion, two for the flags."""
    return 7 * n_steps * n_envs
