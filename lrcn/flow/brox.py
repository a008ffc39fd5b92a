"""Optical flow of Brox, Bruhn, Papenberg and Weickert, "High accuracy optical flow estimation based on a theory for
warping" (ECCV 2004), the method of the LRCN paper.

The flow (u, v) minimises an energy: at every point the following image, taken where the flow points, should have the
brightness and the gradient of the previous one, and the flow should be smooth; both are penalised by
psi(s^2) = sqrt(s^2 + epsilon^2), which forgives outliers and edges. It is minimised from coarse to fine. The arithmetic
is in csrc/flow, on the CPU and on CUDA.
"""

from dataclasses import astuple, dataclass

import numpy as np
import torch

from ..errors import Error
from ..ops import flow as ops

PIXELS_AT_ONCE = 2**21  # that a GPU computes together; each takes about 400 bytes there


@dataclass(frozen=True)
class Brox:
    """The method with its settings.

    The defaults are the paper's most accurate: one warp on each of the many levels that eta 0.95 makes.

    alpha: weight of the smoothness; gamma: weight of the gradient's constancy against that of the brightness
        (intensities run from 0 to 255, squares are summed over R, G, B);
    epsilon: of the robust function psi;
    sigma: standard deviation of the Gaussian that smooths the images of every level, in pixels of that level;
    eta: size of each level of the pyramid against the next finer one;
    coarsest: pixels that the shorter side of the coarsest level has at least;
    outer_iterations: warps per level; inner_iterations: updates of the robust weights per warp;
    sor_iterations: sweeps of successive over-relaxation per update; omega: their relaxation factor;
    device: "cpu", or "cuda" for a GPU.

    Raises `Error` for settings out of range, and for a device that is not there or that lrcn is not built for.
    """

    alpha: float = 80.0
    gamma: float = 100.0
    epsilon: float = 0.001
    sigma: float = 0.8
    eta: float = 0.95
    coarsest: int = 10
    outer_iterations: int = 1
    inner_iterations: int = 5
    sor_iterations: int = 10
    omega: float = 1.5
    device: str = "cpu"

    def __post_init__(self):
        limits = {"alpha": self.alpha > 0, "gamma": self.gamma >= 0, "epsilon": self.epsilon > 0}
        limits |= {"sigma": 0 <= self.sigma <= 20, "eta": 0 < self.eta < 1, "omega": 0 < self.omega < 2}
        counts = ("coarsest", "outer_iterations", "inner_iterations", "sor_iterations")
        limits |= {name: getattr(self, name) >= 1 for name in counts}
        for name, holds in limits.items():
            if not holds:
                raise Error(f"Brox flow: {name} is out of range, found {getattr(self, name)}")
        ops.check_device(self.device)

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """The flow between two RGB uint8 frames (height, width, 3): (height, width, 2) float32, in pixels.

        Also of N pairs at once, in arrays with one more axis before. Always the same bits for the same frames and
        settings, whatever the machine, the number of threads and the other pairs.
        Raises `Error` for frames smaller than the coarsest level.
        """
        return self.compute(previous, following)[0]

    def compute(self, previous: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The flow, as by calling, and the energy before and after each warp, coarsest level first: (warps, 2) float64.

        No warp makes the energy rise. On the way from one level to the next, which has other images, it may change.
        """
        *pairs, height, width, _ = previous.shape
        if min(height, width) < self.coarsest:
            raise Error(
                f"Brox flow needs frames of at least {self.coarsest} pixels each way, the coarsest level of its "
                f"pyramid; found {width}x{height}; lower `coarsest` or take larger frames"
            )
        frames = (torch.from_numpy(np.ascontiguousarray(frame)).to(self.device) for frame in (previous, following))
        *settings, _ = astuple(self)
        results = ops.brox_flow(*(frame.view(-1, height, width, 3) for frame in frames), *settings)
        flow, energies = (result.view(*pairs, *result.shape[1:]).cpu().numpy() for result in results)
        return flow, energies

    def pairs_at_once(self, height: int, width: int) -> int:
        """How many pairs one call should be given: one on the CPU, whose cores each take one, many on a GPU."""
        return 1 if self.device == "cpu" else max(PIXELS_AT_ONCE // (height * width), 1)
