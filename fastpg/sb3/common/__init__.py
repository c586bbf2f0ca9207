"""The parts of stable-baselines3.common that scripts import."""
