"""One short file per algorithm: its configuration and its composition from the parts in ``fastpg.updates``."""
