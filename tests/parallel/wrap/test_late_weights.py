"""ModelParallel of a style that does not wait: what users do beside backward() and step()."""

import copy
import gc
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import ModelParallel
from parallel.pipeline.policies import POLICIES
from tests.parallel.wrap.nets import batch, net, step, wrapped

CLOSE = dict(rtol=0.0, atol=1e-12)
SWAPS = ["vanilla", "spectrain_v1", "pipeoptim", "pipemare", "recomputed"]


def after(steps, style, **options):
    made, stepper = wrapped(style, **options)
    for k in range(steps):
        step(made, stepper, k)
    return made, stepper


@pytest.mark.parametrize("style", POLICIES)
def test_gradients_of_parts_of_a_batch_add_up(style):
    made, stepper = after(4, style)
    whole, other = after(4, style)
    for k in range(4, 8):
        x, y = batch(12, k)
        stepper.zero_grad()
        for part in range(2):
            own = slice(6 * part, 6 * part + 6)
            (F.cross_entropy(made(x[own]), y[own]) / 2).backward()
        stepper.step()
        step(whole, other, k)
    torch.testing.assert_close(made.state_dict(), whole.state_dict(), **CLOSE)


def test_parts_of_a_batch_have_noise_of_their_own():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 5)).double()
    made, stepper = wrapped(model=model, split=[1])
    x = torch.ones(12, 5).double()
    first, second = made(x), made(x)
    assert not torch.equal(first, second)
    again = ModelParallel(style="vanilla", model=copy.deepcopy(model), layer_split=[1])
    torch.manual_seed(7)
    assert torch.equal(first, again(x))  # (of the seed, whatever torch's own generator says)
    del stepper


@pytest.mark.parametrize("style", ["vanilla", "pipedream", "spectrain_v1"])
def test_a_forward_pass_without_a_gradient_is_no_minibatch(style):
    made, stepper = after(3, style)
    other, others = after(3, style)
    with torch.no_grad():
        made(batch(5, 77)[0])
    made.eval()(batch(5, 78)[0])
    made.train()
    for k in range(3, 8):
        step(made, stepper, k)
        step(other, others, k)
    assert_equal(made, other)


def test_a_forward_pass_without_a_gradient_uses_up_no_noise():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 5)).double()
    made, _ = wrapped(model=model, split=[1])
    x = torch.ones(12, 5).double()
    with torch.no_grad():
        first = made(x)
    assert torch.equal(first, made(x))


def test_after_a_step_that_failed_one_goes_on():
    class Broken(torch.optim.SGD):
        fails = True

        def step(self, closure=None):
            if self.fails:
                raise RuntimeError("once")
            return super().step(closure)

    made, _ = after(0, "vanilla")
    stepper = Broken(made.parameters(), lr=0.05, momentum=0.8)
    with pytest.raises(RuntimeError, match="once"):
        step(made, stepper)
    stepper.fails = False
    for k in range(4):
        step(made, stepper, k)
    assert_equal(made, after(4, "vanilla")[0])


@pytest.mark.parametrize("style", POLICIES)
def test_a_stage_may_write_into_what_it_is_given(style):
    ends = []
    for inplace in (False, True):
        torch.manual_seed(0)
        leaky = nn.LeakyReLU(0.5, inplace=inplace)
        row = [nn.Linear(5, 8), leaky, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
        model = nn.Sequential(*row).double()
        ends.append(after(5, style, model=model, split=[1, 4])[0])
    assert_equal(*ends)


def assert_equal(a, b):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("style", POLICIES)
def test_a_backward_pass_after_the_step_is_refused(style):
    made, stepper = after(2, style)
    x, y = batch()
    loss = F.cross_entropy(made(x), y)
    step(made, stepper)
    with pytest.raises(ValueError, match=r"before optimizer\.step\(\)"):
        loss.backward()


def twice(made):
    """The gradient of a gradient's square."""
    x, y = batch()
    loss = F.cross_entropy(made(x), y)
    first = torch.autograd.grad(loss, list(made.parameters()), create_graph=True)
    sum(g.square().sum() for g in first).backward()
    return [p.grad for p in made.parameters()]


@pytest.mark.parametrize("style", SWAPS)
def test_gradients_of_gradients_are_refused_where_passes_differ(style):
    made, _ = after(2, style)
    with pytest.raises((ValueError, RuntimeError), match=r"create_graph|once_differentiable"):
        twice(made)


def test_gradients_of_gradients_where_passes_agree():
    made, _ = wrapped("pipedream")
    torch.testing.assert_close(twice(made), twice(net()), **CLOSE)


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_scaler_leaves_out_is_no_step(fused):
    """Infinity in a gradient: the minibatch after it takes its place."""
    made, other = (wrapped("spectrain_v1")[0] for _ in range(2))
    stepper, others = (torch.optim.Adam(m.parameters(), fused=fused) for m in (made, other))
    for k in range(3):
        step(made, stepper, k)
        step(other, others, k)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=1000)
    x, y = batch(12, 50)
    scaler.scale(F.cross_entropy(made(x), y) * torch.inf).backward()
    scaler.step(stepper)
    scaler.update()
    for k in range(3, 6):
        step(made, stepper, k)
        step(other, others, k)
    assert_equal(made, other)


@pytest.mark.parametrize("style", ["vanilla", "spectrain_v1"])
def test_schedulers_of_the_rate_are_followed(style):
    """A rate that is set between a step and the next batch is that of the prediction."""
    ends = []
    for late in (False, True):
        made, stepper = wrapped(style)
        for k in range(6):
            if late:
                stepper.param_groups[0]["lr"] = 0.05 / (k + 1)
            step(made, stepper, k)
            if not late:
                stepper.param_groups[0]["lr"] = 0.05 / (k + 2)
        ends.append(made)
    assert_equal(*ends)


def test_what_cannot_go_with_an_optimizer_is_refused_at_the_first_step():
    for options, momentum, words in (
        (dict(style="vanilla", spike=True), 0.0, "spike=True goes with"),
        (dict(style="spectrain_v1", ahead="adam"), 0.8, "ahead='adam' goes along"),
    ):
        made, stepper = wrapped(momentum=momentum, **options)
        start = copy.deepcopy(made.state_dict())
        with pytest.raises(ValueError, match=words):
            step(made, stepper)
        torch.testing.assert_close(made.state_dict(), start)


@pytest.mark.parametrize("style", [*POLICIES, "1f1b"])
@pytest.mark.parametrize("before", [1, 5])
def test_a_training_that_was_saved_goes_on_to_the_bit(style, before):
    """The fresh wrapper is not told where the net is cut, and its weights and state are others."""
    made, stepper = after(before, style)
    file = io.BytesIO()
    torch.save(made.training_state(stepper), file)
    split = made.layer_split
    other = ModelParallel(style=style, model=net(), stages=len(split) + 1, micro=_micro(made))
    again = torch.optim.SGD(other.parameters(), **{k: stepper.defaults[k] for k in SAVED})
    other.load_training_state(torch.load(io.BytesIO(file.getvalue())), again)
    other.load_training_state(other.training_state(again), again)  # (before any batch)
    for k in range(before, before + 6):
        step(made, stepper, k)
        step(other, again, k)
        assert all(map(torch.equal, made.parameters(), other.parameters())), k
    assert other.layer_split == split


SAVED = ["lr", "momentum", "weight_decay", "nesterov"]


def _micro(made):
    return made.pipe.pipeline.micro


def test_a_state_of_another_style_or_cut_is_refused():
    made, stepper = after(2, "pipedream")
    state = made.training_state(stepper)
    for style, split in (("spectrain_v2", made.layer_split), ("pipedream", [1])):
        other = ModelParallel(style=style, model=net(), layer_split=split)
        words = r"of style='pipedream', micro=1 and layer_split=.*the net is .*make it as the other"
        with pytest.raises(ValueError, match=words):
            other.load_training_state(state, torch.optim.SGD(other.parameters(), lr=0.1))


def test_a_wrapper_that_goes_while_torch_tells_of_a_step_leaves_the_others_alone():
    """Garbage is collected at any moment, also within the hooks of an optimizer's step."""
    gone, (made, optimizer), _later = [wrapped()], wrapped(), wrapped()
    made(batch()[0]).sum().backward()
    made.pipe.lates.row[0].before = lambda _: gone.clear() or gc.collect()
    optimizer.step()


def test_wrong_optimizers():
    made, _ = wrapped()
    with pytest.raises(ValueError, match="has 2 of the 6 parameters of the stages"):
        step(made, torch.optim.SGD(made.model[0].parameters(), lr=0.1))
    lbfgs = torch.optim.LBFGS(made.parameters())
    with pytest.raises(ValueError, match="step\\(closure\\)"):
        lbfgs.step(lambda: made(batch()[0]).sum())
    made, _ = wrapped()
    with pytest.raises(ValueError, match=r"LBFGS.step\(closure\)"):  # (before any batch)
        torch.optim.LBFGS(made.parameters()).step(lambda: made(batch()[0]).sum())
    stranger = nn.Linear(2, 2)
    torch.optim.SGD(stranger.parameters(), lr=0.1).step()  # (nothing of ours)
    assert made.pipe.lates.row[0].weights.number == 0


def test_weights_that_change_without_a_step_are_refused():
    made, _ = wrapped()
    made(batch()[0]).sum().backward()
    with torch.no_grad():
        for p in made.parameters():
            p -= 0.1 * p.grad
    with pytest.raises(ValueError, match=r"no torch\.optim\.Optimizer has made a step"):
        made(batch()[0])


def test_frozen_layers_stay_and_may_not_change_in_flight():
    model = net()
    model[0].requires_grad_(requires_grad=False)
    before = model[0].weight.clone()
    made, _ = wrapped(model=model)
    stepper = torch.optim.SGD([p for p in made.parameters() if p.requires_grad], lr=0.1)
    for k in range(3):
        step(made, stepper, k)
    assert torch.equal(made.model[0].weight, before)
    model[0].requires_grad_(requires_grad=True)
    with pytest.raises(ValueError, match=r"0\.bias, 0\.weight of stage 0 began or ceased"):
        made(batch()[0])
    made.load_state_dict(made.state_dict())
    made(batch()[0]).sum().backward()
    assert model[0].weight.grad is not None


@pytest.mark.parametrize("style", POLICIES)
def test_copies_and_loaded_weights_begin_anew(style):
    made, _ = after(5, style)
    fresh, others = wrapped(style, model=copy.deepcopy(made.model))
    buffer = io.BytesIO()
    torch.save(made, buffer)
    buffer.seek(0)
    copies = [
        copy.deepcopy(made),
        pickle.loads(pickle.dumps(made)),
        torch.load(buffer, weights_only=False),
    ]
    loaded, _ = after(3, style)
    loaded.load_state_dict(made.state_dict())
    inner, _ = after(2, style)
    nn.Sequential(inner).load_state_dict(nn.Sequential(made).state_dict())
    copies += [loaded, inner]
    steppers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.8) for m in copies]
    for k in range(4):
        step(fresh, others, k)
        for one, stepper in zip(copies, steppers, strict=True):
            step(one, stepper, k)
    for one in copies:
        assert_equal(one, fresh)


@pytest.mark.parametrize("style", POLICIES)
def test_what_is_in_flight_is_cast_with_the_net(style):
    made, stepper = after(4, style, momentum=0.0)
    made.float()
    other, others = after(4, style, momentum=0.0)
    for k in range(4, 8):
        x, y = batch(12, k)
        stepper.zero_grad()
        out = made(x.float())
        assert out.dtype == torch.float32
        F.cross_entropy(out, y).backward()
        stepper.step()
        step(other, others, k)
    close = dict(rtol=0.0, atol=1e-5)  # (four steps in float32, of weights below 1)
    torch.testing.assert_close(made.double().state_dict(), other.state_dict(), **close)


@pytest.mark.parametrize("style", ["vanilla", "pipedream"])
def test_weights_that_somebody_puts_elsewhere_are_the_newest(style):
    made, stepper = after(4, style)
    other, others = after(4, style)
    flat = nn.utils.parameters_to_vector(made.parameters())
    nn.utils.vector_to_parameters(flat.clone(), made.parameters())  # (views of one memory)
    for k in range(4, 8):
        step(made, stepper, k)
        step(other, others, k)
    assert_equal(made, other)


def test_true_weights_are_in_no_graph_of_prediction():
    made, stepper = after(6, "spectrain_v1")
    before = copy.deepcopy(made.state_dict())
    x, y = batch(12, 9)
    F.cross_entropy(made(x), y).backward()
    torch.testing.assert_close(made.state_dict(), before, rtol=0.0, atol=0.0)
    late = made.pipe.lates.row[0]
    assert not torch.equal(late.queue[0]["0.weight"], made.model[0].weight)
    del stepper


def test_a_stage_without_weights_and_tokens():
    torch.manual_seed(0)
    row = [nn.Embedding(9, 5), nn.Flatten(), nn.ReLU(), nn.Linear(20, 3)]
    for style in POLICIES:
        model = nn.Sequential(*copy.deepcopy(row)).double()
        made, stepper = wrapped(style, model=model, split=[1, 2, 3], micro=3)
        start = copy.deepcopy(made.state_dict())
        for k in range(5):
            x = torch.randint(9, (7, 4), generator=torch.Generator().manual_seed(k))
            stepper.zero_grad()
            F.cross_entropy(made(x), batch(7, k)[1]).backward()
            stepper.step()
        assert all(not torch.equal(v, start[k]) for k, v in made.state_dict().items())


def test_a_wrapper_that_is_gone_is_not_called():
    import weakref

    made, stepper = after(3, "vanilla")
    gone = weakref.ref(made.pipe.lates)
    model = made.model
    del made
    gc.collect()
    assert gone() is None
    stepper.step()
    assert model[0].weight.isfinite().all()
