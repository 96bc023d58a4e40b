"""A policy of one's own answers what is asked, and nothing that nobody asks for."""

import re
from dataclasses import dataclass

import pytest

from parallel import Policy, verify
from parallel.identities import pipelines
from parallel.identities.chosen import chosen
from parallel.identities.pipelines import pipeline, trained
from parallel.pipeline.pipemare import PipeMare
from parallel.pipeline.policies import policy
from parallel.pipeline.weights import PipeDream, Predicting, SpecTrain2, Vanilla


def answer(self, *words):
    return None


def owned(base=Policy, types=None, **names):
    return type("Yours", (base,), {"__annotations__": types or {}, **names})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (dict(foward=answer), "method of a weight policy 'foward': did you mean 'forward'?"),
        (dict(bakward=answer), "method of a weight policy 'bakward': did you mean 'backward'?"),
        (dict(theory_of=staticmethod(answer)), "a helper is named _theory_of"),
        (dict(mean=property(answer)), "a helper is named _mean"),
        (dict(swap=False), "attribute of a weight policy 'swap': did you mean 'swaps'?"),
        (dict(power=2), "an option is power: type = ..."),
        (dict(types=dict(swap=bool), swap=False), "did you mean 'swaps'?"),
        (dict(types=dict(swap=bool)), "did you mean 'swaps'?"),
        (dict(base=PipeMare, drft=0.1), "did you mean 'drift'?"),
        (dict(swaps=answer), "Yours.swaps is a value, such as True, or a property"),
        (dict(held=3), "Yours.held is a method, def held(...), got 3"),
        (dict(base=PipeDream, backward=answer), "Yours.backward: nobody asks for this, as swaps"),
        (dict(base=SpecTrain2, backward=answer), "leave it out, or set swaps = True"),
        (dict(recompute=True, backward=answer), "as recompute = True"),
    ],
)
def test_a_name_that_nobody_asks_for_is_refused_when_the_class_is_made(names, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        owned(**names)


def test_a_typo_in_a_class_that_is_mixed_in_is_refused_too():
    class Mixed:
        def foward(self, weights, t):
            return weights.newest

    with pytest.raises(ValueError, match="did you mean 'forward'"):

        class Yours(Mixed, PipeDream):
            pass


def test_options_helpers_and_values_that_are_reckoned_are_the_authors_own():
    @dataclass(frozen=True)
    class Yours(Predicting):
        power: float = 0.5

        @property
        def swaps(self):
            return self.power < 1

        def _further(self, steps):
            return steps

        def reach(self, stage, stages):
            return self._further(stages - 1 - stage), 0

    assert (Yours().swaps, Yours(power=1.0).swaps) == (True, False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "Yours.backward gives None for minibatch 1, so the backward pass is to see what"),
        (None, "set swaps = False, or return weights, such as weights.newest"),
        ({}, "Yours.backward gives no 0.weight, 0.bias"),
        ([], "Yours.backward gives [] for minibatch 1: return tensors by the names"),
    ],
)
@pytest.mark.parametrize("stage", [0, 2])
def test_what_is_no_weights_for_a_backward_pass_is_refused(given, words, stage):
    def backward(self, weights, t):
        return given if (weights.stage, t) == (stage, 1) else weights.newest

    with pytest.raises(ValueError, match=re.escape(words)):
        trained(pipeline(owned(backward=backward)(), 3))


def asked(thing):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "STEPS", 12)  # (8 stages are full after 7)
        found = {f.identity: f for f in verify(thing) if f.identity.startswith("each answer")}
    ((name, finding),) = found.items()
    return name, finding


def test_verify_says_which_answers_it_has_asked_for():
    class Half(SpecTrain2):
        def reach(self, stage, stages):
            return (stages - 1 - stage) // 2, (stages - 1 - stage) // 2

        def rate(self, weights, t):
            return 1.0

    name, finding = asked(Half())
    assert finding.ok
    assert name == "each answer of its own was asked for: reach, rate"


def test_verify_says_that_a_policy_without_answers_is_the_one_above():
    class Same(Vanilla):
        pass

    assert asked(Same())[0].endswith("asked for: nothing (all is as in Vanilla)")
    assert chosen(Same, "sim")[0] == "Same"  # (what makes one)


def test_verify_finds_an_answer_that_nothing_asks_for():
    class Says(PipeDream):
        def held(self, stage, stages):
            return 99

        def theory(self, stage, stages):
            return policy("pipedream").theory(stage, stages)

    name, finding = asked(Says())
    assert "held" in name
    assert "nobody has asked for held" in finding.error
