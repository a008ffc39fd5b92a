"""Training as Caffe trains: its solvers, learning rates and order of steps, from a solver prototxt.

    solver = lrcn.solver.Solver("solver.prototxt", weights=["single_frame.caffemodel"])
    for event in solver.run():
        print(event)

One iteration: the gradients of `iter_size` passes are summed, clipped by their global norm, divided by `iter_size`,
regularized (`weight_decay`), turned into the update by the rule of the solver, and subtracted.
"""

import math
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prototxt_import import Message, read_net, read_solver

from . import random
from . import snapshot as files
from .convert import load_weights
from .data_parallel import DataParallel
from .errors import Error
from .layers import Layer
from .loading import LEGACY_AXES, LoadReport, load
from .net import Net
from .ops import exact_updates, fast_updates
from .processes import ALONE, Processes

UPDATES = {"exact": exact_updates, "fast": fast_updates}


@dataclass(frozen=True)
class Rule:
    """A solver's way from gradient to update: function in `lrcn.ops.exact_updates`, histories per blob, settings."""

    function: str
    histories: int
    settings: tuple[str, ...]


RULES = {
    "SGD": Rule("sgd", 1, ("momentum",)),
    "Nesterov": Rule("nesterov", 1, ("momentum",)),
    "AdaGrad": Rule("adagrad", 1, ("delta",)),
    "RMSProp": Rule("rmsprop", 1, ("rms_decay", "delta")),
    "AdaDelta": Rule("adadelta", 2, ("momentum", "delta")),
    "Adam": Rule("adam", 2, ("momentum", "momentum2", "delta")),
}


@dataclass(frozen=True)
class Step:
    """One iteration of training.

    Attributes:
        iteration (int): how many iterations came before it.
        loss (float): the weighted sum of the losses, mean over `iter_size` passes.
        smoothed_loss (float): its mean over the last `average_loss` iterations.
        rate (float): the learning rate.
        outputs (dict[str, Tensor]): the outputs of the last pass, and the blobs asked for. Of several processes, losses
            and accuracies are those of the whole batch, other blobs those of this process's share.
    """

    iteration: int
    loss: float
    smoothed_loss: float
    rate: float
    outputs: dict[str, Tensor]


@dataclass(frozen=True)
class Scores:
    """One test of the network.

    Attributes:
        iteration (int): how many iterations of training came before it.
        index (int): which test network.
        loss (float | None): mean loss over `test_iter` passes, where `test_compute_loss` asks for it.
        scores (dict[str, np.ndarray]): mean of each output over the passes.
    """

    iteration: int
    index: int
    loss: float | None
    scores: dict[str, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was written: after how many iterations, and the files of the solver's state and the weights."""

    iteration: int
    state: Path
    weights: Path


@dataclass
class Learnable:
    """A blob that the solver trains: its name `LAYER/INDEX`, and the multipliers of learning rate and weight decay."""

    name: str
    parameter: nn.Parameter
    lr_mult: float
    decay_mult: float


class Solver:
    """Trains the network of a solver prototxt.

    Args:
        definition (str | os.PathLike | Message): the solver prototxt's path, or what `read_solver` returned. Networks
            that it names are looked for from the working directory, as Caffe does, then beside the prototxt.
        weights (Sequence[str | os.PathLike]): weights files to begin from, of any kind that `load_weights` reads; of
            each, the layers that the network has by name. They come after those that the definition names.
        numerics (str): "exact" has Caffe's bits; "fast" is PyTorch's own arithmetic, on any device.
        device (str | torch.device): where to train; exact numerics stays on the CPU.
        processes (Processes): those that train together, each with a solver of the same definition. They share every
            batch: its size, the draws that make it and all settings are those of one process. Dropout has a stream of
            masks of its own in each. All must call the same methods in the same order.

    Attributes:
        net (Net): the network in training.
        test_nets (list[Net]): the networks for testing, which share the parameters of `net`.
        iteration (int): how many updates were made.
        current_step (int): how often the learning rate fell, in the policies step and multistep.
        learnables (list[Learnable]): the blobs in training, in Caffe's order.
        history (list[Tensor]): what the rule keeps, one tensor per blob, or two: first ones first.
        load_reports (list[LoadReport]): one per weights file.

    Raises:
        Error: settings that are not known or contradict each other, a network that is missing or does not fit.
        FormatError: a file that cannot be read.
    """

    def __init__(
        self,
        definition: str | os.PathLike | Message,
        *,
        weights: Sequence[str | os.PathLike] = (),
        numerics: str = "exact",
        device: str | torch.device = "cpu",
        processes: Processes = ALONE,
    ):
        self.processes = processes
        self.folder = Path()
        if not isinstance(definition, Message):
            self.folder = Path(definition).parent
            definition = _with_snapshot_prefix(read_solver(definition), Path(definition))
        self.definition = definition
        self.rule = _checked_rule(definition)
        if definition.random_seed >= 0:
            random.seed(definition.random_seed % 2**32)
            torch.manual_seed(definition.random_seed)
        random.restore(processes.first(random.state))
        self.net = self._train_net(numerics)
        self.test_nets = self._test_nets(numerics)
        named = [name.strip() for names in definition.weights for name in names.split(",")]
        self.load_reports = [self._load(self._find(path, "weights")) for path in [*named, *weights]]
        self.net.to(device)
        for test_net in self.test_nets:
            _share_parameters(test_net, self.net)
        if processes.rank:
            _seed_dropout(processes.rank)
        self._passes = DataParallel(self.net, processes)
        self.updates = UPDATES[numerics]
        self.learnables = learnable_blobs(self.net)
        self.history = [
            torch.zeros_like(blob.parameter, requires_grad=False)
            for _ in range(self.rule.histories)
            for blob in self.learnables
        ]
        self.iteration = 0
        self.current_step = 0
        self._losses: deque[float] = deque(maxlen=definition.average_loss)

    def run(self, batches: Iterator[Mapping[str, Any]] | None = None) -> Iterator[Step | Scores | Snapshot]:
        """Train up to `max_iter`, testing and taking snapshots when the definition says so.

        Args:
            batches: one mapping per pass, from the names of input blobs to arrays; not needed where data layers read.
                Each process passes its share.

        Yields:
            What happened, as it happens. Leaving the loop between two events leaves the solver whole: `snapshot`,
            `step` and `run` go on from there.

        Raises:
            Error: the snapshot cannot be written where `snapshot_prefix` says, or the training diverged.
        """
        definition = self.definition
        if definition.snapshot or definition.snapshot_after_train:
            self.processes.first(self._check_snapshot_prefix)
        while self.iteration < definition.max_iter:
            if self._is_due(definition.test_interval) and (self.iteration or definition.test_initialization):
                yield from self.test()
            inputs = [] if batches is None else [next(batches) for _ in range(definition.iter_size)]
            yield self.step(*inputs)
            if self._is_due(definition.snapshot):
                yield self.snapshot()
        if definition.snapshot_after_train and not self._is_due(definition.snapshot):
            yield self.snapshot()
        if self._is_due(definition.test_interval):
            yield from self.test()

    def step(self, *inputs: Mapping[str, Any], blobs: Sequence[str] = ()) -> Step:
        """One iteration.

        Args:
            *inputs: the input blobs by name: one mapping for all of the `iter_size` passes, or one for each.
            blobs: blobs to return besides the outputs of the network.

        Raises:
            Error: the loss is not finite, or the inputs do not fit.
        """
        definition = self.definition
        passes = definition.iter_size
        if len(inputs) not in (0, 1, passes):
            raise Error(f"inputs for one or all {passes} passes of an iteration were expected, {len(inputs)} given")
        rate, self.current_step = learning_rate(definition, self.iteration, self.current_step)
        self._clear_gradients()
        total = np.float32(0)
        for index in range(passes):
            with self._passes.adding_up(last=index == passes - 1):
                outputs, loss = self._passes(**(inputs[index % len(inputs)] if inputs else {}), blobs=blobs)
                total += np.float32(loss.item())
                if not np.isfinite(total):
                    raise Error(self._divergence_message(float(total)))
                loss.backward()
        self._update(rate)
        loss = float(total / np.float32(passes))
        self._losses.append(loss)
        self.iteration += 1
        return Step(self.iteration - 1, loss, sum(self._losses) / len(self._losses), rate, outputs)

    def test(self) -> Iterator[Scores]:
        """Test every test network, `test_iter` passes each."""
        for index, (net, passes) in enumerate(zip(self.test_nets, self.definition.test_iter, strict=True)):
            loss, scores = np.float32(0), {}
            for _ in range(passes):
                with torch.no_grad():
                    outputs = net()
                    if self.definition.test_compute_loss:
                        loss += np.float32(net.loss(outputs).item())
                for name in sorted(outputs):
                    value = outputs[name].float().cpu().numpy()
                    scores[name] = scores[name] + value if name in scores else value
            scores = {name: value / np.float32(passes) for name, value in scores.items()}
            loss = float(loss / np.float32(passes)) if self.definition.test_compute_loss else None
            yield Scores(self.iteration, index, loss, scores)

    def snapshot(self) -> Snapshot:
        """Write a snapshot of this moment, which `restore` and Caffe continue from; see `lrcn.snapshot`.

        Of several processes, the first writes.

        Raises:
            Error: the definition has no snapshot_prefix, or a parameter is not finite: a snapshot before is the better.
            OSError: a file cannot be written; files of the same name stay as they were.
        """
        carried = self._carried_by_all()
        return self.processes.first(lambda: self._write_snapshot(carried))

    def _write_snapshot(self, carried: Mapping[str, Tensor]) -> Snapshot:
        self._check_snapshot_prefix()
        damaged = next((blob.name for blob in self.learnables if not blob.parameter.isfinite().all()), None)
        if damaged:
            raise Error(
                f"iteration {self.iteration}: parameter {damaged} is not finite, so no snapshot is written; the "
                "training diverged: go on from the last snapshot with a smaller base_lr or clip_gradients"
            )
        prefix, hdf5 = self.definition.snapshot_prefix, self.definition.snapshot_format == "HDF5"
        weights = files.weights_path(prefix, self.iteration, hdf5)
        state = files.state_path(prefix, self.iteration, hdf5)
        files.write_weights(weights, self.net, diffs=self.definition.snapshot_diff)
        files.write_carried(files.carried_path(state), self.iteration, carried)
        history = [blob.float().cpu().contiguous().numpy() for blob in self.history]
        found = files.SolverState(self.iteration, str(weights), self.current_step, history)
        files.write_state(state, found)
        return Snapshot(self.iteration, state, weights)

    def restore(self, path: str | os.PathLike) -> None:
        """Go on from a snapshot, ours or Caffe's.

        Args:
            path: the solver's state, a `.solverstate` or `.solverstate.h5`.

        Raises:
            Error: the snapshot is of another network, solver or number of processes, its weights are missing, or this
                solver has trained.
            FormatError: a file is damaged.
        """
        if self.iteration:
            raise Error(f"{path}: a snapshot goes into a new solver, this one has trained {self.iteration} iterations")
        state = files.read_state(path)
        self._check_history(path, state)
        weights = files.learned_weights(path, state)
        if weights is not None:
            load(self.net.params, weights, weights.path, allow_missing=False)
        with torch.no_grad():
            for mine, saved in zip(self.history, state.history, strict=True):
                mine.copy_(torch.from_numpy(saved.reshape(mine.shape)))
        self.iteration, self.current_step = state.iteration, state.current_step
        self._losses.clear()
        carried = files.carried_path(path)
        if carried.is_file():
            self._carry_on(self._own_part(files.read_carried(carried, self.iteration), carried))

    def _train_net(self, numerics: str) -> Net:
        fields = ("net", "net_param", "train_net", "train_net_param")
        given = [field for field in fields if self.definition.has(field)]
        if len(given) != 1:
            raise Error(f"the solver must name one network to train, by one of {', '.join(fields)}; found {given}")
        return self._build(self._network(given[0]), "TRAIN", self.definition.train_state, numerics)

    def _test_nets(self, numerics: str) -> list[Net]:
        definition = self.definition
        networks = [*definition.test_net_param, *(self._read_net(path) for path in definition.test_net)]
        generic = next((field for field in ("net", "net_param") if definition.has(field)), None)
        count = len(definition.test_iter)
        if count < len(networks) or (count > len(networks) and generic is None):
            raise Error(f"test_iter must be given once per test network: {len(networks)} networks, {count} test_iter")
        networks += [self._network(generic) for _ in range(count - len(networks))]
        if definition.test_state and len(definition.test_state) != count:
            raise Error(f"test_state must be given once per test network or not at all: {count} networks")
        if networks and definition.test_interval <= 0:
            raise Error(f"test_interval must be positive where there is test_iter, {definition.test_interval} found")
        states = list(definition.test_state) or [Message("NetState")] * count
        return [self._build(net, "TEST", state, numerics) for net, state in zip(networks, states, strict=True)]

    def _network(self, field: str) -> Message:
        value = getattr(self.definition, field)
        return self._read_net(value) if isinstance(value, str) else value

    def _read_net(self, path: str) -> Message:
        return read_net(self._find(path, "network"))

    def _find(self, path: str | os.PathLike, what: str) -> Path:
        places = [Path(path), self.folder / path]
        for place in places:
            if place.is_file():
                return place
        where = " or ".join(dict.fromkeys(str(place.parent.resolve()) for place in places))
        raise Error(f"the solver names the {what} {str(path)!r}, which is not in {where}; correct the path")

    def _build(self, net: Message, phase: str, state: Message, numerics: str) -> Net:
        """The network in its phase, unless the states that it and the solver declare say otherwise, last one first."""
        for declared in (net.state, state):
            phase = declared.phase if declared.has("phase") else phase
        level = state.level if state.has("level") else net.state.level
        stages = [*net.state.stage, *state.stage]
        return Net(net, numerics=numerics, phase=phase, level=level, stages=stages, processes=self.processes)

    def _load(self, path: Path) -> LoadReport:
        return load(self.net.params, load_weights(path), path, allow_missing=True)

    def _is_due(self, interval: int) -> bool:
        return interval > 0 and self.iteration % interval == 0

    def _clear_gradients(self) -> None:
        for blob in self.learnables:
            if blob.parameter.grad is None:
                blob.parameter.grad = torch.zeros_like(blob.parameter)
            else:
                blob.parameter.grad.zero_()

    @torch.no_grad()
    def _update(self, rate: float) -> None:
        """Gradients into updates, updates into the parameters."""
        definition, updates = self.definition, self.updates
        self._clip_gradients()
        for index, blob in enumerate(self.learnables):
            gradient = blob.parameter.grad
            if definition.iter_size > 1:
                updates.scale(gradient, float(np.float32(1) / np.float32(definition.iter_size)))
            self._regularize(blob, gradient)
            histories = self.history[index :: len(self.learnables)]
            settings = [getattr(definition, name) for name in self.rule.settings]
            getattr(updates, self.rule.function)(gradient, *histories, self._local_rate(blob, rate), *settings)
        for blob in self.learnables:
            blob.parameter.sub_(blob.parameter.grad)

    def _clip_gradients(self) -> None:
        limit = np.float32(self.definition.clip_gradients)
        if limit < 0:
            return
        gradients = [blob.parameter.grad for blob in self.learnables]
        norm = np.float32(self.updates.norm(gradients))
        if norm > limit:
            for gradient in gradients:
                self.updates.scale(gradient, float(limit / norm))

    def _regularize(self, blob: Learnable, gradient: Tensor) -> None:
        decay = float(np.float32(self.definition.weight_decay) * np.float32(blob.decay_mult))
        if decay:
            is_l1 = self.definition.regularization_type == "L1"
            self.updates.add_scaled(gradient, blob.parameter.sign() if is_l1 else blob.parameter, decay)

    def _local_rate(self, blob: Learnable, rate: float) -> float:
        local_rate = np.float32(rate) * np.float32(blob.lr_mult)
        if self.definition.type == "Adam":
            done = self.iteration + 1
            momentum, momentum2 = self.definition.momentum, self.definition.momentum2
            local_rate *= np.float32(math.sqrt(1 - momentum2**done) / (1 - momentum**done))
        return float(local_rate)

    def _check_snapshot_prefix(self) -> None:
        prefix = self.definition.snapshot_prefix
        if not prefix:
            raise Error("the solver has no snapshot_prefix, which snapshots are named by; set it")
        folder = Path(prefix).parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise Error(f"snapshot_prefix {prefix!r}: {folder.resolve()} must be a folder that can be written to")

    def _check_history(self, path: str | os.PathLike, state: files.SolverState) -> None:
        blobs = len(self.learnables)
        if len(state.history) != len(self.history):
            solvers = [name for name, rule in RULES.items() if rule.histories * blobs == len(state.history)]
            hint = f"it fits {', '.join(solvers)}" if solvers else "it is of another network"
            raise Error(
                f"{path}: {self.definition.type} keeps {len(self.history)} histories for the {blobs} blobs of "
                f"{self.net.definition.name!r}, the file has {len(state.history)}; {hint}"
            )
        for index, (mine, saved) in enumerate(zip(self.history, state.history, strict=True)):
            shape = tuple(mine.shape)
            if saved.shape not in (shape, (1,) * (LEGACY_AXES - len(shape)) + shape):
                name = self.learnables[index % blobs].name
                raise Error(
                    f"{path}: history {index} has shape {saved.shape}, blob {name} has {shape}; "
                    "the snapshot is of another network"
                )

    def _divergence_message(self, loss: float) -> str:
        damaged = next((blob.name for blob in self.learnables if not blob.parameter.isfinite().all()), None)
        where = f"parameter {damaged} is the first that is not finite" if damaged else "all parameters are finite still"
        return (
            f"iteration {self.iteration}: the loss is {loss}; {where}. The training diverged, or an input is not "
            "finite: go on from the last snapshot with a smaller base_lr or clip_gradients"
        )

    def _layers_by_place(self) -> Iterator[tuple[str, Layer]]:
        for index, net in enumerate([self.net, *self.test_nets]):
            for layer in net.layers:
                yield f"{index}/{layer.definition.name}", layer

    def _carried(self) -> dict[str, Tensor]:
        """What the next iteration depends on besides parameters and history: layers' states and random generators."""
        _, words, position, *_ = random.state()
        carried = {
            "random/words": torch.from_numpy(words.astype(np.int64)),
            "random/position": torch.tensor(position),
            "random/torch": torch.get_rng_state(),
        }
        if self.net.device.type == "cuda":
            carried["random/cuda"] = torch.cuda.get_rng_state(self.net.device)
        for place, layer in self._layers_by_place():
            carried |= {f"layer/{place}/{index}": value.cpu() for index, value in enumerate(layer.carried())}
        return carried

    def _carried_by_all(self) -> dict[str, Tensor]:
        """What each process carries, by `RANK/NAME`."""
        by_rank = self.processes.gather(self._carried())
        return {f"{rank}/{name}": value for rank, carried in enumerate(by_rank) for name, value in carried.items()}

    def _own_part(self, carried: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Of what was carried by all, this process's."""
        ranks = {name.partition("/")[0] for name in carried}
        if ranks != set(map(str, range(self.processes.count))):
            raise Error(
                f"{path}: the number of processes that go on must be the one that wrote this; found those of "
                f"{len(ranks)}, and this run has {self.processes.count}. Start as many, or remove this file to go on "
                "as from a snapshot of Caffe's, which has no states and no place in the data"
            )
        own = f"{self.processes.rank}/"
        return {name.removeprefix(own): value for name, value in carried.items() if name.startswith(own)}

    def _carry_on(self, carried: Mapping[str, Tensor]) -> None:
        words = carried["random/words"].numpy().astype(np.uint32)
        random.restore(("MT19937", words, int(carried["random/position"]), 0, 0.0))
        torch.set_rng_state(carried["random/torch"])
        if self.net.device.type == "cuda" and "random/cuda" in carried:
            torch.cuda.set_rng_state(carried["random/cuda"], self.net.device)
        for place, layer in self._layers_by_place():
            values = []
            while (name := f"layer/{place}/{len(values)}") in carried:
                values.append(carried[name])
            layer.carry_on(values)


def learning_rate(definition: Message, iteration: int, current_step: int) -> tuple[float, int]:
    """The learning rate of an iteration, with Caffe's roundings, and how often it fell so far.

    | lr_policy | rate |
    |---|---|
    | fixed | base_lr |
    | step | base_lr gamma ^ floor(iteration / stepsize) |
    | exp | base_lr gamma ^ iteration |
    | inv | base_lr (1 + gamma iteration) ^ -power |
    | multistep | base_lr gamma ^ (number of stepvalues reached) |
    | poly | base_lr (1 - iteration / max_iter) ^ power |
    | sigmoid | base_lr / (1 + exp(-gamma (iteration - stepsize))) |

    Args:
        definition (Message): the SolverParameter.
        iteration (int): how many updates were made.
        current_step (int): what the last call returned, 0 at first; multistep goes on from it, one step per iteration.

    Raises:
        Error: a policy that is not known, a setting that it cannot do with, or a rate that is not finite.
    """
    policy, gamma, base = definition.lr_policy, definition.gamma, np.float32(definition.base_lr)
    if policy in ("step", "exp", "inv", "multistep", "sigmoid") and gamma < 0:
        raise Error(f"lr_policy {policy!r}: gamma must not be negative, {gamma} was found")
    if policy in ("step", "sigmoid") and definition.stepsize <= 0:
        raise Error(f"lr_policy {policy!r}: stepsize must be positive, {definition.stepsize} was found")
    if policy == "step":
        current_step = iteration // definition.stepsize
    elif policy == "multistep":
        values = definition.stepvalue
        current_step += current_step < len(values) and iteration >= values[current_step]
    now, ops = np.float32(iteration), torch.ops.lrcn
    with np.errstate(all="ignore"):
        # Powers to a whole exponent are taken in double, the others and exp in float, as C++ chooses for Caffe.
        match policy:
            case "fixed":
                rate = base
            case "step" | "multistep":
                rate = np.float32(float(base) * _whole_power(gamma, current_step))
            case "exp":
                rate = np.float32(float(base) * _whole_power(gamma, iteration))
            case "inv":
                rate = base * np.float32(ops.exact_pow(np.float32(1) + np.float32(gamma) * now, -definition.power))
            case "poly":
                left = np.float32(1) - now / np.float32(definition.max_iter)
                rate = base * np.float32(ops.exact_pow(left, definition.power))
            case "sigmoid":
                exponent = -np.float32(gamma) * (now - np.float32(definition.stepsize))
                rate = base * (np.float32(1) / (np.float32(1) + np.float32(ops.exact_exp(exponent))))
            case _:
                raise Error(
                    f"lr_policy {policy!r} is not known; fixed, step, exp, inv, multistep, poly and sigmoid are"
                )
    if not np.isfinite(rate):
        raise Error(f"lr_policy {policy!r} gives the learning rate {rate} in iteration {iteration}; check its settings")
    return float(rate), current_step


def _whole_power(base: float, exponent: int) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def learnable_blobs(net: Net) -> list[Learnable]:
    """The blobs of a network in the order in which Caffe's solvers keep them, shared ones once.

    Raises:
        Error: layers that share a blob give it different multipliers.
    """
    found: dict[nn.Parameter, Learnable] = {}
    given: dict[tuple[nn.Parameter, str], float] = {}
    for layer in net.definition.layer:
        for index, parameter in enumerate(net.params.get(layer.name, ())):
            spec = layer.param[index] if index < len(layer.param) else Message("ParamSpec")
            blob = found.setdefault(
                parameter, Learnable(f"{layer.name}/{index}", parameter, spec.lr_mult, spec.decay_mult)
            )
            for field in ("lr_mult", "decay_mult"):
                if spec.has(field):
                    value = getattr(spec, field)
                    if given.setdefault((parameter, field), value) != value:
                        raise Error(
                            f"layer {layer.name!r}: blob {index} is {blob.name} too and must have its {field}: "
                            f"{given[parameter, field]} there, {value} here"
                        )
                    setattr(blob, field, value)
    return list(found.values())


def _seed_dropout(rank: int) -> None:
    """Part the generators of processes that drew alike so far; the first process keeps its own."""
    seed = (int(random.words(1)[0]) + rank) % 2**32
    random.seed(seed)
    torch.manual_seed(seed)


def _share_parameters(net: Net, source: Net) -> None:
    """Make the layers of `net` use the parameters of the layers of the same names."""
    for layer in net.layers:
        parameters = source.params.get(layer.definition.name, ())
        shapes, expected = [tuple(p.shape) for p in parameters], [tuple(p.shape) for p in layer.blobs]
        if parameters and shapes != expected:
            raise Error(
                f"layer {layer.definition.name!r} has blobs of shapes {expected} in the test network, {shapes} in the "
                "one in training; they must be the same"
            )
        for index, parameter in enumerate(parameters):
            layer.blobs[index] = parameter


def _with_snapshot_prefix(definition: Message, path: Path) -> Message:
    """Caffe's default: snapshots are named like the solver prototxt, in the folder that the prefix names, if any."""
    completed = definition.copy()
    if not definition.snapshot_prefix:
        completed.snapshot_prefix = str(path.with_suffix(""))
    elif Path(definition.snapshot_prefix).is_dir():
        completed.snapshot_prefix = str(Path(definition.snapshot_prefix) / path.stem)
    return completed


def _checked_rule(definition: Message) -> Rule:
    if definition.type not in RULES:
        raise Error(f"solver type {definition.type!r} is not known; {', '.join(RULES)} are")
    if definition.type in ("AdaGrad", "RMSProp") and definition.momentum:
        raise Error(f"solver type {definition.type} has no momentum, {definition.momentum} was found; leave it out")
    if definition.type == "RMSProp" and not 0 <= definition.rms_decay < 1:
        raise Error(f"rms_decay must be at least 0 and below 1, {definition.rms_decay} was found")
    if definition.regularization_type not in ("L1", "L2"):
        raise Error(f"regularization_type {definition.regularization_type!r} is not known; L1 and L2 are")
    for field in ("iter_size", "average_loss"):
        if getattr(definition, field) < 1:
            raise Error(f"{field} must be positive, {getattr(definition, field)} was found")
    learning_rate(definition, 0, 0)
    return RULES[definition.type]
