import oracle
import pytest

from prototxt_import.schema import DIALECTS, ENUMS, FIELDS, NUMBERING, SCALARS, near


def number(dialect: str, field: str) -> int | None:
    return next((n for n, f in NUMBERING[dialect]["LayerParameter"].items() if f.name == field), None)


def test_the_three_numberings_of_a_layer():
    assert [number(dialect, "recurrent_param") for dialect in ("fork", "recurrent", "bvlc")] == [134, 140, 146]
    assert [number(dialect, "embed_param") for dialect in ("fork", "recurrent", "bvlc")] == [132, 137, 137]
    assert [number(dialect, "log_param") for dialect in ("fork", "recurrent", "bvlc")] == [None, 134, 134]
    assert [number(dialect, "spp_param") for dialect in ("fork", "recurrent", "bvlc")] == [None, 132, 132]
    assert [number(dialect, "elu_param") for dialect in ("fork", "recurrent", "bvlc")] == [None, None, 140]
    assert [number(dialect, "input_param") for dialect in ("fork", "recurrent", "bvlc")] == [None, None, 143]


def test_every_type_is_defined():
    for message, fields in FIELDS.items():
        for field in fields.values():
            assert field.type in SCALARS or field.type in ENUMS or field.type in FIELDS, f"{message}.{field.name}"


def test_defaults_are_of_their_type():
    for fields in FIELDS.values():
        for field in fields.values():
            if field.type in ENUMS:
                assert field.default in ENUMS[field.type]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_protobuf_accepts_the_table(dialect):
    net = oracle.message_class(dialect, "NetParameter")()
    net.layer.add().pooling_param.pool = 1
    assert net.SerializeToString() == bytes.fromhex("a20605ca07020801")


def test_near_names():
    assert near("kernal_size", list(FIELDS["ConvolutionParameter"])).startswith("; did you mean kernel_size")
    assert near("zzz", list(FIELDS["ConvolutionParameter"])) == ""
