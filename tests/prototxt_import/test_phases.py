import pytest

from prototxt_import import FormatError, parse_net, select_layers

NET = parse_net("""
layer { name: "always" }
layer { name: "train" include { phase: TRAIN } }
layer { name: "test" include { phase: TEST } }
layer { name: "not test" exclude { phase: TEST } }
layer { name: "either" include { phase: TRAIN } include { stage: "deploy" } }
layer { name: "deploy and full" include { stage: "deploy" stage: "full" } }
layer { name: "not deploy" include { not_stage: "deploy" } }
layer { name: "train, not deploy" include { phase: TRAIN not_stage: "deploy" } }
layer { name: "level 2 to 3" include { min_level: 2 max_level: 3 } }
layer { name: "not from 3" exclude { min_level: 3 } }
""")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, ["always", "test", "not deploy", "not from 3"]),
        ({"phase": "TRAIN"},
         ["always", "train", "not test", "either", "not deploy", "train, not deploy", "not from 3"]),
        ({"stages": ["deploy"]}, ["always", "test", "either", "not from 3"]),
        ({"stages": ("full", "deploy")}, ["always", "test", "either", "deploy and full", "not from 3"]),
        ({"level": 2}, ["always", "test", "not deploy", "level 2 to 3", "not from 3"]),
        ({"level": 3}, ["always", "test", "not deploy", "level 2 to 3"]),
        ({"level": 4}, ["always", "test", "not deploy"]),
    ],
)  # fmt: skip
def test_rules(state, expected):
    assert [layer.name for layer in select_layers(NET, **state).layer] == expected


def test_the_network_itself_does_not_change_and_may_name_stages():
    net = parse_net('state { phase: TRAIN stage: "deploy" } layer { name: "a" include { stage: "deploy" } }')
    selected = select_layers(net, phase="TEST", level=1, stages=["x"])
    assert [layer.name for layer in selected.layer] == ["a"]
    assert (selected.state.phase, selected.state.level, selected.state.stage) == ("TEST", 1, ["deploy", "x"])
    assert net.state.phase == "TRAIN" and net.state.stage == ["deploy"]


def test_both_kinds_of_rule_are_an_error():
    net = parse_net('layer { name: "a" include { phase: TEST } exclude { phase: TRAIN } }')
    with pytest.raises(FormatError, match="layer 'a' has include and exclude rules"):
        select_layers(net)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="expected one of TRAIN, TEST, found 'test'; did you mean TEST"):
        select_layers(NET, phase="test")
    with pytest.raises(TypeError, match="found the string 'deploy'"):
        select_layers(NET, stages="deploy")
