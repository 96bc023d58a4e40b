"""`sparsify`: sparse layers in the place of a model's own."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer, mobilenet_v2, resnet18

import bibd
from bibd import SparseConv2d, SparseLinear, sparsify


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding="same", groups=2, padding_mode="reflect"),
        nn.Flatten(),
        nn.Linear(32 * 16, 20),
        nn.ReLU(),
        nn.Linear(20, 10),
    )


def test_layers_are_swapped_and_the_rest_stays():
    model = net()
    before = [model[0].weight, model[1].weight]
    report = sparsify(model, "bibd", skip=("0",))
    assert [line.note for line in report.lines] == ["skipped", "", "", ""]
    assert model[0].weight is before[0]
    assert model[1].weight is before[1]
    conv, linear = model[3], model[5]
    assert isinstance(conv, SparseConv2d)
    assert (conv.padding, conv.groups, conv.padding_mode) == ("same", 2, "reflect")
    assert isinstance(linear, SparseLinear)
    assert report.after == sum(
        m.weight.numel() for m in model if isinstance(m, nn.Conv2d | SparseConv2d | SparseLinear)
    )
    x = torch.randn(2, 3, 8, 8)
    model(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_kept_weights_are_those_of_the_masked_model():
    model = net().double().eval()
    masked = copy.deepcopy(model)
    report = sparsify(model, "random_biregular", weights="keep", seed=5)
    with torch.no_grad():
        for old, new, line in zip(
            [m for m in masked if isinstance(m, nn.Conv2d | nn.Linear)],
            [m for m in model if hasattr(m, "pattern")],
            report.lines,
            strict=True,
        ):
            whole = old.weight.square().sum().item()
            old.weight *= new.to_dense() != 0
            assert line.kept == pytest.approx(old.weight.square().sum().item() / whole)
            assert new.weight.dtype == torch.float64
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(model(x), masked(x))
    assert not model[5].training


def test_new_weights_follow_the_seed_of_torch_and_the_pattern_its_own():
    def made(torch_seed, seed):
        model = net()
        torch.manual_seed(torch_seed)
        sparsify(model, "random", seed=seed)
        return model[5]

    a, b, c = made(1, 2), made(1, 2), made(1, 3)
    assert torch.equal(a.to_dense(), b.to_dense())
    assert a.pattern.digest() != c.pattern.digest()


def test_torchvision_models():
    model = resnet18(num_classes=10)
    skip = ("conv1", "fc", "*.downsample.*")
    report = sparsify(model, "iddl", skip=skip)
    # The main path of the original study's B-ResNet-18; its count with stem, shortcuts, norms and
    # classifier is 769,656, and the 7x7 stem of torchvision's net has 9408 - 1728 more.
    assert sum(p.numel() for p in model.parameters()) == 769_656 + 9408 - 1728
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    text = str(report)
    assert "layer4.1.conv2" in text
    head = nn.Sequential(nn.Linear(256, 10))
    assert "[packing], 96 inputs unread" in str(sparsify(head))
    assert "iddl(512, 512)" in text
    assert "skipped" in text
    mobile = mobilenet_v2(num_classes=10)
    report = sparsify(mobile)
    depthwise = [x for x in report.lines if x.name == "features.3.conv.1.0"]
    assert depthwise[0].note == "stays: the pattern would leave nothing out"
    assert mobile.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 10)


def test_attention_keeps_the_weights_that_it_reads_itself():
    sizes = dict(num_layers=2, num_heads=2, hidden_dim=64, mlp_dim=128, num_classes=10)
    model = VisionTransformer(image_size=32, patch_size=16, **sizes).eval()
    report = sparsify(model)
    notes = {line.name: line.note for line in report.lines}
    first = "encoder.layers.encoder_layer_0"
    assert "class of its own" in notes[f"{first}.self_attention.out_proj"]
    assert notes[f"{first}.mlp.0"] == ""
    with torch.no_grad():
        assert model(torch.randn(1, 3, 32, 32)).shape == (1, 10)


def test_layers_that_others_look_into_stay():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(30, 16)
            self.decoder = nn.Linear(16, 30, bias=False)
            self.decoder.weight = self.embedding.weight
            self.twice = self.again = nn.Linear(16, 16)
            self.hooked = nn.Linear(16, 16)
            self.hooked.register_forward_hook(lambda *_: None)
            self.block = nn.TransformerEncoderLayer(16, 2, batch_first=True)

        def forward(self, x):
            return self.decoder(self.again(self.twice(self.hooked(self.block(self.embedding(x))))))

    model = Tied().eval()
    report = sparsify(model)
    notes = {line.name: line.note for line in report.lines}
    assert "shares its weight" in notes["decoder"]
    assert "hooks" in notes["hooked"]
    assert "reads its weight itself" in notes["block.linear1"]
    assert isinstance(model.twice, SparseLinear)
    assert model.again is model.twice
    with torch.no_grad():
        assert model(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 30)


def test_what_others_hold_on_to_stays():
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.LazyLinear(9))
    model[1].bias = model[0].bias
    model[2].register_full_backward_pre_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="swapped nothing"):
        notes = [line.note for line in sparsify(model).lines]
    assert ["shares" in note for note in notes] == [True, True, False, False]
    assert "hooks" in notes[2]
    assert "LazyLinear" in notes[3]
    inside = nn.Sequential(nn.Sequential(nn.Linear(9, 12)), nn.Linear(9, 12))
    notes = [line.note for line in sparsify(inside, skip=inside[0]).lines]
    assert notes == ["skipped", ""]
    meta = nn.Sequential(nn.Linear(64, 64, device="meta"))
    (line,) = sparsify(meta, weights="keep").lines
    assert line.kept is None
    assert meta[0].weight.device.type == "meta"


def test_swin_reads_the_weights_of_its_attention_itself():
    sizes = dict(embed_dim=24, depths=[1, 1], num_heads=[2, 2], window_size=[2, 2])
    model = SwinTransformer(patch_size=[4, 4], num_classes=10, **sizes).eval()
    report = sparsify(model)
    assert sum("reads its weight itself" in line.note for line in report.lines) == 4
    assert sum(not line.note for line in report.lines) >= 4
    with torch.no_grad():
        assert model(torch.randn(1, 3, 32, 32)).shape == (1, 10)


def test_a_design_goes_where_it_fits_and_frozen_stays_frozen():
    model = nn.Sequential(nn.Linear(9, 12), nn.Linear(12, 4)).requires_grad_(False)
    report = sparsify(model, bibd.affine_plane(3))
    assert isinstance(model[0], SparseLinear)
    assert "is for 9 inputs and 12 outputs" in report.lines[1].note
    assert not model[0].weight.requires_grad
    assert not model[0].bias.requires_grad
    with pytest.warns(UserWarning, match="swapped nothing: the model has no Linear or Conv2d"):
        assert sparsify(nn.Sequential(nn.ReLU())).lines == ()
    inside = nn.Sequential(nn.Sequential(nn.Linear(9, 12)), nn.Linear(9, 12))
    with pytest.warns(UserWarning, match="swapped nothing: the model keeps all of its layers"):
        by_class = sparsify(inside, skip=[nn.Sequential])
    assert [x.note for x in by_class.lines] == ["skipped", "skipped"]


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (nn.Linear(4, 4), {}, r"single Linear: use SparseLinear.from_dense"),
        (net(), {"skip": ("fc",)}, "skip='fc' fits no layer of the model that holds a matrix"),
        (nn.Sequential(net()), {"skip": "0"}, r"did you mean '0\.\*'"),
        (net(), {"skip": (3,)}, "skip takes names, classes and modules, got 3"),
        (net(), {"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        (net(), {"pattern": "tiled"}, r"layer '0': pattern tiled needs .*skip='0' leaves it"),
        (net(), {"pattern": "bibdd"}, "did you mean 'bibd'"),
        (net(), {"weights": "old"}, "weights must be one of new, keep"),
    ],
)
def test_wrong_input(model, options, words):
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=words):
        sparsify(model, **options)
    assert model.state_dict().keys() == before.keys()


class Attention(nn.Module):
    """As vision transformers write it, who add a bias of their own."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj, self.gate = nn.Linear(16, 48), nn.Linear(48, 16), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 64), nn.Linear(64, 16))
        self.init_weights()

    def init_weights(self):
        nn.init.zeros_(self.proj.weight)

    def forward(self, x):
        x = x.to(self.gate.weight.dtype) if isinstance(self.gate.weight, torch.Tensor) else x
        x = self.gate(self.proj(nn.functional.linear(x, self.qkv.weight)))
        return self.mlp(x) + nn.functional.linear(x, self.mlp[0].weight).sum()


class Outer(nn.Module):
    """Reads a weight that lies deeper."""

    def __init__(self):
        super().__init__()
        self.block, self.head = Attention(), nn.Linear(16, 20)

    def forward(self, x):
        return self.head(self.block(x) @ self.block.gate.weight)


def test_modules_that_read_a_weight_themselves_are_found_in_their_source():
    notes = {x.name: x.note for x in sparsify(Attention()).lines}
    assert notes.pop("qkv") == "stays: Attention reads its weight itself"
    assert not any(notes[name] for name in ("proj", "gate", "mlp.1"))
    model = Outer()
    notes = {x.name: x.note for x in sparsify(model, skip="block.mlp.*").lines}
    assert notes["block.gate"] == "stays: Outer reads its weight itself"
    assert model(torch.randn(2, 16)).shape == (2, 20)


class Conv1D(nn.Module):
    """As GPT-2 has it: the weight of a linear layer, transposed."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))

    def forward(self, x):
        return x @ self.weight


def test_layers_of_other_kinds_get_a_line():
    model = nn.Sequential(nn.Embedding(5, 16), Conv1D(16, 16), nn.LayerNorm(16), nn.Linear(16, 20))
    report = sparsify(model)
    assert [x.name for x in report.lines] == ["1", "3"]
    assert report.lines[0].note == "stays: Conv1D is neither nn.Linear nor nn.Conv2d"
    assert "1      16x16" in str(report)
    assert isinstance(model[3], SparseLinear)


def test_a_model_in_which_nothing_is_left_to_swap_says_so():
    model = nn.Sequential(nn.Linear(16, 20))
    sparsify(model)
    with pytest.warns(UserWarning, match="swapped nothing: the model keeps all of its layers"):
        report = sparsify(model)
    assert report.lines[0].note == "stays: it is sparse already"
    assert report.before == report.after == model[0].weight.numel()
    assert "swapped nothing" in str(report)


def test_a_last_layer_with_unread_inputs_is_told():
    model = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 10))
    words = "last layer '2' is sparse now, and 28 of its inputs are read by no output: skip='2'"
    with pytest.warns(UserWarning, match=words):
        report = sparsify(model)
    assert words in str(report).splitlines()[-1]


def test_each_layer_can_have_a_pattern_of_its_own():
    net = nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 12), nn.Linear(12, 3))
    mask = torch.rand(12, 12) > 0.5
    table = bibd.from_mask(mask)
    report = bibd.sparsify(net, {"0": "bibd", "2": table}, weights="keep")
    assert [type(net[i]) for i in (0, 2, 3)] == [bibd.SparseLinear, bibd.SparseLinear, nn.Linear]
    assert torch.equal(net[2].to_dense() != 0, mask)
    assert report.lines[2].note == "stays: no pattern is named for it"
    with pytest.raises(ValueError, match="a pattern for '4', but no layer has that name"):
        bibd.sparsify(net, {"4": "bibd"})
