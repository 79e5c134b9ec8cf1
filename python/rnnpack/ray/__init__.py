"""Models on many processes and machines: Ray starts the workers, rnnpack computes in each.

It needs Ray: `pip install rnnpack[ray]`.
"""

from rnnpack.ray.predictor import Predictor
from rnnpack.ray.workers import ordered_map

__all__ = ["Predictor", "ordered_map"]
