"""What a network definition says about who reads which blob."""

from collections import Counter
from collections.abc import Collection, Sequence

from prototxt_import import FormatError, Message


def insert_splits(net: Message) -> Message:
    """A copy of the network in which every blob has one reader, as Caffe arranges it before it builds a network.

    A blob with several readers gets a Split layer behind its writer, named `BLOB_LAYER_INDEX_split`, whose tops
    `BLOB_LAYER_INDEX_split_K` take the blob's place. In-place layers write a new version of their blob, with readers of
    its own.

    Raises:
        FormatError: a layer reads a blob that no layer before it writes.
    """
    writer: dict[str, tuple[int, int]] = {}
    readers: Counter[tuple[int, int]] = Counter()
    sources: list[list[tuple[int, int]]] = []
    for position, layer in enumerate(net.layer):
        for bottom in layer.bottom:
            if bottom not in writer:
                raise FormatError(
                    f"layer {layer.name!r} reads blob {bottom!r}, which no layer before it writes; "
                    "correct the name or the order of the layers"
                )
        sources.append([writer[bottom] for bottom in layer.bottom])
        readers.update(sources[-1])
        writer.update({top: (position, index) for index, top in enumerate(layer.top)})

    split = net.copy()
    split.layer.clear()
    served: Counter[tuple[int, int]] = Counter()
    for position, layer in enumerate(net.layer):
        layer = layer.copy()
        for index, source in enumerate(sources[position]):
            if readers[source] > 1:
                layer.bottom[index] = f"{_split_name(net, source)}_{served[source]}"
                served[source] += 1
        split.layer.append(layer)
        for index, top in enumerate(layer.top):
            if readers[position, index] > 1:
                name = _split_name(net, (position, index))
                tops = [f"{name}_{k}" for k in range(readers[position, index])]
                split.layer.append(Message("LayerParameter", name=name, type="Split", bottom=[top], top=tops))
    return split


def maxima_first(layers: Sequence[Message], wanted: Collection[str]) -> list[Message]:
    """The layers in an order in which a ReLU comes behind the maximum pooling that follows it, with fewer values.

    Both orders give the same bits, in gradients too, because a ReLU keeps the order of values. Only the blob between
    the two is another one, so where it is wanted they stay as they are.
    """
    arranged: list[Message] = []
    for layer in layers:
        if arranged and layer.bottom and layer.bottom[0] not in wanted and _commute(arranged[-1], layer):
            relu = arranged.pop().copy()
            relu.bottom, relu.top = list(layer.top), list(layer.top)
            arranged += [layer, relu]
        else:
            arranged.append(layer)
    return arranged


def _commute(layer: Message, following: Message) -> bool:
    """Whether these are a ReLU in place and a maximum pooling of what it wrote."""
    return (
        (layer.type, following.type) == ("ReLU", "Pooling")
        and list(layer.bottom) == list(layer.top) == list(following.bottom)
        and layer.relu_param.negative_slope >= 0
        and following.pooling_param.pool == "MAX"
        and len(following.top) == 1
    )


def origin(net: Message, layer: Message, bottom: int) -> list[Message]:
    """The layers that a bottom comes through, first bottoms followed back to a layer without any, nearest first."""
    position = next(index for index, other in enumerate(net.layer) if other.name == layer.name)
    path, blob = [], layer.bottom[bottom]
    for other in reversed(net.layer[:position]):
        if blob in other.top:
            path.append(other)
            if not other.bottom:
                break
            blob = other.bottom[0]
    return path


def clip_marker_origins(net: Message) -> dict[str, list[Message]]:
    """For each recurrent layer, by its name, the layers that its clip markers come through, their source last."""
    return {layer.name: origin(net, layer, 1) for layer in net.layer if layer.type in ("LSTM", "RNN")}


def time_major_sources(net: Message) -> set[str]:
    """The names of the layers without bottoms that hand out clip markers as (T, N): axis 0 of their tops is time."""
    ways = clip_marker_origins(net).values()
    return {source.name for *between, source in ways if all(layer.type == "Split" for layer in between)}


def _split_name(net: Message, source: tuple[int, int]) -> str:
    position, index = source
    layer = net.layer[position]
    return f"{layer.top[index]}_{layer.name}_{index}_split"
