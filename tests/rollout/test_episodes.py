"""Episode statistics: the window, missing values, states."""

from __future__ import annotations

import json

from fastpg.rollout import EpisodeStatistics


def test_means_over_the_window():
    episodes = EpisodeStatistics(window_size=2)
    for value in (1.0, 2.0, 4.0):
        episodes.add(value, int(10 * value), is_success=value > 3)
    assert episodes.n_episodes == 3
    assert episodes.ep_rew_mean == 3.0
    assert episodes.ep_len_mean == 30.0
    assert episodes.success_rate == 0.5


def test_nothing_finished_is_none():
    episodes = EpisodeStatistics()
    assert episodes.ep_rew_mean is episodes.ep_len_mean is episodes.success_rate is None
    episodes.add(1.0, 1)
    assert episodes.success_rate is None


def test_state_survives_json():
    episodes, other = EpisodeStatistics(3), EpisodeStatistics(3)
    for value in range(5):
        episodes.add(float(value), value, is_success=True)
    other.load_state_dict(json.loads(json.dumps(episodes.state_dict())))
    assert other.state_dict() == episodes.state_dict()
    assert other.ep_rew_mean == 3.0
