"""Which layers a network has in a given phase, level and set of stages."""

from collections.abc import Iterable

from .errors import FormatError
from .message import Message


def select_layers(net: Message, phase: str = "TEST", level: int = 0, stages: Iterable[str] = ()) -> Message:
    """The network with the layers that its include and exclude rules admit, as `Net::FilterNet` of Caffe selects them.

    A layer with include rules is there if one of them holds; one with exclude rules unless one of them holds. A rule
    holds when everything that it names does: the phase, the smallest and largest level, each stage, no not_stage.

    Args:
        net: a NetParameter in the current form; it is not changed.
        phase: "TRAIN" or "TEST".
        level: the level of the network.
        stages: its stages, in addition to those of `net.state`.

    Returns:
        A new NetParameter whose `state` says what was selected.

    Raises:
        FormatError: a layer has both include and exclude rules.
        TypeError: `stages` is one string instead of several.
    """
    if isinstance(stages, str):
        raise TypeError(f"expected the stages as a tuple or list of strings, found the string {stages!r}")
    state = Message("NetState", phase=phase, level=level, stage=[*net.state.stage, *stages])
    selected = net.copy()
    selected.state = state
    selected.layer = [layer for layer in selected.layer if _is_included(layer, state)]
    return selected


def _is_included(layer: Message, state: Message) -> bool:
    if layer.has("include") and layer.has("exclude"):
        raise FormatError(f"layer {layer.name!r} has include and exclude rules; expected one kind, remove the other")
    if layer.has("include"):
        return any(_holds(rule, state) for rule in layer.include)
    return not any(_holds(rule, state) for rule in layer.exclude)


def _holds(rule: Message, state: Message) -> bool:
    return (
        (not rule.has("phase") or rule.phase == state.phase)
        and (not rule.has("min_level") or state.level >= rule.min_level)
        and (not rule.has("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and set(rule.not_stage).isdisjoint(state.stage)
    )
