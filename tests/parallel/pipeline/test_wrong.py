"""What goes wrong before and while a pipeline trains: answered in words, or it works."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import LBFGS, SGD, Adam

from harness.data import Data
from harness.nets.dropout import KeyedDropout
from parallel import World, train
from parallel.identities import averaging as identities
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.weights import PipeDream, SpecTrain1, TwoBW
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm, NotFinite
from parallel.world.procs import WorkerError

MOMENTUM = partial(SGD, lr=0.05, momentum=0.8)


def layers(*more):
    torch.manual_seed(0)
    first = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)
    return nn.Sequential(*first, *more).double()


def training(pipeline, model=None, optimizer=MOMENTUM, data=None, comm=None, **options):
    options = dict(batch_size=7, seed=5, steps=9) | options
    words = model or layers(), data or identities.task(), F.cross_entropy, optimizer, pipeline
    return Pipelined(*words, comm or Comm(pipeline.ranks), **options)


def ended(*words, **options):
    """The net after nine updates."""
    session = training(*words, **options)
    while session.done < session.steps:
        session.step()
    assert all(bool(torch.isfinite(v).all()) for v in session.consensus().values())
    return {k: v.clone() for k, v in session.consensus().items()}


def plain(model=None, data=None):
    """The same nine updates in an ordinary loop."""
    model, data = model or layers(), data or identities.task()
    reference = training(Pipeline(1), data=data, model=copy.deepcopy(model))
    optimizer = MOMENTUM(model.parameters())
    for t in range(9):
        index = reference.shards.at(t + 1)[0]
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_x[index]), data.train_y[index]).backward()
        optimizer.step()
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(stages=0), "stages is a whole number, 1 or more, got 0"),
        (dict(stages=2, micro=1.5), "micro is a whole number, 1 or more, got 1.5"),
        (dict(stages=2, schedule="1fb1"), "unknown schedule '1fb1': did you mean '1f1b'"),
        (dict(stages=2, weights="spectrain1"), "did you mean 'spectrain_v1'"),
        (dict(stages=2, weights=SpecTrain1), r"policy or its name, .*, made: SpecTrain1\(\)"),
        (dict(stages=2, shedule="gpipe"), "keyword of Pipeline 'shedule': did you mean 'schedule'"),
        (dict(stages=2, chunks=2), "go with schedule='interleaved' or 'zb_h1', got '1f1b'"),
        (dict(stages=2, clip=0), "clip is a norm above 0, or None for no clipping, got 0"),
        (dict(stages=2, clip="1"), "clip is a norm above 0"),
        (
            dict(stages=3, schedule="zbv"),
            "3 stages are no whole ranks of 2 stages: expected 2 or 4",
        ),
        (
            dict(stages=4, schedule="interleaved", chunks=2, micro=7),
            "7 micro-batches cannot be cut into 3 equal rounds, which 2 ranks need: expected 6 or 8",
        ),
        (
            dict(stages=2, schedule="gpipe", weights="pipedream"),
            "waits for each update, .* take schedule='1f1b' with it, or weights=None",
        ),
        (dict(stages=4, weights="two_bw"), "two_bw with 4 stages needs micro=3 or more, got 1"),
        (dict(stages=4, weights=TwoBW(), micro=2), "needs micro=3 or more, got 2"),
    ],
)
def test_what_no_pipeline_can_be_is_refused_when_it_is_made(options, words):
    with pytest.raises(ValueError, match=words):
        Pipeline(**options)


def test_an_unknown_option_of_a_policy_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="option of spectrain_v1 'spik': did you mean 'spike'"):
        policy("spectrain_v1", spik=True)


@pytest.mark.parametrize(
    ("weights", "optimizer", "words"),
    [
        (
            None,
            partial(LBFGS, lr=1),
            r"LBFGS calls the loss again and again \(a closure\), .*AdamW",
        ),
        (None, SGD(layers().parameters(), 0.1), r"such as partial\(torch.optim.SGD, lr=0.1\); got"),
        (PipeDream(spike=True), partial(SGD, lr=0.1), r"goes with .*; got SGD\(momentum=0"),
        (
            PipeDream(spike=True),
            partial(Adam, lr=0.1),
            r"SGD\(momentum=...\), without .*; got Adam",
        ),
        (SpecTrain1(ahead="velocity"), partial(Adam, lr=0.1), "take ahead='displacement', which"),
        (SpecTrain1(ahead="adam"), MOMENTUM, "goes along the state of Adam, and this is SGD"),
        (SpecTrain1(ahead="adm"), MOMENTUM, "unknown direction 'adm': did you mean 'adam'"),
    ],
)
def test_an_optimizer_that_a_policy_cannot_use_is_refused(weights, optimizer, words):
    with pytest.raises(ValueError, match=words):
        training(Pipeline(3, weights=weights), optimizer=optimizer)


def test_a_policy_that_predicts_goes_without_momentum_by_the_last_displacement():
    ended(Pipeline(3, weights="spectrain_v1"), optimizer=partial(SGD, lr=0.05))


def test_a_world_of_another_size_is_refused_with_those_that_fit():
    words = (
        r"this world has 2: take World.sim\(3\), World.procs\(3\) or torchrun --nproc-per-node=3"
    )
    with pytest.raises(ValueError, match=words):
        training(Pipeline(3), comm=Comm(2))
    with pytest.raises(ValueError, match=r"4 stages on 2 ranks, and this world has 4"):
        training(Pipeline(4, "zbv"), comm=Comm(4))


def test_an_elastic_world_is_refused():
    comm = Comm(2)
    comm.elastic = True
    with pytest.raises(ValueError, match="cannot go on without a stage: take elastic=False"):
        training(Pipeline(2), comm=comm)


def made(rank):
    return layers()


def test_what_all_ranks_refuse_is_said_once():
    world = World.procs(2, timeout=10)
    rows = train(made, identities.task(), strategy=Pipeline(2, layer_split=[7]), world=world)
    with pytest.raises(WorkerError, match=r"ranks 0, 1: ValueError: layer_split=\[7\]: expected 1"):
        list(rows)


def shared():
    model = layers()
    model[2], model[3] = nn.Linear(6, 6).double(), nn.Linear(6, 6).double()
    model[3].weight = model[2].weight
    return model


@pytest.mark.parametrize(
    ("pipeline", "more", "words"),
    [
        (Pipeline(3), {}, "3 stages on 3 ranks, and this world has 2"),
        (Pipeline(2, order=1), {}, "order draws the turns of a simulation"),
        (Pipeline(2), dict(loss=nn.CrossEntropyLoss(reduction="sum")), "reduction='sum'"),
        (Pipeline(2, layer_split=[7]), {}, "expected 1 ascending numbers from 1 to 4"),
        (Pipeline(6, schedule="zbv"), dict(workers=3), "6 stages for 5 layers"),
        (Pipeline(2, layer_split=[3]), dict(model=shared()), "in stages 0 and 1"),
        (Pipeline(2), dict(optimizer=partial(LBFGS, lr=1)), "LBFGS calls the loss again"),
        (Pipeline(2), dict(optimizer=SGD(layers().parameters(), 0.1)), "SGD, made already"),
        (
            Pipeline(2, weights=PipeDream(True)),
            dict(optimizer=partial(SGD, lr=0.1)),
            "spike=True goes",
        ),
        (Pipeline(2, weights=SpecTrain1(ahead="adam")), {}, "goes along the state of Adam"),
        (Pipeline(2), dict(elastic=True), "cannot go on without a stage"),
    ],
)
def test_what_needs_no_process_is_refused_before_any_starts_in_the_words_of_a_rank(
    pipeline, more, words
):
    more = dict(loss=F.cross_entropy, model=layers(), optimizer=MOMENTUM, workers=2) | more
    workers, options = more.pop("workers"), dict(batch_size=7, seed=5)
    parts = more["model"], identities.task(), more["loss"], more["optimizer"], pipeline
    comm = Comm(workers)
    comm.elastic, comm.alone = more.get("elastic", False), pipeline.order is None
    with pytest.raises(ValueError, match=words) as said:
        Pipelined(*parts, comm, steps=9, **options)
    world = World.procs(workers, elastic=comm.elastic)
    with pytest.raises(ValueError, match=words) as found:
        train(*parts, world, **options)  # (no row is asked for)
    assert str(found.value) == str(said.value)


@pytest.mark.parametrize(("stages", "micro"), [(3, 1), (3, 2), (2, 7), (3, 20)])
@pytest.mark.parametrize("schedule", ["naive", "gpipe", "1f1b", "zb_h1"])
def test_any_number_of_micro_batches_gives_the_gradient_of_the_whole(schedule, stages, micro):
    """One, fewer than stages, as many as samples, and more: those without samples do nothing."""
    found = ended(Pipeline(stages, schedule, micro=micro))
    assert identities.apart(found, plain()) <= 1e-13


@pytest.mark.parametrize("name", POLICIES)
def test_micro_batches_without_samples_change_nothing_where_nothing_waits(name):
    """With one stage there is no delay: it is plain SGD again, whatever the number of them."""
    rate = dict(warmup=0) if name == "pipemare" else {}
    found = ended(Pipeline(1, weights=policy(name, **rate), micro=9))
    assert identities.apart(found, plain()) <= 1e-13
    ended(Pipeline(3, weights=name, micro=9))


def test_what_has_no_samples_is_not_computed():
    seen = []

    def loss(outputs, targets):
        seen.append(len(targets))
        return F.cross_entropy(outputs, targets)

    words = layers(), identities.task(), loss, MOMENTUM, Pipeline(2, micro=9)
    session = Pipelined(*words, Comm(2), batch_size=7, seed=5, steps=4)
    for _ in range(4):
        session.step()
    assert seen == [1] * 22  # (batches of 7, 7, 7, 1)


@pytest.mark.parametrize("weights", [None, *POLICIES])
@pytest.mark.parametrize("split", [[1, 2], [1, 3], [2, 4]])
def test_a_stage_may_have_no_parameters(weights, split):
    micro = 2 if weights == "two_bw" else 1
    found = ended(Pipeline(3, weights=weights, micro=micro, layer_split=split))
    if weights is None:
        assert identities.apart(found, plain()) <= 1e-13


@pytest.mark.parametrize("weights", ["vanilla", "pipedream", "spectrain_v1", "pipemare"])
def test_the_first_and_the_last_stage_may_have_none(weights):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh()).double()
    start = {k: v.clone() for k, v in model.state_dict().items()}
    found = ended(Pipeline(3, weights=weights), model)
    assert identities.apart(found, start) > 1e-3


@pytest.mark.parametrize("weights", [None, *POLICIES])
def test_layers_that_write_into_their_input_train_as_those_that_do_not(weights):
    """At the beginning of a stage, in the middle of one, and at its end."""
    ends = []
    for inplace in (False, True):
        model = layers(nn.ReLU(inplace=inplace), nn.Linear(3, 3).double())
        model[1], model[3] = nn.ReLU(inplace=inplace), nn.Sigmoid()
        model.insert(4, nn.ReLU(inplace=inplace))  # (a sigmoid's backward needs its output)
        torch.manual_seed(1)
        for p in model.parameters():
            nn.init.normal_(p, 0, 0.3)
        split, micro = [1, 4], 2 if weights == "two_bw" else 1
        ends.append(ended(Pipeline(3, weights=weights, micro=micro, layer_split=split), model))
    assert identities.apart(*ends) == 0


def test_the_data_are_not_written_to():
    """By a net whose first layer would."""
    data, model = identities.task(), nn.Sequential(nn.ReLU(inplace=True), *layers())
    before = data.train_x.clone()
    ended(Pipeline(2), model, data=data)
    assert torch.equal(data.train_x, before)


@pytest.mark.parametrize("weights", [None, *POLICIES])
def test_frozen_weights_stay(weights):
    model = layers()
    model[2].weight.requires_grad_(False)
    micro = 2 if weights == "two_bw" else 1
    found = ended(Pipeline(3, weights=weights, micro=micro), model)
    assert torch.equal(found["2.weight"], layers()[2].weight)
    assert not torch.equal(found["2.bias"], layers()[2].bias)


def tokens():
    g = torch.Generator().manual_seed(2)
    x = torch.randint(0, 9, (22, 5), generator=g)
    return Data("tokens", "none", x, x[:, 0] % 3, x, x[:, 0] % 3)


@pytest.mark.parametrize("weights", [None, *POLICIES])
def test_tokens_may_be_the_inputs(weights):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 6), nn.Tanh())
    model = model.append(nn.Linear(6, 3)).double()
    micro = 2 if weights == "two_bw" else 1
    pipeline = Pipeline(3, weights=weights, micro=micro)
    found = ended(pipeline, copy.deepcopy(model), data=tokens())
    if weights is None:
        assert identities.apart(found, plain(model, tokens())) <= 1e-13


def test_tied_weights_of_two_stages_are_refused_by_both_names():
    model = shared()
    with pytest.raises(
        ValueError, match=r"2.weight and 3.weight are one tensor, in stages 0 and 1"
    ):
        training(Pipeline(2, layer_split=[3]), model)
    found = ended(Pipeline(2, layer_split=[2]), model)
    assert torch.equal(found["2.weight"], found["3.weight"])


@pytest.mark.parametrize("weights", [None, "vanilla"])
def test_batch_norm_with_one_sample_a_micro_batch_is_told_what_to_do(weights):
    model = layers()
    model[1] = nn.BatchNorm1d(6).double()
    session = training(Pipeline(2, weights=weights, micro=4, layer_split=[2]), model)
    words = r"stage 0 has batch norm and was given a micro-batch of 1 sample, .*batch_size.*micro"
    with pytest.raises(ValueError, match=words):
        session.step()


def test_layers_that_would_draw_the_same_masks_are_refused():
    with pytest.raises(ValueError, match="would draw the same masks"):
        training(Pipeline(2), layers(KeyedDropout(0.1, 0), KeyedDropout(0.1, 0)))


@pytest.mark.parametrize(("stage", "name"), [(0, "0.weight"), (2, "0.bias")])
@pytest.mark.parametrize("weights", [None, "pipedream"])
def test_a_weight_that_is_not_finite_is_named_where_the_loss_shows_it(stage, name, weights):
    """In a simulation, in the words of processes, which send nothing of the kind (test_faults)."""
    session = training(Pipeline(3, weights=weights, layer_split=[1, 4]))
    for _ in range(2):
        session.step()
    session.executor.stages[stage].weights.params[name].data.fill_(float("inf"))
    words = (
        rf"stage {stage} has NaN or infinity in its output for minibatch \d; its weights {name} are"
    )
    if stage == 2:
        words = rf"the loss of minibatch \d is NaN or infinity: of stage 2 the weights {name} are"
    with pytest.raises(NotFinite, match=words):
        [session.step() for _ in range(3)]


def test_nan_in_the_data_is_not_blamed_on_weights():
    data = identities.task()
    data.train_x[:, 2] = float("nan")
    words = "stage 0 has NaN or infinity in its output for minibatch 0; its weights are finite"
    with pytest.raises(NotFinite, match=words):
        ended(Pipeline(2, layer_split=[1]), data=data)
    words = "the loss of minibatch 0 is NaN or infinity, and all weights here are finite. Look at"
    with pytest.raises(NotFinite, match=words):
        ended(Pipeline(1), data=data)


def test_there_are_no_steps_after_the_last():
    session = training(Pipeline(2), steps=1)
    session.step()
    with pytest.raises(ValueError, match="this training has 1 steps, and all are done"):
        session.step()
